"""Laws of the counts: they are those of the batches that are trained on."""

from pathlib import Path

import pytest

from pipeline.estimate.token_counts import count_tokens, first_epoch_batches
from pipeline.finetune.loss import PairLoss, shared_prefix
from pipeline.model.adapters import load_base
from pipeline.model.chat_template import Encoded
from tests.support.reference_loss import loss_of
from tests.support.tiny_params import tiny_params


@pytest.mark.parametrize("accumulate", [1, 3])
def test_every_row_is_counted_in_the_step_that_trains_on_it(base: Path, rows: list[Encoded], accumulate: int) -> None:
    """An epoch has as many steps as the training takes, and each row stands in exactly one of them."""
    params = tiny_params(base, **{"finetune.gradient_accumulation_steps": accumulate})
    counts = count_tokens(rows, loss_of(params, rows), params.finetune)
    assert len(counts.steps) == -(-15 // accumulate)
    assert sorted(id(row) for step in counts.steps for batch in step.batches for row in batch) == sorted(map(id, rows))
    assert {len(batch) for step in counts.steps for batch in step.batches} == {4}
    assert all(len(step.passes) >= len(step.batches) for step in counts.steps)
    assert counts.tokens == sum(len(row.input_ids) for row in rows)
    assert counts.supervised == sum(len(row.input_ids) - row.completion_start for row in rows)


def test_packed_rows_have_no_padding_and_their_prefix_once_a_pass(base: Path, rows: list[Encoded]) -> None:
    """What goes through the model: each row behind the prefix but for its last token, and the prefix for each pass."""
    params = tiny_params(base)
    counts = count_tokens(rows, loss_of(params, rows), params.finetune)
    prefix = len(shared_prefix(rows))
    behind = sum(len(row.input_ids) - 1 - prefix for row in rows)
    assert (counts.prefix, counts.padded) == (prefix, 0)
    assert counts.places == behind + prefix * sum(len(step.passes) for step in counts.steps)


def test_padded_rows_are_counted_with_their_padding(base: Path, rows: list[Encoded]) -> None:
    """Without packing and sorting, what goes through the model is what plain batches have."""
    off = {"packing": False, "shared_prefix": False, "length_window": 1, "micro_batch_tokens": 10_000}
    params = tiny_params(base, **{f"finetune.{name}": value for name, value in off.items()})
    counts = count_tokens(rows, PairLoss(load_base(base, params.model), []), params.finetune)
    longest = [max(len(row.input_ids) for row in batch) for batch in first_epoch_batches(rows, params.finetune, 1)]
    assert counts.places == counts.plain == 4 * sum(longest)
    assert counts.padded == counts.places - counts.tokens > 0
