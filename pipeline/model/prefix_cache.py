"""Prefix cache: keys and values of the tokens that all prompts begin with, computed once."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

KeyValues = list[tuple[Tensor, Tensor]]
"""Keys and values of each layer, of shape (1, heads, tokens, size of a head)."""


def common_prefix(prompts: Sequence[Sequence[int]]) -> list[int]:
    """Find the tokens that every prompt begins with; at least one token of each prompt is left out of it."""
    beginning = list(prompts[0][: min(map(len, prompts)) - 1])
    for end, token in enumerate(beginning):
        if any(prompt[end] != token for prompt in prompts):
            return beginning[:end]
    return beginning


def compute_prefix(model: Any, tokens: Sequence[int], device: torch.device) -> KeyValues | None:
    """Run some tokens through a model and keep what later tokens need of them.

    Returns:
        None if the model keeps more, or other things, than all keys and values of each layer (a window, a state), or
        counts places by itself, padding included.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if "position_ids" not in inspect.signature(base.forward).parameters:
        return None
    ids = torch.tensor([list(tokens)], dtype=torch.long, device=device)
    cache = getattr(model(input_ids=ids, use_cache=True, logits_to_keep=1), "past_key_values", None)
    if cache is None or type(cache) is not DynamicCache:
        return None
    if any(type(layer) is not DynamicLayer for layer in cache.layers):
        return None
    return [(layer.keys, layer.values) for layer in cache.layers]


def expand_prefix(memory: KeyValues, rows: int) -> DynamicCache:
    """Lend what was read to some rows; gradients flow back through it."""
    cache = DynamicCache()
    for number, (keys, values) in enumerate(memory):
        cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), number)
    return cache
