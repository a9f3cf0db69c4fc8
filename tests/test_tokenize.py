"""Laws of the tokenize stage."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import SYSTEM
from transformers import PreTrainedTokenizerFast

from pipeline import tokenize
from pipeline.digests import file_digests
from pipeline.pairs import SPLITS, Message, Pair, Quarantined, read_json, read_quarantine, write_pairs
from pipeline.params import Params, Tokenize
from pipeline.problem import Problem
from pipeline.prompt import Renderer
from pipeline.tokens import read_tokens

LONG = "a very long answer " * 40


def long_pair(row: int) -> Pair:
    """A pair whose completion alone is over the limit of the tests."""
    return Pair((Message("user", f"tell me more, {row}"),), LONG, "long.jsonl", row, None, b'{"as": "it was"}')


@pytest.fixture
def data(tmp_path: Path, pairs: list[Pair]) -> Path:
    """What validate leaves: three splits, of which train and test hold two and one rows that are too long."""
    (tmp_path / "validate").mkdir()
    sides = {
        "train": [long_pair(1), *pairs[:30], long_pair(2)],
        "validation": [],
        "test": [*pairs[30:40], long_pair(3)],
    }
    for split, rows in sides.items():
        write_pairs(tmp_path / "validate" / f"{split}.parquet", rows)
    return tmp_path


def run(params: Params, data: Path) -> None:
    tokenize.run(params.model, params.prompt, params.tokenize, data)


def test_each_row_is_the_one_rendering_of_its_pair(
    data: Path, pairs: list[Pair], tokenizer: PreTrainedTokenizerFast, make_params: Callable[..., Params]
) -> None:
    """The stage writes what the renderer makes of each pair, under its id and in the order of the split."""
    run(make_params(**{"tokenize.max_tokens": 200}), data)
    renderer = Renderer(tokenizer, SYSTEM)
    expected = [(pair.id, renderer.encode(pair.messages, pair.completion)) for pair in pairs[:30]]
    assert read_tokens(data / "tokenize" / "train.arrow") == expected


def test_rows_that_are_too_long_are_set_aside_whole_and_never_cut(
    data: Path, tokenizer: PreTrainedTokenizerFast, make_params: Callable[..., Params]
) -> None:
    """A pair over the limit goes to the quarantine with its source, row and bytes, and no part of it is trained on."""
    run(make_params(**{"tokenize.max_tokens": 200}), data)
    renderer = Renderer(tokenizer, SYSTEM)
    lengths = [len(renderer.encode(long_pair(row).messages, LONG).input_ids) for row in (1, 2, 3)]
    assert read_quarantine(data / "tokenize" / "quarantine.parquet") == [
        Quarantined("long.jsonl", row, "too_long", f"{length} tokens, limit 200", b'{"as": "it was"}')
        for row, length in zip((1, 2, 3), lengths, strict=True)
    ]


def test_every_row_is_accounted_for(data: Path, make_params: Callable[..., Params]) -> None:
    """In each split the rows kept and the rows too long add up to the rows given, and the tokens are counted right."""
    run(make_params(**{"tokenize.max_tokens": 200}), data)
    report = read_json(data / "tokenize" / "report.json")
    assert {split: (told["rows"], told["too_long"]) for split, told in report["splits"].items()} == {
        "train": (30, 2), "validation": (0, 0), "test": (10, 1),
    }  # fmt: skip
    for split in SPLITS:
        rows = [encoded for _, encoded in read_tokens(data / "tokenize" / f"{split}.arrow")]
        told = report["splits"][split]
        assert told["tokens"] == sum(len(row.input_ids) for row in rows)
        assert told["supervised"] == sum(len(row.supervised_ids) for row in rows)
        assert told["longest"] == max((len(row.input_ids) for row in rows), default=0)


def test_the_limit_itself_is_not_too_long(tokenizer: PreTrainedTokenizerFast, pairs: list[Pair]) -> None:
    """A pair of exactly `max_tokens` tokens is kept, one token more is set aside."""
    renderer = Renderer(tokenizer, SYSTEM)
    length = len(renderer.encode(pairs[0].messages, pairs[0].completion).input_ids)
    fits, one_less = (Tokenize(max_tokens=limit, supervise="last") for limit in (length, length - 1))
    kept, none = tokenize.encode_all(pairs[:1], renderer, fits)
    nothing, aside = tokenize.encode_all(pairs[:1], renderer, one_less)
    assert ([pair_id for pair_id, _ in kept], none) == ([pairs[0].id], [])
    assert (nothing, [pair for pair, _ in aside]) == ([], pairs[:1])
    details = [tokenize.aside_of(pair, encoded, length - 1).detail for pair, encoded in aside]
    assert details == [f"{length} tokens, limit {length - 1}"]


@pytest.mark.parametrize("supervise", ["last", "all"])
def test_every_answer_of_a_conversation_is_supervised_if_params_say_so(
    data: Path, pairs: list[Pair], make_params: Callable[..., Params], supervise: str
) -> None:
    """With `all` those within the prompt too; the tokens are the same either way."""
    talk = (Message("user", "hello"), Message("assistant", "yes?"), Message("user", "the sky?"))
    write_pairs(data / "validate" / "train.parquet", [replace(pairs[0], messages=talk), pairs[1]])
    run(make_params(**{"tokenize.supervise": supervise}), data)
    (_, several), (_, one) = read_tokens(data / "tokenize" / "train.arrow")
    assert (len(several.earlier), one.earlier) == ({"last": 0, "all": 1}[supervise], ())
    told = read_json(data / "tokenize" / "report.json")["splits"]["train"]
    assert told["supervised"] == len(several.supervised_ids) + len(one.supervised_ids)


def test_the_same_pairs_give_the_same_bytes(data: Path, make_params: Callable[..., Params]) -> None:
    """A second run over the same splits writes the same files, byte for byte."""
    params = make_params(**{"tokenize.max_tokens": 200})
    run(params, data)
    first = file_digests(data / "tokenize")
    run(params, data)
    assert file_digests(data / "tokenize") == first
    assert set(first) == {
        "train.arrow", "validation.arrow", "test.arrow", "quarantine.parquet", "report.json", "preview.html",
    }  # fmt: skip


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_split_without_a_row_that_fits_stops_the_run(
    data: Path, pairs: list[Pair], make_params: Callable[..., Params], split: str
) -> None:
    """When every row of train or test is too long the stage says so and leaves no folder."""
    write_pairs(data / "validate" / "train.parquet", pairs[:5])
    write_pairs(data / "validate" / f"{split}.parquet", [long_pair(1)])
    with pytest.raises(Problem) as caught:
        run(make_params(**{"tokenize.max_tokens": 200}), data)
    assert str(caught.value) == f"the {split} split: no row has at most 200 tokens; raise tokenize.max_tokens"
    assert not (data / "tokenize").exists()
