"""Runs the stage as a process: `python -m pipeline.tokenize`."""

import os

from pipeline import runner
from pipeline.tokenize.stage import run

if __name__ == "__main__":
    os.environ["TOKENIZERS_PARALLELISM"] = "true"  # on all cores: nothing forks here, and no id hangs on their number
    runner.main(lambda params, data: run(params.model, params.prompt, params.tokenize, data))
