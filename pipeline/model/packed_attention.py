"""The rows of a pass as one sequence: no padding, the prefix that all share once, and attention that keeps rows apart.

Everything outside attention works on single tokens, so it may see the tokens of all rows as one row. Inside attention
each row is laid out by itself behind the keys and values of the prefix. Loss and gradients equal those of the plain
computation.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from pipeline.errors import UserError
from pipeline.model.chat_template import IGNORE_INDEX, Encoded, training_labels
from pipeline.model.transformers_private import attention_implementation

PACKED_PREFIX = "packed_"
"""Put before the attention of params when rows are packed: `packed_sdpa`, `packed_eager`."""

PACKING, CANNOT_PACK, DO_NOT_PACK = "finetune.packing", "the base model cannot take packed rows", "set it to false"
"""The parameter, what is said where a model cannot be packed, and what to do about it."""

LAYOUT_ERRORS = (AttributeError, IndexError, RuntimeError, TypeError, ValueError)
"""What models raise that cannot take a batch as it is laid out."""

AttentionOutput = tuple[Tensor, Tensor | None]


@dataclass
class PackedLayout:
    """Where the tokens of each row lie in the packed sequence.

    Args:
        prefix_length: Number of tokens before those of the rows that belong to every row: at the head of the sequence,
            or read before and handed over as its past.
        gather_indices: Shape (rows, width): for each token of each row its place behind the prefix; 0 where the row has
            ended.
        valid_indices: Shape (tokens,): for each token behind the prefix its place in `gather_indices`, row by row.
        mask: Shape (1, 1, width, prefix + width), added to attention weights: a token sees the prefix and its past.
        prefix_mask: Shape (1, 1, prefix, prefix): the same within the prefix.
        attention_calls: How many attention layers have used it.
    """

    prefix_length: int
    gather_indices: Tensor
    valid_indices: Tensor
    mask: Tensor
    prefix_mask: Tensor
    attention_calls: int = 0

    def unpack(self, packed: Tensor) -> Tensor:
        """Lay out states of shape (1, heads, tokens, size): (rows, heads, width, size), without those of the prefix."""
        behind = packed[0, :, packed.shape[2] - len(self.valid_indices) :].index_select(
            1, self.gather_indices.flatten()
        )
        return behind.view(len(behind), *self.gather_indices.shape, -1).transpose(0, 1)

    def unpack_behind_prefix(self, packed: Tensor) -> Tensor:
        """Lay out states so, each row behind those of the prefix: (rows, heads, prefix + width, size)."""
        shared = packed[:, :, : self.prefix_length].expand(len(self.gather_indices), -1, -1, -1)
        return torch.cat([shared, self.unpack(packed)], 2)


def use_packed_attention(model: Any) -> None:
    """Have a model attend within rows where it is handed a layout; it stays as it was where it is not."""
    model.set_attn_implementation(PACKED_PREFIX + attention_implementation(model).removeprefix(PACKED_PREFIX))


def pack_rows(rows: Sequence[Encoded], prefix: Sequence[int], *, every_logit: bool = False) -> dict[str, Tensor]:
    """Make one sequence of the prefix and what each row has behind it.

    The last token of a row predicts nothing and is left out.

    Args:
        rows: Encoded pairs that begin with the prefix.
        prefix: Token ids that all rows share; may be empty.
        every_logit: Ask for logits in every place, not only where one is supervised.

    Returns:
        `input_ids` and `position_ids` of shape (1, tokens); `lengths` of shape (rows,), the tokens of each row behind
        the prefix; `predicts` of shape (supervised,), the places whose logits are wanted; `labels` of shape
        (1 + supervised,), the tokens wanted there behind a first that is `IGNORE_INDEX`: the Trainer does not count it.
    """
    shared = len(prefix)
    ids, positions = list(prefix), list(range(shared))
    predicts: list[int] = []
    labels = [IGNORE_INDEX]
    for row in rows:
        start, end = len(ids) - shared, len(row.input_ids) - 1
        for first, stop in [(shared + 1, end + 1)] if every_logit else row.spans:
            predicts += range(start + first - 1, start + stop - 1)
        labels += training_labels(row, shared + 1) if every_logit else row.supervised_ids
        ids += row.input_ids[shared:end]
        positions += range(shared, end)
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.tensor([positions]),
        "lengths": torch.tensor([len(row.input_ids) - 1 - shared for row in rows]),
        "predicts": torch.tensor(predicts, dtype=torch.long),  # also where there are none
        "labels": torch.tensor(labels),
    }


def cannot_pack_error(why: str) -> UserError:
    """Say that a base model cannot be trained on packed rows."""
    return UserError(PACKING, f"{CANNOT_PACK}: {why}", do=DO_NOT_PACK)


def make_layout(lengths: Tensor, prefix: int, dtype: torch.dtype) -> PackedLayout:
    """Work out where the tokens of each row lie.

    Args:
        lengths: Shape (rows,): tokens of each row behind the prefix.
        prefix: Tokens of the prefix.
        dtype: Of the attention weights.
    """
    width = int(lengths.max())
    column = torch.arange(width, device=lengths.device)
    there = column < lengths[:, None]
    starts = lengths.cumsum(0) - lengths
    past = causal_mask(max(width, prefix), lengths.device, dtype)
    mask = torch.cat([past.new_zeros(width, prefix), past[:width, :width]], 1)
    return PackedLayout(
        prefix,
        gather_indices=torch.where(there, starts[:, None] + column, 0),
        valid_indices=there.flatten().nonzero()[:, 0],
        mask=mask[None, None],
        prefix_mask=past[None, None, :prefix, :prefix].contiguous(),
    )


def causal_mask(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Mask of shape (size, size) that hides what comes later when it is added to attention weights."""
    later = torch.ones((size, size), dtype=torch.bool, device=device).triu(1)
    return torch.zeros((size, size), dtype=dtype, device=device).masked_fill(later, torch.finfo(dtype).min)


