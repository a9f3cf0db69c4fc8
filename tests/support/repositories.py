"""A checkout in a temporary folder: real git and DVC, and nothing of this machine's user or of the project around."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.support.paths import PROJECT

TOLD = ("GIT_", "DVC_", "MLFLOW_", "PREFECT_", "TUNESMITH_", "XDG_")


def apart(place: Path) -> dict[str, str]:
    """An environment that knows no home, no settings of git, DVC, MLflow or Prefect, and no network."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(TOLD)}
    ours = {
        "HOME": str(place / "home"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_AUTHOR_NAME": "a tester",
        "GIT_AUTHOR_EMAIL": "tester@localhost",
        "GIT_COMMITTER_NAME": "a tester",
        "GIT_COMMITTER_EMAIL": "tester@localhost",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(place / "site"),
        "TUNESMITH_CACHE": str(place / "models"),
    }
    (place / "home").mkdir(exist_ok=True)
    return {**kept, **ours}


def git(root: Path, *arguments: str) -> str:
    """Git's answer, asked by other means than the code under test."""
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.rstrip("\n")


def make_checkout(root: Path, files: dict[str, str], *, dvc: bool = True) -> Path:
    """Make a repository of git, and of DVC where it is wanted, that holds these files as its first commit."""
    root.mkdir()
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    git(root, "init", "--quiet", "--initial-branch=main")
    if dvc:
        subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=root, check=True)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "first")
    return root


@contextmanager
def living_in(place: Path) -> Iterator[None]:
    """Let this process, and what it starts, live apart in a folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in apart(place).items():
            patch.setenv(name, value)
        yield


def params_of_one_file(name: str) -> str:
    """The params of this project, as JSON, for the pairs of one file in data/raw."""
    params = YAML(typ="safe", pure=True).load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    params["ingest"]["folder"] = "data/raw"
    params["ingest"]["sources"][0]["path"] = name
    return json.dumps(params)
