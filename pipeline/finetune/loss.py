"""Batches with little padding, and a loss that computes only the supervised positions."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.model.chat_template import IGNORE_INDEX, Encoded, training_labels
from pipeline.model.prefix_cache import common_prefix, compute_prefix, expand_prefix


def shared_prefix(rows: Sequence[Encoded]) -> list[int]:
    """Find the tokens that all rows begin with, none of them supervised."""
    return common_prefix([row.leading_ids for row in rows])


def collate(rows: Sequence[Encoded], prefix: int, *, every_logit: bool = False) -> dict[str, Tensor]:
    """Make a batch, padded on the left, so that the supervised ends lie under each other.

    Args:
        rows: Encoded pairs.
        prefix: Number of leading tokens that the model computes once for all rows; left out of the batch.
        every_logit: Have logits computed in every column, not only where some row is supervised.

    Returns:
        `input_ids`, `attention_mask` and `position_ids` of shape (rows, longest suffix), and `labels` of shape
        (rows, longest end + 1), which belong to the last columns, an end being what a row has from its first supervised
        token on; `IGNORE_INDEX` where nothing is supervised.
    """
    suffixes = [row.input_ids[prefix:] for row in rows]
    width = max(map(len, suffixes))
    ends = [training_labels(row, len(row.leading_ids)) for row in rows]
    last = width if every_logit else max(map(len, ends)) + 1
    pad = [width - len(suffix) for suffix in suffixes]
    mask = torch.tensor([[0] * p + [1] * (width - p) for p in pad])
    return {
        # What stands in a padded place is never read; the mask says so, not the token.
        "input_ids": torch.tensor([[0] * p + suffix for p, suffix in zip(pad, suffixes, strict=True)]),
        "attention_mask": mask,
        "position_ids": (mask.cumsum(1) - 1).clamp(min=0) + prefix,
        "labels": torch.tensor([[IGNORE_INDEX] * (last - len(end)) + end for end in ends]),
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

    error_param = "model.source"
    error_message = "the base model cannot take padded rows"
    error_remedy = "set finetune.micro_batch_tokens to 1, so that each row goes alone"
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

    def make_batch(self, rows: Sequence[Encoded]) -> dict[str, Tensor]:
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
            memory = compute_prefix(self.model, self.prefix[0].tolist(), input_ids.device)
            if memory is None:
                raise ValueError("the model keeps more of a prefix than keys and values; give it none")
            cache = expand_prefix(memory, len(input_ids))
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
        targets: Shape (...): the token that each place predicts; `IGNORE_INDEX` where nothing is supervised.
        items: Supervised tokens of the whole optimizer step.
        smoothing: Share of the wanted probability that is spread over the whole vocabulary.
    """
    total = nn.functional.cross_entropy(
        logits.float().reshape(-1, logits.shape[-1]), targets.reshape(-1),
        ignore_index=IGNORE_INDEX, reduction="sum", label_smoothing=smoothing,
    )  # fmt: skip
    return total / ((targets != IGNORE_INDEX).sum() if items is None else items)
