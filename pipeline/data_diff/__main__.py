"""Compares two sets of pairs, as a process: `python -m pipeline.data_diff`."""

import sys
from pathlib import Path

from pipeline.data_diff.run import main

if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
