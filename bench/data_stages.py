"""Claim data: rows per second and memory at most of ingest, validate and tokenize, each a process of its own.

Against `datasets`, which reads the same file and makes the same tokens, and against Great Expectations with our checks
of a text as functions of a row, which sees neither near-duplicates, conflicts nor labels. What is timed is
the whole process, its imports too. PAIRS in the environment is how many rows there are.
"""

import json
import os
import platform
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.banking77 import SHORT, Row, rows, varied
from bench.claims import RESULTS, Claim, in_turn
from bench.isolated_process import Taken, alone
from pipeline.model.base_model import fetch_base_model
from pipeline.params import Params

PAIRS = int(os.environ.get("PAIRS", "1000000"))


@dataclass
class Runner:
    """One of those that are measured: counts rows per second, and keeps what it took.

    Args:
        arguments: What Python is told.
        place: Where it runs.
        before: What makes its folder what it was before a round.
        taken: What each round took.
    """

    arguments: list[str]
    place: Path
    before: Callable[[], None] = lambda: None
    taken: list[Taken] = field(default_factory=list)

    def __call__(self, _turn: int) -> float:
        """Run a round."""
        self.before()
        self.taken.append(alone(self.arguments, self.place))
        return PAIRS / self.taken[-1].seconds

    @property
    def mib(self) -> float:
        """Its memory at most, of the rounds the middle one."""
        return statistics.median(taken.mib for taken in self.taken)


def lay_out(place: Path, params: Params, pairs: Iterable[Row]) -> None:
    """Make a project of rows: a file of pairs and its params."""
    (place / "data" / "raw").mkdir(parents=True)
    source = params.ingest.sources[0].model_copy(update={"path": "pairs.jsonl", "format": "auto", "per_label": None})
    told = {name: section.model_dump(mode="json") for name, section in vars(params).items()}
    told["prompt"] |= {"task": "labels", "system": SHORT}
    told["ingest"] |= {"folder": "data/raw", "sources": [source.model_dump(mode="json")]}
    (place / "params.yaml").write_text(json.dumps(told), encoding="utf-8")  # JSON is YAML too
    with (place / "data" / "raw" / "pairs.jsonl").open("w", encoding="utf-8") as file:
        for text, label in pairs:
            file.write(json.dumps({"prompt": text, "completion": label}) + "\n")


def runners(place: Path, params: Params) -> dict[str, tuple[Runner, str, Runner]]:
    """Name for each stage ours, its peer's name, and its peer."""
    pairs, cache = str(place / "data" / "raw" / "pairs.jsonl"), place / "datasets"
    base = str(fetch_base_model(params.model).folder)

    def ours(stage: str) -> Runner:
        return Runner(["-m", f"pipeline.{stage}"], place)

    def peer(*arguments: str, before: Callable[[], None] = lambda: None) -> Runner:
        return Runner(["-m", "bench.peers", *arguments], place, before)

    def forget() -> None:
        shutil.rmtree(cache, ignore_errors=True)

    return {
        "ingest": (ours("ingest"), "load_dataset", peer("load", pairs, str(cache), before=forget)),
        "validate": (ours("validate"), "Great Expectations, row by row", peer("check", pairs)),
        "tokenize": (ours("tokenize"), "Dataset.map", peer("encode", pairs, str(cache), base, SHORT)),
    }


def claim(params: Params, rounds: int) -> list[str]:
    """Measure the claim and put it into lines, one for each stage."""
    lines, kept = [], {}
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
        lay_out(Path(scratch), params, varied(rows("train"), PAIRS))
        for stage, (own, name, peer) in runners(Path(scratch), params).items():
            measured = in_turn(f"data-{stage}", "rows", own, {name: peer}, rounds)
            lines += [f"{line}; {own.mib:,.0f} against {peer.mib:,.0f} MiB" for line in measured.lines()]
            kept[stage] = told(measured, name, own, peer)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "data.json").write_text(
        json.dumps({"claim": "data", "pairs": PAIRS, "stages": kept, "machine": platform.machine()}, indent=2) + "\n",
        encoding="utf-8",
    )
    return lines


def told(measured: Claim, name: str, own: Runner, peer: Runner) -> dict[str, Any]:
    """Sum up a stage: speeds, ratios and peaks."""
    ratios = measured.ratios(name)
    return {
        "peer": name,
        "rows_per_second": {"ours": statistics.median(measured.ours), "peer": statistics.median(measured.peers[name])},
        "ratio": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios), "n": len(ratios)},
        "peak_mib": {"ours": own.mib, "peer": peer.mib},
    }
