"""Laws of answering: greedy, in batches, held to the labels, ended by the end of the turn."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.normalizers import NFC
from transformers import AutoModelForCausalLM, MistralConfig, PreTrainedTokenizerFast

from pipeline.errors import UserError
from pipeline.finetune.loss import PairLoss, collate
from pipeline.generation.generate import GenerationConfig, answer_prompts, decode_text, generate_with_transformers
from pipeline.generation.label_trie import LabelTrie
from pipeline.model.adapters import load_base, seed_everything
from pipeline.model.chat_template import PromptEncoder
from pipeline.model.prefix_cache import compute_prefix
from pipeline.pairs import Message
from tests.support.chat import SYSTEM
from tests.support.tiny_params import tiny_params

TAUGHT = {
    "what colour is the sky?": "blue",
    "what is red?": "the rose is red",
    "grass?": "green",
    "and of what colour, as far as you know, is the sea?": "blue or green",
}
QUESTIONS = [*TAUGHT, "red, or blue?", "sky", *(f"{'what ' * (n % 5)}colour is it on day {n}?" for n in range(30))]
LABELS = ["red", "green", "blue", "blue or green", "blue or red", "is it so ?", "it 's", " padded "]


@pytest.fixture(scope="module")
def renderer(tokenizer: PreTrainedTokenizerFast) -> PromptEncoder:
    return PromptEncoder(tokenizer, SYSTEM)


@pytest.fixture(scope="module")
def untaught(base: Path) -> Any:
    return load_base(base, tiny_params(base).model).eval()


@pytest.fixture(scope="module")
def taught(base: Path, renderer: PromptEncoder) -> Any:
    """The tiny model, trained whole until it knows these few answers by heart."""
    seed_everything(tiny_params(base).model, 1)
    model = load_base(base, tiny_params(base).model).train()
    rows = [renderer.encode((Message("user", question),), said) for question, said in TAUGHT.items()]
    loss, optimizer = PairLoss(model, []), torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        loss(**collate(rows, 0))["loss"].backward()
        optimizer.step()
    return model.eval()


def prompts_of(renderer: PromptEncoder, questions: Sequence[str]) -> list[list[int]]:
    return [renderer.encode_prompt((Message("user", question),)) for question in questions]


def texts(model: Any, renderer: PromptEncoder, prompts: Sequence[Sequence[int]], manner: GenerationConfig) -> list[str]:
    return [found.text for found in answer_prompts(model, renderer, prompts, manner)]


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_answers_stop_at_the_end_of_the_turn_and_keep_the_order_of_the_prompts(
    taught: Any, renderer: PromptEncoder, batch_size: int
) -> None:
    """Each prompt gets its own answer, in its own place, without the end of the turn or anything after it."""
    got = texts(taught, renderer, prompts_of(renderer, list(TAUGHT)), GenerationConfig([], 24, batch_size))
    assert got == list(TAUGHT.values())


def test_answers_do_not_depend_on_the_batch(untaught: Any, taught: Any, renderer: PromptEncoder) -> None:
    """Answered together, padded to the longest, the rows get the answers that each gets alone."""
    questions = [*TAUGHT, "what is red, or blue?", "sky", "the the the the the the the the the the?"]
    prompts = prompts_of(renderer, questions)
    for model in (untaught, taught):
        for labels in ([], LABELS):
            together = answer_prompts(model, renderer, prompts, GenerationConfig(labels, 12, len(prompts)))
            alone = [
                answer_prompts(model, renderer, [prompt], GenerationConfig(labels, 12, 1))[0] for prompt in prompts
            ]
            assert together == alone


def test_a_text_is_no_longer_than_asked(taught: Any, renderer: PromptEncoder) -> None:
    """A text that is not ended in time is cut at `max_new_tokens` tokens."""
    whole = renderer.encode_completion("the rose is red")
    got = texts(taught, renderer, prompts_of(renderer, ["what is red?"]), GenerationConfig([], 3, 1))
    assert got == [renderer.tokenizer.decode(whole[:3])]


def test_with_labels_every_answer_is_a_label(untaught: Any, renderer: PromptEncoder) -> None:
    """Even a model that knows nothing says nothing but labels, letter for letter, blanks too."""
    questions = [f"question {number}, {'what ' * (number % 7)}?" for number in range(40)]
    got = texts(untaught, renderer, prompts_of(renderer, questions), GenerationConfig(LABELS, 1, 8))
    assert len(got) == 40
    assert set(got) <= set(LABELS)


@pytest.mark.parametrize("label", LABELS)
def test_a_label_can_be_said_whole_whatever_the_limit_of_texts(
    untaught: Any, renderer: PromptEncoder, label: str
) -> None:
    """A label ends by itself: with one to choose from, that is the answer, however few tokens texts may have."""
    assert texts(untaught, renderer, prompts_of(renderer, ["which?"]), GenerationConfig([label], 1, 1)) == [label]


def test_a_label_stays_the_label_whatever_the_tokenizer_makes_of_its_letters(
    tokenizer: PreTrainedTokenizerFast, untaught: Any
) -> None:
    """A tokenizer that composes letters, as Qwen's does, does not turn a label into something that is none."""
    composing = copy.deepcopy(tokenizer)
    composing.backend_tokenizer.normalizer = NFC()
    renderer = PromptEncoder(composing, SYSTEM)
    decomposed = "cafe\u0301"
    assert texts(untaught, renderer, prompts_of(renderer, ["where?"]), GenerationConfig([decomposed], 1, 1)) == [
        decomposed
    ]


