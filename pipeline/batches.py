"""How rows become batches that hold little padding, and how a batch becomes a loss without wasted work."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Sampler

from pipeline.prefix import lend, read, shared_beginning
from pipeline.prompt import Encoded

IGNORED = -100


class WindowedSampler(Sampler[int]):
    """Every row once an epoch, in an order whose consecutive batches hold rows of like length.

    Rows are shuffled, cut into windows, sorted by length within each, cut into batches, and the batches shuffled. They
    are sorted nowhere else, so that batches stay random enough.

    Args:
        lengths: Length of each row in tokens.
        batch_rows: Rows to a batch.
        window: Batches to a window; 1 for batches as the shuffle makes them.
        seed: With the epoch it fixes the order.
    """

    def __init__(self, lengths: Sequence[int], *, batch_rows: int, window: int, seed: int) -> None:
        self.lengths = lengths
        self.batch_rows = batch_rows
        self.window = window
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next; the Trainer calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.lengths), generator=random).tolist()
        size = self.batch_rows * self.window
        ordered = [
            row for start in range(0, len(order), size) for row in sorted(order[start : start + size], key=self._length)
        ]
        batches = [ordered[start : start + self.batch_rows] for start in range(0, len(ordered), self.batch_rows)]
        # The short batch stays last: the loader cuts the stream into batches by counting.
        full, rest = (batches, []) if len(batches[-1]) == self.batch_rows else (batches[:-1], batches[-1])
        for place in torch.randperm(len(full), generator=random).tolist():
            yield from full[place]
        yield from rest

    def _length(self, row: int) -> tuple[int, int]:
        return self.lengths[row], row


def shared_prefix(rows: Sequence[Encoded]) -> list[int]:
    """Find the tokens that all rows begin with, none of them supervised."""
    return shared_beginning([row.unsupervised_ids for row in rows])


def labels_of(row: Encoded, start: int) -> list[int]:
    """Give the tokens of a row from a place on; `IGNORED` where one is not supervised."""
    labels = [IGNORED] * len(row.input_ids)
    for first, end in row.spans:
        labels[first:end] = row.input_ids[first:end]
    return labels[start:]


def collate(rows: Sequence[Encoded], prefix: int, *, every_logit: bool = False) -> dict[str, Tensor]:
    """Make a batch, padded on the left, so that the supervised ends lie under each other.

    Args:
        rows: Encoded pairs.
        prefix: Number of leading tokens that the model computes once for all rows; left out of the batch.
        every_logit: Have logits computed in every column, not only where some row is supervised.

    Returns:
        `input_ids`, `attention_mask` and `position_ids` of shape (rows, longest suffix), and `labels` of shape
        (rows, longest end + 1), which belong to the last columns, an end being what a row has from its first supervised
        token on; `IGNORED` where nothing is supervised.
    """
    suffixes = [row.input_ids[prefix:] for row in rows]
    width = max(map(len, suffixes))
    ends = [labels_of(row, len(row.unsupervised_ids)) for row in rows]
    last = width if every_logit else max(map(len, ends)) + 1
    pad = [width - len(suffix) for suffix in suffixes]
    mask = torch.tensor([[0] * p + [1] * (width - p) for p in pad])
    return {
        # What stands in a padded place is never read; the mask says so, not the token.
        "input_ids": torch.tensor([[0] * p + suffix for p, suffix in zip(pad, suffixes, strict=True)]),
        "attention_mask": mask,
        "position_ids": (mask.cumsum(1) - 1).clamp(min=0) + prefix,
        "labels": torch.tensor([[IGNORED] * (last - len(end)) + end for end in ends]),
    }


class PairLoss(nn.Module):
    """A causal model that returns the loss of a batch, computing only what the loss needs.

    The prefix that all rows share runs once and its keys and values serve every row; the output layer runs only on
    the positions that predict a supervised token. Loss and gradients equal those of the plain computation.

    Args:
        model: A causal language model of transformers, with or without an adapter.
        prefix: Token ids that every row begins with; may be empty.
        every_logit: Run the output layer on every place all the same.
        label_smoothing: Share of the wanted probability that is spread over the whole vocabulary while training
            (Szegedy et al. 2016).
    """

    accepts_loss_kwargs = True
    """Tells the Trainer to hand over the number of supervised tokens of the whole optimizer step."""

    where = "model.source"
    cannot = "the base model cannot take padded rows"
    instead = "set finetune.pass_tokens to 1, so that each row goes alone"
    """What is said where the loss of a batch is not that of its rows."""

    prefix: Tensor

    def __init__(
        self, model: Any, prefix: Sequence[int], *, every_logit: bool = False, label_smoothing: float = 0.0
    ) -> None:
        super().__init__()
        self.model = model
        self.config = model.config
        self.every_logit = every_logit
        self.label_smoothing = label_smoothing
        self.register_buffer("prefix", torch.tensor([list(prefix)], dtype=torch.long), persistent=False)

    def batch(self, rows: Sequence[Encoded]) -> dict[str, Tensor]:
        """Make a batch of rows, as `forward` takes it."""
        return collate(rows, self.prefix.shape[1], every_logit=self.every_logit)

    def value(self, batch: dict[str, Tensor], items: int | None = None) -> float:
        """Compute the loss of a batch, wherever it is, and no gradient."""
        with torch.no_grad():
            there = {name: tensor.to(self.prefix.device) for name, tensor in batch.items()}
            return float(self(**there, num_items_in_batch=items)["loss"])

    def cross_entropy(self, logits: Tensor, targets: Tensor, items: Tensor | int | None) -> Tensor:
        """Divide the summed cross-entropy by *items*, as `cross_entropy` does; smoothed while training."""
        return cross_entropy(logits, targets, items, self.label_smoothing if self.training else 0.0)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        labels: Tensor,
        num_items_in_batch: Tensor | int | None = None,
    ) -> dict[str, Tensor]:
        """Compute the cross-entropy of the supervised tokens.

        The sum over them is divided by `num_items_in_batch`, or by their number in this batch.

        Raises:
            ValueError: If there is a prefix, and the model keeps more of it than keys and values.
        """
        cache = None
        if self.prefix.shape[1]:
            memory = read(self.model, self.prefix[0].tolist(), input_ids.device)
            if memory is None:
                raise ValueError("the model keeps more of a prefix than keys and values; give it none")
            cache = lend(memory, len(input_ids))
            attention_mask = torch.cat(
                [attention_mask.new_ones(len(input_ids), self.prefix.shape[1]), attention_mask], 1
            )
        output = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=cache is not None,
            # By their places and not by their number: a slice would go through the output layer row by row.
            logits_to_keep=torch.arange(-labels.shape[1], -1, device=labels.device) + input_ids.shape[1],
        )
        return {"loss": self.cross_entropy(output.logits, labels[:, 1:], num_items_in_batch)}


def cross_entropy(logits: Tensor, targets: Tensor, items: Tensor | int | None, smoothing: float = 0.0) -> Tensor:
    """Sum the cross-entropy of the supervised tokens and divide it by *items*, or by their number.

    Args:
        logits: Shape (..., words of the vocabulary).
        targets: Shape (...): the token that each place predicts; `IGNORED` where nothing is supervised.
        items: Supervised tokens of the whole optimizer step.
        smoothing: Share of the wanted probability that is spread over the whole vocabulary.
    """
    total = nn.functional.cross_entropy(
        logits.float().reshape(-1, logits.shape[-1]), targets.reshape(-1),
        ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing,
    )  # fmt: skip
    return total / ((targets != IGNORED).sum() if items is None else items)
