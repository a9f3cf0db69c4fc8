"""Estimates what a run takes, as a process: `python -m pipeline.estimate`."""

from pipeline.estimate.run import main

if __name__ == "__main__":
    main()
