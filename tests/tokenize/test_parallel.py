import copy
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from pipeline.errors import UserError
from pipeline.model.chat_template import PromptEncoder
from pipeline.pairs import Message, Pair
from pipeline.tokenize import parallel
from pipeline.tokenize.parallel import ParallelEncoder
from tests.support.chat import SYSTEM


def pairs(number: int) -> list[Pair]:
    """Different pairs, some of several turns."""
    said = (Message("user", "hello"), Message("assistant", "good morning"))
    return [
        Pair((*(said if n % 3 == 0 else ()), Message("user", f"is {n} red or blue?")), "red" if n % 2 else "blue",
             "colours.jsonl", n, None, b"{}")
        for n in range(number)
    ]  # fmt: skip


@pytest.fixture
def picky(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """A tokenizer whose template refuses one question."""
    found = copy.deepcopy(tokenizer)
    refusal = "{% if messages[-1]['content'] == 'no' %}{{ raise_exception('not no') }}{% endif %}"
    found.chat_template = refusal + tokenizer.chat_template
    return found


@pytest.mark.parametrize("every_turn", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_processes_and_threads_encode_what_one_row_alone_is(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, every_turn: bool
) -> None:
    """In the order of the rows, whoever is ready first; batches are smaller than the rows are many."""
    monkeypatch.setattr("pipeline.model.tokenized.TOKEN_BATCH_ROWS", 7)
    monkeypatch.setattr(parallel, "PARALLEL_FROM_ROWS", 40)
    tokenizer.save_pretrained(tmp_path)
    renderer, rows = PromptEncoder(tokenizer, SYSTEM), pairs(60)
    alone = [(row, renderer.encode(row.messages, row.completion, every_turn=every_turn)) for row in rows]
    for base in (None, tmp_path):
        with ParallelEncoder(renderer, base, every_turn=every_turn, rows=len(rows)) as encode:
            assert list(encode(rows)) == alone


@pytest.mark.parametrize("many", [0, 1000])
def test_a_row_that_the_template_refuses_is_named(
    picky: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    """Among others that it takes, with what it says of it, wherever it was encoded."""
    monkeypatch.setattr(parallel, "PARALLEL_FROM_ROWS", many)
    picky.save_pretrained(tmp_path)
    rows = pairs(5)
    refused = replace(rows[2], row=3, messages=(Message("user", "no"),))
    with pytest.raises(UserError) as caught, ParallelEncoder(PromptEncoder(picky, ""), tmp_path, rows=5) as encode:
        list(encode([*rows[:2], refused, *rows[3:]]))
    assert str(caught.value) == (
        "colours.jsonl row 3: cannot be rendered: model.source: its chat template refuses these turns: not no; "
        "got user; leave prompt.system empty if that is what it refuses, or choose another model"
    )


def test_nothing_is_encoded_of_nothing(tokenizer: PreTrainedTokenizerFast) -> None:
    """No rows give none."""
    with ParallelEncoder(PromptEncoder(tokenizer, SYSTEM)) as encode:
        assert list(encode([])) == []
