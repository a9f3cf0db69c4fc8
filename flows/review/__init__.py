"""Review of a change of data or code, on the command line and in pull requests."""
