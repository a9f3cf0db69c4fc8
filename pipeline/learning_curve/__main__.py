"""Trains and scores on subsets of the training rows, as a process: `python -m pipeline.learning_curve`."""

import logging
import sys
import time
from pathlib import Path

from pipeline import runner
from pipeline.learning_curve.run import run

log = logging.getLogger(__name__)

if __name__ == "__main__":
    started = time.monotonic()
    runner.main(lambda params, data: run(params, data, Path(sys.argv[1]), [float(share) for share in sys.argv[2:]]))
    log.info("curve: done in %.0f s", time.monotonic() - started)
