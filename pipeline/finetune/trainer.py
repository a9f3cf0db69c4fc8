"""transformers' Trainer with our order of rows, passes that fit the memory, and our checkpoints."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate.data_loader import prepare_data_loader
from accelerate.utils import reduce
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer
from transformers.trainer_callback import TrainerState

from pipeline.files import write_json
from pipeline.finetune.checkpoints import Checkpoints
from pipeline.finetune.loss import PairLoss
from pipeline.finetune.sampler import WindowedSampler
from pipeline.model.chat_template import IGNORE_INDEX, Encoded
from pipeline.model.transformers_private import (
    LossSums,
    TrainerHooks,
    loss_sums,
    restore_loss_sums,
    save_training_state,
)

log = logging.getLogger(__name__)

HistoryPoint = dict[str, float | int]
ModelInputs = dict[str, Any]


class EncodedDataset(Dataset[Encoded]):
    """Encoded pairs as torch wants them."""

    def __init__(self, rows: Sequence[Encoded]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Encoded:
        return self.rows[index]


class RankSlice(NamedTuple):
    """The slice of a batch that this rank computes: rows rank::world_size."""

    rank: int
    world_size: int

    def rows(self, batch: Sequence[Encoded]) -> Sequence[Encoded]:
        """Take them; where there are none, a row of which nothing is supervised, since every process must take part."""
        return batch[self.rank :: self.world_size] or [Encoded(batch[0].input_ids, len(batch[0].input_ids))]


SINGLE_PROCESS = RankSlice(0, 1)
"""One process computes all of it."""


def micro_batches(
    loss: PairLoss, tokens: int, rank_slice: RankSlice = SINGLE_PROCESS
) -> Callable[[Sequence[Encoded]], ModelInputs]:
    """Give a collator that cuts a batch into passes of at most so many tokens, rows of similar length together.

    A pass is what goes through the model at once, and so what takes its memory; a row that is longer goes alone. The
    gradients of the passes add up to that of the batch, however it is cut, and however it is shared among processes.

    Returns:
        A function from rows to `passes`, micro-batches of *loss*, and `labels`: supervised tokens, for the Trainer to
        count behind a first that it leaves out.
    """
    shared = int(loss.prefix.shape[1])

    def collate(rows: Sequence[Encoded]) -> ModelInputs:
        cut: list[list[Encoded]] = [[]]
        own = rank_slice.rows(sorted(rows, key=lambda row: len(row.input_ids)))
        for row in own:
            # Laid out, all rows of a pass are as long as its longest, which is this one.
            if cut[-1] and shared + (len(cut[-1]) + 1) * (len(row.input_ids) - shared) > tokens:
                cut.append([])
            cut[-1].append(row)
        labels = [label for row in own for label in row.supervised_ids]
        return {"passes": [loss.make_batch(part) for part in cut], "labels": torch.tensor([IGNORE_INDEX, *labels])}

    return collate


@dataclass
class TrainingProgress:
    """What a training knows besides weights, optimizer and random numbers; a checkpoint keeps it."""

    points: list[HistoryPoint] = field(default_factory=list)
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
    seconds: float = 0.0
    """That the processes before this one trained, up to the checkpoint; of no account for any result."""


class PairTrainer(TrainerHooks, Trainer):
    """The Trainer with our order of rows and our checkpoints; all else is its own.

    Args:
        checkpoints: Where they are kept.
        progress: What is known from the checkpoint that it goes on from; nothing at the beginning.
        length_window: Batches within which rows are sorted by length.
        more: What the Trainer takes.
    """

    def __init__(
        self, checkpoints: Checkpoints, progress: TrainingProgress, *, length_window: int, **more: Any
    ) -> None:
        super().__init__(**more)
        self.checkpoints = checkpoints
        self.progress = progress
        self.length_window = length_window
        self.best_weights: dict[str, Tensor] = {}
        self.last_batch = (-1, 0)
        self.started_at = time.monotonic()

    def elapsed_seconds(self) -> float:
        """Say how long the training took so far, what a crash cost behind the last checkpoint left out."""
        return self.progress.seconds + time.monotonic() - self.started_at

    def train_sampler(self) -> WindowedSampler:
        """Make the sampler of the order that params ask for."""
        return WindowedSampler(
            [len(row.input_ids) for row in self.train_dataset.rows],
            batch_size=self.args.per_device_train_batch_size, window=self.length_window, seed=self.args.seed,
        )  # fmt: skip

    def get_train_dataloader(self) -> Any:
        """Give every process all batches, as if it were alone: the collator takes its share of each."""
        if self.args.world_size == 1:
            return super().get_train_dataloader()
        rows = DataLoader(
            self.train_dataset, batch_size=self.args.per_device_train_batch_size, sampler=self.train_sampler(),
            collate_fn=self.data_collator,
        )  # fmt: skip
        return prepare_data_loader(rows, self.args.device, num_processes=1, process_index=0, put_on_device=True)

    def _seed_dropout(self) -> None:
        """Draw dropout from step, batch and rank of several: a checkpoint keeps the random state of rank 0 only."""
        step, (last_step, last_index) = self.state.global_step, self.last_batch
        index = last_index + 1 if last_step == step else 0
        self.last_batch = (step, index)
        batch = step * self.args.gradient_accumulation_steps + index
        draw = batch * self.args.world_size + self.args.process_index
        torch.manual_seed(self.args.seed * 1_000_003 + draw)

    def training_step(self, model: Any, inputs: ModelInputs, num_items_in_batch: Any = None) -> Tensor:
        """Compute the gradients of a batch pass by pass; between processes they are exchanged once, after the last."""
        if self.args.world_size > 1:
            self._seed_dropout()
        *others, last = inputs["passes"]
        total = torch.zeros((), device=self.args.device)
        for one in others:
            with self.accelerator.no_sync(model):
                total += super().training_step(model, one, num_items_in_batch)
        total += super().training_step(model, last, num_items_in_batch)
        mean: Tensor = reduce(total, "mean")  # each process counts its own share as if it were all
        return mean

    def copy_trainable(self) -> dict[str, Tensor]:
        """Copy the parameters that train."""
        return {
            name: parameter.detach().cpu().clone().contiguous()
            for name, parameter in self.model.named_parameters()
            if parameter.requires_grad
        }

    def load_trainable(self, parameters: dict[str, Tensor]) -> None:
        """Set the parameters that train."""
        own = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, values in parameters.items():
                own[name].copy_(values)

    def write_checkpoint(self) -> None:
        """Write a checkpoint from the first process; a disk that takes none does not end the training."""
        if not self.is_world_process_zero():
            return
        progress = self.progress
        progress.loss_since_log, progress.loss_before, progress.last_logged = loss_sums(self)
        try:
            self.checkpoints.write(self.state.global_step, self._write_checkpoint_files)
        # A full disk: safetensors and torch have errors of their own for it.
        except (OSError, RuntimeError, SafetensorError) as error:  # the training needs none of it; only a crash would
            log.warning("finetune: no checkpoint written at step %d: %s", self.state.global_step, error)

    def _write_checkpoint_files(self, folder: Path) -> None:
        save_file(self.copy_trainable(), folder / "trained.safetensors")
        if self.best_weights:
            save_file(self.best_weights, folder / "best.safetensors")
        save_training_state(self, folder)
        self.state.save_to_json(str(folder / "trainer_state.json"))
        write_json(folder / "progress.json", asdict(self.progress) | {"seconds": self.elapsed_seconds()})

    def load_weights(self, checkpoint: Path) -> None:
        """Set what trains, and the best of it so far, to what a checkpoint holds."""
        self.load_trainable(load_file(checkpoint / "trained.safetensors"))
        if (checkpoint / "best.safetensors").exists():
            self.best_weights = load_file(checkpoint / "best.safetensors")

    def restore(self, checkpoint: Path) -> None:
        """Take a checkpoint for the end of the training: its weights and its state."""
        self.load_weights(checkpoint)
        self.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))

    def resume(self) -> None:
        """Set the sums of the losses to those of the checkpoint."""
        progress = self.progress
        restore_loss_sums(self, LossSums(progress.loss_since_log, progress.loss_before, progress.last_logged))
