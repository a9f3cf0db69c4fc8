"""Laws of answering: greedy, in batches, held to the labels, ended by the end of the turn."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SYSTEM
from tiny import tiny_params
from tokenizers.normalizers import NFC
from transformers import PreTrainedTokenizerFast

from pipeline.batches import PairLoss, collate
from pipeline.generate import LabelTrie, Manner, answer, text_of
from pipeline.model import load_base, settle
from pipeline.pairs import Message
from pipeline.prompt import Renderer

TAUGHT = {
    "what colour is the sky?": "blue",
    "what is red?": "the rose is red",
    "grass?": "green",
    "and of what colour, as far as you know, is the sea?": "blue or green",
}
LABELS = ["red", "green", "blue", "blue or green", "blue or red", "is it so ?", "it 's", " padded "]


@pytest.fixture(scope="module")
def renderer(tokenizer: PreTrainedTokenizerFast) -> Renderer:
    return Renderer(tokenizer, SYSTEM)


@pytest.fixture(scope="module")
def untaught(base: Path) -> Any:
    return load_base(base, tiny_params(base).model).eval()


@pytest.fixture(scope="module")
def taught(base: Path, renderer: Renderer) -> Any:
    """The tiny model, trained whole until it knows these few answers by heart."""
    settle(tiny_params(base).model, 1)
    model = load_base(base, tiny_params(base).model).train()
    rows = [renderer.encode((Message("user", question),), said) for question, said in TAUGHT.items()]
    loss, optimizer = PairLoss(model, []), torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        loss(**collate(rows, 0))["loss"].backward()
        optimizer.step()
    return model.eval()


def prompts_of(renderer: Renderer, questions: Sequence[str]) -> list[list[int]]:
    return [renderer.prompt((Message("user", question),)) for question in questions]


@pytest.mark.parametrize("batch_rows", [1, 3, 32])
def test_answers_stop_at_the_end_of_the_turn_and_keep_the_order_of_the_prompts(
    taught: Any, renderer: Renderer, batch_rows: int
) -> None:
    """Each prompt gets its own answer, in its own place, without the end of the turn or anything after it."""
    got = answer(taught, renderer, prompts_of(renderer, list(TAUGHT)), Manner([], 24, batch_rows))
    assert got == list(TAUGHT.values())


def test_answers_do_not_depend_on_the_batch(untaught: Any, taught: Any, renderer: Renderer) -> None:
    """Answered together, padded to the longest, the rows get the answers that each gets alone."""
    questions = [*TAUGHT, "what is red, or blue?", "sky", "the the the the the the the the the the?"]
    prompts = prompts_of(renderer, questions)
    for model in (untaught, taught):
        for labels in ([], LABELS):
            together = answer(model, renderer, prompts, Manner(labels, 12, len(prompts)))
            alone = [answer(model, renderer, [prompt], Manner(labels, 12, 1))[0] for prompt in prompts]
            assert together == alone


def test_a_text_is_no_longer_than_asked(taught: Any, renderer: Renderer) -> None:
    """A text that is not ended in time is cut at `max_new_tokens` tokens."""
    whole = renderer.completion("the rose is red")
    got = answer(taught, renderer, prompts_of(renderer, ["what is red?"]), Manner([], 3, 1))
    assert got == [renderer.tokenizer.decode(whole[:3])]


def test_with_labels_every_answer_is_a_label(untaught: Any, renderer: Renderer) -> None:
    """Even a model that knows nothing says nothing but labels, letter for letter, blanks too."""
    questions = [f"question {number}, {'what ' * (number % 7)}?" for number in range(40)]
    got = answer(untaught, renderer, prompts_of(renderer, questions), Manner(LABELS, 1, 8))
    assert len(got) == 40
    assert set(got) <= set(LABELS)


@pytest.mark.parametrize("label", LABELS)
def test_a_label_can_be_said_whole_whatever_the_limit_of_texts(untaught: Any, renderer: Renderer, label: str) -> None:
    """A label ends by itself: with one to choose from, that is the answer, however few tokens texts may have."""
    assert answer(untaught, renderer, prompts_of(renderer, ["which?"]), Manner([label], 1, 1)) == [label]


def test_a_label_stays_the_label_whatever_the_tokenizer_makes_of_its_letters(
    tokenizer: PreTrainedTokenizerFast, untaught: Any
) -> None:
    """A tokenizer that composes letters, as Qwen's does, does not turn a label into something that is none."""
    composing = copy.deepcopy(tokenizer)
    composing.backend_tokenizer.normalizer = NFC()
    renderer = Renderer(composing, SYSTEM)
    decomposed = "cafe\u0301"
    assert answer(untaught, renderer, prompts_of(renderer, ["where?"]), Manner([decomposed], 1, 1)) == [decomposed]


def test_a_taught_model_chooses_the_label_that_it_was_taught(taught: Any, renderer: Renderer) -> None:
    """Held to the labels, the model still chooses by what it knows, even where one label begins another."""
    got = answer(
        taught, renderer, prompts_of(renderer, list(TAUGHT)[::3]), Manner(["red", "blue", "blue or green"], 1, 2)
    )
    assert got == ["blue", "blue or green"]


def test_no_prompts_get_no_answers(untaught: Any, renderer: Renderer) -> None:
    """Nothing asked, nothing said."""
    assert answer(untaught, renderer, [], Manner(LABELS, 4, 8)) == []


def test_the_trie_allows_exactly_the_labels() -> None:
    """After any beginning of a label come the tokens that go on with one, after a whole one only the stop."""
    allowed = LabelTrie([[5, 6, 9], [5, 7, 8, 9], [5, 9]]).allowed(prompt_tokens=2, stop=9)
    said = {(): [5], (5,): [6, 7, 9], (5, 6): [9], (5, 7): [8], (5, 7, 8): [9], (5, 9): [9], (5, 6, 9, 9): [9]}
    assert {begun: allowed(0, torch.tensor([1, 1, *begun])) for begun in said} == said


@pytest.mark.parametrize(
    ("tokens", "text"),
    [("blue<|im_end|>", "blue"), ("blue<|im_end|>red<|im_end|>", "blue"), ("blue", "blue"), ("<|im_end|>blue", "")],
)
def test_a_text_ends_with_the_end_of_its_turn(renderer: Renderer, tokens: str, text: str) -> None:
    """What comes after the first end of a turn is no part of the answer, and neither is the end."""
    ids = renderer.tokenizer(tokens, add_special_tokens=False)["input_ids"]
    assert text_of(renderer, ids) == text
