"""Runs the stage as a process: `python -m pipeline.ingest`."""

from pipeline import runner
from pipeline.ingest.stage import run

if __name__ == "__main__":
    runner.main(lambda params, data: run(params.ingest, data))
