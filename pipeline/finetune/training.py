"""One training run: arguments, resume from a checkpoint, and which weights are kept."""

import logging
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import TrainingArguments
from transformers.trainer_callback import PrinterCallback

from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.finetune.callbacks import PointSink, TrainingCallback, validation_loss
from pipeline.finetune.checkpoints import Checkpoints
from pipeline.finetune.compile import compile_layers, require_compiler
from pipeline.finetune.loss import PairLoss, shared_prefix
from pipeline.finetune.loss_check import check_loss
from pipeline.finetune.packed_loss import PackedLoss
from pipeline.finetune.trainer import EncodedDataset, PairTrainer, RankSlice, TrainingProgress, micro_batches
from pipeline.model.adapters import lora_plus_optimizer, require_quantization, training_device
from pipeline.model.chat_template import Encoded
from pipeline.model.prefix_cache import compute_prefix
from pipeline.model.transformers_private import require_known_transformers, use_one_device
from pipeline.params import Finetune

log = logging.getLogger(__name__)


def require_hardware(finetune: Finetune) -> None:
    """Refuse what cannot be had on this machine, before anything is loaded.

    Raises:
        UserError: If layers are to be compiled without a compiler, four bits are wanted without a GPU, or transformers
            is of a version that the training is not made for.
    """
    require_known_transformers()
    if finetune.compile:
        require_compiler()
    if finetune.adapter == "qlora":
        require_quantization()


def make_loss(adapted: Any, rows: Sequence[Encoded], finetune: Finetune) -> PairLoss:
    """Give the model its loss, without the work that params say is to be left out, and prove it on two of the rows.

    Raises:
        UserError: If the loss is not that of the plain computation, or the layers cannot be compiled.
    """
    prefix = shared_prefix(rows) if finetune.shared_prefix else []
    if not finetune.packing and not can_share_prefix(adapted, prefix, finetune):
        prefix = []
    kind = PackedLoss if finetune.packing else PairLoss
    smoothing = finetune.label_smoothing
    loss = kind(adapted, prefix, every_logit=not finetune.supervised_logits, label_smoothing=smoothing).to(
        training_device()
    )
    check_loss(loss, rows, finetune.micro_batch_tokens)
    if finetune.compile:
        compile_layers(adapted)
    return loss


def can_share_prefix(adapted: Any, prefix: Sequence[int], finetune: Finetune) -> bool:
    """Say whether padded rows can share a prefix: keys and values must be all that is kept of it, and must be kept.

    Nor can they where layers are compiled: what is kept knows each layer by its number, and none could share a graph.
    """
    if finetune.activation_checkpointing or finetune.compile:
        return False
    return compute_prefix(adapted, prefix or [0], training_device()) is not None


def training_arguments(finetune: Finetune, steps: int, scratch: Path) -> TrainingArguments:
    """Say in the Trainer's words what params ask for."""
    arguments = TrainingArguments(
        output_dir=str(scratch),
        use_cpu=training_device().type == "cpu",
        per_device_train_batch_size=finetune.batch_size,
        gradient_accumulation_steps=finetune.gradient_accumulation_steps,
        num_train_epochs=finetune.epochs,
        learning_rate=finetune.learning_rate,
        lr_scheduler_type=finetune.lr_scheduler
        if finetune.warmup_ratio == 0 or finetune.lr_scheduler != "constant"
        else "constant_with_warmup",
        warmup_steps=round(finetune.warmup_ratio * steps),
        weight_decay=finetune.weight_decay,
        max_grad_norm=finetune.max_grad_norm,
        logging_steps=finetune.logging_steps,
        logging_nan_inf_filter=False,
        seed=finetune.seed,
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    use_one_device(arguments)  # several GPUs want a process each
    return arguments


def optimizer_steps(rows: int, finetune: Finetune) -> int:
    """Count the optimizer steps of the whole training, as the Trainer does."""
    batches = -(-rows // finetune.batch_size)
    return finetune.epochs * -(-batches // finetune.gradient_accumulation_steps)


@dataclass(frozen=True)
class TrainingResult:
    """What a training did.

    Args:
        steps: Optimizer steps that were taken.
        kept_epoch: The epoch whose weights are kept.
        shared_prefix_tokens: Tokens that were computed once for all rows.
        seconds: That it took, in all processes one after the other; it alone differs from run to run.
    """

    steps: int
    kept_epoch: float
    shared_prefix_tokens: int
    seconds: float = field(compare=False)


def train(
    loss: PairLoss,
    rows: Sequence[Encoded],
    held_out: Sequence[Encoded],
    finetune: Finetune,
    emit: PointSink,
    checkpoints: Checkpoints,
) -> TrainingResult:
    """Train what trains in the model of *loss*, in place, giving each point of the curves to *emit*.

    Goes on from the newest whole checkpoint, if there is one, and ends with the bytes of a training that was never
    interrupted. The points up to the checkpoint are given again.

    Raises:
        UserError: If the loss is no longer a number.
    """
    newest = checkpoints.newest_intact()
    progress = TrainingProgress(**read_json(newest / "progress.json")) if newest else TrainingProgress()
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as scratch:
        arguments = training_arguments(finetune, optimizer_steps(len(rows), finetune), Path(scratch))
        rank_slice = RankSlice(arguments.process_index, arguments.world_size)
        trainer = PairTrainer(
            checkpoints,
            progress,
            length_window=finetune.length_window,
            model=loss,
            args=arguments,
            train_dataset=EncodedDataset(rows),
            data_collator=micro_batches(loss, finetune.micro_batch_tokens, rank_slice),
            optimizers=(lora_plus_optimizer(loss.model, finetune), None),
        )
        validation = (
            (lambda: validation_loss(loss, held_out, finetune.micro_batch_tokens, rank_slice)) if held_out else None
        )
        trainer.add_callback(TrainingCallback(trainer, validation, emit, finetune.patience))
        trainer.remove_callback(PrinterCallback)
        run_training(trainer, newest, finetune, emit)
    kept = float(trainer.state.epoch)
    if finetune.checkpoint == "best" and trainer.best_weights:
        trainer.load_trainable(trainer.best_weights)
        kept = progress.best_epoch
    return TrainingResult(trainer.state.global_step, kept, int(loss.prefix.shape[1]), trainer.elapsed_seconds())


def run_training(trainer: PairTrainer, newest: Path | None, finetune: Finetune, emit: PointSink) -> None:
    """Train to the end, from a checkpoint on if there is one."""
    if newest:
        log.info("finetune: going on after step %s", newest.name)
    for point in trainer.progress.points:
        emit(point)
    if newest and finetune.patience is not None and trainer.progress.stale >= finetune.patience:
        trainer.restore(newest)  # it had stopped, and only what comes after a training is missing
    else:
        require_finite(trainer.train(resume_from_checkpoint=str(newest) if newest else None).training_loss)


def require_finite(training_loss: float) -> None:
    """Refuse a training that has run away.

    Raises:
        UserError: If its loss is infinite or not a number.
    """
    if not math.isfinite(training_loss):
        raise UserError(
            "finetune",
            "the loss is not a number any more",
            got=str(training_loss),
            do="lower finetune.learning_rate",
        )
