"""Laws of batches: the order of rows, the shared prefix, and a loss that equals the plain computation."""

from itertools import pairwise
from typing import Any

import pytest
import torch

from pipeline.finetune.loss import PairLoss, collate, shared_prefix
from pipeline.finetune.packed_loss import PackedLoss
from pipeline.finetune.sampler import WindowedSampler
from pipeline.model.chat_template import IGNORE_INDEX, Encoded
from tests.support.reference_loss import (
    COMMON,
    KINDS,
    ROWS,
    assert_equal_to_1e5,
    gradients,
    items_of,
    labels_of,
    plain_loss,
    right_padded_loss,
    tiny_model,
)

LENGTHS = [int(length) for length in torch.randint(5, 100, (203,), generator=torch.Generator().manual_seed(1))]


def order(epoch: int, seed: int = 1, batch_size: int = 8, window: int = 8) -> list[int]:
    sampler = WindowedSampler(LENGTHS, batch_size=batch_size, window=window, seed=seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def padding(rows: list[int], batch_size: int = 8) -> int:
    """How many places of the batches hold nothing."""
    batches = [[LENGTHS[row] for row in rows[start : start + batch_size]] for start in range(0, len(rows), batch_size)]
    return sum(max(batch) * len(batch) - sum(batch) for batch in batches)


@pytest.mark.parametrize("window", [1, 8])
@pytest.mark.parametrize("batch_size", [1, 8, 29, 203, 500])
@pytest.mark.parametrize("epoch", [0, 3])
def test_every_row_comes_exactly_once_an_epoch(epoch: int, batch_size: int, window: int) -> None:
    """No row is left out or taken twice, whether or not the batches come out even."""
    assert sorted(order(epoch, batch_size=batch_size, window=window)) == list(range(len(LENGTHS)))
    assert len(WindowedSampler(LENGTHS, batch_size=batch_size, window=8, seed=1)) == len(LENGTHS)


def test_the_next_epoch_has_another_order() -> None:
    """Each epoch, and each seed, has an order of its own, in its batches too and not only in their sequence."""
    orders = [order(0), order(1), order(2), order(0, seed=2)]
    batches = [frozenset(frozenset(rows[start : start + 8]) for start in range(0, 203, 8)) for rows in orders]
    assert len({tuple(rows) for rows in orders}) == len(set(batches)) == 4


def test_the_same_seed_and_epoch_have_the_same_order() -> None:
    """The order is fixed by seed and epoch alone, not by what was drawn before."""
    first = order(1)
    torch.manual_seed(99)
    sampler = WindowedSampler(LENGTHS, batch_size=8, window=8, seed=1)
    list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) == first == list(sampler)


def test_batches_hold_rows_of_like_length() -> None:
    """Sorting within windows leaves less than a third of the padding of shuffled rows."""
    shuffled = torch.randperm(len(LENGTHS), generator=torch.Generator().manual_seed(1)).tolist()
    assert padding(order(0)) < padding(shuffled) / 3


def test_a_window_of_one_batch_leaves_batches_as_the_shuffle_makes_them() -> None:
    """Sorting can be switched off: each batch holds the rows that a plain shuffle puts next to each other."""
    shuffled = torch.randperm(len(LENGTHS), generator=torch.Generator().manual_seed(1_000_003)).tolist()
    batches = {frozenset(shuffled[start : start + 8]) for start in range(0, 203, 8)}
    assert {frozenset(order(0, window=1)[start : start + 8]) for start in range(0, 203, 8)} == batches


def test_long_batches_are_not_all_at_one_end() -> None:
    """The batches are shuffled: the epoch is no run from short rows to long ones."""
    longest = [max(LENGTHS[row] for row in order(0)[start : start + 8]) for start in range(0, 200, 8)]
    rising = sum(first < second for first, second in pairwise(longest))
    assert 6 <= rising <= 18


def test_a_completion_is_never_part_of_the_shared_prefix() -> None:
    """Rows that are equal to the end still share nothing of what is supervised."""
    assert shared_prefix([Encoded([1, 2, 3, 4, 5], 3)] * 2) == [1, 2]


def test_an_earlier_answer_is_never_part_of_the_shared_prefix() -> None:
    """Conversations that begin alike share what stands before the first answer that is learnt, and a token less."""
    row = Encoded([1, 2, 3, 4, 5, 6, 7], 6, ((3, 5),))
    assert shared_prefix([row, row]) == [1, 2]
    assert shared_prefix([row, Encoded(row.input_ids, 6)]) == [1, 2]
    assert shared_prefix([Encoded(row.input_ids, 6)] * 2) == [1, 2, 3, 4, 5]


