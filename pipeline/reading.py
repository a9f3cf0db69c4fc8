"""Rows that a model reads together: first their prompts, then a few tokens at a time; who has ended leaves."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from pipeline.prefix import Memory, lend


class Reading:
    """A batch of rows, each with its own past, which begins with the prefix that all of them share.

    Args:
        model: A causal language model in evaluation mode whose past is keys and values.
        memory: What the model keeps of the prefix, or None if there is no prefix.
        rows: Number of rows.
    """

    def __init__(self, model: Any, memory: Memory | None, rows: int) -> None:
        self.model = model
        self.cache = lend(memory, rows) if memory else DynamicCache()
        prefix = memory[0][0].shape[2] if memory else 0
        self.device = model.device
        self.mask = torch.ones((rows, prefix), dtype=torch.long, device=self.device)
        self.lengths = torch.full((rows, 1), prefix, device=self.device)

    def feed(self, chunks: Sequence[Sequence[int]], wanted: int) -> Tensor:
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
        self.mask = torch.cat([self.mask, new], 1)
        places = self.lengths + (new.cumsum(1) - 1).clamp(min=0)
        self.lengths = self.lengths + new.sum(1, keepdim=True)
        logits: Tensor = self.model(
            input_ids=torch.tensor(ids, device=self.device),
            attention_mask=self.mask,
            position_ids=places,
            past_key_values=self.cache,
            use_cache=True,
            # By their places and not by their number: a slice would go through the output layer row by row.
            logits_to_keep=torch.arange(width - wanted, width, device=self.device),
        ).logits
        return logits

    def keep(self, rows: Sequence[int]) -> None:
        """Let all rows but these leave."""
        if len(rows) < len(self.lengths):
            chosen = torch.tensor(rows, dtype=torch.long, device=self.device)
            self.cache.batch_select_indices(chosen)
            self.mask, self.lengths = self.mask[chosen], self.lengths[chosen]
