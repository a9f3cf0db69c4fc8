"""Stage 5. Reads train and validation.arrow of data/tokenize/ and the base model.

Computes an adapter, or the whole model anew, with transformers.Trainer, seeded before the adapter is built, on the GPU
or the CPU.
Writes data/finetune/: adapter/ (what was trained), history.jsonl (the curves), report.json, environment.json (on what),
and cost.json (seconds, which differ from run to run).
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from pipeline import runner
from pipeline.errors import Problem
from pipeline.files import write_json
from pipeline.finetune.callbacks import Emit
from pipeline.finetune.checkpoints import checkpoints_of
from pipeline.finetune.compile import compiler
from pipeline.finetune.environment import machine
from pipeline.finetune.trainer import Point
from pipeline.finetune.training import loss_of, need, train
from pipeline.hashing import file_sha256, weights_of
from pipeline.model.adapters import save_adapter, settle, to_train, trainable
from pipeline.model.base_model import fetch
from pipeline.model.tokenized import read_tokens
from pipeline.params import Finetune, Model
from pipeline.process import die_with_parent

log = logging.getLogger(__name__)

SPLITS = ("train", "validation")
RANK = "RANK"
"""Environment: which of several processes this is; torch's launcher sets it."""
LIVE = "TUNESMITH_LIVE"
"""Environment: a file that gets each point of the curves as it is known."""
FOUR_BITS = {True: ("bitsandbytes",), False: ()}
PACKAGES = ("torch", "transformers", "peft", "accelerate", "safetensors", "tokenizers", "numpy")


def environment(model: Model, finetune: Finetune) -> dict[str, Any]:
    """Record what the bytes of the adapter depend on besides code, data and params."""
    found = machine()
    return {
        **found,
        "cpu": {**found["cpu"], "threads": model.threads},
        "compiler": compiler() if finetune.compile else None,
        "packages": {name: version(name) for name in (*PACKAGES, *FOUR_BITS[finetune.adapter == "qlora"])},
    }


def emitter(history: Path) -> Emit:
    """Give a function that appends a point to the history, and to the live file if the environment names one."""
    history.touch()  # a training too short for a point has a curve without one
    live = os.environ.get(LIVE) if first() else None
    places = [history, *(Path(place) for place in [live] if place)]

    def emit(point: Point) -> None:
        line = json.dumps(point, sort_keys=True) + "\n"
        for place in places:
            with place.open("a", encoding="utf-8") as out:
                out.write(line)

    return emit


def run(model: Model, finetune: Finetune, data: Path) -> None:
    """Train the adapter and write it, in as many processes as params ask for."""
    if finetune.processes > 1 and RANK not in os.environ:
        start_all(finetune.processes)
    else:
        train_and_write(model, finetune, data)


def start_all(processes: int) -> None:
    """Run this stage in several processes at once; the first of them writes.

    Raises:
        Problem: If there are GPUs, but fewer than processes.
    """
    gpus = torch.cuda.device_count()
    if 0 < gpus < processes:
        why = "each has a GPU of its own"
        raise Problem("params.yaml: finetune.processes", why, expected=f"at most {gpus}", got=str(processes))
    command = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m", "pipeline.finetune"]
    if subprocess.run([sys.executable, "-m", *command], check=False, preexec_fn=die_with_parent).returncode:
        sys.exit(1)  # the process that failed has said why


def first() -> bool:
    """Say whether this process is the only one, or the first of several."""
    return os.environ.get(RANK, "0") == "0"


@contextmanager
def output(data: Path) -> Iterator[Path]:
    """Give the folder to write into: of several processes only the first has the real one."""
    if first():
        with runner.whole(data / "finetune") as folder:
            yield folder
    else:
        with tempfile.TemporaryDirectory(prefix="tunesmith-") as folder:
            yield Path(folder)


def train_and_write(model: Model, finetune: Finetune, data: Path) -> None:
    """Train what is to be trained and write it.

    Raises:
        Problem: If something that params ask for cannot be had or done.
    """
    need(finetune)
    base = fetch(model)
    rows, held_out = ([encoded for _, encoded in read_tokens(data / "tokenize" / f"{split}.arrow")] for split in SPLITS)
    checkpoints = checkpoints_of(recipe_of(model, finetune, base.digest, data / "tokenize"))
    settle(model, finetune.seed)
    adapted = to_train(base.folder, model, finetune)
    trains, everything = trainable(adapted)
    log.info(
        "finetune: %s rows, %d epochs, %s of %s parameters train",
        f"{len(rows):,}", finetune.epochs, f"{trains:,}", f"{everything:,}",
    )  # fmt: skip
    with output(data) as folder:
        initial = save(adapted, folder, base.digest)
        loss = loss_of(adapted, [*rows, *held_out], finetune)
        done = train(loss, rows, held_out, finetune, emitter(folder / "history.jsonl"), checkpoints)
        told = asdict(done)
        seconds = told.pop("seconds")
        report = {
            "rows": len(rows),
            **told,
            "kind": finetune.adapter,
            "parameters": everything,
            "trainable_parameters": trains,
            "base_digest": base.digest,
            "initial_adapter": initial,
            "adapter": save(adapted, folder, base.digest),
        }
        write_json(folder / "report.json", report)
        write_json(folder / "environment.json", environment(model, finetune))
        write_json(folder / "cost.json", {"seconds": seconds})
    if first():
        checkpoints.drop()


def recipe_of(model: Model, finetune: Finetune, base_digest: str, tokenized: Path) -> dict[str, Any]:
    """Put together what the result depends on: a checkpoint belongs to one such recipe."""
    return {
        "model": model.model_dump(),
        "finetune": finetune.model_dump(),
        "base": base_digest,
        "rows": {split: file_sha256(tokenized / f"{split}.arrow") for split in SPLITS},
        "environment": environment(model, finetune),
    }


def save(adapted: Any, folder: Path, base_digest: str) -> str:
    """Write what trains and return the digest of its weights."""
    save_adapter(adapted, folder / "adapter", base_digest)
    return file_sha256(weights_of(folder / "adapter"))
