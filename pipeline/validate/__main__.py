"""Runs the stage as a process: `python -m pipeline.validate`."""

from pipeline import runner
from pipeline.validate.stage import run

if __name__ == "__main__":
    runner.main(lambda params, data: run(params.prompt, params.validate, data))
