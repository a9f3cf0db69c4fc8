"""Stage 4. Reads train and validation.arrow of data/tokenize/ and the base model.

Computes a LoRA adapter with transformers.Trainer, seeded before the adapter is built, on the GPU or the CPU.
Writes data/finetune/: adapter/, history.jsonl (the curves), report.json (what was trained), environment.json (on what).
"""

import json
import logging
import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset
from tqdm import tqdm
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from pipeline import stage
from pipeline.batches import PairLoss, WindowedSampler, shared_prefix
from pipeline.digests import file_sha256
from pipeline.model import add_adapter, device, load_base, save_adapter, settle, trainable
from pipeline.packing import PackedLoss
from pipeline.pairs import write_json
from pipeline.params import Finetune, Model
from pipeline.problem import Problem
from pipeline.prompt import Encoded
from pipeline.tokens import read_tokens
from pipeline.weights import fetch

log = logging.getLogger(__name__)

LIVE = "TUNESMITH_LIVE"
"""Environment: a file that gets each point of the curves as it is known."""
PACKAGES = ("torch", "transformers", "peft", "accelerate", "safetensors", "tokenizers", "numpy")

Point = dict[str, float | int]


class Rows(Dataset[Encoded]):
    """Encoded pairs as torch wants them."""

    def __init__(self, rows: Sequence[Encoded]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> Encoded:
        return self.rows[place]


class PairTrainer(Trainer):
    """The Trainer with our order of rows; all else is its own."""

    def _get_train_sampler(self, train_dataset: Any = None) -> WindowedSampler:
        rows = (train_dataset or self.train_dataset).rows
        lengths = [len(row.input_ids) for row in rows]
        return WindowedSampler(lengths, self.args.per_device_train_batch_size, self.args.seed)


class Curves(TrainerCallback):
    """Collects the points of the curves, shows the progress, and measures the validation loss after each epoch."""

    def __init__(self, validation: Callable[[], float] | None, emit: Callable[[Point], None]) -> None:
        self.validation = validation
        self.emit = emit
        self.bar: tqdm[Any] | None = None

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Start the bar; without a terminal it prints a line now and then."""
        interval = 0.5 if os.environ.get("TUNESMITH_TERMINAL") else 20
        self.bar = tqdm(
            total=state.max_steps,
            desc="finetune",
            unit="step",
            mininterval=interval,
            maxinterval=60,
            ncols=88,
        )

    def on_step_end(self, _args: Any, _state: Any, _control: Any, **_: Any) -> None:
        """Move the bar."""
        if self.bar is not None:
            self.bar.update()

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, float], **_: Any) -> None:
        """Take a point of the training curve."""
        if "loss" not in logs:
            return
        kept = {f"train_{name}": logs[name] for name in ("loss", "grad_norm", "learning_rate")}
        self.emit({"step": state.global_step, "epoch": round(logs["epoch"], 4), **kept})
        if self.bar is not None:
            self.bar.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)

    def on_epoch_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Take a point of the validation curve."""
        if self.validation is not None:
            loss = self.validation()
            self.emit({"step": state.global_step, "epoch": round(state.epoch, 4), "validation_loss": loss})

    def on_train_end(self, _args: Any, _state: Any, _control: Any, **_: Any) -> None:
        """Close the bar."""
        if self.bar is not None:
            self.bar.close()


def mean_loss(model: PairLoss, rows: Sequence[Encoded], batch_rows: int) -> float:
    """Mean loss over every supervised token of some rows, in evaluation mode."""
    ordered = sorted(rows, key=lambda row: len(row.input_ids))
    total, items = 0.0, 0
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for start in range(0, len(ordered), batch_rows):
            rows_of_batch = ordered[start : start + batch_rows]
            batch = {key: value.to(device()) for key, value in model.batch(rows_of_batch).items()}
            n = sum(len(row.input_ids) - row.completion_start for row in rows_of_batch)
            total += float(model(**batch)["loss"]) * n
            items += n
    model.train(was_training)
    return total / items


def arguments(finetune: Finetune, steps: int, scratch: Path) -> TrainingArguments:
    """Say in the Trainer's words what params ask for."""
    return TrainingArguments(
        output_dir=str(scratch),
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


def optimizer_steps(rows: int, finetune: Finetune) -> int:
    """Count the optimizer steps of the whole training, as the Trainer does."""
    batches = -(-rows // finetune.batch_rows)
    return finetune.epochs * -(-batches // finetune.accumulate)


def train(
    model: Any,
    rows: Sequence[Encoded],
    held_out: Sequence[Encoded],
    finetune: Finetune,
    emit: Callable[[Point], None],
    scratch: Path,
) -> None:
    """Train the adapter of *model* in place, giving each point of the curves to *emit*.

    Raises:
        Problem: If the loss is no longer a number.
    """
    prefix = shared_prefix([*rows, *held_out])
    loss = (PackedLoss if finetune.packing else PairLoss)(model, prefix).to(device())
    validation = (lambda: mean_loss(loss, held_out, finetune.batch_rows)) if held_out else None
    trainer = PairTrainer(
        model=loss,
        args=arguments(finetune, optimizer_steps(len(rows), finetune), scratch),
        train_dataset=Rows(rows),
        data_collator=loss.batch,
        callbacks=[Curves(validation, emit)],
    )
    trainer.remove_callback(PrinterCallback)
    result = trainer.train()
    if not result.training_loss < float("inf"):
        raise Problem(
            "finetune",
            "the loss is not a number any more",
            got=str(result.training_loss),
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


def emitter(history: Path) -> Callable[[Point], None]:
    """Give a function that appends a point to the history, and to the live file if the environment names one."""
    places = [history, *(Path(place) for place in [os.environ.get(LIVE)] if place)]

    def emit(point: Point) -> None:
        line = json.dumps(point, sort_keys=True) + "\n"
        for place in places:
            with place.open("a", encoding="utf-8") as out:
                out.write(line)

    return emit


def run(model: Model, finetune: Finetune, data: Path) -> None:
    """Train the adapter and write it."""
    base = fetch(model)
    rows = [encoded for _, encoded in read_tokens(data / "tokenize" / "train.arrow")]
    held_out = [encoded for _, encoded in read_tokens(data / "tokenize" / "validation.arrow")]
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
        with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
            train(adapted, rows, held_out, finetune, emitter(folder / "history.jsonl"), Path(scratch))
        save_adapter(adapted, adapter, base.digest)
        report = {
            "rows": len(rows),
            "steps": optimizer_steps(len(rows), finetune),
            "parameters": parameters,
            "trainable_parameters": train_parameters,
            "shared_prefix_tokens": len(shared_prefix([*rows, *held_out])),
            "base_digest": base.digest,
            "initial_adapter": initial,
            "adapter": file_sha256(adapter / "adapter_model.safetensors"),
        }
        write_json(folder / "report.json", report)
        write_json(folder / "environment.json", environment(model))


if __name__ == "__main__":
    stage.main(lambda params, data: run(params.model, params.finetune, data))
