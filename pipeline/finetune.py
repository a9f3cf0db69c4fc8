"""Stage 4. Reads train and validation.arrow of data/tokenize/ and the base model.

Computes a LoRA adapter with transformers.Trainer, seeded before the adapter is built, on the GPU or the CPU.
Writes data/finetune/: adapter/, history.jsonl (the curves), report.json (what was trained), environment.json (on what).
"""

import json
import logging
import math
import os
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments
from transformers.trainer_callback import PrinterCallback

from pipeline import stage
from pipeline.batches import PairLoss, shared_prefix
from pipeline.checkpoints import Checkpoints, checkpoints_of
from pipeline.curves import Curves, Emit, mean_loss
from pipeline.digests import file_sha256
from pipeline.model import add_adapter, device, load_base, save_adapter, settle, trainable
from pipeline.packing import PackedLoss
from pipeline.pairs import read_json, write_json
from pipeline.params import Finetune, Model
from pipeline.prefix import read
from pipeline.problem import Problem
from pipeline.prompt import Encoded
from pipeline.proof import prove
from pipeline.tokens import read_tokens
from pipeline.trainer import PairTrainer, Point, Progress, Rows, passes
from pipeline.weights import fetch

log = logging.getLogger(__name__)

LIVE = "TUNESMITH_LIVE"
"""Environment: a file that gets each point of the curves as it is known."""
PACKAGES = ("torch", "transformers", "peft", "accelerate", "safetensors", "tokenizers", "numpy")