def attend_packed(
    inner: Callable[..., AttentionOutput], states: Sequence[Tensor], layout: PackedLayout
) -> AttentionOutput:
    """Attend within each row and to the prefix.

    Args:
        inner: Takes query, key, value and mask of rows that are laid out, and does the work.
        states: Query, key and value of shape (1, heads, tokens, size of a head).
        layout: Where the rows lie.

    Returns:
        Shape (1, tokens, heads, size of a head); and no weights.
    """
    layout.attention_calls += 1
    query, key, value = states
    out, _ = inner(
        layout.unpack(query), layout.unpack_behind_prefix(key), layout.unpack_behind_prefix(value), layout.mask
    )
    attended = out.flatten(0, 1).index_select(0, layout.valid_indices)
    if query.shape[2] > len(layout.valid_indices):  # the prefix is read here and now
        head, _ = inner(*(packed[:, :, : layout.prefix_length] for packed in states), layout.prefix_mask)
        attended = torch.cat([head[0], attended])
    return attended[None], None


def packed_attention(of_layer: Callable[[Any], Callable[..., AttentionOutput]]) -> Callable[..., AttentionOutput]:
    """Make an attention function that lays rows out when it is handed a layout; without one it is the layer's own.

    Args:
        of_layer: Gives the attention function that does the work in a layer.
    """

    def function(module: Any, *states: Any, layout: PackedLayout | None = None, **more: Any) -> AttentionOutput:
        inner = of_layer(module)
        if layout is None:
            return inner(module, *states, **more)
        window, longest = more.get("sliding_window"), layout.mask.shape[-1]
        if window is not None and longest > window:
            raise cannot_pack_error(f"it looks back {window} tokens, and a row has {longest}")
        return attend_packed(lambda *laid_out: inner(module, *laid_out, **more), states[:3], layout)

    return function


def eager_attention(module: Any) -> Callable[..., AttentionOutput]:
    """The plain attention, which stands in each model's own file."""
    attention: Callable[..., AttentionOutput] = sys.modules[type(module).__module__].eager_attention_forward
    return attention


for name, of_layer in {"sdpa": lambda _module: ALL_ATTENTION_FUNCTIONS["sdpa"], "eager": eager_attention}.items():
    AttentionInterface.register(PACKED_PREFIX + name, packed_attention(of_layer))
    AttentionMaskInterface.register(PACKED_PREFIX + name, ALL_MASK_ATTENTION_FUNCTIONS[name])
