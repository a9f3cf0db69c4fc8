"""Pages in HTML, rendered from jinja2 templates."""
