"""Laws of the proof: a loss that is not the plain one is refused before it trains, whatever makes it so."""

import re
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from pipeline.errors import UserError
from pipeline.finetune.loss import PairLoss
from pipeline.finetune.loss_check import check_loss
from pipeline.finetune.packed_loss import PackedLoss
from tests.support.reference_loss import COMMON, KINDS, ROWS, tiny_model
from tests.support.unfit_models import UNFIT


@pytest.mark.parametrize("kind", [PairLoss, PackedLoss])
@pytest.mark.parametrize(("shape", "attention"), KINDS)
def test_an_equal_loss_passes(shape: str, attention: str, kind: type[PairLoss]) -> None:
    """It says nothing, and leaves the model as it was: training, its weights and gradients untouched."""
    loss = kind(tiny_model(shape, attention), COMMON).train()
    before = {name: value.clone() for name, value in loss.named_parameters()}
    check_loss(loss, ROWS, 1000)
    assert loss.training
    assert all(torch.equal(value, before[name]) and value.grad is None for name, value in loss.named_parameters())


@pytest.mark.parametrize("config", UNFIT.values(), ids=UNFIT)
def test_a_model_that_packed_rows_would_train_wrongly_is_refused(config: Any) -> None:
    """In one line that names the way out; without packing the same model passes."""
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    check_loss(PairLoss(model, []), ROWS, 1000)
    with pytest.raises(UserError) as caught:
        check_loss(PackedLoss(model, COMMON), ROWS, 1000)
    assert str(caught.value).startswith("finetune.packing: the base model cannot take packed rows: ")
    assert str(caught.value).endswith("; set it to false")
    assert "\n" not in str(caught.value)


class Leaky(PairLoss):
    """A loss that is wrong by a thousandth."""

    def forward(self, **batch: Any) -> dict[str, torch.Tensor]:
        """Compute it wrongly."""
        return {"loss": super().forward(**batch)["loss"] * 1.001}


def test_both_numbers_are_told() -> None:
    """What the rows have alone, what they have together, and what to do."""
    with pytest.raises(UserError) as caught:
        check_loss(Leaky(tiny_model("llama", "sdpa"), COMMON), ROWS, 1000)
    said = re.fullmatch(
        r"model\.source: the base model cannot take padded rows: two rows have another loss together than alone; "
        r"expected (\d\.\d{6}); got (\d\.\d{6}); set finetune\.micro_batch_tokens to 1, so that each row goes alone",
        str(caught.value),
    )
    assert said
    assert float(said[2]) == pytest.approx(float(said[1]) * 1.001, abs=2e-6)
