"""What a run is to do, decided before anything is started, and what it did."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from flows.paths import RUNS_FOLDER, state_dir
from flows.tracking.outbox import is_marked_recorded
from flows.vcs.dvc import StageOutcome, stage_names, stale_stages, track_raw_data
from flows.vcs.git import head_commit
from flows.vcs.input_guard import GuardedState
from pipeline.errors import UserError
from pipeline.params import Params, load_params


@dataclass
class RunReport:
    """What a run did: the outcome and seconds of each stage, where it is recorded, and as which version.

    `remote` is what DVC's remote has of its data, `pushed` whether git's has its state; `unlogged` why MLflow does not
    know all of it yet, if it does not.
    """

    stages: dict[str, tuple[StageOutcome, float]] = field(default_factory=dict)
    run_id: str = ""
    version: str = ""
    remote: str = "none"
    pushed: str = "none"
    unlogged: str = ""


@dataclass(frozen=True)
class RunPlan:
    """What a run is to do, decided before it begins."""

    root: Path
    params: Params
    stages: tuple[str, ...]
    stale: frozenset[str]
    force: str | None
    folder: Path
    held: GuardedState | None = None
    """The state that the run met; None as long as it has not begun."""

    @property
    def complete(self) -> bool:
        """Whether the run goes on to a release."""
        return self.stages[-1] == "register"


def make_plan(folder: Path, until: str | None, force: str | None) -> RunPlan:
    """Check the parameters and see what is stale, before anything is started.

    Raises:
        UserError: If params.yaml is wrong, a stage is unknown, or there is no commit to keep the run with.
    """
    params = load_params(folder / "params.yaml")
    head_commit(folder)
    require_inside("ingest.folder", params.ingest.folder, home="data/raw")
    require_inside("baselines.rag_folder", params.baselines.rag_folder, home="data/knowledge")
    require_inside("evaluate.forgetting_probe", params.evaluate.forgetting_probe, home="data/general")
    require_rules(folder, params)
    names = stage_names(folder)
    for name in (until, force):
        if name is not None and name not in names:
            raise UserError(name, "no such stage", expected=", ".join(names), do="name one of them")
    track_raw_data(folder)
    chosen = tuple(names[: names.index(until) + 1] if until else names)
    stale = frozenset(stale_stages(folder)) & set(chosen)
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{token_hex(2)}"  # two clones may begin in the same second
    return RunPlan(folder, params, chosen, stale, force, state_dir(folder) / RUNS_FOLDER / name)


def require_rules(folder: Path, params: Params) -> None:
    """Refuse house rules whose files are not there, before a training whose answers they are to score."""
    for rule in params.evaluate.rules:
        for name in rule.files:
            if not (folder / "rules" / name).is_file():
                raise UserError(
                    f"evaluate.rules: {rule.name}",
                    "no such file",
                    expected=f"rules/{name}",
                    do="write it; or mend the name",
                )


def require_inside(name: str, path: str, *, home: str) -> None:
    """Refuse what a stage is to read from outside the project.

    Raises:
        UserError: If it lies there.
    """
    if Path(path).is_absolute() or ".." in Path(path).parts:
        raise UserError(
            f"params.yaml: {name}",
            "lies outside the project, where neither git nor DVC keeps it",
            got=path,
            do=f"put the files into {home}",
        )


def nothing_to_do(plan: RunPlan) -> bool:
    """Say whether there is nothing to do: no stage stale or forced, and this very release recorded."""
    return not plan.stale and plan.force is None and (not plan.complete or is_marked_recorded(plan.root))
