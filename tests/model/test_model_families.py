"""The mask law on chat templates of every family: what is learnt is the answers and the ends of their turns."""

import copy
import json
from dataclasses import dataclass, replace
from functools import cache

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from pipeline.errors import UserError
from pipeline.model.chat_template import PromptEncoder
from pipeline.pairs import Message
from tests.support.chat import CHATML

LLAMA = (
    "{% for message in messages %}{% set text = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' "
    "+ message['content'] | trim + '<|eot_id|>' %}{% if loop.first %}{% set text = bos_token + text %}{% endif %}"
    "{{ text }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
MISTRAL = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] + '\n\n' %}"
    "{% set turns = messages[1:] %}{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}"
    "{{ bos_token }}{% for message in turns %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + (system if loop.first else '') + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
)
ZEPHYR = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token + '\n' }}"
    "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}"
)
PHI = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)


@dataclass(frozen=True)
class Family:
    """What a family's tokenizer and template are like.

    Args:
        template: Its chat template.
        special: Its special tokens: the first begins a text, the second ends one.
        end: What ends a turn.
        asks: What the model reads last before it answers.
        begins: How often its template writes the token that begins a text.
        takes_system: Whether it takes a system message.
        pieces: Whether blanks belong to words as they do in SentencePiece; else it is byte-level BPE.
        swallows: Whether special tokens take the blanks behind them.
    """

    template: str
    special: tuple[str, ...]
    end: str
    asks: str
    begins: int = 1
    takes_system: bool = True
    pieces: bool = False
    swallows: bool = False


