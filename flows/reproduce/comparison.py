"""The comparison from the raw data to the verdict: each step as recorded and as found, and what that means."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from flows.reproduce.differences import InputDifference, changes_machine_kind
from pipeline.files import read_json

Result = Literal["identical", "within tolerance", "differs"]
FileDigests = Mapping[str, str]

FIRST_LOSSES = 5
"""Points of the training curve that are looked at: later ones say more about rounding that adds up than of faults."""
LOSS_RELATIVE_TOLERANCE = 1e-3
"""Relative. Other kernels add in another order, and what that changes grows with the steps: over fifty steps against
another library's code for the same training, `make bench` finds 7e-5."""
MACHINE_INDEPENDENT = ("raw data", "pairs", "splits", "token ids and masks")
"""Steps without computed numbers: their bytes are promised on every machine."""
MODEL_STAGES = ("finetune", "evaluate", "register")
MACHINE_CONDITIONS = ("CPU kind", "device", "thread count")
"""Of no account for what is not computed by the model."""
RAW_STEP = "raw data"
NO_CAUSE = (
    "none found: data, code, params, packages and machine are those recorded, so it does not come out the same twice"
)
TOLERANCE_TEXT = (
    f"the first losses are the same to {LOSS_RELATIVE_TOLERANCE:g} of their value, each measure lies within its "
    "recorded 95 % interval, and what is not computed has the same bytes"
)


@dataclass(frozen=True)
class ComparisonStep:
    """One step: the digests of its items by name, recorded and found.

    `near` says whether what was found will do on another kind of machine.
    """

    name: str
    stage: str
    recorded: FileDigests
    found: FileDigests
    within_tolerance: bool

    @property
    def is_identical(self) -> bool:
        """Whether every item has the digest that was recorded."""
        return self.recorded == self.found

    @property
    def differing_items(self) -> list[str]:
        """The items that differ."""
        names = [*self.recorded, *(name for name in self.found if name not in self.recorded)]
        return [name for name in names if self.recorded.get(name) != self.found.get(name)]

    def format_line(self, *, elsewhere: bool) -> str:
        """Say in one line what was recorded, what was found, and what that means."""
        word = "same" if self.is_identical else "within tolerance" if elsewhere and self.within_tolerance else "differs"
        return f"{self.name:<20} {value_digest(self.recorded)[:12]}  {value_digest(self.found)[:12]}  {word}"


@dataclass(frozen=True)
class ReproductionResult:
    """What the comparison says: the result, the first step that will not do, and the reasons."""

    result: Result
    step: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        """The result in a few words, as it is logged to MLflow."""
        return f"differs at {self.step}" if self.result == "differs" else self.result


@dataclass(frozen=True)
class RunEvidence:
    """What a run left: the digest of each file and folder by its path, and what its JSON files say."""

    files: FileDigests
    release: Mapping[str, Any]
    losses: Sequence[float]


def read_evidence(files: FileDigests, tree: Path) -> RunEvidence:
    """Read what a run left below a folder."""
    history = (tree / "data/finetune/history.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [point["train_loss"] for point in map(json.loads, history) if "train_loss" in point]
    return RunEvidence(files, read_json(tree / "data/register/release.json"), losses[:FIRST_LOSSES])


def compare_evidence(sources: Sequence[str], recorded: RunEvidence, found: RunEvidence) -> list[ComparisonStep]:
    """Compare what was recorded with what was found.

    Args:
        sources: Paths of the raw data.
        recorded: What the run left then.
        found: What it left now.
    """

    def step(
        name: str, stage: str, items: Callable[[RunEvidence], FileDigests], *, near: bool = True
    ) -> ComparisonStep:
        then, now = items(recorded), items(found)
        return ComparisonStep(name, stage, then, now, near if name not in MACHINE_INDEPENDENT else then == now)

    def files(*paths: str) -> Callable[[RunEvidence], FileDigests]:
        return lambda evidence: {path: evidence.files[path] for path in paths}

    splits = ("train", "validation", "test")
    metrics_near = metrics_within_intervals(recorded.release["metrics"], found.release["metrics"])
    return [
        step(RAW_STEP, "ingest", files(*sources)),
        step("pairs", "ingest", files("data/ingest/pairs.parquet")),
        step("splits", "validate", files(*(f"data/validate/{split}.parquet" for split in splits))),
        step("token ids and masks", "tokenize", files(*(f"data/tokenize/{split}.arrow" for split in splits))),
        step("initial weights", "finetune", lambda one: {"weights": one.release["digests"]["initial_adapter"]}),
        step("first losses", "finetune", lambda one: {"losses": value_digest(one.losses)},
             near=losses_close(recorded.losses, found.losses)),
        step("adapter", "finetune", files("data/finetune/adapter")),
        step("predictions", "evaluate", files("data/evaluate/predictions.parquet")),
        step("metrics", "evaluate", files("data/evaluate/metrics.json"), near=metrics_near),
        step(
            "verdict", "register",
            lambda one: {"verdict": value_digest([one.release["verdict"], one.release["reasons"]])},
        ),
    ]  # fmt: skip


def losses_close(recorded: Sequence[float], found: Sequence[float]) -> bool:
    """Say whether the first losses are the same within the declared tolerance."""
    return len(recorded) == len(found) and all(
        abs(then - now) <= LOSS_RELATIVE_TOLERANCE * abs(then) for then, now in zip(recorded, found, strict=True)
    )


def metrics_within_intervals(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Say whether every measure of every arm lies within the interval that was recorded for it."""
    then = {(arm, name): metric for arm, measures in recorded["arms"].items() for name, metric in measures.items()}
    now = {(arm, name): metric for arm, measures in found["arms"].items() for name, metric in measures.items()}
    return then.keys() == now.keys() and all(
        metric["low"] <= now[key]["value"] <= metric["high"] for key, metric in then.items()
    )


def judge_steps(
    steps: Sequence[ComparisonStep], differences: Sequence[InputDifference], stages: Sequence[str]
) -> ReproductionResult:
    """Judge the comparison: identical, within the tolerance of another machine, or the first step that differs.

    Args:
        steps: The comparison, from its foot.
        differences: What is not as it was then.
        stages: All stages in their order.
    """
    apart, elsewhere = [step for step in steps if not step.is_identical], changes_machine_kind(differences)
    if not apart:
        return ReproductionResult("identical", "", ())
    failing = [step for step in apart if not (elsewhere and step.within_tolerance)]
    if not failing:
        return ReproductionResult("within tolerance", apart[0].name, (*elsewhere, TOLERANCE_TEXT))
    first = failing[0]
    return ReproductionResult("differs", first.name, likely_causes(first, differences, stages))


def likely_causes(
    step: ComparisonStep, differences: Sequence[InputDifference], stages: Sequence[str]
) -> tuple[str, ...]:
    """Name what may have made a step differ: what its stage, or one before it, had otherwise than then."""
    reached = {"", *stages[: stages.index(step.stage) + 1]}
    if step.name == RAW_STEP:
        likely = [str(one) for one in differences if one.name in step.differing_items]
    else:
        likely = [
            str(one)
            for one in differences
            if one.stage in reached and (step.stage in MODEL_STAGES or one.kind not in MACHINE_CONDITIONS)
        ]
    return tuple(likely) or (NO_CAUSE,)


def value_digest(value: Any) -> str:
    """SHA-256 of a plain value; of a single digest, that digest."""
    if isinstance(value, Mapping) and len(value) == 1:
        return str(next(iter(value.values())))
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