def test_a_taught_model_chooses_the_label_that_it_was_taught(taught: Any, renderer: PromptEncoder) -> None:
    """Held to the labels, the model still chooses by what it knows, even where one label begins another."""
    got = texts(
        taught,
        renderer,
        prompts_of(renderer, list(TAUGHT)[::3]),
        GenerationConfig(["red", "blue", "blue or green"], 1, 2),
    )
    assert got == ["blue", "blue or green"]


def test_no_prompts_get_no_answers(untaught: Any, renderer: PromptEncoder) -> None:
    """Nothing asked, nothing said."""
    assert answer_prompts(untaught, renderer, [], GenerationConfig(LABELS, 4, 8)) == []


def test_the_trie_allows_exactly_the_labels() -> None:
    """After any beginning of a label come the tokens that go on with one, after a whole one only the stop."""
    allowed = LabelTrie([[5, 6, 9], [5, 7, 8, 9], [5, 9]]).prefix_allowed_tokens(prompt_tokens=2, stop=9)
    said = {(): [5], (5,): [6, 7, 9], (5, 6): [9], (5, 7): [8], (5, 7, 8): [9], (5, 9): [9], (5, 6, 9, 9): [9]}
    assert {begun: allowed(0, torch.tensor([1, 1, *begun])) for begun in said} == said


@pytest.mark.parametrize(
    ("tokens", "text"),
    [("blue<|im_end|>", "blue"), ("blue<|im_end|>red<|im_end|>", "blue"), ("blue", "blue"), ("<|im_end|>blue", "")],
)
def test_a_text_ends_with_the_end_of_its_turn(renderer: PromptEncoder, tokens: str, text: str) -> None:
    """What comes after the first end of a turn is no part of the answer, and neither is the end."""
    ids = renderer.tokenizer(tokens, add_special_tokens=False)["input_ids"]
    assert decode_text(renderer, ids) == text


@pytest.mark.parametrize("labels", [[], LABELS, ["red", "green", "blue"], ["blue"]], ids=len)
@pytest.mark.parametrize("knows", [False, True], ids=["untaught", "taught"])
def test_the_answers_are_those_of_generate(
    untaught: Any, taught: Any, renderer: PromptEncoder, labels: list[str], knows: bool
) -> None:
    """A prefix read once, forced tokens taken at once and rows that leave change no answer, nor what a free one is."""
    model, prompts, stop = taught if knows else untaught, prompts_of(renderer, QUESTIONS), renderer.end_of_turn_ids[-1]
    trie = LabelTrie([renderer.encode_completion(label) for label in labels]) if labels else None
    wanted = [
        generate_with_transformers(model, [prompt], trie, stop, trie.max_label_tokens if trie else 12)[0]
        for prompt in prompts
    ]
    read_back = {decode_text(renderer, renderer.encode_completion(label)): label for label in labels}
    for batch_size in (1, 7):
        got = answer_prompts(model, renderer, prompts, GenerationConfig(labels, 12, batch_size))
        told = [decode_text(renderer, said.tokens) for said in wanted]
        assert [found.text for found in got] == [read_back.get(text, text) for text in told]
        assert [found.free for found in got] == [said.unconstrained_match for said in wanted]
        sure = [found.probability for found in got]
        assert sure == ([pytest.approx(said.probability, abs=1e-5) for said in wanted] if labels else [None] * len(got))


