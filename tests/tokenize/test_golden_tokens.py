"""Laws of the golden token contract: what was accepted stays, or the run stops and says what became of it."""

import copy
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from pipeline.errors import UserError
from pipeline.files import read_json
from pipeline.model.chat_template import PromptEncoder
from pipeline.pairs import SPLITS, Message, Pair, write_pairs
from pipeline.params import Params
from pipeline.tokenize import stage as tokenize
from pipeline.tokenize.golden_tokens import (
    GOLDEN_FILE,
    GoldenTerms,
    GoldenTokens,
    accept_current_tokens,
    check_golden_tokens,
    choose_pairs,
    read_golden_tokens,
    render_pair,
    write_golden_tokens,
)
from pipeline.tokenize.samples import SAMPLE_KINDS
from tests.support.chat import CHATML, SYSTEM

TERMS = GoldenTerms("wheel://a", "0" * 64, "digest", SYSTEM, "all_assistant_turns")


def pair(*turns: tuple[str, str], completion: str = "blue") -> Pair:
    return Pair(tuple(Message(role, said) for role, said in turns), completion, "a.jsonl", 1, None, b"{}")


ODD = {
    "own system": pair(("system", "Be brief."), ("user", "the sky?")),
    "several turns": pair(("user", "hello"), ("assistant", "yes?"), ("user", "the sky?")),
    "unicode": pair(("user", "and the 🌹?"), completion="grün"),
    "long": pair(("user", "what colour is the sky " * 9)),
}


@pytest.fixture
def renderer(tokenizer: PreTrainedTokenizerFast) -> PromptEncoder:
    return PromptEncoder(tokenizer, SYSTEM)


@pytest.fixture
def contract(renderer: PromptEncoder, pairs: list[Pair]) -> GoldenTokens:
    """A contract of one pair of each kind."""
    chosen = [("one turn", pairs[0]), *ODD.items()]
    return GoldenTokens(TERMS, tuple(render_pair(kind, found, renderer, every_turn=True) for kind, found in chosen))


@pytest.fixture
def data(tmp_path: Path, pairs: list[Pair]) -> Path:
    """What validate leaves."""
    (tmp_path / "validate").mkdir()
    for split, rows in zip(SPLITS, ([*pairs[:30], *ODD.values()], [], pairs[30:]), strict=True):
        write_pairs(tmp_path / "validate" / f"{split}.parquet", rows)
    return tmp_path


def with_template(tokenizer: PreTrainedTokenizerFast, template: str) -> Any:
    other = copy.deepcopy(tokenizer)
    other.chat_template = template
    return other


def test_a_few_pairs_of_each_kind_are_chosen_whatever_their_order(renderer: PromptEncoder, pairs: list[Pair]) -> None:
    """Those of each kind with the smallest ids, the longest that fits, none twice, eight at most."""
    given = [*pairs, *ODD.values(), pair(("user", "far too long " * 99))]
    chosen = choose_pairs(given, renderer, 100)
    ordinary = sorted(found.id for found in pairs)
    assert choose_pairs(given[::-1], renderer, 100) == chosen
    assert [kind for kind, _ in chosen] == ["one turn", "one turn", "own system", "several turns", "unicode", "long"]
    assert [found.id for kind, found in chosen if kind == "one turn"] == ordinary[:2]
    assert all(found == ODD[kind] for kind, found in chosen if kind != "one turn")
    assert sum(SAMPLE_KINDS.values()) == 8


def test_what_is_accepted_is_written_and_read_back(tmp_path: Path, contract: GoldenTokens) -> None:
    """All of it, and the same contract is the same bytes."""
    write_golden_tokens(tmp_path / GOLDEN_FILE, contract)
    first = (tmp_path / GOLDEN_FILE).read_bytes()
    assert read_golden_tokens(tmp_path / GOLDEN_FILE) == contract
    write_golden_tokens(tmp_path / GOLDEN_FILE, contract)
    assert (tmp_path / GOLDEN_FILE).read_bytes() == first


@pytest.mark.parametrize("text", ["", None], ids=["empty", "absent"])
def test_before_the_first_there_is_no_contract(tmp_path: Path, text: str | None, renderer: PromptEncoder) -> None:
    """An empty file, as a fresh clone has it, holds nobody to anything, and it is said."""
    if text is not None:
        (tmp_path / GOLDEN_FILE).write_text(text, encoding="utf-8")
    said = check_golden_tokens(read_golden_tokens(tmp_path / GOLDEN_FILE), TERMS, renderer.tokenizer)
    assert said == "nothing is accepted yet; `tunesmith accept-tokens` does"


