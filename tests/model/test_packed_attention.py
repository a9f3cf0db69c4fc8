"""Laws of packed rows: the same loss and gradients as the plain computation, rows kept apart, or a refusal."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, Lfm2Config, MistralConfig

from pipeline.errors import UserError
from pipeline.finetune.packed_loss import PackedLoss
from pipeline.model.chat_template import IGNORE_INDEX, Encoded
from pipeline.model.packed_attention import pack_rows
from tests.support.reference_loss import (  # fmt: skip
    COMMON,
    KINDS,
    ROWS,
    VOCABULARY,
    assert_equal_to_1e5,
    gradients,
    items_of,
    plain_loss,
    right_padded_loss,
    tiny_model,
)

SMALL = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2,
}  # fmt: skip


@pytest.fixture(params=KINDS, ids="-".join)
def model(request: pytest.FixtureRequest) -> Any:
    return tiny_model(*request.param)


@pytest.mark.parametrize("every_logit", [False, True], ids=["", "every_logit"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "checkpointing"])
@pytest.mark.parametrize("prefix", [0, 1, 4])
def test_loss_and_gradients_equal_the_plain_computation(
    model: Any, prefix: int, checkpointing: bool, every_logit: bool
) -> None:
    """Packing changes neither the loss nor the gradient of any parameter, also where activations are computed twice."""
    items = items_of(ROWS)
    wanted = [gradients(model, [loss(model, ROWS, items)]) for loss in (plain_loss, right_padded_loss)]
    if checkpointing:
        model.train().activation_checkpointing_enable()
    loss = PackedLoss(model, COMMON[:prefix], every_logit=every_logit)
    got = gradients(model, [loss(**loss.make_batch(ROWS))["loss"]])
    for plain in wanted:
        assert_equal_to_1e5(got, plain)


@pytest.mark.parametrize("prefix", [0, 4])
def test_accumulated_passes_equal_one_pass(model: Any, prefix: int) -> None:
    """Given the tokens of the whole step, two passes of unlike size add up to the plain loss of all their rows."""
    items = items_of(ROWS)
    wanted = gradients(model, [plain_loss(model, ROWS, items)])
    loss = PackedLoss(model, COMMON[:prefix])
    parts = [loss(**loss.make_batch(rows), num_items_in_batch=items)["loss"] for rows in (ROWS[:3], ROWS[3:])]
    assert_equal_to_1e5(gradients(model, parts), wanted)


def test_without_a_layout_packed_attention_is_the_plain_one(model: Any) -> None:
    """A model that is set to packed attention answers padded batches as it did before."""
    wanted = gradients(model, [right_padded_loss(model, ROWS, 1)])
    PackedLoss(model, COMMON)
    assert_equal_to_1e5(gradients(model, [right_padded_loss(model, ROWS, 1)]), wanted)


def test_a_packed_batch_holds_exactly_the_tokens_that_the_loss_needs() -> None:
    """The prefix once, then each row behind it without its last token, which predicts nothing; no padding at all."""
    batch = pack_rows([Encoded([7, 8, 1, 2, 3], 4), Encoded([7, 8, 4, 5, 6, 9], 4)], prefix=[7, 8])
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "input_ids": [[7, 8, 1, 2, 4, 5, 6]],
        "position_ids": [[0, 1, 2, 3, 2, 3, 4]],
        "lengths": [2, 3],
        "predicts": [3, 5, 6],
        "labels": [IGNORE_INDEX, 3, 6, 9],
    }


def test_a_packed_conversation_has_labels_for_every_answer() -> None:
    """Logits are asked for before each supervised token, and nowhere else."""
    batch = pack_rows([Encoded([7, 8, 1, 2, 3, 4, 5], 6, ((3, 5),)), Encoded([7, 8, 4, 5], 3)], prefix=[7, 8])
    assert batch["input_ids"].tolist() == [[7, 8, 1, 2, 3, 4, 4]]
    assert batch["predicts"].tolist() == [2, 3, 5, 6]
    assert batch["labels"].tolist() == [IGNORE_INDEX, 2, 3, 5, 5]


def test_rows_of_a_pack_do_not_see_each_other(model: Any) -> None:
    """Whatever stands in the other rows, the logits of one row are the same."""
    loss = PackedLoss(model, COMMON)
    strangers = [Encoded([*COMMON, 33, 34, 35, 0], 6), Encoded([*COMMON, 40, 41, 0], 5)]
    logits: list[Tensor] = []
    model.get_output_embeddings().register_forward_hook(lambda _module, _inputs, out: logits.append(out[0, :2]))
    for others in (ROWS[1:3], strangers):
        loss(**loss.make_batch([ROWS[0], *others]))
    torch.testing.assert_close(*logits, rtol=1e-5, atol=1e-5)


def test_a_model_that_is_not_attention_throughout_is_refused() -> None:
    """Its other layers would carry one row's tokens over into the next."""
    mixed = Lfm2Config(**SMALL, layer_types=["conv", "full_attention"])
    loss = PackedLoss(AutoModelForCausalLM.from_config(mixed), COMMON)
    with pytest.raises(UserError) as caught:
        loss(**loss.make_batch(ROWS))
    assert str(caught.value) == (
        "finetune.packing: the base model cannot take packed rows: 1 of its 2 layers use transformers' attention "
        "interface; set it to false"
    )


def test_rows_longer_than_a_layer_looks_back_are_refused() -> None:
    """A sliding window that is shorter than a row would have to cut within it, which packed attention does not."""
    window = MistralConfig(**SMALL, sliding_window=6)
    loss = PackedLoss(AutoModelForCausalLM.from_config(window), COMMON)
    loss(**loss.make_batch([ROWS[3]]))
    with pytest.raises(UserError) as caught:
        loss(**loss.make_batch(ROWS))
    assert str(caught.value) == (
        "finetune.packing: the base model cannot take packed rows: it looks back 6 tokens, and a row has 11; "
        "set it to false"
    )
