"""Runs the stage as a process: `python -m pipeline.finetune`."""

from pipeline import runner
from pipeline.finetune.stage import run

if __name__ == "__main__":
    runner.main(lambda params, data: run(params.model, params.finetune, data))
