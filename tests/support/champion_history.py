"""A project with two champions of the past, pushed to a remote beside it: real git and DVC, weights of nothing."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.champion import promotion_log
from flows.vcs.dvc import run_dvc
from flows.vcs.snapshot import write_snapshot
from pipeline.files import read_json
from pipeline.hashing import file_sha256
from tests.support.repositories import PROJECT, apart, git, make_checkout

NAME = "quillmoor-triage"
"""That of params.yaml."""
DVC_YAML = """
stages:
  finetune:
    cmd: python make.py
    deps: [data/raw, make.py]
    outs: [data/finetune/adapter, data/register/release.json, data/tokenize/train.arrow]
"""
MAKE = '''
"""Write weights that are the source, a release that names them, and what stands for tokens."""
import hashlib, json
from pathlib import Path

raw = Path("data/raw/a.txt").read_bytes()
for folder in ("finetune/adapter", "register", "tokenize"):
    Path("data", folder).mkdir(parents=True, exist_ok=True)
Path("data/finetune/adapter/adapter_model.safetensors").write_bytes(raw)
Path("data/tokenize/train.arrow").write_bytes(b"tokens of " + raw)
release = {"name": "quillmoor-triage", "verdict": "promote", "digests": {"adapter": hashlib.sha256(raw).hexdigest()}}
Path("data/register/release.json").write_text(json.dumps(release))
'''
WEIGHTS = Path("data/finetune/adapter/adapter_model.safetensors")


@dataclass(frozen=True)
class Crowned:
    """The project, and of each champion the digest, the state of its run, and the commit that people made of it."""

    root: Path
    digests: tuple[str, ...]
    states: tuple[str, ...]
    commits: tuple[str, ...]

    def clone(self, name: str) -> Path:
        """Clone it as CI does: with history, without the states of runs and all that git ignores."""
        git(self.root.parent, "clone", "--quiet", "--no-local", str(self.root), name)
        return self.root.parent / name

    @property
    def store(self) -> Path:
        """Where the remote keeps its objects."""
        return self.root.parent / "store" / "files" / "md5"


@contextmanager
def crowned(place: Path) -> Iterator[Crowned]:
    """Make it; inside, the environment is its own."""
    files = {
        "dvc.yaml": DVC_YAML, "make.py": MAKE, "data/promotions.jsonl": "", "data/golden_tokens.jsonl": "",
        "params.yaml": (PROJECT / "params.yaml").read_text(encoding="utf-8"),
        ".gitignore": "/data/finetune/\n/data/register/\n/data/tokenize/\n/data/raw/\n/.tunesmith/\n",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            patch.setenv(name, "")  # so that what MLflow sets itself is forgotten afterwards
            patch.delenv(name)
        told = apart(place)
        for name, value in (told | {"PATH": f"{Path(sys.executable).parent}:{told['PATH']}"}).items():
            patch.setenv(name, value)
        root = make_checkout(place / "project", files)
        run_dvc(root, "remote", "add", "--default", "beside", "../store")
        found = [crown(root, f"r{number}", text) for number, text in enumerate(("first", "second"), start=1)]
        yield Crowned(root, *zip(*found, strict=True))


def crown(root: Path, run: str, text: str) -> tuple[str, str, str]:
    """Change the source, make the model, put it on record as champion, and commit that."""
    (root / "data/raw").mkdir(exist_ok=True)
    (root / "data/raw/a.txt").write_text(text, encoding="utf-8")
    run_dvc(root, "add", "--quiet", "data/raw")
    run_dvc(root, "repro", "--quiet")
    run_dvc(root, "push")
    digest, state = file_sha256(root / WEIGHTS), write_snapshot(root, run).commit
    told = promotion_log.read_promotions(root, NAME)
    before = told[-1].adapter if told else None
    promotion_log.append_promotion(
        root, promotion_log.Promotion(NAME, digest, before, how="gate", why="better", state=state)
    )
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", text)
    assert read_json(root / "data/register/release.json")["digests"]["adapter"] == digest
    return digest, state, git(root, "rev-parse", "HEAD")
