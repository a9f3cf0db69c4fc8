"""MLflow: runs, versions and aliases, all rebuilt from files; the only package that imports it."""