def test_a_batch_holds_exactly_the_suffixes_their_places_and_their_labels() -> None:
    """A batch is padded on the left, counts places from the end of the prefix, and has labels for its last columns."""
    batch = collate([Encoded([7, 8, 1, 2, 3], 4), Encoded([7, 8, 4, 5, 6, 9], 4)], prefix=2)
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "input_ids": [[0, 1, 2, 3], [4, 5, 6, 9]],
        "attention_mask": [[0, 1, 1, 1], [1, 1, 1, 1]],
        "position_ids": [[2, 2, 3, 4], [2, 3, 4, 5]],
        "labels": [[IGNORE_INDEX, IGNORE_INDEX, 3], [IGNORE_INDEX, 6, 9]],
    }


def test_the_labels_of_a_batch_begin_where_an_earlier_answer_does() -> None:
    """They reach back to the first supervised token of any row, and hold nothing of what stands between answers."""
    batch = collate([Encoded([7, 8, 1, 2, 3, 4], 5, ((3, 4),)), Encoded([7, 8, 4, 5], 3)], prefix=2)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4], [0, 0, 4, 5]]
    assert batch["labels"].tolist() == [
        [IGNORE_INDEX, 2, IGNORE_INDEX, 4],
        [IGNORE_INDEX, IGNORE_INDEX, IGNORE_INDEX, 5],
    ]


@pytest.fixture(params=KINDS, ids="-".join)
def model(request: pytest.FixtureRequest) -> Any:
    return tiny_model(*request.param)


@pytest.mark.parametrize("every_logit", [False, True], ids=["", "every_logit"])
@pytest.mark.parametrize("prefix", [0, 1, 4])
def test_loss_and_gradients_equal_the_plain_computation(model: Any, prefix: int, every_logit: bool) -> None:
    """Sharing the prefix and computing few logits changes neither the loss nor the gradient of any parameter."""
    items = items_of(ROWS)
    loss = PairLoss(model, COMMON[:prefix], every_logit=every_logit)
    got = gradients(model, [loss(**loss.make_batch(ROWS))["loss"]])
    assert_equal_to_1e5(got, gradients(model, [plain_loss(model, ROWS, items)]))
    assert_equal_to_1e5(got, gradients(model, [right_padded_loss(model, ROWS, items)]))


@pytest.mark.parametrize("kind", [PairLoss, PackedLoss])
def test_every_logit_is_computed_only_if_asked_for(model: Any, kind: type[PairLoss]) -> None:
    """The output layer runs on the places that predict what is supervised, or on all of the rows."""
    places: list[int] = []
    model.get_output_embeddings().register_forward_hook(lambda _module, _in, out: places.append(out[..., 0].numel()))
    for every_logit in (False, True):
        loss = kind(model, [], every_logit=every_logit)
        loss(**loss.make_batch(ROWS))
    few, all_of_them = places
    assert all_of_them >= sum(len(row.input_ids) - 1 for row in ROWS)
    assert items_of(ROWS) <= few < all_of_them


@pytest.mark.parametrize("kind", [PairLoss, PackedLoss])
def test_labels_are_smoothed_in_training_only(kind: type[PairLoss]) -> None:
    """The smoothed loss is torch's own; in evaluation the loss is the plain one."""
    model = tiny_model("llama", "sdpa")
    loss = kind(model, COMMON, label_smoothing=0.2)
    total = torch.zeros(())
    for row in ROWS:
        logits, wanted = model(input_ids=torch.tensor([row.input_ids])).logits[0, :-1], torch.tensor(labels_of(row)[1:])
        total += torch.nn.functional.cross_entropy(logits, wanted, label_smoothing=0.2, reduction="sum")
    got = loss.train()(**loss.make_batch(ROWS))["loss"].detach()
    assert float(got) == pytest.approx(float(total.detach()) / items_of(ROWS), rel=1e-5)
    plain = float(plain_loss(model, ROWS, items_of(ROWS)).detach())
    assert loss.eval().value(loss.make_batch(ROWS)) == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize("prefix", [0, 4])
def test_accumulated_batches_equal_one_batch(model: Any, prefix: int) -> None:
    """Given the tokens of the whole step, two batches of unlike size add up to the plain loss of all their rows."""
    items = items_of(ROWS)
    loss = PairLoss(model, COMMON[:prefix])
    parts = [loss(**loss.make_batch(rows), num_items_in_batch=items)["loss"] for rows in (ROWS[:3], ROWS[3:])]
    assert_equal_to_1e5(gradients(model, parts), gradients(model, [plain_loss(model, ROWS, items)]))


def test_what_stands_in_a_padded_place_is_never_read(model: Any) -> None:
    """Another token under the padding gives the same loss, bit for bit."""
    loss, batch = PairLoss(model, COMMON), collate(ROWS, 4)
    first = loss(**batch)["loss"]
    batch["input_ids"][batch["attention_mask"] == 0] = 33
    assert torch.equal(loss(**batch)["loss"], first)
