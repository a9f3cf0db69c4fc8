"""Makes a project, and brings its states and data."""
