"""Renders jinja2 templates. A missing value is an error.

In HTML all that a template shows is escaped, unless a template made it. In Markdown (`.md.j2`) it is not: a template
escapes what comes from data or people by the filter `cell`.
"""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Undefined, select_autoescape
from markupsafe import Markup

SHARED_TEMPLATES = Path(__file__).parent / "templates"
"""The frame of a page, its style and its tables, for the templates of every stage."""
MARKDOWN_SPECIAL = frozenset("\\`*[]<>&|")
"""Letters that could begin something else in Markdown or HTML."""
UNKNOWN = "-"
"""Stands for a value that nobody recorded."""


@cache
def template_environment(folder: Path) -> Environment:
    """Give the environment in which templates of a folder, and the shared ones, are rendered."""
    environment = Environment(
        loader=FileSystemLoader([folder, SHARED_TEMPLATES]),
        autoescape=select_autoescape(disabled_extensions=("md.j2",), default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"fmt": format_value, "cell": escape_markdown}
    return environment


def render_template(folder: Path, template: str, /, **values: Any) -> str:
    """Render a template; the same values give the same bytes.

    Raises:
        jinja2.UndefinedError: If the template shows a value that is not among these.
    """
    return template_environment(folder).get_template(template).render(values)


def format_value(value: Any, form: str = "") -> Markup:
    """Write a value in a format of Python's, escaped; a dash for None. Values that bear their source keep it.

    Raises:
        jinja2.UndefinedError: For a value that is missing.
    """
    if isinstance(value, Undefined):
        str(value)  # says which name it is: the error of a format would not
    # Markup.format escapes what it is given, and asks a value that knows its own markup for it.
    return Markup(UNKNOWN) if value is None else Markup("{:" + form + "}").format(value)  # noqa: S704


def escape_markdown(text: str) -> str:
    """Write a text so that it stays a text: no cell, picture, link, mark-up or line begins in it.

    One that is code already, as a digest is, stays code.
    """
    line = " ".join(text.split())
    if len(line) > 2 and line[0] == line[-1] == "`" and "`" not in line[1:-1]:
        return line.replace("|", "\\|")
    return "".join(f"&#{ord(letter)};" if letter in MARKDOWN_SPECIAL else letter for letter in line)
