"""A project whose stages are quick: real git, DVC and MLflow, weights that nothing was trained for, real releases."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.tracking.release import record_release
from flows.tracking.runs import TrackingRun, begin_mlflow_run
from flows.tracking.versions import ModelVersion
from flows.vcs.dvc import run_dvc
from flows.vcs.snapshot import write_snapshot
from pipeline.params import load_params
from tests.support.repositories import PROJECT, apart, git, make_checkout

OUTS = {
    "ingest": ["ingest/pairs.parquet"],
    "validate": [f"validate/{name}" for name in ("train.parquet", "validation.parquet", "test.parquet", "report.json")]
    + ["validate/report.html", "validate/data_docs"],
    "tokenize": ["tokenize/train.arrow", "tokenize/report.json", "tokenize/preview.html"],
    "baselines": [
        "baselines/answers.parquet",
        "baselines/report.json",
        "baselines/cost.json",
        "baselines/label_errors.parquet",
    ],
    "finetune": ["finetune/adapter", "finetune/history.jsonl", "finetune/cost.json"],
    "evaluate": [
        "evaluate/metrics.json",
        "evaluate/cost.json",
        "evaluate/details.json",
        "evaluate/forgetting.json",
        "evaluate/predictions.parquet",
    ],
    "register": [
        "register/release.json",
        "register/cost.json",
        "register/README.md",
        "register/report.html",
        "register/plots",
    ],
}
MAKE = '''
"""Write every output of a stage; all that differs from run to run is what was in data/raw."""
import hashlib, json, sys
from pathlib import Path
import pandas

raw = Path("data/raw/pairs.jsonl").read_text()
weights = f"weights of {raw}"
release = {
    "name": "quillmoor-triage", "verdict": "promote", "reasons": ["better"], "champion_before": BEFORE,
    "model": {"source": "wheel://a"}, "metrics": {"arms": {}, "comparisons": {}, "n": 1},
    "rows": {"train": 1, "validation": 1, "test": 1},
    "environment": {"packages": {"numpy": "2"}, "python": "3.11", "device": "cpu",
                    "cpu": {"machine": "x86_64", "kernels": "AVX2", "threads": 1}},
    "digests": {"adapter": hashlib.sha256(weights.encode()).hexdigest(), "base": "b"},
}
COST = {"arm": "fine-tuned", "upfront": 0.5, "per_1000": 0.25, "request_p50": None}
for name in sys.argv[1:]:
    path = Path("data", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if name == "finetune/adapter":
        path.mkdir()
        (path / "adapter_model.safetensors").write_text(weights)
    elif name == "evaluate/details.json":
        path.write_text(json.dumps({"fine-tuned": {"confusion": {"blue": {"blue": len(raw)}}}}))
    elif name == "register/plots":
        path.mkdir()
        (path / "arms.csv").write_text("arm,value,low,high,n\\n")
    elif name == "validate/data_docs":
        path.mkdir()
        (path / "1.html").write_text("<p>")
    elif name in ("evaluate/predictions.parquet", "baselines/label_errors.parquet"):
        pandas.DataFrame({"answer": [raw]}).to_parquet(path)
    elif name == "evaluate/forgetting.json":
        path.write_text(json.dumps({"texts": None, "questions": None}))
    elif name == "register/cost.json":
        path.write_text(json.dumps({"text": "", "prices": {}, "lines": [COST]}))
    elif name == "register/release.json":
        path.write_text(json.dumps(release))
    elif name == "finetune/history.jsonl":
        path.write_text(json.dumps({"step": 1, "train_loss": len(raw)}) + "\\n")
    else:
        path.write_text(f"{name} of {raw}")
'''


def stages() -> str:
    """A dvc.yaml in which each stage depends on the one before it."""
    told, before = {}, ["data/raw"]
    for stage, outs in OUTS.items():
        paths = [f"data/{out}" for out in outs]
        told[stage] = {"cmd": f"python make.py {' '.join(outs)}", "deps": [*before, "make.py"], "outs": paths}
        before = paths[:1]
    return json.dumps({"stages": told})


@contextmanager
def project(place: Path) -> Iterator[Path]:
    """Make the project, whose sources git keeps; inside, the environment is its own."""
    files = {
        "dvc.yaml": stages(), "make.py": MAKE.replace("BEFORE", "None"), "data/raw/pairs.jsonl": "first\n",
        "data/promotions.jsonl": "", "params.yaml": (PROJECT / "params.yaml").read_text(encoding="utf-8"),
        ".gitignore": "".join(f"/data/{stage}/\n" for stage in OUTS) + "/.tunesmith/\n/pipeline/\n",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
            patch.setenv(name, "")  # so that what MLflow sets itself is forgotten afterwards
            patch.delenv(name)
        told = apart(place)
        for name, value in (told | {"PATH": f"{Path(sys.executable).parent}:{told['PATH']}"}).items():
            patch.setenv(name, value)
        root = make_checkout(place / "project", files)
        patch.chdir(root)
        shutil.copytree(PROJECT / "pipeline", root / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
        yield root


def commit(root: Path, text: str, message: str) -> None:
    """Change the sources and commit that."""
    (root / "data/raw/pairs.jsonl").write_text(text, encoding="utf-8")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "-m", message)


def released(root: Path, name: str) -> tuple[TrackingRun, ModelVersion]:
    """Bring all stages up to date, and record what came out, as a run does."""
    run_dvc(root, "repro", "--quiet")
    state = write_snapshot(root, name)
    run = begin_mlflow_run(root, load_params(root / "params.yaml"), name)
    version = record_release(run, state)
    run.end("FINISHED")
    return run, version
