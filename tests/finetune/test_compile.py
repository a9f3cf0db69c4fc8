"""Laws of compiled layers: they compute the same, one graph serves them all, without a compiler there is a reason."""

import pytest
import torch
from transformers import LlamaConfig

from pipeline.errors import UserError
from pipeline.finetune.compile import compile_layers, compiler_version, require_compiler
from pipeline.finetune.loss import PairLoss
from pipeline.finetune.packed_loss import PackedLoss
from tests.support.reference_loss import COMMON, ROWS, SHAPES, assert_equal_to_1e5, gradients, tiny_model


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "prefix"), [(PackedLoss, COMMON), (PairLoss, [])])
def test_compiled_layers_have_the_same_loss_and_gradients(
    kind: type[PairLoss], prefix: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All layers by one graph, also on batches of another shape, for which nothing is compiled anew."""
    monkeypatch.setitem(SHAPES, "llama", LlamaConfig(**{**SHAPES["llama"].to_dict(), "num_hidden_layers": 4}))
    torch._dynamo.reset()
    plain, compiled = (kind(tiny_model("llama", "sdpa"), prefix) for _ in range(2))
    compile_layers(compiled.model)
    torch._dynamo.utils.counters.clear()
    for rows in (ROWS, ROWS[:2], ROWS[1:]):
        wanted, got = (gradients(loss.model, [loss(**loss.make_batch(rows))["loss"]]) for loss in (plain, compiled))
        assert_equal_to_1e5(got, wanted)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_a_model_without_layers_of_transformers_is_refused() -> None:
    """There is nothing to compile one by one."""
    with pytest.raises(UserError) as caught:
        compile_layers(torch.nn.Linear(2, 2))
    assert str(caught.value) == (
        "finetune.compile: the base model has no layers that can be compiled one by one; set it to false"
    )


def test_without_a_compiler_there_is_a_reason() -> None:
    """The one line says what to do."""
    torch._dynamo.reset()
    with torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",)}), pytest.raises(UserError) as caught:
        require_compiler()
    assert str(caught.value).startswith("finetune.compile: nothing can be compiled here: ")
    assert str(caught.value).endswith("; install g++ and Python's headers, or set it to false")
    assert "\n" not in str(caught.value)


def test_the_compiler_tells_its_version() -> None:
    """What the bytes depend on is a line with a number in it."""
    assert any(letter.isdigit() for letter in compiler_version())
