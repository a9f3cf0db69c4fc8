"""Laws of the one rendering and the one mask."""

import copy
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from pipeline.errors import UserError
from pipeline.finetune.loss import collate
from pipeline.model.chat_template import IGNORE_INDEX, Encoded, PromptEncoder, load_tokenizer
from pipeline.pairs import Message
from tests.support.chat import CHATML, SYSTEM

ASKED = (Message("user", "what colour is the sky?"),)
OPENING = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n"
QUESTION = "<|im_start|>user\nwhat colour is the sky?<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture
def renderer(tokenizer: PreTrainedTokenizerFast) -> PromptEncoder:
    return PromptEncoder(tokenizer, SYSTEM)


def with_template(tokenizer: PreTrainedTokenizerFast, template: str | None) -> Any:
    """The same tokenizer with another chat template."""
    other = copy.deepcopy(tokenizer)
    other.chat_template = template
    return other


def tokens_of(renderer: PromptEncoder, ids: list[int]) -> list[str]:
    return list(renderer.tokenizer.convert_ids_to_tokens(ids))


def test_the_tokenizer_comes_back_as_it_was(base: Path, tokenizer: Any) -> None:
    """The folder's tokenizer gives the same tokens and has the same template as the one saved there."""
    loaded = load_tokenizer(base)
    text = "<|im_start|>user\nwhat colour is the é🌹?<|im_end|>\n"
    assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert loaded.chat_template == tokenizer.chat_template


def test_a_template_that_asks_for_the_day_is_told_the_same_one_every_day(tokenizer: PreTrainedTokenizerFast) -> None:
    """Else a pair would have other tokens tomorrow, and serving others than training."""
    dated = "{{ 'Today Date: ' + strftime_now('%d %b %Y') + '\n' }}" + CHATML
    assert PromptEncoder(with_template(tokenizer, dated), "").render(ASKED).startswith("Today Date: 26 Jul 2024\n")


def test_the_tokens_of_a_pair_are_exactly_its_rendered_prompt_its_completion_and_the_end_of_the_turn(
    renderer: PromptEncoder,
) -> None:
    """A pair becomes the tokens of its rendered prompt, then of its completion, then the end of the turn; no others."""

    def plain(text: str) -> list[int]:
        return list(renderer.tokenizer(text, add_special_tokens=False)["input_ids"])

    start, end = renderer.tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    system = [start, *plain(f"system\n{SYSTEM}"), end, *plain("\n")]
    user = [start, *plain("user\nwhat colour is the sky?"), end, *plain("\n")]
    prompt = [*system, *user, start, *plain("assistant\n")]
    assert renderer.encode(ASKED, "blue") == Encoded([*prompt, *plain("blue"), end], len(prompt))


def test_the_completion_and_the_end_of_the_turn_are_supervised_and_the_prompt_is_not(renderer: PromptEncoder) -> None:
    """Labels stand on the completion and the end of its turn and nowhere else."""
    encoded = renderer.encode(ASKED, "b or g")
    supervised = encoded.input_ids[encoded.completion_start :]
    assert tokens_of(renderer, supervised) == ["b", "Ġor", "Ġ", "g", "<|im_end|>"]
    assert collate([encoded], prefix=0)["labels"].tolist() == [[IGNORE_INDEX, *supervised]]


def test_padding_is_never_supervised(renderer: PromptEncoder) -> None:
    """In a batch of unlike rows each row's labels are its own answer, behind nothing but ignored places."""
    rows = [renderer.encode(ASKED, completion) for completion in ("blue", "the sky is blue and the grass is green")]
    short, long = ([*row.input_ids[row.completion_start :]] for row in rows)
    labels = collate(rows, prefix=0)["labels"].tolist()
    assert labels == [[IGNORE_INDEX] * (1 + len(long) - len(short)) + short, [IGNORE_INDEX, *long]]


def test_the_end_of_the_turn_is_supervised_even_for_an_empty_completion(renderer: PromptEncoder) -> None:
    """However short the completion is, the model learns to stop."""
    encoded = renderer.encode(ASKED, "")
    assert tokens_of(renderer, encoded.input_ids[encoded.completion_start :]) == ["<|im_end|>"]


