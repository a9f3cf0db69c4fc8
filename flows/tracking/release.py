"""What a finished run shows in MLflow: curves, numbers, tables, data sets, its model version, its lineage."""

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric

from flows.champion import store
from flows.tracking.aliases import sync_promotions
from flows.tracking.client import experiment_id, mlflow_client
from flows.tracking.runs import TrackingRun, read_points, ship_points
from flows.tracking.tags import COMMIT_TAG, SNAPSHOT_TAG, VERSION_TAG
from flows.tracking.versions import CHALLENGER_NAME, ModelVersion, register_version, set_alias
from flows.vcs.dvc_lock import locked_outputs
from flows.vcs.git import run_git
from flows.vcs.snapshot import Snapshot
from flows.vcs.states import ADAPTER_PATH, PAIRS_PATH, CommitState, read_lock_state
from pipeline.files import read_json
from pipeline.params import Params
from pipeline.verdicts import VERDICT_WORDS

LOGGED_FILES = {
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
    "data/register/release.json": "release",
    "data/register/README.md": "release",
    "data/register/report.html": "release",
}
EDITED_FILES = ("params.yaml", "dvc.lock")
DIGEST_TAGS = {
    "dvc.pairs": PAIRS_PATH,
    "dvc.train": "data/validate/train.parquet",
    "dvc.test": "data/validate/test.parquet",
    "dvc.train_tokens": "data/tokenize/train.arrow",
    "dvc.adapter": ADAPTER_PATH,
}
"""Tags, and the outputs whose digests they hold."""
RELEASE_TAG = "tunesmith.release"
MAX_TABLE_ROWS = 5000
DATASET_CONTEXTS = {"train": "training", "validation": "validation", "test": "testing"}


def read_release(root: Path) -> dict[str, Any]:
    """Read the release that the files hold."""
    release: dict[str, Any] = json.loads((root / "data/register/release.json").read_text(encoding="utf-8"))
    return release


def release_digest(root: Path) -> str:
    """Digest of the release; a run in MLflow bears it once it is complete."""
    return hashlib.sha256((root / "data/register/release.json").read_bytes()).hexdigest()


def record_release(run: TrackingRun, state: Snapshot) -> ModelVersion:
    """Make the run, the model version and the aliases agree with the files; doing it twice changes nothing.

    The champion's alias moves only if the gate said so, and compared with the champion that is one now.
    """
    root, release = run.root, read_release(run.root)
    tags = lineage_tags(read_lock_state(root, state.commit), release, state)
    log_release_files(run, release, state)
    run.set_tags({**tags, "tunesmith.verdict": release["verdict"], "mlflow.note.content": run_description(release)})
    version = register_version(run, release, root / "data/finetune/adapter", tags)
    set_alias(root, version, CHALLENGER_NAME)
    store.accept_champion(root, release, state.commit)
    sync_promotions(root, release["name"])
    run.set_tags({VERSION_TAG: version.number, RELEASE_TAG: release_digest(root)})
    return version


def log_release_files(run: TrackingRun, release: Mapping[str, Any], state: Snapshot) -> None:
    """Put what people look at into the run: the files, and of those that people edit what they were in its state."""
    root, connected = run.root, mlflow_client(run.root)
    ship_points(run, read_points(root / "data/finetune/history.jsonl"))
    cost = read_json(root / "data/register/cost.json")
    reports = [
        *result_metrics(release["metrics"]),
        *holdout_metrics(release),
        *cost_metrics(cost),
        *forgetting_metrics(root),
    ]
    connected.log_batch(run.id, metrics=reports)
    connected.log_inputs(run.id, datasets=log_datasets(root, release["rows"]))
    for name, folder in LOGGED_FILES.items():
        path = root / name
        upload = connected.log_artifacts if path.is_dir() else connected.log_artifact
        upload(run.id, str(path), folder)
    for name in EDITED_FILES:
        connected.log_text(run.id, run_git(root, "show", f"{state.commit}:{name}") + "\n", f"release/{name}")
    predictions = pd.read_parquet(root / "data/evaluate/predictions.parquet").head(MAX_TABLE_ROWS)
    for name, table in {
        "predictions": predictions,
        **detail_tables_of(read_json(root / "data/evaluate/details.json")),
    }.items():
        run.log_table_once(table, f"evaluation/{name}.json")
    run.log_table_once(pd.DataFrame(cost["lines"]), "release/costs.json")
    run.log_table_once(
        pd.read_parquet(root / "data/baselines/label_errors.parquet").head(MAX_TABLE_ROWS), "data/label_errors.json"
    )


