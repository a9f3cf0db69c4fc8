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

from pipeline.errors import UserError
from pipeline.files import atomic_folder, write_json
from pipeline.finetune.callbacks import PointSink
from pipeline.finetune.checkpoints import open_checkpoints
from pipeline.finetune.compile import compiler_version
from pipeline.finetune.environment import describe_machine
from pipeline.finetune.trainer import HistoryPoint
from pipeline.finetune.training import make_loss, require_hardware, train
from pipeline.hashing import file_sha256, weights_file
from pipeline.model.adapters import count_parameters, load_trainable, save_adapter, seed_everything
from pipeline.model.base_model import fetch_base_model
from pipeline.model.tokenized import read_tokens
from pipeline.params import Finetune, Model
from pipeline.process import bound_to_parent

log = logging.getLogger(__name__)

TRAINING_SPLITS = ("train", "validation")
RANK_VARIABLE = "RANK"
"""Environment: which of several processes this is; torch's launcher sets it."""
LIVE_HISTORY_VARIABLE = "TUNESMITH_LIVE"
"""Environment: a file that gets each point of the curves as it is known."""
QUANTIZATION_PACKAGES = {True: ("bitsandbytes",), False: ()}
TRAINING_PACKAGES = ("torch", "transformers", "peft", "accelerate", "safetensors", "tokenizers", "numpy")


def training_environment(model: Model, finetune: Finetune) -> dict[str, Any]:
    """Record what the bytes of the adapter depend on besides code, data and params."""
    environment = describe_machine()
    return {
        **environment,
        "cpu": {**environment["cpu"], "threads": model.threads},
        "compiler": compiler_version() if finetune.compile else None,
        "packages": {
            name: version(name) for name in (*TRAINING_PACKAGES, *QUANTIZATION_PACKAGES[finetune.adapter == "qlora"])
        },
    }


def history_writer(history: Path) -> PointSink:
    """Give a function that appends a point to the history, and to the live file if the environment names one."""
    history.touch()  # a training too short for a point has a curve without one
    live = os.environ.get(LIVE_HISTORY_VARIABLE) if is_main_process() else None
    paths = [history, *(Path(path) for path in [live] if path)]

    def emit(point: HistoryPoint) -> None:
        line = json.dumps(point, sort_keys=True) + "\n"
        for path in paths:
            with path.open("a", encoding="utf-8") as out:
                out.write(line)

    return emit


def run(model: Model, finetune: Finetune, data: Path) -> None:
    """Train the adapter and write it, in as many processes as params ask for."""
    if finetune.processes > 1 and RANK_VARIABLE not in os.environ:
        launch_processes(finetune.processes)
    else:
        train_and_write(model, finetune, data)


def launch_processes(processes: int) -> None:
    """Run this stage in several processes at once; the first of them writes.

    Raises:
        UserError: If there are GPUs, but fewer than processes.
    """
    gpus = torch.cuda.device_count()
    if 0 < gpus < processes:
        why = "each has a GPU of its own"
        raise UserError("params.yaml: finetune.processes", why, expected=f"at most {gpus}", got=str(processes))
    command = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m", "pipeline.finetune"]
    if subprocess.run(bound_to_parent([sys.executable, "-m", *command]), check=False).returncode:
        sys.exit(1)  # the process that failed has said why


def is_main_process() -> bool:
    """Say whether this process is the only one, or the first of several."""
    return os.environ.get(RANK_VARIABLE, "0") == "0"


@contextmanager
def output_folder(data: Path) -> Iterator[Path]:
    """Give the folder to write into: of several processes only the first has the real one."""
    if is_main_process():
        with atomic_folder(data / "finetune") as folder:
            yield folder
    else:
        with tempfile.TemporaryDirectory(prefix="tunesmith-") as folder:
            yield Path(folder)


def train_and_write(model: Model, finetune: Finetune, data: Path) -> None:
    """Train what is to be trained and write it.

    Raises:
        UserError: If something that params ask for cannot be had or done.
    """
    require_hardware(finetune)
    base = fetch_base_model(model)
    rows, held_out = (
        [encoded for _, encoded in read_tokens(data / "tokenize" / f"{split}.arrow")] for split in TRAINING_SPLITS
    )
    checkpoints = open_checkpoints(training_recipe(model, finetune, base.digest, data / "tokenize"))
    seed_everything(model, finetune.seed)
    adapted = load_trainable(base.folder, model, finetune)
    trains, everything = count_parameters(adapted)
    log.info(
        "finetune: %s rows, %d epochs, %s of %s parameters train",
        f"{len(rows):,}", finetune.epochs, f"{trains:,}", f"{everything:,}",
    )  # fmt: skip
    with output_folder(data) as folder:
        initial = save_trained(adapted, folder, base.digest)
        loss = make_loss(adapted, [*rows, *held_out], finetune)
        result = train(loss, rows, held_out, finetune, history_writer(folder / "history.jsonl"), checkpoints)
        summary = asdict(result)
        seconds = summary.pop("seconds")
        report = {
            "rows": len(rows),
            **summary,
            "kind": finetune.adapter,
            "parameters": everything,
            "trainable_parameters": trains,
            "base_digest": base.digest,
            "initial_adapter": initial,
            "adapter": save_trained(adapted, folder, base.digest),
        }
        write_json(folder / "report.json", report)
        write_json(folder / "environment.json", training_environment(model, finetune))
        write_json(folder / "cost.json", {"seconds": seconds})
    if is_main_process():
        checkpoints.remove_all()


def training_recipe(model: Model, finetune: Finetune, base_digest: str, tokenized: Path) -> dict[str, Any]:
    """Put together what the result depends on: a checkpoint belongs to one such recipe."""
    return {
        "model": model.model_dump(),
        "finetune": finetune.model_dump(),
        "base": base_digest,
        "rows": {split: file_sha256(tokenized / f"{split}.arrow") for split in TRAINING_SPLITS},
        "environment": training_environment(model, finetune),
    }


def save_trained(adapted: Any, folder: Path, base_digest: str) -> str:
    """Write what trains and return the digest of its weights."""
    save_adapter(adapted, folder / "adapter", base_digest)
    return file_sha256(weights_file(folder / "adapter"))
