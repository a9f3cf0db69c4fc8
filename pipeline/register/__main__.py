"""Runs the stage as a process: `python -m pipeline.register`."""

from pipeline import runner
from pipeline.register.stage import run

if __name__ == "__main__":
    runner.main(lambda params, data: run(params.model, params.prompt, params.register, params.prices, data))
