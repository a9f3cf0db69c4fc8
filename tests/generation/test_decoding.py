"""Laws of reading together: each row has its own past, whoever reads beside it or has left."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from pipeline.generation.decoding import DecodingBatch, can_pack
from pipeline.model.prefix_cache import compute_prefix
from tests.support.reference_loss import COMMON, KINDS, tiny_model
from tests.support.unfit_models import UNFIT

CHUNKS = [[[11, 12], [20]], [[13, 14, 15, 16, 17], [21, 22]], [[18], [23, 24, 25]]]
"""For each of three rows, what it reads first and what it reads then."""


@pytest.fixture(params=KINDS, ids="-".join)
def model(request: pytest.FixtureRequest) -> Any:
    return tiny_model(*request.param)


def after(model: Any, tokens: Sequence[int]) -> torch.Tensor:
    """Logits after each token of one row, computed from scratch."""
    return model(input_ids=torch.tensor([list(tokens)])).logits[0]


@pytest.mark.parametrize("prefix", [[], COMMON], ids=["no prefix", "prefix"])
@torch.no_grad()
def test_each_row_goes_on_from_its_own_past(model: Any, prefix: list[int]) -> None:
    """Rows of unlike length that read twice have the logits that each has by itself, at every new token."""
    reading = DecodingBatch(model, compute_prefix(model, prefix, model.device) if prefix else None, len(CHUNKS))
    first = reading.forward([chunks[0] for chunks in CHUNKS], 1)
    then = reading.forward([chunks[1] for chunks in CHUNKS], 3)
    for row, (begun, more) in enumerate(CHUNKS):
        alone = after(model, [*prefix, *begun, *more])
        torch.testing.assert_close(first[row, -1], alone[len(prefix) + len(begun) - 1], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(then[row, -len(more) :], alone[-len(more) :], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prefix", [[], COMMON], ids=["no prefix", "prefix"])
@torch.no_grad()
def test_rows_that_begin_packed_go_on_as_if_each_had_begun_alone(model: Any, prefix: list[int]) -> None:
    """Without a padded place, each prompt has the logits that it has by itself, and so has what is read after it."""
    places: list[int] = []
    model.get_input_embeddings().register_forward_hook(lambda _module, _in, out: places.append(out[..., 0].numel()))
    reading = DecodingBatch(model, compute_prefix(model, prefix, model.device) if prefix else None, len(CHUNKS))
    places.clear()
    first = reading.prefill_packed([chunks[0] for chunks in CHUNKS])
    assert places == [sum(len(begun) for begun, _ in CHUNKS)]
    then = reading.forward([chunks[1] for chunks in CHUNKS], 3)
    reading.keep_rows([0, 2])
    last = reading.forward([[30], [31]], 1)
    for row, (begun, more) in enumerate(CHUNKS):
        alone = after(model, [*prefix, *begun, *more])
        torch.testing.assert_close(first[row], alone[len(prefix) + len(begun) - 1], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(then[row, -len(more) :], alone[-len(more) :], rtol=1e-4, atol=1e-5)
    for place, (row, token) in enumerate(((0, 30), (2, 31))):
        alone = after(model, [*prefix, *CHUNKS[row][0], *CHUNKS[row][1], token])
        torch.testing.assert_close(last[place, -1], alone[-1], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_model_that_cannot_begin_packed_is_seen() -> None:
    """Windows shorter than a prompt, in the attention or in the mask alone, and attention of one's own."""
    prompts = [[11, 12], [13, 14, 15, 16, 17, 18, 19, 20]]
    assert can_pack(tiny_model("llama", "sdpa"), None, prompts)
    for kind in ("a window", "a window in the mask alone", "attention of its own"):
        assert not can_pack(AutoModelForCausalLM.from_config(UNFIT[kind]).eval(), None, prompts), kind


@torch.no_grad()
def test_those_who_stay_do_not_notice_who_leaves(model: Any) -> None:
    """After a row has left, the others go on from their own past."""
    reading = DecodingBatch(model, compute_prefix(model, COMMON, model.device), len(CHUNKS))
    reading.forward([chunks[0] for chunks in CHUNKS], 1)
    reading.keep_rows([0, 2])
    then = reading.forward([CHUNKS[0][1], CHUNKS[2][1]], 1)
    for place, row in enumerate((0, 2)):
        alone = after(model, [*COMMON, *CHUNKS[row][0], *CHUNKS[row][1]])
        torch.testing.assert_close(then[place, -1], alone[-1], rtol=1e-4, atol=1e-5)
