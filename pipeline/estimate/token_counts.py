"""What an epoch holds: its tokens, those that go through the model, those that plain batches would send through."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.finetune.loss import PairLoss
from pipeline.finetune.sampler import WindowedSampler
from pipeline.finetune.trainer import RankSlice, micro_batches
from pipeline.model.chat_template import Encoded
from pipeline.params import Finetune


@dataclass(frozen=True)
class StepTokens:
    """An optimizer step: the rows of its batches, the token places of their passes, and how many of these are padded.

    The passes are those of one process; of several, each has as many or fewer.
    """

    batches: Sequence[Sequence[Encoded]]
    passes: Sequence[int]
    padded: int

    @property
    def places(self) -> int:
        """Token places that go through the model."""
        return sum(self.passes)


@dataclass(frozen=True)
class EpochTokens:
    """What an epoch holds.

    Args:
        tokens: Of all rows.
        supervised: Of these, what is trained on.
        prefix: Tokens that are computed once a pass for all its rows.
        plain: Token places of batches as the shuffle makes them, padded, sharing nothing.
        steps: Its optimizer steps, in order.
    """

    tokens: int
    supervised: int
    prefix: int
    plain: int
    steps: Sequence[StepTokens]

    @property
    def places(self) -> int:
        """Token places that go through the model in an epoch."""
        return sum(step.places for step in self.steps)

    @property
    def padded(self) -> int:
        """Of these, padded ones."""
        return sum(step.padded for step in self.steps)


def first_epoch_batches(rows: Sequence[Encoded], finetune: Finetune, window: int) -> Iterator[list[Encoded]]:
    """Give the rows of each batch of the first epoch."""
    lengths = [len(row.input_ids) for row in rows]
    order = list(WindowedSampler(lengths, batch_size=finetune.batch_size, window=window, seed=finetune.seed))
    for start in range(0, len(order), finetune.batch_size):
        yield [rows[index] for index in order[start : start + finetune.batch_size]]


def count_tokens(rows: Sequence[Encoded], loss: PairLoss, finetune: Finetune) -> EpochTokens:
    """Count the tokens of an epoch as its training lays them out."""
    prefix = int(loss.prefix.shape[1])
    batches = list(first_epoch_batches(rows, finetune, finetune.length_window))
    return EpochTokens(
        tokens=sum(len(row.input_ids) for row in rows),
        supervised=sum(len(row.supervised_ids) for row in rows),
        prefix=prefix,
        plain=sum(
            len(batch) * max(len(row.input_ids) for row in batch) for batch in first_epoch_batches(rows, finetune, 1)
        ),
        steps=[
            step_tokens(batches[start : start + finetune.gradient_accumulation_steps], loss, finetune)
            for start in range(0, len(batches), finetune.gradient_accumulation_steps)
        ],
    )


def step_tokens(batches: Sequence[Sequence[Encoded]], loss: PairLoss, finetune: Finetune) -> StepTokens:
    """Count the token places of one optimizer step."""
    cut = micro_batches(loss, finetune.micro_batch_tokens, RankSlice(0, finetune.processes))
    laid_out = [one for batch in batches for one in cut(batch)["passes"]]
    beside = 0 if finetune.packing else int(loss.prefix.shape[1])  # in a packed pass the prefix is among its tokens
    padded = 0 if finetune.packing else sum(int((one["attention_mask"] == 0).sum()) for one in laid_out)
    return StepTokens(batches, [int(one["input_ids"].numel()) + beside for one in laid_out], padded)
