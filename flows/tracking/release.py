"""What a finished run shows in MLflow: curves, numbers, tables, pictures, data sets, its model version, its lineage."""

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric

from flows.champion import store
from flows.tracking.aliases import show_moves
from flows.tracking.client import client, experiment
from flows.tracking.runs import Run, points_of, ship
from flows.tracking.versions import CHALLENGER, Version, register_version, set_alias
from flows.vcs.dvc_lock import outputs
from flows.vcs.git import git
from flows.vcs.snapshot import Snapshot
from flows.vcs.states import ADAPTER, PAIRS, Past, written
from pipeline.files import read_json
from pipeline.params import Params

FILES = {
    "data/validate/report.html": "data",
    "data/validate/data_docs": "data/data_docs",
    "data/validate/report.json": "data",
    "data/tokenize/report.json": "data",
    "data/tokenize/preview.html": "data",
    "data/baselines/report.json": "baselines",
    "data/baselines/cost.json": "baselines",
    "data/finetune/cost.json": "training",
    "data/evaluate/cost.json": "evaluation",
    "data/evaluate/forgetting.json": "evaluation",
    "data/register/cost.json": "release",
    "data/evaluate/metrics.json": "evaluation",
    "data/evaluate/details.json": "evaluation",
    "data/evaluate/pictures": "evaluation",
    "data/register/release.json": "release",
    "data/register/README.md": "release",
    "data/register/report.html": "release",
}
EDITED = ("params.yaml", "dvc.lock")
DIGESTS = {
    "dvc.pairs": PAIRS,
    "dvc.train": "data/validate/train.parquet",
    "dvc.test": "data/validate/test.parquet",
    "dvc.train_tokens": "data/tokenize/train.arrow",
    "dvc.adapter": ADAPTER,
}
"""Tags, and the outputs whose digests they hold."""
RELEASE_TAG = "tunesmith.release"
SHOWN_ROWS = 5000
VERDICTS = {"promote": "promoted to champion", "keep": "not promoted", "unchanged": "unchanged: already the champion"}
CONTEXTS = {"train": "training", "validation": "validation", "test": "testing"}


def read_release(root: Path) -> dict[str, Any]:
    """Read the release that the files hold."""
    release: dict[str, Any] = json.loads((root / "data/register/release.json").read_text(encoding="utf-8"))
    return release


def release_digest(root: Path) -> str:
    """Digest of the release; a run in MLflow bears it once it is complete."""
    return hashlib.sha256((root / "data/register/release.json").read_bytes()).hexdigest()


def record(run: Run, state: Snapshot) -> Version:
    """Make the run, the model version and the aliases agree with the files; doing it twice changes nothing.

    The champion's alias moves only if the gate said so, and compared with the champion that is one now.
    """
    root, release = run.root, read_release(run.root)
    tags = lineage(written(root, state.commit), release, state)
    show(run, release, state)
    run.tag({**tags, "tunesmith.verdict": release["verdict"], "mlflow.note.content": note(release)})
    version = register_version(run, release, root / "data/finetune/adapter", tags)
    set_alias(root, version, CHALLENGER)
    store.accept(root, release, state.commit)
    show_moves(root, release["name"])
    run.tag({"tunesmith.version": version.number, RELEASE_TAG: release_digest(root)})
    return version


def show(run: Run, release: Mapping[str, Any], state: Snapshot) -> None:
    """Put what people look at into the run: the files, and of those that people edit what they were in its state."""
    root, connected = run.root, client(run.root)
    ship(run, points_of(root / "data/finetune/history.jsonl"))
    cost = read_json(root / "data/register/cost.json")
    told = [*results(release["metrics"]), *decisions(release), *expenses(cost), *lost(root)]
    connected.log_batch(run.id, metrics=told)
    connected.log_inputs(run.id, datasets=datasets(root, release["rows"]))
    for name, folder in FILES.items():
        path = root / name
        upload = connected.log_artifacts if path.is_dir() else connected.log_artifact
        upload(run.id, str(path), folder)
    for name in EDITED:
        connected.log_text(run.id, git(root, "show", f"{state.commit}:{name}") + "\n", f"release/{name}")
    predictions = pd.read_parquet(root / "data/evaluate/predictions.parquet").head(SHOWN_ROWS)
    for name, table in {"predictions": predictions, **tables(read_json(root / "data/evaluate/details.json"))}.items():
        run.table(table, f"evaluation/{name}.json")
    run.table(pd.DataFrame(cost["lines"]), "release/costs.json")
    run.table(pd.read_parquet(root / "data/baselines/label_errors.parquet").head(SHOWN_ROWS), "data/label_errors.json")