@pytest.mark.parametrize(
    ("system", "messages", "text"),
    [
        (SYSTEM, ASKED, OPENING + QUESTION),
        ("", ASKED, QUESTION),
        (
            SYSTEM,
            (Message("system", "Be brief."), *ASKED),
            "<|im_start|>system\nBe brief.<|im_end|>\n" + QUESTION,
        ),
        (
            SYSTEM,
            (Message("user", "hello"), Message("assistant", "yes?"), *ASKED),
            OPENING + "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\nyes?<|im_end|>\n" + QUESTION,
        ),
    ],
    ids=["added", "none to add", "the pair has its own", "once for several turns"],
)
def test_the_system_message_is_added_once_and_not_when_the_pair_has_its_own(
    tokenizer: PreTrainedTokenizerFast, system: str, messages: tuple[Message, ...], text: str
) -> None:
    """The text that the model reads is the template's, with exactly one system message where there is one."""
    assert PromptEncoder(tokenizer, system).render(messages) == text


@pytest.mark.parametrize("completion", ["blue", "", "\n\nblue", " blue", "assistant", "<", "é🌹"])
def test_prompt_tokens_when_answering_equal_those_when_training(renderer: PromptEncoder, completion: str) -> None:
    """No completion changes the tokens of the prompt before it."""
    encoded = renderer.encode(ASKED, completion)
    assert encoded.prompt_ids == renderer.encode_prompt(ASKED)
    assert encoded.input_ids == renderer.encode_prompt(ASKED) + renderer.encode_completion(completion)


def test_a_completion_never_merges_with_the_end_of_its_prompt(tokenizer: PreTrainedTokenizerFast) -> None:
    """Where prompt and completion tokenized as one text would share a token, they still share none."""
    renderer = PromptEncoder(with_template(tokenizer, CHATML.replace("assistant\n'}}{% endif", "is bl'}}{% endif")), "")
    encoded = renderer.encode(ASKED, "ue")
    as_one_text = tokenizer(renderer.render(ASKED) + "ue<|im_end|>", add_special_tokens=False)["input_ids"]
    assert encoded.input_ids != as_one_text
    assert encoded.prompt_ids == renderer.encode_prompt(ASKED)


@pytest.mark.parametrize("completion", ["blue", " blue ", "\nblue\n", "it's blue , or red .", "é🌹"])
def test_the_supervised_tokens_spell_the_completion(renderer: PromptEncoder, completion: str) -> None:
    """Nothing of a completion is lost or added on its way into tokens."""
    assert renderer.tokenizer.decode(renderer.encode_completion(completion)) == completion + "<|im_end|>"


@pytest.mark.parametrize(
    ("after", "end"),
    [("<|im_end|>", ["<|im_end|>"]), ("<|im_end|>\n", ["<|im_end|>"]), ("!\n<|im_end|>", ["!", "Ċ", "<|im_end|>"])],
)
def test_the_end_of_the_turn_is_what_the_template_writes_up_to_its_special_token(
    tokenizer: PreTrainedTokenizerFast, after: str, end: list[str]
) -> None:
    """The end of the turn comes from the template, and what follows its special token is not learnt."""
    template = CHATML.replace("<|im_end|>\n", after.replace("\n", "\\n"))
    renderer = PromptEncoder(with_template(tokenizer, template), "")
    assert tokens_of(renderer, renderer.end_of_turn_ids) == end


NO_TEMPLATE = (
    "model.source: its tokenizer has no chat template; expected an instruct or chat model; "
    "choose one; a plain base model does not know where a turn ends"
)
ENDLESS = "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}{% endfor %}"
NO_END = (
    "model.source: its chat template ends an answer without a special token; "
    "got 'user: a question\\nassistant: an answer\\n'; choose a model whose template marks the end of a turn; "
    "without it the answer never learns to stop"
)


@pytest.mark.parametrize(("template", "error"), [(None, NO_TEMPLATE), (ENDLESS, NO_END)], ids=["none", "endless"])
def test_a_tokenizer_that_cannot_say_where_a_turn_ends_is_refused(
    tokenizer: PreTrainedTokenizerFast, template: str | None, error: str
) -> None:
    """A tokenizer without a template, or with one that never ends a turn, is refused before anything is computed."""
    with pytest.raises(UserError) as caught:
        PromptEncoder(with_template(tokenizer, template), "")
    assert str(caught.value) == error


def test_a_template_that_refuses_the_system_message_is_a_problem(tokenizer: PreTrainedTokenizerFast) -> None:
    """Some models' templates take no system message: that is one line too, with the template's own words."""
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    with pytest.raises(UserError, match=r"^model\.source: .*System role not supported"):
        PromptEncoder(with_template(tokenizer, refusing + CHATML), SYSTEM)
