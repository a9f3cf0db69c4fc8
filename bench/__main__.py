"""Measure performance claims, each against a peer in one run."""

import sys
from argparse import ArgumentParser
from importlib import import_module
from pathlib import Path

from pipeline.params import Params, load_params

CLAIMS = ("train-short", "train-labels", "evaluate-short", "evaluate-labels", "curves", "memory", "data")


def main() -> None:
    """Measure the claims that are named, and print a line for each peer."""
    parser = ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("claims", nargs="*", metavar="CLAIM", help=f"one of {', '.join(CLAIMS)}; all if none is named")
    parser.add_argument("--rounds", type=int, default=3, help="how often ours and each peer take turns")
    told = parser.parse_args()
    unknown = [name for name in told.claims if name not in CLAIMS]
    if unknown:
        sys.exit(f"error: {unknown[0]}: no such claim; expected one of {', '.join(CLAIMS)}")
    params = load_params(Path("params.yaml"))
    for name in told.claims or CLAIMS:
        for line in measured(name, params, told.rounds):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


def measured(name: str, params: Params, rounds: int) -> list[str]:
    """Measure a claim; what it needs is imported for it alone, TRL above all."""
    kind = import_module(f"bench.{name.partition('-')[0]}")
    if name == "data":
        return list(kind.claim(params, rounds))
    return list(kind.claim(name, params, rounds).lines() if "-" in name else kind.claim(params))


if __name__ == "__main__":
    main()
