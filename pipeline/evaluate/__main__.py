"""Runs the stage as a process: `python -m pipeline.evaluate`."""

from pipeline import runner
from pipeline.evaluate.stage import run

if __name__ == "__main__":
    runner.main(
        lambda params, data: run(
            params.model, params.prompt, params.evaluate, params.register, data, timed=params.baselines.latency_rows
        )
    )
