"""Small models and rows to compute losses on, and the plain computation that every other way must equal."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, Qwen2Config

from pipeline.finetune.loss import PairLoss, shared_prefix
from pipeline.finetune.packed_loss import PackedLoss
from pipeline.model.adapters import add_adapter, load_base, seed_everything
from pipeline.model.chat_template import IGNORE_INDEX, Encoded
from pipeline.params import Params

VOCABULARY = 61
SHAPES = {
    "llama": LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=True,
    ),
    "qwen2": Qwen2Config(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=False,
    ),
    "gpt2": GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0, resid_pdrop=0.0,
        embd_pdrop=0.0, attn_pdrop=0.0,
    ),
}  # fmt: skip
COMMON = [7, 8, 9, 10]
ROWS = [
    Encoded([*COMMON, 11, 12, 20, 0], 6),
    Encoded([*COMMON, 13, 21, 22, 23, 0], 5),
    Encoded([*COMMON, 14, 15, 16, 17, 18, 24, 25, 0], 9),
    Encoded([*COMMON, 19, 0], 5),
    Encoded([*COMMON, 26, 27, 0, 28, 29, 30, 31, 0], 10, ((5, 7),)),
    Encoded([*COMMON, 32, 0, 33, 34, 0, 35, 36, 0], 10, ((5, 6), (7, 9))),
]
"""The last two are conversations of which earlier answers are supervised too."""
KINDS = [("llama", "sdpa"), ("llama", "eager"), ("qwen2", "sdpa"), ("gpt2", "sdpa")]


def tiny_model(shape: str, attention: str) -> Any:
    """A tiny model of a kind, with weights large enough that attention matters."""
    torch.manual_seed(5)
    made = AutoModelForCausalLM.from_config(SHAPES[shape], attn_implementation=attention).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return made


def labels_of(row: Encoded) -> list[int]:
    """The labels of a row, a token at a time."""
    spans = [*row.prompt_spans, (row.completion_start, len(row.input_ids))]
    return [
        token if any(start <= place < end for start, end in spans) else IGNORE_INDEX
        for place, token in enumerate(row.input_ids)
    ]


def plain_loss(model: Any, rows: list[Encoded], items: int) -> Tensor:
    """The loss as transformers computes it, a row at a time: labels with -100 on the prompt, nothing shared."""
    total = torch.zeros(())
    for row in rows:
        ids = torch.tensor([row.input_ids])
        labels = torch.tensor([labels_of(row)])
        total = total + model(input_ids=ids, labels=labels).loss * (labels != IGNORE_INDEX).sum()
    return total / items


def right_padded_loss(model: Any, rows: list[Encoded], items: int) -> Tensor:
    """The loss as transformers computes it of one batch that is padded on the right."""
    width = max(len(row.input_ids) for row in rows)
    ids = torch.tensor([row.input_ids + [0] * (width - len(row.input_ids)) for row in rows])
    mask = torch.tensor([[1] * len(row.input_ids) + [0] * (width - len(row.input_ids)) for row in rows])
    labels = torch.tensor([labels_of(row) + [IGNORE_INDEX] * (width - len(row.input_ids)) for row in rows])
    return model(input_ids=ids, attention_mask=mask, labels=labels).loss * (labels != IGNORE_INDEX).sum() / items


def gradients(model: Any, losses: list[Tensor]) -> tuple[float, dict[str, Tensor]]:
    """The sum of some losses and what they accumulate on every parameter."""
    model.zero_grad()
    for loss in losses:
        loss.backward()
    named = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    return sum(float(loss.detach()) for loss in losses), named


def assert_equal_to_1e5(got: tuple[float, dict[str, Tensor]], wanted: tuple[float, dict[str, Tensor]]) -> None:
    """Loss and every gradient agree to a hundred-thousandth of their size."""
    assert got[0] == pytest.approx(wanted[0], rel=1e-5)
    assert got[1].keys() == wanted[1].keys()
    apart = {name: float((got[1][name] - grad).norm() / grad.norm()) for name, grad in wanted[1].items()}
    assert all(far <= 1e-5 for far in apart.values()), apart


def items_of(rows: list[Encoded]) -> int:
    return sum(label != IGNORE_INDEX for row in rows for label in labels_of(row))


def loss_of(params: Params, rows: list[Encoded]) -> PairLoss:
    """A fresh adapter with its loss."""
    seed_everything(params.model, params.finetune.seed)
    model = add_adapter(load_base(Path(params.model.source), params.model), params.finetune)
    return PackedLoss(model, shared_prefix(rows))
