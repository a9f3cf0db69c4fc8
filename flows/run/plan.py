"""What a run is to do, decided before anything is started, and what it did."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from flows.paths import RUNS, private
from flows.tracking.outbox import marked
from flows.vcs.dvc import Outcome, stages, status, track_raw
from flows.vcs.git import head
from flows.vcs.input_guard import Held
from pipeline.errors import Problem
from pipeline.params import Params, load_params


@dataclass
class Report:
    """What a run did: the outcome and seconds of each stage, where it is recorded, and as which version.

    `remote` is what DVC's remote has of its data, `pushed` whether git's has its state; `untold` why MLflow does not
    know all of it yet, if it does not.
    """

    stages: dict[str, tuple[Outcome, float]] = field(default_factory=dict)
    run_id: str = ""
    version: str = ""
    remote: str = "none"
    pushed: str = "none"
    untold: str = ""


@dataclass(frozen=True)
class Plan:
    """What a run is to do, decided before it begins."""

    root: Path
    params: Params
    stages: tuple[str, ...]
    stale: frozenset[str]
    force: str | None
    folder: Path
    held: Held | None = None
    """The state that the run met; None as long as it has not begun."""

    @property
    def complete(self) -> bool:
        """Whether the run goes on to a release."""
        return self.stages[-1] == "register"


def make_plan(folder: Path, until: str | None, force: str | None) -> Plan:
    """Check the parameters and see what is stale, before anything is started.

    Raises:
        Problem: If params.yaml is wrong, a stage is unknown, or there is no commit to keep the run with.
    """
    params = load_params(folder / "params.yaml")
    head(folder)
    need_inside("ingest.folder", params.ingest.folder, home="data/raw")
    need_inside("baselines.rag_folder", params.baselines.rag_folder, home="data/knowledge")
    need_inside("evaluate.forgetting_probe", params.evaluate.forgetting_probe, home="data/general")
    need_rules(folder, params)
    names = stages(folder)
    for name in (until, force):
        if name is not None and name not in names:
            raise Problem(name, "no such stage", expected=", ".join(names), do="name one of them")
    track_raw(folder)
    chosen = tuple(names[: names.index(until) + 1] if until else names)
    stale = frozenset(status(folder)) & set(chosen)
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{token_hex(2)}"  # two clones may begin in the same second
    return Plan(folder, params, chosen, stale, force, private(folder) / RUNS / name)


def need_rules(folder: Path, params: Params) -> None:
    """Refuse house rules whose files are not there, before a training whose answers they are to score."""
    for rule in params.evaluate.rules:
        for name in rule.files:
            if not (folder / "rules" / name).is_file():
                raise Problem(
                    f"evaluate.rules: {rule.name}",
                    "no such file",
                    expected=f"rules/{name}",
                    do="write it; or mend the name",
                )


def need_inside(name: str, place: str, *, home: str) -> None:
    """Refuse what a stage is to read from outside the project.

    Raises:
        Problem: If it lies there.
    """
    if Path(place).is_absolute() or ".." in Path(place).parts:
        raise Problem(
            f"params.yaml: {name}",
            "lies outside the project, where neither git nor DVC keeps it",
            got=place,
            do=f"put the files into {home}",
        )


def idle(plan: Plan) -> bool:
    """Say whether there is nothing to do: no stage stale or forced, and this very release recorded."""
    return not plan.stale and plan.force is None and (not plan.complete or marked(plan.root))
