"""Laws of general texts and questions: scored as a model by itself scores them, refused where they are malformed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import UserError
from pipeline.evaluate import general_knowledge
from pipeline.evaluate.general_knowledge import (
    ProbeQuestion,
    ProbeText,
    continuation_log_likelihoods,
    encode_plain,
    read_probe_lines,
    run_probe,
)
from pipeline.model.adapters import load_base, load_merged
from pipeline.model.chat_template import load_tokenizer
from tests.support.tiny_params import tiny_params

pytestmark = pytest.mark.usefixtures("imported_is_no_garbage")

TEXTS = [
    ProbeText(text="what colour is the sky on day 3?"),
    ProbeText(text="the sea is blue"),
    ProbeText(text="name the colour of ice"),
]
QUESTIONS = [
    ProbeQuestion(question="what colour is the sky?", options=("blue", "red and green"), answer=0),
    ProbeQuestion(question="the rose is", options=("the sea", "red", "what"), answer=1),
]


@pytest.fixture(scope="module")
def model(base: Path) -> Any:
    return load_merged(load_base(base, tiny_params(base).model), None)


@pytest.fixture(scope="module")
def words(base: Path) -> Any:
    return load_tokenizer(base)


def alone(model: Any, before: list[int], after: list[int]) -> float:
    """The log-likelihood of what follows, by the model's own forward pass on one row."""
    with torch.inference_mode():
        likely = model(input_ids=torch.tensor([[*before, *after]])).logits[0].double().log_softmax(1)
    return float(sum(likely[len(before) - 1 + place, token] for place, token in enumerate(after)))


@pytest.mark.parametrize("tokens", [1, 24, 1024])
def test_the_batch_changes_no_likelihood(model: Any, words: Any, monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    """One row at a time or all at once: what the model says of each by itself."""
    monkeypatch.setattr(general_knowledge, "PROBE_BATCH_TOKENS", tokens)
    rows = [(ids[:cut], ids[cut:]) for cut, ids in enumerate((encode_plain(words, one.text) for one in TEXTS), 1)]
    assert continuation_log_likelihoods(model, rows) == pytest.approx([alone(model, *row) for row in rows], rel=1e-5)


def test_a_text_costs_what_its_tokens_cost_but_for_the_first(model: Any, words: Any) -> None:
    """As transformers' own loss of the same tokens has it."""
    found = run_probe(model, words, TEXTS, [])
    for text, loss, tokens in zip(TEXTS, found.text_losses, found.text_tokens, strict=True):
        ids = torch.tensor([encode_plain(words, text.text)])
        assert tokens == ids.shape[1] - 1
        with torch.inference_mode():
            wanted = float(model(input_ids=ids, labels=ids).loss)
        assert loss / tokens == pytest.approx(wanted, rel=1e-5)


def test_a_question_is_answered_with_the_option_likeliest_for_its_length(model: Any, words: Any) -> None:
    """By the bytes of the option; which one is right changes nothing but whether it counts."""
    chosen = []
    for one in QUESTIONS:
        before = encode_plain(words, one.question)
        likely = [alone(model, before, encode_plain(words, f" {option}")) / len(option) for option in one.options]
        chosen.append(int(np.argmax(likely)))
    right = [one.model_copy(update={"answer": place}) for one, place in zip(QUESTIONS, chosen, strict=True)]
    wrong = [one.model_copy(update={"answer": (place + 1) % 2}) for one, place in zip(QUESTIONS, chosen, strict=True)]
    assert run_probe(model, words, [], right).correct.tolist() == [1, 1]
    assert run_probe(model, words, [], wrong).correct.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "Invalid JSON"), ('{"question": "a", "options": ["b"], "answer": 0}', "options: Tuple should have"),
        ('{"question": "a", "options": ["b", "c"], "answer": 2}', "answer is 2, and there are 2 options"),
        ('{"question": "", "options": ["b", "c"], "answer": 1}', "question: String should have at least 1"),
        ('{"text": "a"}', "question: Field required"),
    ],
)  # fmt: skip
def test_a_malformed_line_is_named(tmp_path: Path, line: str, what: str) -> None:
    """The file, the line, and what is wrong with it, in one line."""
    good = json.dumps(QUESTIONS[0].model_dump())
    (tmp_path / "questions.jsonl").write_text(f"{good}\n{line}\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_probe_lines(tmp_path / "questions.jsonl", ProbeQuestion)
    assert f"{tmp_path / 'questions.jsonl'}, line 2: " in str(caught.value)
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_has_nothing_in_it_has_no_lines(tmp_path: Path) -> None:
    """Nobody needs to have any."""
    assert read_probe_lines(tmp_path / "texts.jsonl", ProbeText) == []
    (tmp_path / "texts.jsonl").write_text("\n", encoding="utf-8")
    assert read_probe_lines(tmp_path / "texts.jsonl", ProbeText) == []
