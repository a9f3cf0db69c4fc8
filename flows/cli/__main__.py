"""The `tunesmith` command as a process: `python -m flows.cli`."""

from flows.cli.main import app

if __name__ == "__main__":
    app()
