"""`python -m bench [CLAIM ...]`: measure claims, all of them if none is named."""

import sys
from pathlib import Path

from pipeline.params import load_params

CLAIMS = ("train-short", "train-labels", "evaluate-short", "evaluate-labels")


def main(wanted: list[str]) -> None:
    """Measure the claims that are named, and print a line for each peer."""
    unknown = [name for name in wanted if name not in CLAIMS]
    if unknown:
        sys.exit(f"error: {unknown[0]}: no such claim; expected one of {', '.join(CLAIMS)}")
    params = load_params(Path("params.yaml"))
    for name in wanted or CLAIMS:
        if name.startswith("train"):
            from bench.train import claim  # noqa: PLC0415 -- TRL is there for these alone
        else:
            from bench.evaluate import claim  # noqa: PLC0415
        for line in claim(name, params).lines():
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
