"""Training callbacks: loss curves, progress bar, best epoch, checkpoints and early stopping."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from accelerate.utils import reduce
from tqdm import tqdm
from transformers import TrainerCallback

from pipeline.finetune.loss import PairLoss
from pipeline.finetune.trainer import SINGLE_PROCESS, HistoryPoint, PairTrainer, RankSlice, micro_batches
from pipeline.model.adapters import training_device
from pipeline.model.chat_template import Encoded

PointSink = Callable[[HistoryPoint], None]


class TrainingCallback(TrainerCallback):
    """Collects the points of the curves, shows the progress, keeps the best weights, and says when to save or stop."""

    def __init__(
        self, trainer: PairTrainer, validation: Callable[[], float] | None, emit: PointSink, patience: int | None
    ) -> None:
        self.trainer = trainer
        self.compute_validation_loss = validation
        self.emit_point = emit
        self.patience = patience
        self.progress_bar: tqdm[Any] | None = None

    def add_point(self, point: HistoryPoint) -> None:
        """Add a point to the curves."""
        self.trainer.progress.points.append(point)
        self.emit_point(point)

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Start the bar; without a terminal it prints a line now and then."""
        self.trainer.resume()
        interval = 0.5 if os.environ.get("TUNESMITH_TERMINAL") else 20
        self.progress_bar = tqdm(
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
        if self.progress_bar is not None:
            self.progress_bar.update()
        control.should_save = state.epoch != int(state.epoch) and self.trainer.checkpoints.is_due()

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, float], **_: Any) -> None:
        """Take a point of the training curve."""
        if "loss" not in logs:
            return
        kept = {f"train_{name}": logs[name] for name in ("loss", "grad_norm", "learning_rate")}
        self.add_point({"step": state.global_step, "epoch": round(logs["epoch"], 4), **kept})
        if self.progress_bar is not None:
            self.progress_bar.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)

    def on_epoch_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take a point of the validation curve, and see whether it is the best."""
        if self.compute_validation_loss is not None:
            loss, progress = self.compute_validation_loss(), self.trainer.progress
            self.add_point({"step": state.global_step, "epoch": round(state.epoch, 4), "validation_loss": loss})
            if loss < progress.best_loss:
                progress.best_loss, progress.best_epoch, progress.stale = loss, round(state.epoch, 4), 0
                self.trainer.best_weights = self.trainer.copy_trainable()
            else:
                progress.stale += 1
            control.should_training_stop = self.patience is not None and progress.stale >= self.patience
        control.should_save = self.trainer.checkpoints.is_due()

    def on_train_end(self, _args: Any, _state: Any, _control: Any, **_: Any) -> None:
        """Close the bar."""
        if self.progress_bar is not None:
            self.progress_bar.close()


def validation_loss(
    loss: PairLoss, rows: Sequence[Encoded], tokens: int, rank_slice: RankSlice = SINGLE_PROCESS
) -> float:
    """Mean loss over every supervised token of some rows, in evaluation mode, in passes of so many tokens.

    Several processes compute a share of the rows each, and all return the mean of all rows.
    """
    items = sum(len(row.supervised_ids) for row in rows)
    was_training = loss.training
    loss.eval()
    # Compiled layers would be compiled once more for it, which takes longer than they save.
    with torch.compiler.set_stance("force_eager"):
        total = sum(loss.value(one, 1) for one in micro_batches(loss, tokens, rank_slice)(rows)["passes"])
    loss.train(was_training)
    return float(reduce(torch.tensor(total, dtype=torch.float64, device=training_device()), "sum")) / items