def test_an_answer_is_free_if_the_model_says_it_unasked(untaught: Any, taught: Any, renderer: PromptEncoder) -> None:
    """What it was taught comes by itself; what it knows nothing of, only because it is held to the labels."""
    prompts = prompts_of(renderer, ["what colour is the sky?"])
    for model, free in ((taught, True), (untaught, False)):
        (unheld,) = texts(model, renderer, prompts, GenerationConfig([], 12, 1))
        (held,) = answer_prompts(model, renderer, prompts, GenerationConfig(["blue", "red"], 1, 1))
        assert (held.free, held.text == unheld) == (free, free)


@pytest.mark.parametrize("knows", [False, True], ids=["untaught", "taught"])
def test_the_probabilities_of_the_labels_are_one(
    untaught: Any, taught: Any, renderer: PromptEncoder, knows: bool
) -> None:
    """Each label's way down the trie, multiplied up by the plain model, sums to 1; the answer has its own share."""
    model, prompts = taught if knows else untaught, prompts_of(renderer, QUESTIONS)[:3]
    labels = {label: renderer.encode_completion(label) for label in LABELS}
    trie = LabelTrie(list(labels.values()))
    for prompt, found in zip(
        prompts, answer_prompts(model, renderer, prompts, GenerationConfig(LABELS, 1, 2)), strict=True
    ):
        chances = {label: plainly(model, prompt, tokens, trie) for label, tokens in labels.items()}
        assert sum(chances.values()) == pytest.approx(1)
        assert found.probability == pytest.approx(chances[found.text], abs=1e-5)


def plainly(model: Any, prompt: list[int], label: list[int], trie: LabelTrie) -> float:
    """The probability of a label: at each token, of what may follow, read from one plain pass."""
    with torch.inference_mode():
        logits = model(torch.tensor([[*prompt, *label]])).logits[0]
    found = 1.0
    for place, token in enumerate(label):
        following = trie.next_tokens[tuple(label[:place])]
        found *= float(logits[len(prompt) + place - 1][following].double().softmax(0)[following.index(token)])
    return found


def test_a_model_that_keeps_more_than_keys_and_values_answers_through_generate(renderer: PromptEncoder) -> None:
    """A window or a state cannot be lent; such a model answers all the same, each prompt as it would alone."""
    small = {
        "vocab_size": len(renderer.tokenizer), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2,
    }  # fmt: skip
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(MistralConfig(**small, sliding_window=6)).eval()
    prompts = prompts_of(renderer, ["what colour is the sky?", "and the sea?"])
    assert compute_prefix(model, prompts[0], model.device) is None
    together = texts(model, renderer, prompts, GenerationConfig(["red", "blue"], 1, 2))
    assert together == [
        texts(model, renderer, [prompt], GenerationConfig(["red", "blue"], 1, 1))[0] for prompt in prompts
    ]


def test_what_the_template_writes_before_the_end_of_a_turn_is_no_part_of_the_answer(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    """A template that ends an answer with a blank and a special token, as Llama 2's does, adds no blank to it."""
    spaced = copy.deepcopy(tokenizer)
    spaced.chat_template = tokenizer.chat_template.replace("'<|im_end|>", "' <|im_end|>")
    renderer = PromptEncoder(spaced, SYSTEM)
    assert len(renderer.end_of_turn_ids) == 2
    assert decode_text(renderer, renderer.encode_completion("blue")) == "blue"
    assert decode_text(renderer, renderer.encode_completion("blue")[:-2]) == "blue"


def test_labels_that_a_tokenizer_makes_one_are_a_problem(tokenizer: PreTrainedTokenizerFast, untaught: Any) -> None:
    """One of the two could never be answered."""
    composing = copy.deepcopy(tokenizer)
    composing.backend_tokenizer.normalizer = NFC()
    renderer = PromptEncoder(composing, SYSTEM)
    with pytest.raises(UserError) as caught:
        answer_prompts(
            untaught, renderer, prompts_of(renderer, ["where?"]), GenerationConfig(["caf\u00e9", "cafe\u0301"], 1, 1)
        )
    assert str(caught.value) == "the labels: 'caf\u00e9' has the same tokens as another; write the two in one way"
