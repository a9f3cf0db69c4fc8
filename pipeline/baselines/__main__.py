"""Runs the stage as a process: `python -m pipeline.baselines`."""

from pipeline import runner
from pipeline.baselines.stage import ScoringParams, run

if __name__ == "__main__":
    runner.main(
        lambda params, data: run(
            params.model,
            params.prompt,
            params.baselines,
            ScoringParams(
                params.register.metric,
                params.evaluate.rules,
                params.evaluate.max_new_tokens,
                params.evaluate.batch_size,
            ),
            data,
        )
    )
