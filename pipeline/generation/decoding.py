"""Batched decoding: packed prefill, then token steps; finished rows are dropped from the batch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from pipeline.errors import UserError
from pipeline.model.chat_template import Encoded
from pipeline.model.packed_attention import (
    LAYOUT_ERRORS,
    PackedLayout,
    cannot_pack_error,
    make_layout,
    pack_rows,
    use_packed_attention,
)
from pipeline.model.prefix_cache import KeyValues, expand_prefix

LOGIT_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2}
"""How far logits may be apart, relative to the largest of them: what rounding does."""


def can_pack(model: Any, memory: KeyValues | None, prompts: Sequence[Sequence[int]]) -> bool:
    """Say whether rows may begin packed: the longest prompt has the same logits beside the shortest as by itself."""
    two = [min(prompts, key=len), max(prompts, key=len)]
    try:
        together = DecodingBatch(model, memory, 2).prefill_packed(two)[1]
    except (UserError, *LAYOUT_ERRORS):
        return False
    alone = DecodingBatch(model, memory, 1).forward(two[1:], 1)[0, -1]
    apart = (together - alone).abs().max() / alone.abs().max()
    return bool(apart <= LOGIT_TOLERANCE.get(model.dtype, 5e-2))


class DecodingBatch:
    """A batch of rows, each with its own past, which begins with the prefix that all of them share.

    Args:
        model: A causal language model in evaluation mode whose past is keys and values.
        memory: What the model keeps of the prefix, or None if there is no prefix.
        rows: Number of rows.
    """

    def __init__(self, model: Any, memory: KeyValues | None, rows: int) -> None:
        self.model = model
        self.prefix_keys_values = memory or []
        self.cache = expand_prefix(self.prefix_keys_values, rows)
        self.prefix_length = memory[0][0].shape[2] if memory else 0
        self.device = model.device
        self.attention_mask = torch.ones((rows, self.prefix_length), dtype=torch.long, device=self.device)
        self.lengths = torch.full((rows, 1), self.prefix_length, device=self.device)

    def prefill_packed(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Let each row read its prompt, all as one sequence without padding.

        Args:
            prompts: The tokens of each row behind the prefix.

        Returns:
            Logits of shape (rows, words of the vocabulary), of what follows the prompts.

        Raises:
            UserError: If tokens of the model see each other past its attention.
        """
        use_packed_attention(self.model)
        layout = make_layout(
            torch.tensor([len(prompt) for prompt in prompts], device=self.device), self.prefix_length, self.model.dtype
        )
        packed = pack_rows([Encoded([*prompt, 0], len(prompt)) for prompt in prompts], [])
        past = expand_prefix(self.prefix_keys_values, 1)
        output = self.model(
            input_ids=packed["input_ids"].to(self.device),
            position_ids=packed["position_ids"].to(self.device) + self.prefix_length,
            attention_mask=layout.mask,
            past_key_values=past,
            use_cache=True,
            logits_to_keep=packed["predicts"].to(self.device),
            layout=layout,
        )
        if layout.attention_calls != self.model.config.get_text_config().num_hidden_layers:
            raise cannot_pack_error("not all of its layers use transformers' attention interface")
        self._unpack_cache(past, layout)
        logits: Tensor = output.logits[0]
        return logits

    def _unpack_cache(self, past: DynamicCache, layout: PackedLayout) -> None:
        """Give each row its own past out of that of the packed sequence."""
        own = [
            (layout.unpack_behind_prefix(layer.keys), layout.unpack_behind_prefix(layer.values))
            for layer in past.layers
        ]
        self.cache = expand_prefix(own, len(self.lengths))
        there = (
            layout.mask.new_zeros(layout.gather_indices.numel())
            .index_fill(0, layout.valid_indices, 1)
            .view_as(layout.gather_indices)
            .long()
        )
        self.attention_mask = torch.cat([self.attention_mask, there], 1)
        self.lengths = self.lengths + there.sum(1, keepdim=True)

    def forward(self, chunks: Sequence[Sequence[int]], wanted: int) -> Tensor:
        """Let each row read its next tokens; rows with fewer of them wait at the beginning, not at the end.

        Args:
            chunks: The tokens of each row, at least one for some row.
            wanted: For how many of the last places logits are wanted.

        Returns:
            Logits of shape (rows, wanted, words of the vocabulary), the last place being that of the last token.
        """
        width = max(map(len, chunks))
        pad = [width - len(chunk) for chunk in chunks]
        ids = [[0] * p + list(chunk) for p, chunk in zip(pad, chunks, strict=True)]
        new = torch.tensor([[0] * p + [1] * (width - p) for p in pad], device=self.device)
        self.attention_mask = torch.cat([self.attention_mask, new], 1)
        positions = self.lengths + (new.cumsum(1) - 1).clamp(min=0)
        self.lengths = self.lengths + new.sum(1, keepdim=True)
        logits: Tensor = self.model(
            input_ids=torch.tensor(ids, device=self.device),
            attention_mask=self.attention_mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            # By their places and not by their number: a slice would go through the output layer row by row.
            logits_to_keep=torch.arange(width - wanted, width, device=self.device),
        ).logits
        return logits

    def keep_rows(self, rows: Sequence[int]) -> None:
        """Let all rows but these leave."""
        if len(rows) < len(self.lengths):
            chosen = torch.tensor(rows, dtype=torch.long, device=self.device)
            self.cache.batch_select_indices(chosen)
            self.attention_mask, self.lengths = self.attention_mask[chosen], self.lengths[chosen]