def arguments(finetune: Finetune, steps: int, scratch: Path) -> TrainingArguments:
    """Say in the Trainer's words what params ask for."""
    found = TrainingArguments(
        output_dir=str(scratch),
        use_cpu=device().type == "cpu",
        per_device_train_batch_size=finetune.batch_rows,
        gradient_accumulation_steps=finetune.accumulate,
        num_train_epochs=finetune.epochs,
        learning_rate=finetune.learning_rate,
        lr_scheduler_type=finetune.schedule
        if finetune.warmup_share == 0 or finetune.schedule != "constant"
        else "constant_with_warmup",
        warmup_steps=round(finetune.warmup_share * steps),
        weight_decay=finetune.weight_decay,
        max_grad_norm=finetune.max_grad_norm,
        logging_steps=finetune.log_every,
        logging_nan_inf_filter=False,
        seed=finetune.seed,
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    # One process has one device: torch's DataParallel would tear a pass apart. Several GPUs want a process each.
    found._n_gpu = 1  # noqa: SLF001 -- transformers has no public name for it
    return found


def optimizer_steps(rows: int, finetune: Finetune) -> int:
    """Count the optimizer steps of the whole training, as the Trainer does."""
    batches = -(-rows // finetune.batch_rows)
    return finetune.epochs * -(-batches // finetune.accumulate)


@dataclass(frozen=True)
class Trained:
    """What a training did: steps taken, the epoch whose weights are kept, the tokens computed once for all rows."""

    steps: int
    kept_epoch: float
    shared_prefix_tokens: int


def train(
    loss: PairLoss,
    rows: Sequence[Encoded],
    held_out: Sequence[Encoded],
    finetune: Finetune,
    emit: Emit,
    checkpoints: Checkpoints,
) -> Trained:
    """Train what trains in the model of *loss*, in place, giving each point of the curves to *emit*.

    Goes on from the newest whole checkpoint, if there is one, and ends with the bytes of a training that was never
    interrupted. The points up to the checkpoint are given again.

    Raises:
        Problem: If the loss is no longer a number.
    """
    newest = checkpoints.newest()
    progress = Progress(**read_json(newest / "progress.json")) if newest else Progress()
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
        trainer = PairTrainer(
            checkpoints,
            progress,
            model=loss,
            args=arguments(finetune, optimizer_steps(len(rows), finetune), Path(scratch)),
            train_dataset=Rows(rows),
            data_collator=passes(loss, finetune.pass_tokens),
        )
        validation = (lambda: mean_loss(loss, held_out, finetune.pass_tokens)) if held_out else None
        trainer.add_callback(Curves(trainer, validation, emit, finetune.patience))
        trainer.remove_callback(PrinterCallback)
        if newest:
            log.info("finetune: going on after step %s", newest.name)
        for point in progress.points:
            emit(point)
        if newest and finetune.patience is not None and progress.stale >= finetune.patience:
            trainer.take_up(newest)  # it had stopped, and only what comes after a training is missing
        else:
            need_number(trainer.train(resume_from_checkpoint=str(newest) if newest else None).training_loss)
    kept = float(trainer.state.epoch)
    if finetune.keep == "best" and trainer.best:
        trainer.take_over(trainer.best)
        kept = progress.best_epoch
    return Trained(trainer.state.global_step, kept, int(loss.prefix.shape[1]))


def need_number(training_loss: float) -> None:
    """Refuse a training that has run away.

    Raises:
        Problem: If its loss is infinite or not a number.
    """
    if not math.isfinite(training_loss):
        raise Problem(
            "finetune",
            "the loss is not a number any more",
            got=str(training_loss),
            do="lower finetune.learning_rate",
        )


def environment(model: Model) -> dict[str, Any]:
    """Record what the bytes of the adapter depend on besides code, data and params."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return {
        "device": gpu or "cpu",
        "cpu": {
            "machine": platform.machine(),
            "kernels": torch.backends.cpu.get_cpu_capability(),
            "threads": model.threads,
        },
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def emitter(history: Path) -> Emit:
    """Give a function that appends a point to the history, and to the live file if the environment names one."""
    history.touch()  # a training too short for a point has a curve without one
    places = [history, *(Path(place) for place in [os.environ.get(LIVE)] if place)]

    def emit(point: Point) -> None:
        line = json.dumps(point, sort_keys=True) + "\n"
        for place in places:
            with place.open("a", encoding="utf-8") as out:
                out.write(line)

    return emit


def loss_of(adapted: Any, rows: Sequence[Encoded], *, packing: bool) -> PairLoss:
    """Give the model its loss: on packed rows or on padded ones, with what all prompts begin with computed once."""
    prefix = shared_prefix(rows)
    if not packing and read(adapted, prefix or [0], device()) is None:
        prefix = []
    loss = (PackedLoss if packing else PairLoss)(adapted, prefix).to(device())
    prove(loss, rows)
    return loss


def run(model: Model, finetune: Finetune, data: Path) -> None:
    """Train the adapter and write it."""
    base = fetch(model)
    rows = [encoded for _, encoded in read_tokens(data / "tokenize" / "train.arrow")]
    held_out = [encoded for _, encoded in read_tokens(data / "tokenize" / "validation.arrow")]
    recipe = {
        "model": model.model_dump(),
        "finetune": finetune.model_dump(),
        "base": base.digest,
        "rows": {split: file_sha256(data / "tokenize" / f"{split}.arrow") for split in ("train", "validation")},
        "environment": environment(model),
    }
    checkpoints = checkpoints_of(recipe)
    settle(model, finetune.seed)
    adapted = add_adapter(load_base(base.folder, model), finetune)
    train_parameters, parameters = trainable(adapted)
    log.info(
        "finetune: %d rows, %d epochs, %s of %s parameters train",
        len(rows),
        finetune.epochs,
        f"{train_parameters:,}",
        f"{parameters:,}",
    )
    with stage.whole(data / "finetune") as folder:
        adapter = folder / "adapter"
        save_adapter(adapted, adapter, base.digest)
        initial = file_sha256(adapter / "adapter_model.safetensors")
        loss = loss_of(adapted, [*rows, *held_out], packing=finetune.packing)
        done = train(loss, rows, held_out, finetune, emitter(folder / "history.jsonl"), checkpoints)
        save_adapter(adapted, adapter, base.digest)
        report = {
            "rows": len(rows),
            "steps": done.steps,
            "kept_epoch": done.kept_epoch,
            "parameters": parameters,
            "trainable_parameters": train_parameters,
            "shared_prefix_tokens": done.shared_prefix_tokens,
            "base_digest": base.digest,
            "initial_adapter": initial,
            "adapter": file_sha256(adapter / "adapter_model.safetensors"),
        }
        write_json(folder / "report.json", report)
        write_json(folder / "environment.json", environment(model))
    checkpoints.drop()


if __name__ == "__main__":
    stage.main(lambda params, data: run(params.model, params.finetune, data))
