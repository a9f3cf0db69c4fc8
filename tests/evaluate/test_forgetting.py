"""Laws of forgetting: a model forgets nothing against itself, and noise in its weights is seen."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import UserError
from pipeline.evaluate.forgetting import accuracy_change, loss_increase, measure_forgetting
from pipeline.evaluate.general_knowledge import (
    QUESTIONS_FILE,
    TEXTS_FILE,
    ProbeQuestion,
    ProbeResult,
    ProbeText,
    read_probe,
    read_probe_lines,
)
from pipeline.files import read_json
from pipeline.model.adapters import load_base, load_merged
from pipeline.model.chat_template import load_tokenizer
from pipeline.stats.paired_comparison import ComparisonSettings
from tests.support.repositories import PROJECT
from tests.support.tiny_params import finished, tiny_params

pytestmark = pytest.mark.usefixtures("imported_is_no_garbage")

TERMS = ComparisonSettings(200, 1, 0.95, 0.02)
GENERAL = PROJECT / "data" / "general"


def fresh(base: Path, noise: float = 0.0) -> Any:
    """Load the tiny model, its weights moved by chance."""
    model = load_merged(load_base(base, tiny_params(base).model), None)
    torch.manual_seed(1)
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(noise * torch.randn_like(weights))
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Texts and questions whose words the tiny model knows."""
    (tmp_path / TEXTS_FILE).write_text('{"text": "what colour is the sky on day 3?"}\n{"text": "the sea is blue"}\n')
    (tmp_path / QUESTIONS_FILE).write_text('{"question": "the sky is", "options": ["blue", "red"], "answer": 0}\n')
    return tmp_path


def test_a_model_forgets_nothing_against_itself(base: Path, folder: Path) -> None:
    """No rise, no change, both with an interval of their own."""
    found = measure_forgetting(
        read_probe(folder), lambda: fresh(base), lambda: fresh(base), load_tokenizer(base), TERMS
    )
    assert {found["texts"]["rise"][end] for end in ("value", "low", "high")} == {0}
    assert (found["questions"]["change"]["difference"], found["questions"]["n"]) == (0, 1)
    assert found["texts"]["before"] == found["texts"]["after"]
    assert set(found["digests"]) == {TEXTS_FILE, QUESTIONS_FILE}


def test_noise_in_the_weights_raises_the_loss(base: Path, folder: Path) -> None:
    """The more, the more; before and after differ by the rise."""
    tokenizer, rises = load_tokenizer(base), []
    for noise in (0.0, 0.3, 2.0):
        after = lambda noise=noise: fresh(base, noise)  # noqa: E731 -- one model at a time in memory
        texts = measure_forgetting(read_probe(folder), lambda: fresh(base), after, tokenizer, TERMS)["texts"]
        assert texts["after"]["value"] - texts["before"]["value"] == pytest.approx(texts["rise"]["value"], abs=1e-9)
        rises.append(texts["rise"]["value"])
    assert rises == sorted(rises)
    assert rises[-1] > 0.5


def test_without_files_nothing_is_measured_and_nothing_loaded(tmp_path: Path) -> None:
    """Both are null."""
    assert measure_forgetting(read_probe(tmp_path), pytest.fail, pytest.fail, None, TERMS) == {
        "texts": None, "questions": None, "digests": {},
    }  # fmt: skip


def test_the_rise_is_of_all_tokens_and_its_interval_is_paired() -> None:
    """Long texts count for more; texts that all rose alike leave no doubt, however they differ among each other."""
    tokens, losses = np.array([10.0, 90.0, 30.0]), np.array([50.0, 90.0, 60.0])
    before, after = ProbeResult(losses, tokens, np.array([])), ProbeResult(losses + 0.25 * tokens, tokens, np.array([]))
    found = loss_increase(before, after, TERMS)
    assert found["before"]["value"] == pytest.approx(200 / 130)
    assert [found["rise"][end] for end in ("value", "low", "high")] == pytest.approx([0.25] * 3)
    assert found["before"]["high"] - found["before"]["low"] > 0.5


def test_the_change_is_that_of_the_fine_tuned_model() -> None:
    """Three questions lost, one gained."""
    before, after = (
        ProbeResult(np.zeros(0), np.zeros(0), np.array(right)) for right in ([1.0] * 8 + [0], [0.0] * 3 + [1] * 6)
    )
    found = accuracy_change(before, after, TERMS)
    assert (found["before"]["value"], found["after"]["value"]) == (pytest.approx(8 / 9), pytest.approx(6 / 9))
    assert (found["change"]["better"], found["change"]["worse"]) == (1, 3)


def test_the_evaluation_writes_what_was_forgotten(base: Path) -> None:
    """Of the texts in the folder that params name; there are no questions."""
    data = finished(base)[1]
    found = read_json(data / "evaluate" / "forgetting.json")
    assert found["texts"]["n"] == len(read_probe_lines(data / "general" / TEXTS_FILE, ProbeText)) > 0
    assert found["questions"] is None
    assert found["texts"]["rise"]["value"] != 0


def test_the_texts_and_questions_of_the_project_are_fit() -> None:
    """No two alike, and the right option stands in every place about as often."""
    texts, questions = (
        read_probe_lines(GENERAL / TEXTS_FILE, ProbeText),
        read_probe_lines(GENERAL / QUESTIONS_FILE, ProbeQuestion),
    )
    assert len({text.text for text in texts}) == len(texts) >= 40
    assert len({one.question for one in questions}) == len(questions) >= 60
    assert all(len(set(one.options)) == 4 for one in questions)
    places = [one.answer for one in questions]
    assert max(map(places.count, range(4))) - min(map(places.count, range(4))) <= 1


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_few_texts_cover_a_rise_as_often_as_many(n: int) -> None:
    """Of 1,000 simulated sets the upper end, which the gate goes by, lies below the truth in 2.5 of 100, and chance."""
    random, below = np.random.default_rng(7), 0
    for _ in range(1000):
        tokens, before = random.integers(20, 60, n).astype(float), np.full(n, 90.0)
        after = before + tokens * random.normal(0.4, 0.1, n)
        found = loss_increase(
            ProbeResult(before, tokens, before),
            ProbeResult(after, tokens, before),
            ComparisonSettings(100, 1, 0.95, 0.02),
        )
        below += found["rise"]["high"] < 0.4
    assert below <= 40


def test_one_text_alone_is_refused(tmp_path: Path) -> None:
    """Nothing of it is sure."""
    (tmp_path / TEXTS_FILE).write_text('{"text": "the sea is blue"}\n', encoding="utf-8")
    with pytest.raises(UserError, match="one text alone shows nothing; expected dozens, or none"):
        read_probe(tmp_path)