FAMILIES = {
    "chatml": Family(
        CHATML, ("<|bos|>", "<|im_end|>", "<|im_start|>"), "<|im_end|>", "<|im_start|>assistant\n", begins=0
    ),
    "llama": Family(
        LLAMA,
        ("<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"),
        "<|eot_id|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "gemma": Family(
        GEMMA,
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
        "<end_of_turn>",
        "<start_of_turn>model\n",
        takes_system=False,
        pieces=True,
    ),
    "mistral": Family(MISTRAL, ("<s>", "</s>"), "</s>", " [/INST]", pieces=True),
    "zephyr": Family(ZEPHYR, ("<s>", "</s>"), "</s>", "<|assistant|>\n", begins=0, pieces=True),
    "phi": Family(
        PHI,
        ("<s>", "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
        "<|end|>",
        "<|assistant|>\n",
        begins=0,
        swallows=True,
    ),
}
TEXTS = ["the sky is blue and the grass is green", "what colour is the rose, red or blue?", "x\n\n\nx", "system user"]
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Where Llama 3 and its like part a text before they look for tokens."""
SYSTEM = "Name the colour."
ANSWERS = ["blue", "it's blue , or red .", "é🌹 grün", "two\nlines\n\nand more", "assistant"]


@cache
def tokenizer_of(name: str) -> PreTrainedTokenizerFast:
    """A tokenizer of a family, trained here on a few sentences, that puts its first token before every text."""
    family = FAMILIES[name]
    bare = Tokenizer(models.BPE())
    if family.pieces:
        bare.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        blanks = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        bare.decoder = decoders.Sequence(blanks)
    else:
        words = pre_tokenizers.Split(Regex(WORDS), "isolated")
        bare.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(False, use_regex=False)])
        bare.decoder = decoders.ByteLevel()
    alphabet = [] if family.pieces else pre_tokenizers.ByteLevel.alphabet()
    bare.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=340, special_tokens=[*family.special], initial_alphabet=alphabet)
    )
    if family.pieces:
        bare.model = with_bytes(bare)
    begin = family.special[0]
    bare.post_processor = processors.TemplateProcessing(
        f"{begin} $A", special_tokens=[(begin, bare.token_to_id(begin))]
    )
    bare.add_special_tokens([AddedToken(word, special=True, rstrip=family.swallows) for word in family.special])
    first, last, *others = (AddedToken(word, special=True, rstrip=family.swallows) for word in family.special)
    return PreTrainedTokenizerFast(
        tokenizer_object=bare, bos_token=first, eos_token=last, extra_special_tokens=others,
        chat_template=family.template,
    )  # fmt: skip


def with_bytes(bare: Tokenizer) -> models.BPE:
    """Its model with a token for each byte, for characters that it has not seen."""
    learnt = json.loads(bare.to_str())["model"]
    vocabulary = learnt["vocab"] | {f"<0x{byte:02X}>": len(learnt["vocab"]) + byte for byte in range(256)}
    return models.BPE(vocabulary, [tuple(merge) for merge in learnt["merges"]], byte_fallback=True)


@pytest.fixture(params=FAMILIES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def renderer(name: str) -> PromptEncoder:
    return PromptEncoder(tokenizer_of(name), SYSTEM if FAMILIES[name].takes_system else "")


def talk(*answers: str) -> tuple[Message, ...]:
    """A conversation with these answers, up to its next question."""
    turns = [turn for said in answers for turn in (Message("user", f"and the {said}?"), Message("assistant", said))]
    return (*turns, Message("user", "what colour is the sky?"))


@pytest.mark.parametrize("completion", [*ANSWERS, ""])
def test_what_is_learnt_is_the_completion_and_the_end_of_its_turn(
    name: str, renderer: PromptEncoder, completion: str
) -> None:
    """The supervised tokens spell just that; no token of the prompt is among them."""
    row = renderer.encode(talk(), completion)
    assert renderer.tokenizer.decode(row.supervised_ids) == completion + FAMILIES[name].end
    assert row.input_ids == row.leading_ids + row.supervised_ids
    assert row.prompt_spans == ()


@pytest.mark.parametrize("answers", [(), ("blue",), ("blue", "red")])
def test_the_prompt_is_the_one_that_is_served(name: str, renderer: PromptEncoder, answers: tuple[str, ...]) -> None:
    """It is what the template writes for an answer, its tokens and no others, and ends in what asks for one."""
    family, tokenizer, messages = FAMILIES[name], renderer.tokenizer, talk(*answers)
    turns = [{"role": message.role, "content": message.content} for message in messages]
    if family.takes_system:
        turns.insert(0, {"role": "system", "content": SYSTEM})
    served = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    row = renderer.encode(messages, "blue", every_turn=True)
    assert served.endswith(family.asks)
    assert row.prompt_ids == tokenizer(served, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("every_turn", [False, True], ids=["completion", "all_assistant_turns"])
def test_a_text_begins_once(name: str, renderer: PromptEncoder, every_turn: bool) -> None:
    """The template has the say whether there is a token that begins it; the tokenizer, which adds one too, has not."""
    row = renderer.encode(talk("blue"), "red", every_turn=every_turn)
    family = FAMILIES[name]
    assert renderer.tokenizer("a")["input_ids"][0] == renderer.tokenizer.bos_token_id
    assert row.input_ids.count(renderer.tokenizer.bos_token_id) == family.begins
    assert row.input_ids[: family.begins] == [renderer.tokenizer.bos_token_id] * family.begins


@pytest.mark.parametrize("answers", [("blue",), ("blue", "red"), tuple(ANSWERS)], ids=len)
def test_every_answer_of_a_conversation_is_learnt_with_its_end_of_turn(
    name: str, renderer: PromptEncoder, answers: tuple[str, ...]
) -> None:
    """Each span spells an answer and its end, and stands behind just the prompt that the model was given for it."""
    messages = talk(*answers)
    row = renderer.encode(messages, "green", every_turn=True)
    told = [renderer.tokenizer.decode(row.input_ids[start:end]) for start, end in row.spans]
    assert told == [said + FAMILIES[name].end for said in (*answers, "green")]
    for number, (start, _) in enumerate(row.spans):
        assert row.input_ids[:start] == renderer.encode_prompt(messages[: 2 * number + 1])


def test_the_tokens_are_the_same_whatever_is_learnt_of_them(renderer: PromptEncoder) -> None:
    """With every answer or the last one; a row of one turn is the same row."""
    every, last = (renderer.encode(talk(*ANSWERS), "red", every_turn=each) for each in (True, False))
    assert (every.input_ids, every.completion_start) == (last.input_ids, last.completion_start)
    assert renderer.encode(talk(), "red", every_turn=True) == renderer.encode(talk(), "red")


@pytest.mark.parametrize("every_turn", [False, True], ids=["completion", "all_assistant_turns"])
def test_a_pair_has_the_same_tokens_in_any_company(name: str, renderer: PromptEncoder, every_turn: bool) -> None:
    """Pairs encoded together, long and short, of one turn and of several, are those encoded alone."""
    asked = [talk(), talk("blue"), talk(*ANSWERS), (Message("user", "é🌹 " * 200),), (Message("user", ""),)]
    if FAMILIES[name].takes_system:
        asked.append((Message("system", "Be brief."), *talk("red")))
    pairs = [(messages, said) for messages in asked for said in (*ANSWERS, "")]
    alone = [renderer.encode(messages, said, every_turn=every_turn) for messages, said in pairs]
    assert renderer.encode_all(pairs, every_turn=every_turn) == alone
    assert renderer.encode_all(pairs[::-1], every_turn=every_turn) == alone[::-1]


def test_settings_that_others_leave_in_a_tokenizer_change_no_token(renderer: PromptEncoder) -> None:
    """Padding and cutting, as the file of a tokenizer or a caller may ask for."""
    bare, before = renderer.tokenizer.backend_tokenizer, renderer.encode(talk("blue"), "red")
    bare.enable_padding(length=200)
    bare.enable_truncation(4)
    assert renderer.encode(talk("blue"), "red") == before


def test_an_answer_that_is_not_to_be_learnt_is_only_read(renderer: PromptEncoder) -> None:
    """The tokens are the same; its span is not among those that are supervised."""
    messages = talk("blue", "red")
    unlearnt = tuple(replace(turn, learn=turn.content != "blue") for turn in messages)
    every, some = (renderer.encode(turns, "green", every_turn=True) for turns in (messages, unlearnt))
    assert some.input_ids == every.input_ids
    assert some.spans == every.spans[1:]


@pytest.mark.parametrize("name", ["llama", "gemma"])
def test_an_answer_is_found_without_the_blanks_that_its_template_takes(name: str) -> None:
    """What the template takes from its ends is not in the tokens, so it is not learnt."""
    renderer = PromptEncoder(tokenizer_of(name), "")
    row = renderer.encode(talk("  blue \n"), "red", every_turn=True)
    ((start, end),) = row.prompt_spans
    assert renderer.tokenizer.decode(row.input_ids[start:end]) == "blue" + FAMILIES[name].end


def test_a_token_that_is_partly_of_the_header_is_not_learnt() -> None:
    """The header's line end and that of an answer are one token: the model is never asked to answer with it."""
    renderer = PromptEncoder(tokenizer_of("chatml"), "")
    row = renderer.encode(talk("\n\nblue"), "red", every_turn=True)
    ((start, end),) = row.prompt_spans
    assert renderer.tokenizer.decode(row.input_ids[start - 1]) == "\n\n\n"
    assert renderer.tokenizer.decode(row.input_ids[start:end]) == "blue<|im_end|>"


def otherwise(template: str) -> PromptEncoder:
    """A renderer with another template of the ChatML kind."""
    other = copy.deepcopy(tokenizer_of("chatml"))
    other.chat_template = template
    return PromptEncoder(other, SYSTEM)


THINKING = CHATML.replace("message['content'] +", "message['content'].split('</think>')[-1] +")
MOVED = (
    "{% set system = messages[0]['content'] %}{% for message in messages[1:] %}{{'<|im_start|>' + message['role'] "
    "+ '\n' + (system if loop.last else '') + message['content'] + '<|im_end|>\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{'<|im_start|>assistant\n'}}{% endif %}"
)
OTHERWISE = "tokenize.train_on: the chat template of model.source writes the answer {} otherwise once more was said"


@pytest.mark.parametrize(
    ("template", "said", "line"),
    [
        (
            THINKING,
            "<think>sky</think>blue",
            OTHERWISE.format("'<think>sky</think>blue'") + r"; expected 'im_start|>assistant\n<think>sky</think>blue'; "
            r"got 'im_start|>assistant\nblue<|im_end|>\n<|im_start|>user\nwhat col'; set it to completion",
        ),
        (
            MOVED,
            "blue",
            OTHERWISE.format("'blue'") + r"; expected 'im_start|>assistant\nblue'; "
            r"got 'ant\nblue<|im_end|>\n<|im_start|>user\nName the colour.what col'; set it to completion",
        ),
    ],
    ids=["thoughts are taken out", "the system message moves on"],
)
def test_an_answer_that_its_template_writes_otherwise_later_is_refused(template: str, said: str, line: str) -> None:
    """What would be learnt is not what the model answers: `all` is refused, and `last` goes on."""
    renderer = otherwise(template)
    with pytest.raises(UserError) as caught:
        renderer.encode(talk(said), "red", every_turn=True)
    assert str(caught.value) == line
    assert renderer.encode(talk(said), "red").prompt_spans == ()


def test_a_tokenizer_that_does_not_know_its_characters_is_refused() -> None:
    """Without them the answers within a prompt cannot be found; the last one can."""
    slow = ByT5Tokenizer(chat_template=ZEPHYR)
    with pytest.raises(UserError) as caught:
        PromptEncoder(slow, "").encode(talk("blue"), "red", every_turn=True)
    assert str(caught.value) == (
        "tokenize.train_on: the tokenizer of model.source cannot say which characters a token stands for; "
        "set it to completion, or choose a model with a fast tokenizer"
    )
    renderer = PromptEncoder(slow, "")
    row = renderer.encode(talk("blue"), "red")
    assert row.prompt_spans == ()
    assert renderer.encode_all([(talk("blue"), "red"), (talk(), "")]) == [row, renderer.encode(talk(), "")]
    assert slow.decode(row.supervised_ids) == "red</s>"
