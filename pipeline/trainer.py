"""The training loop: transformers' Trainer with our order of rows, our loss, our curves and our checkpoints."""

import logging
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from pipeline.batches import PairLoss, WindowedSampler
from pipeline.checkpoints import Checkpoints
from pipeline.model import device
from pipeline.pairs import read_json, write_json
from pipeline.params import Finetune
from pipeline.problem import Problem
from pipeline.prompt import Encoded

log = logging.getLogger(__name__)

Point = dict[str, float | int]
Emit = Callable[[Point], None]


class Rows(Dataset[Encoded]):
    """Encoded pairs as torch wants them."""

    def __init__(self, rows: Sequence[Encoded]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> Encoded:
        return self.rows[place]


@dataclass
class Progress:
    """What a training knows besides weights, optimizer and random numbers; a checkpoint keeps it."""

    points: list[Point] = field(default_factory=list)
    """Of the curves, so far."""
    best_loss: float = math.inf
    """The smallest validation loss."""
    best_epoch: float = 0.0
    stale: int = 0
    """Epochs since then."""
    loss_since_log: float = 0.0
    loss_before: float = 0.0
    last_logged: int = 0
    """What the Trainer has summed up since the step that it logged last, and before."""


class PairTrainer(Trainer):
    """The Trainer with our order of rows and our checkpoints; all else is its own.

    Args:
        checkpoints: Where they are kept.
        progress: What is known from the checkpoint that it goes on from; nothing at the beginning.
        more: What the Trainer takes.
    """

    def __init__(self, checkpoints: Checkpoints, progress: Progress, **more: Any) -> None:
        super().__init__(**more)
        self.checkpoints = checkpoints
        self.progress = progress
        self.best: dict[str, Tensor] = {}

    def _get_train_sampler(self, train_dataset: Any = None) -> WindowedSampler:
        rows = (train_dataset or self.train_dataset).rows
        lengths = [len(row.input_ids) for row in rows]
        return WindowedSampler(lengths, self.args.per_device_train_batch_size, self.args.seed)

    def trained(self) -> dict[str, Tensor]:
        """Copy the parameters that train."""
        return {
            name: parameter.detach().cpu().clone().contiguous()
            for name, parameter in self.model.named_parameters()
            if parameter.requires_grad
        }

    def take_over(self, parameters: dict[str, Tensor]) -> None:
        """Set the parameters that train."""
        own = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, values in parameters.items():
                own[name].copy_(values)

    def _save_checkpoint(self, _model: Any, _trial: Any) -> None:
        self.progress.loss_since_log = float(self._tr_loss)
        self.progress.loss_before = self._total_loss_scalar
        self.progress.last_logged = self._globalstep_last_logged
        try:
            self.checkpoints.write(self.state.global_step, self._fill)
        except OSError as error:  # the training needs none of it; only a crash would
            log.warning("finetune: no checkpoint written at step %d: %s", self.state.global_step, error)

    def _fill(self, folder: Path) -> None:
        save_file(self.trained(), folder / "trained.safetensors")
        if self.best:
            save_file(self.best, folder / "best.safetensors")
        self._save_optimizer_and_scheduler(str(folder))
        self._save_rng_state(str(folder))
        self.state.save_to_json(str(folder / "trainer_state.json"))
        write_json(folder / "progress.json", asdict(self.progress))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:  # noqa: ARG002 -- theirs
        folder = Path(resume_from_checkpoint)
        self.take_over(load_file(folder / "trained.safetensors"))
        if (folder / "best.safetensors").exists():
            self.best = load_file(folder / "best.safetensors")

    def go_on(self) -> None:
        """Take up the sums of the losses where the checkpoint left them."""
        self._tr_loss += self.progress.loss_since_log
        self._total_loss_scalar = self.progress.loss_before
        self._globalstep_last_logged = self.progress.last_logged


class Curves(TrainerCallback):
    """Collects the points of the curves, shows the progress, keeps the best weights, and says when to save or stop."""

    def __init__(
        self, trainer: PairTrainer, validation: Callable[[], float] | None, emit: Emit, patience: int | None
    ) -> None:
        self.trainer = trainer
        self.validation = validation
        self.emit = emit
        self.patience = patience
        self.bar: tqdm[Any] | None = None

    def point(self, point: Point) -> None:
        """Add a point to the curves."""
        self.trainer.progress.points.append(point)
        self.emit(point)

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Start the bar; without a terminal it prints a line now and then."""
        self.trainer.go_on()
        interval = 0.5 if os.environ.get("TUNESMITH_TERMINAL") else 20
        self.bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc="finetune",
            unit="step",
            mininterval=interval,
            maxinterval=60,
            ncols=88,
        )

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Move the bar; save if it is time, but not between the last step of an epoch and its validation."""
        if self.bar is not None:
            self.bar.update()
        control.should_save = state.epoch != int(state.epoch) and self.trainer.checkpoints.due()

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, float], **_: Any) -> None:
        """Take a point of the training curve."""
        if "loss" not in logs:
            return
        kept = {f"train_{name}": logs[name] for name in ("loss", "grad_norm", "learning_rate")}
        self.point({"step": state.global_step, "epoch": round(logs["epoch"], 4), **kept})
        if self.bar is not None:
            self.bar.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)

    def on_epoch_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take a point of the validation curve, and see whether it is the best."""
        if self.validation is not None:
            loss, progress = self.validation(), self.trainer.progress
            self.point({"step": state.global_step, "epoch": round(state.epoch, 4), "validation_loss": loss})
            if loss < progress.best_loss:
                progress.best_loss, progress.best_epoch, progress.stale = loss, round(state.epoch, 4), 0
                self.trainer.best = self.trainer.trained()
            else:
                progress.stale += 1
            control.should_training_stop = self.patience is not None and progress.stale >= self.patience
        control.should_save = self.trainer.checkpoints.due()

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
            data_collator=loss.batch,
        )
        validation = (lambda: mean_loss(loss, held_out, finetune.batch_rows)) if held_out else None
        trainer.add_callback(Curves(trainer, validation, emit, finetune.patience))
        trainer.remove_callback(PrinterCallback)
        if newest:
            log.info("finetune: going on after step %s", newest.name)
        for point in progress.points:
            emit(point)
        result = trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    if not math.isfinite(result.training_loss):
        raise Problem(
            "finetune",
            "the loss is not a number any more",
            got=str(result.training_loss),
            do="lower finetune.learning_rate",
        )
    kept = float(trainer.state.epoch)
    if finetune.keep == "best" and trainer.best:
        trainer.take_over(trainer.best)
        kept = progress.best_epoch
    return Trained(trainer.state.global_step, kept, int(loss.prefix.shape[1]))
