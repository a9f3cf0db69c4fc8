"""Claim curves: the loss of every step is TRL's, on the same rows in the same batches from the same first weights."""

import json
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import Dataset, disable_progress_bars
from torch.utils.data import Sampler
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

from bench.banking77 import messages, rows, systems
from bench.claims import RESULTS
from pipeline.finetune.checkpoints import Checkpoints
from pipeline.finetune.sampler import WindowedSampler
from pipeline.finetune.training import make_loss, optimizer_steps, train, training_arguments
from pipeline.model.adapters import load_trainable, seed_everything
from pipeline.model.base_model import fetch_base_model
from pipeline.model.chat_template import IGNORE_INDEX, Encoded, PromptEncoder, load_tokenizer, training_labels
from pipeline.params import Finetune, Model, Params

disable_progress_bars()
transformers.utils.logging.set_verbosity_error()

STEPS = 50
BATCH_ROWS = 4
GOAL = 1e-4


class InOrder(Sampler[int]):
    """The rows of our first epoch, in its order."""

    def __init__(self, encoded: Sequence[Encoded], finetune: Finetune) -> None:
        lengths = [len(row.input_ids) for row in encoded]
        self.order = list(
            WindowedSampler(lengths, batch_size=finetune.batch_size, window=finetune.length_window, seed=finetune.seed)
        )

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Any:
        return iter(self.order)


class Losses(TrainerCallback):
    """Collects the loss of each step."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def on_log(self, _args: Any, _state: Any, _control: Any, logs: dict[str, float], **_: Any) -> None:
        """Take it."""
        if "loss" in logs:
            self.found.append(logs["loss"])


class Trl(SFTTrainer):  # type: ignore[misc]
    """TRL's trainer, given our order of rows."""

    order: InOrder

    def _get_train_sampler(self, *_: Any) -> InOrder:
        return self.order


def trl(model: Model, finetune: Finetune, encoded: Sequence[Encoded], scratch: Path) -> list[float]:
    """Train with TRL on rows that are tokenized already, from the first weights that ours begins with."""
    base = fetch_base_model(model)
    seed_everything(model, finetune.seed)
    told = training_arguments(finetune, optimizer_steps(len(encoded), finetune), scratch)
    kept = (
        "per_device_train_batch_size", "num_train_epochs", "learning_rate", "lr_scheduler_type", "warmup_steps",
        "weight_decay", "max_grad_norm", "seed", "logging_steps", "use_cpu", "output_dir",
    )  # fmt: skip
    columns = {
        "input_ids": [row.input_ids for row in encoded],
        "completion_mask": [[int(label != IGNORE_INDEX) for label in training_labels(row, 0)] for row in encoded],
    }
    trainer = Trl(
        model=load_trainable(base.folder, model, finetune),
        args=SFTConfig(
            **{name: getattr(told, name) for name in kept}, max_length=1024, completion_only_loss=True,
            report_to="none", save_strategy="no", disable_tqdm=True, gradient_checkpointing=False, bf16=False,
            dataloader_pin_memory=False,
        ),
        train_dataset=Dataset.from_dict(columns),
        processing_class=load_tokenizer(base.folder),
    )  # fmt: skip
    trainer.order, losses = InOrder(encoded, finetune), Losses()
    trainer.add_callback(losses)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return losses.found


def tunesmith(model: Model, finetune: Finetune, encoded: Sequence[Encoded]) -> list[float]:
    """Train as the stage does."""
    seed_everything(model, finetune.seed)
    loss = make_loss(load_trainable(fetch_base_model(model).folder, model, finetune), encoded, finetune)
    points: list[dict[str, float | int]] = []
    train(loss, encoded, [], finetune, points.append, Checkpoints(None))
    return [point["train_loss"] for point in points]


def claim(params: Params) -> list[str]:
    """Measure the claim and put it into a line."""
    finetune = params.finetune.model_copy(update={"epochs": 1, "logging_steps": 1, "batch_size": BATCH_ROWS})
    renderer = PromptEncoder(load_tokenizer(fetch_base_model(params.model).folder), systems()["short"])
    found = rows("train")[: STEPS * finetune.batch_size]
    encoded = [renderer.encode(messages(text), label) for text, label in found]
    ours = tunesmith(params.model, finetune, encoded)
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
        theirs = trl(params.model, finetune, encoded, Path(scratch))
    apart = [abs(own - other) for own, other in zip(ours, theirs, strict=True)]
    told = {"claim": "curves", "steps": STEPS, "ours": ours, "trl": theirs, "largest_difference": max(apart)}
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "curves.json").write_text(
        json.dumps({**told, "goal": GOAL, "machine": platform.machine(), "torch": torch.__version__}, indent=2) + "\n",
        encoding="utf-8",
    )
    sys.stderr.write(f"curves: ours {ours[-1]:.4f}, TRL {theirs[-1]:.4f} at step {STEPS}\n")
    worst = f"largest difference of the loss to TRL's {max(apart):.1e}"
    return [f"{'curves':<14} {worst} (n={len(apart)} steps, from {ours[0]:.3f} to {ours[-1]:.3f})"]