def detail_tables_of(details: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Lay out what the numbers of each arm are made of: a line for each label, for each tenth, or for each field."""
    classes = [
        {"arm": arm, "label": label, "measure": measure, **metric}
        for arm, detail in details.items()
        for label, measures in detail.get("classes", {}).items()
        for measure, metric in measures.items()
    ]
    confusion = [
        {"arm": arm, "expected": expected, "said": predicted, "rows": rows}
        for arm, detail in details.items()
        for expected, counts in detail.get("confusion", {}).items()
        for predicted, rows in counts.items()
    ]
    reliability = [
        {"arm": arm, **{name: tenth[name] for name in ("from", "to", "probability")}, **tenth["right"]}
        for arm, detail in details.items()
        for tenth in detail.get("reliability", [])
    ]
    fields = [
        {"arm": arm, "field": field, **metric}
        for arm, detail in details.items()
        for field, metric in detail.get("fields", {}).items()
    ]
    tables = {"classes": classes, "confusion": confusion, "reliability": reliability, "fields": fields}
    return {name: pd.DataFrame(rows) for name, rows in tables.items() if rows}


def result_metrics(metrics: Mapping[str, Any]) -> list[Metric]:
    """List the held-out results: each arm's measures, and each gain with the end of its interval that the gate reads.

    All intervals are in evaluation/metrics.json and in the picture beside it.
    """
    now = int(time.time() * 1000)
    results = {
        f"{arm}/{measure}": values["value"]
        for arm, measures in metrics["arms"].items()
        for measure, values in measures.items()
    }
    for arm, values in metrics["comparisons"].items():
        results[f"gain/{values['metric']} over {arm}"] = values["difference"]
        results[f"gain/{values['metric']} over {arm} low"] = values["low"]
    results["test rows"] = metrics["n"]
    return [Metric(name, float(value), now, 0) for name, value in results.items()]


def holdout_metrics(release: Mapping[str, Any]) -> list[Metric]:
    """Say how often the test rows have decided, this time too; releases of before that was counted do not tell."""
    counted = release.get("held_out")
    return [Metric("test set decisions", counted["decisions"], int(time.time() * 1000), 0)] if counted else []


def cost_metrics(cost: Mapping[str, Any]) -> list[Metric]:
    """Say what the fine-tuned model costs, so that runs can be compared by it; what is not known is left out."""
    own, now = cost["lines"][0], int(time.time() * 1000)
    named = {"training": "upfront", "1000 requests": "per_1000", "request p50 seconds": "request_p50"}
    values = {f"cost/{name}": own[field] for name, field in named.items()}
    return [Metric(name, float(value), now, 0) for name, value in values.items() if value is not None]


def forgetting_metrics(root: Path) -> list[Metric]:
    """Say what the fine-tuned model forgot, as far as it was measured."""
    forgotten, now = read_json(root / "data/evaluate/forgetting.json"), int(time.time() * 1000)
    values = {
        "forgetting/loss rise": forgotten["texts"] and forgotten["texts"]["rise"]["value"],
        "forgetting/questions gained": forgotten["questions"] and forgotten["questions"]["change"]["difference"],
    }
    return [Metric(name, float(value), now, 0) for name, value in values.items() if value is not None]


def log_datasets(root: Path, rows: Mapping[str, int]) -> list[DatasetInput]:
    """Name each split as a data set of the run, its digest the one that DVC keeps it under."""
    locked = locked_outputs(root)["validate"]
    datasets = []
    for split, context in DATASET_CONTEXTS.items():
        path = f"data/validate/{split}.parquet"
        source = json.dumps({"uri": str(root / path)})
        dataset = Dataset(split, locked[path], "local", source, profile=json.dumps({"num_rows": rows[split]}))
        datasets.append(DatasetInput(dataset, [InputTag("mlflow.data.context", context)]))
    return datasets


def lineage_tags(made: CommitState, release: Mapping[str, Any], state: Snapshot) -> dict[str, object]:
    """Say what made the model: commits, digests, packages, machine."""
    environment = release["environment"]
    return {
        COMMIT_TAG: state.head,
        SNAPSHOT_TAG: state.commit,
        "git.clean": state.clean,
        "dvc.sources": ", ".join(made.sources.values()),
        **{tag: made.outputs[path] for tag, path in DIGEST_TAGS.items()},
        "base.source": release["model"]["source"],
        "base.digest": release["digests"]["base"],
        "packages": ", ".join(f"{name}=={number}" for name, number in environment["packages"].items()),
        "python": environment["python"],
        "device": environment["device"],
        "cpu": f"{environment['cpu']['machine']} {environment['cpu']['kernels']}",
        "threads": environment["cpu"]["threads"],
    }


def run_description(release: Mapping[str, Any]) -> str:
    """Write the description of a run, which the UI shows first."""
    lines = [f"**{VERDICT_WORDS[release['verdict']]}**", *(f"- {reason}" for reason in release["reasons"])]
    if "worth" in release:  # releases of before that was asked have none
        lines += ["", release["worth"]["text"]]
    return "\n".join(lines)


def find_recorded_run(root: Path, params: Params) -> str | None:
    """Find the run that shows the release of the files, complete; None if there is none."""
    runs = mlflow_client(root).search_runs(
        [experiment_id(root, params.register.name)],
        f"tags.`{RELEASE_TAG}` = '{release_digest(root)}'",
        max_results=1,
    )
    return str(runs[0].info.run_id) if runs else None
