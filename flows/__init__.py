"""Orchestration of the pipeline by Prefect, DVC and MLflow; computes nothing itself.

Importing this package first of all settles where those tools keep their things (see paths): they read it when they
are imported.
"""

from flows.paths import configure_tools

configure_tools()
