"""Laws of the prefix: what all prompts begin with, and that lending it changes nothing."""

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Lfm2Config

from pipeline.model.prefix_cache import common_prefix, compute_prefix, expand_prefix
from tests.support.reference_loss import COMMON, KINDS, tiny_model

REST = torch.tensor([[11, 12, 20], [13, 21, 22]])


@pytest.mark.parametrize(
    ("prompts", "shared"),
    [
        ([[1, 2, 3, 4], [1, 2, 3, 5]], [1, 2, 3]),
        ([[1, 2, 3], [1, 2, 3]], [1, 2]),
        ([[1, 2], [1, 2, 3, 4]], [1]),
        ([[1, 2, 3], [2, 2, 3]], []),
        ([[1], [1, 2]], []),
        ([[1, 2, 3]], [1, 2]),
    ],
    ids=["up to the first difference", "equal prompts", "one within the other", "none", "one token", "one row"],
)
def test_the_shared_prefix_leaves_each_prompt_a_token(prompts: list[list[int]], shared: list[int]) -> None:
    """The prefix is the longest beginning of all prompts that leaves each of them at least its last token."""
    assert common_prefix(prompts) == shared


@pytest.mark.parametrize(("shape", "attention"), KINDS)
def test_rows_that_are_lent_a_prefix_go_on_as_if_they_had_read_it(shape: str, attention: str) -> None:
    """The logits behind the prefix are those of the whole rows."""
    model: Any = tiny_model(shape, attention)
    memory = compute_prefix(model, COMMON, model.device)
    assert memory is not None
    places = torch.arange(len(COMMON), len(COMMON) + REST.shape[1]).expand(len(REST), -1)
    with torch.no_grad():
        whole = model(input_ids=torch.cat([torch.tensor([COMMON] * len(REST)), REST], 1)).logits[:, len(COMMON) :]
        behind = model(input_ids=REST, position_ids=places, past_key_values=expand_prefix(memory, len(REST))).logits
    torch.testing.assert_close(behind, whole, rtol=1e-5, atol=1e-5)


def test_what_is_no_keys_and_values_is_not_lent() -> None:
    """A layer that keeps a state instead cannot share it, and says so."""
    mixed = Lfm2Config(
        vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, layer_types=["conv", "full_attention"],
    )  # fmt: skip
    assert compute_prefix(AutoModelForCausalLM.from_config(mixed), COMMON, torch.device("cpu")) is None
