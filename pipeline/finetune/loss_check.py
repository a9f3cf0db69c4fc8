"""Checks the optimized loss against the plain computation on two rows before training starts."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.errors import UserError
from pipeline.finetune.loss import PairLoss, cross_entropy
from pipeline.finetune.trainer import micro_batches
from pipeline.model.adapters import training_device
from pipeline.model.chat_template import Encoded, training_labels
from pipeline.model.packed_attention import LAYOUT_ERRORS

LOSS_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 1e-2}
"""How far the two may be apart, relative to the loss: what rounding does, and no more."""


def check_loss(loss: PairLoss, rows: Sequence[Encoded], tokens: int) -> None:
    """Compute the loss of the shortest and the longest row in passes of so many tokens and each alone, and compare.

    A layer that carries something from row to row, reads what is padded, or looks back less far than the longest row
    shows in the difference, whatever it is called.

    Raises:
        UserError: If the two are not equal but for rounding.
    """
    chosen = [min(rows, key=lambda row: len(row.input_ids)), max(rows, key=lambda row: len(row.input_ids))]
    was_training = loss.training
    loss.eval()
    with torch.no_grad():
        items = sum(len(row.supervised_ids) for row in chosen)
        wanted = sum(float(reference_loss(loss, row)) for row in chosen) / items
        try:
            got = sum(loss.value(one, items) for one in micro_batches(loss, tokens)(chosen)["passes"])
        except LAYOUT_ERRORS as error:
            raise UserError(loss.error_param, f"{loss.error_message}: {error}", do=loss.error_remedy) from error
    loss.train(was_training)
    if math.isfinite(wanted) and not math.isclose(got, wanted, rel_tol=LOSS_TOLERANCE.get(loss.model.dtype, 1e-2)):
        raise UserError(
            loss.error_param,
            f"{loss.error_message}: two rows have another loss together than alone",
            expected=f"{wanted:.6f}",
            got=f"{got:.6f}",
            do=loss.error_remedy,
        )


def reference_loss(loss: PairLoss, row: Encoded) -> Tensor:
    """Sum the cross-entropy of the supervised tokens of one row, computed by itself from its first token on."""
    ids = torch.tensor([row.input_ids], device=training_device())
    first = len(row.leading_ids)
    logits = loss.model(input_ids=ids, use_cache=False).logits[:, first - 1 : -1]
    return cross_entropy(logits, torch.tensor([training_labels(row, first)], device=training_device()), 1)