@pytest.mark.parametrize("text", ["<<<<<<< HEAD\n", '{"source": "a"}\n', '{"a": 1}\n', "[]\n", "\n"])
def test_a_file_that_is_no_contract_is_refused(tmp_path: Path, text: str) -> None:
    """It is never taken for one that was not accepted yet."""
    (tmp_path / GOLDEN_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_golden_tokens(tmp_path / GOLDEN_FILE)
    assert str(caught.value).startswith("data/golden_tokens.jsonl: is not what `tunesmith accept-tokens` writes: ")
    assert str(caught.value).endswith("; bring it back with `git checkout data/golden_tokens.jsonl`, or accept anew")


def test_tokens_that_were_accepted_pass(contract: GoldenTokens, renderer: PromptEncoder) -> None:
    """It is said how many pairs were looked at."""
    assert check_golden_tokens(contract, TERMS, renderer.tokenizer) == "5 pairs have the tokens that were accepted"


def test_another_template_is_shown_and_stops(
    contract: GoldenTokens, renderer: PromptEncoder, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names the pair, its first other token, and the ways out; before it comes a diff for people."""
    tokenizer, place = renderer.tokenizer, len(renderer.encode_prompt(contract.pairs[0].messages))
    line_end, blank = tokenizer.convert_tokens_to_ids(["Ċ", "Ġ"])
    other = with_template(tokenizer, CHATML.replace("'<|im_start|>assistant\n'", "'<|im_start|>assistant '"))
    with pytest.raises(UserError) as caught:
        check_golden_tokens(contract, TERMS, other)
    assert str(caught.value) == (
        "data/golden_tokens.jsonl row 1 (one turn): its tokens are not those that were accepted: "
        f"token {place} was {line_end} 'Ċ', and is {blank} 'Ġ'; "
        "go back to the tokenizer, template and packages of then; or accept the change with `tunesmith accept-tokens`"
    )
    shown = capsys.readouterr().err.splitlines()
    assert shown[:2] == ["--- row 1, accepted", "+++ row 1, now"]
    assert "-<|im_start|>assistant" in shown
    assert "+<|im_start|>assistant blue<|im_end|>" in shown
    assert [line.split() for line in shown if line[0] == "-" and "Ċ" in line] == [["-", str(line_end), "'Ċ'"]]


def test_a_token_that_is_learnt_no_more_stops_too(contract: GoldenTokens, tokenizer: PreTrainedTokenizerFast) -> None:
    """The same tokens with other spans are not what was accepted."""
    (several,) = [row for row in contract.pairs if row.kind == "several turns"]
    fewer = replace(contract, pairs=(replace(several, spans=several.spans[1:]),))
    with pytest.raises(UserError, match=r"token \d+ was \d+ 'y', and is learnt \d+ 'y';"):
        check_golden_tokens(fewer, TERMS, tokenizer)


def test_another_text_of_the_same_tokens_stops_too(contract: GoldenTokens, tokenizer: PreTrainedTokenizerFast) -> None:
    """It is said that no token changed."""
    other = replace(contract, pairs=(replace(contract.pairs[0], text="what was rendered then"),))
    with pytest.raises(UserError) as caught:
        check_golden_tokens(other, TERMS, tokenizer)
    assert str(caught.value) == (
        "data/golden_tokens.jsonl row 1 (one turn): its text is not the one that was accepted, though its tokens are; "
        "go back to the tokenizer, template and packages of then; or accept the change with `tunesmith accept-tokens`"
    )


@pytest.mark.parametrize("chosen", [{"source": "wheel://b"}, {"sha256": "1" * 64}], ids=["source", "sha256"])
def test_another_base_model_of_params_is_not_held_to_it(
    contract: GoldenTokens, tokenizer: PreTrainedTokenizerFast, chosen: dict[str, str]
) -> None:
    """Someone chose it: whatever its tokens are, the run goes on, and says that it has no contract."""
    other = with_template(tokenizer, CHATML.replace("\n", "!"))
    assert check_golden_tokens(contract, replace(TERMS, **chosen), other) == (
        "accepted for another base model, so nothing was held against it; `tunesmith accept-tokens` renews it"
    )


@pytest.mark.parametrize(
    ("chosen", "named"),
    [
        ({"system": "Say it."}, "system"),
        ({"train_on": "completion"}, "train_on"),
        ({"system": "", "train_on": "completion"}, "system and train_on"),
    ],
)
def test_other_words_of_params_leave_it_in_force(
    contract: GoldenTokens, tokenizer: PreTrainedTokenizerFast, chosen: dict[str, str], named: str
) -> None:
    """Its pairs are rendered as they were accepted, so a change of the template is found all the same."""
    assert check_golden_tokens(contract, replace(TERMS, **chosen), tokenizer) == (
        f"5 pairs have the tokens that were accepted, with the {named} of then; `tunesmith accept-tokens` renews it"
    )
    with pytest.raises(UserError):
        check_golden_tokens(
            contract, replace(TERMS, **chosen), with_template(tokenizer, CHATML.replace("<|im_end|>\n", "<|im_end|>"))
        )


def test_the_stage_stops_before_it_writes(
    data: Path, base: Path, make_params: Callable[..., Params], tmp_path: Path
) -> None:
    """A base model whose template changed under the name that params give it leaves nothing behind."""
    own = shutil.copytree(base, tmp_path / "own")
    params = make_params(**{"model.source": str(own), "tokenize.train_on": "all_assistant_turns"})
    assert accept_current_tokens(params, data) == ["6 pairs accepted for the first time"]
    tokenize.run(params.model, params.prompt, params.tokenize, data)
    assert read_json(data / "tokenize" / "report.json")["contract"] == "6 pairs have the tokens that were accepted"
    shutil.rmtree(data / "tokenize")
    template = own / "chat_template.jinja"
    template.write_text(template.read_text(encoding="utf-8").replace("\n", " ", 1), encoding="utf-8")
    with pytest.raises(UserError, match=r"^data/golden_tokens\.jsonl row 1 "):
        tokenize.run(params.model, params.prompt, params.tokenize, data)
    assert not (data / "tokenize").exists()


def test_accepting_again_says_what_it_changes(data: Path, make_params: Callable[..., Params]) -> None:
    """Terms, pairs that come and go, and the tokens of those that stay; what is the same is the same bytes."""
    accept_current_tokens(make_params(), data)
    first = (data / GOLDEN_FILE).read_bytes()
    assert accept_current_tokens(make_params(), data) == ["0 pairs come in, 0 go out, 6 stay"]
    assert (data / GOLDEN_FILE).read_bytes() == first
    told = accept_current_tokens(make_params(**{"tokenize.train_on": "all_assistant_turns"}), data)
    assert told[:3] == [
        "train_on: 'completion' -> 'all_assistant_turns'", "0 pairs come in, 0 go out, 6 stay", "--- row 4, accepted",
    ]  # fmt: skip
    learnt = [line.split()[-1].strip("'") for line in told if line.startswith("+learnt")]
    assert ("".join(learnt[:-1]), learnt[-1]) == ("yes?", "<|im_end|>")
    write_pairs(data / "validate" / "train.parquet", [ODD["long"]])
    assert accept_current_tokens(make_params(**{"tokenize.train_on": "all_assistant_turns"}), data) == [
        "0 pairs come in, 5 go out, 1 stay"
    ]


def test_without_training_rows_there_is_nothing_to_accept(tmp_path: Path, make_params: Callable[..., Params]) -> None:
    """The user is told how to make them."""
    with pytest.raises(UserError) as caught:
        accept_current_tokens(make_params(), tmp_path)
    rows = tmp_path / "validate" / "train.parquet"
    assert str(caught.value) == f"{rows}: no such file; make it with `tunesmith run --until validate`"


def test_a_template_that_refuses_what_was_accepted_is_named_with_its_row(
    contract: GoldenTokens, tokenizer: PreTrainedTokenizerFast
) -> None:
    """The line names the contract and the way out, beside what the template says."""
    refusal = "{% if messages|length > 3 %}{{ raise_exception('too many turns') }}{% endif %}"
    with pytest.raises(UserError) as caught:
        check_golden_tokens(contract, TERMS, with_template(tokenizer, refusal + CHATML))
    line = str(caught.value)
    assert line.startswith(
        "data/golden_tokens.jsonl row 3 (several turns): cannot be rendered as it was accepted: model.source: "
    )
    assert line.endswith("; or accept the change with `tunesmith accept-tokens`")


def test_a_contract_that_cannot_be_read_can_be_accepted_anew(data: Path, make_params: Callable[..., Params]) -> None:
    """What was there is told to be lost."""
    (data / GOLDEN_FILE).write_text("<<<<<<< HEAD\n", encoding="utf-8")
    lost, first = accept_current_tokens(make_params(), data)
    assert lost.startswith(
        "what was there is lost: data/golden_tokens.jsonl: is not what `tunesmith accept-tokens` writes"
    )
    assert first == "6 pairs accepted for the first time"
    assert accept_current_tokens(make_params(), data) == ["0 pairs come in, 0 go out, 6 stay"]