def tables(details: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Lay out what the numbers of each arm are made of: a line for each label, for each tenth, or for each field."""
    classes = [
        {"arm": arm, "label": label, "measure": measure, **metric}
        for arm, told in details.items()
        for label, measures in told.get("classes", {}).items()
        for measure, metric in measures.items()
    ]
    confusion = [
        {"arm": arm, "expected": expected, "said": said, "rows": rows}
        for arm, told in details.items()
        for expected, counts in told.get("confusion", {}).items()
        for said, rows in counts.items()
    ]
    reliability = [
        {"arm": arm, **{name: tenth[name] for name in ("from", "to", "probability")}, **tenth["right"]}
        for arm, told in details.items()
        for tenth in told.get("reliability", [])
    ]
    fields = [
        {"arm": arm, "field": field, **metric}
        for arm, told in details.items()
        for field, metric in told.get("fields", {}).items()
    ]
    found = {"classes": classes, "confusion": confusion, "reliability": reliability, "fields": fields}
    return {name: pd.DataFrame(rows) for name, rows in found.items() if rows}


def results(metrics: Mapping[str, Any]) -> list[Metric]:
    """List the held-out results: each arm's measures, and each gain with the end of its interval that the gate reads.

    All intervals are in evaluation/metrics.json and in the picture beside it.
    """
    now = int(time.time() * 1000)
    found = {
        f"{arm}/{measure}": values["value"]
        for arm, measures in metrics["arms"].items()
        for measure, values in measures.items()
    }
    for arm, values in metrics["comparisons"].items():
        found[f"gain/{values['metric']} over {arm}"] = values["difference"]
        found[f"gain/{values['metric']} over {arm} low"] = values["low"]
    found["test rows"] = metrics["n"]
    return [Metric(name, float(value), now, 0) for name, value in found.items()]


def decisions(release: Mapping[str, Any]) -> list[Metric]:
    """Say how often the test rows have decided, this time too; releases of before that was counted do not tell."""
    counted = release.get("held_out")
    return [Metric("test set decisions", counted["decisions"], int(time.time() * 1000), 0)] if counted else []


def expenses(cost: Mapping[str, Any]) -> list[Metric]:
    """Say what the fine-tuned model costs, so that runs can be compared by it; what is not known is left out."""
    own, now = cost["lines"][0], int(time.time() * 1000)
    named = {"training": "upfront", "1000 requests": "per_1000", "request p50 seconds": "request_p50"}
    told = {f"cost/{name}": own[field] for name, field in named.items()}
    return [Metric(name, float(value), now, 0) for name, value in told.items() if value is not None]


def lost(root: Path) -> list[Metric]:
    """Say what the fine-tuned model forgot, as far as it was measured."""
    found, now = read_json(root / "data/evaluate/forgetting.json"), int(time.time() * 1000)
    told = {
        "forgetting/loss rise": found["texts"] and found["texts"]["rise"]["value"],
        "forgetting/questions gained": found["questions"] and found["questions"]["change"]["difference"],
    }
    return [Metric(name, float(value), now, 0) for name, value in told.items() if value is not None]


def datasets(root: Path, rows: Mapping[str, int]) -> list[DatasetInput]:
    """Name each split as a data set of the run, its digest the one that DVC keeps it under."""
    locked = outputs(root)["validate"]
    found = []
    for split, context in CONTEXTS.items():
        path = f"data/validate/{split}.parquet"
        source = json.dumps({"uri": str(root / path)})
        dataset = Dataset(split, locked[path], "local", source, profile=json.dumps({"num_rows": rows[split]}))
        found.append(DatasetInput(dataset, [InputTag("mlflow.data.context", context)]))
    return found


def lineage(made: Past, release: Mapping[str, Any], state: Snapshot) -> dict[str, object]:
    """Say what made the model: commits, digests, packages, machine."""
    environment = release["environment"]
    return {
        "git.commit": state.head,
        "git.snapshot": state.commit,
        "git.clean": state.clean,
        "dvc.sources": ", ".join(made.sources.values()),
        **{tag: made.outputs[path] for tag, path in DIGESTS.items()},
        "base.source": release["model"]["source"],
        "base.digest": release["digests"]["base"],
        "packages": ", ".join(f"{name}=={number}" for name, number in environment["packages"].items()),
        "python": environment["python"],
        "device": environment["device"],
        "cpu": f"{environment['cpu']['machine']} {environment['cpu']['kernels']}",
        "threads": environment["cpu"]["threads"],
    }


def note(release: Mapping[str, Any]) -> str:
    """Write the description of a run, which the UI shows first."""
    lines = [f"**{VERDICTS[release['verdict']]}**", *(f"- {reason}" for reason in release["reasons"])]
    if "worth" in release:  # releases of before that was asked have none
        lines += ["", release["worth"]["text"]]
    return "\n".join(lines)


def recorded(root: Path, params: Params) -> str | None:
    """Find the run that shows the release of the files, complete; None if there is none."""
    found = client(root).search_runs(
        [experiment(root, params.register.name)],
        f"tags.`{RELEASE_TAG}` = '{release_digest(root)}'",
        max_results=1,
    )
    return str(found[0].info.run_id) if found else None
