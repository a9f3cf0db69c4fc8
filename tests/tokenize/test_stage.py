"""Laws of the tokenize stage."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from transformers import PreTrainedTokenizerFast

from pipeline.errors import UserError
from pipeline.files import read_json  # fmt: skip
from pipeline.hashing import file_digests
from pipeline.model.chat_template import PromptEncoder
from pipeline.model.tokenized import read_tokens
from pipeline.pairs import (  # fmt: skip
    SPLITS,
    Message,
    Pair,
    Quarantined,
    quarantine_writer,
    read_pairs,
    read_quarantine,
    write_pairs,
)
from pipeline.params import Params, Tokenize
from pipeline.tokenize import stage as tokenize
from pipeline.tokenize.parallel import ParallelEncoder, encode_batch
from tests.support.chat import SYSTEM

LONG = "a very long answer " * 40
LIMITS = {"tokenize.max_seq_length": 200, "tokenize.max_too_long_share": 0.1}


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
    run(make_params(**LIMITS), data)
    renderer = PromptEncoder(tokenizer, SYSTEM)
    expected = [(pair.id, renderer.encode(pair.messages, pair.completion)) for pair in pairs[:30]]
    assert read_tokens(data / "tokenize" / "train.arrow") == expected


def test_rows_that_are_too_long_are_set_aside_whole_and_never_cut(
    data: Path, tokenizer: PreTrainedTokenizerFast, make_params: Callable[..., Params]
) -> None:
    """A pair over the limit goes to the quarantine with its source, row and bytes, and no part of it is trained on."""
    run(make_params(**LIMITS), data)
    renderer = PromptEncoder(tokenizer, SYSTEM)
    lengths = [len(renderer.encode(long_pair(row).messages, LONG).input_ids) for row in (1, 2, 3)]
    assert read_quarantine(data / "tokenize" / "quarantine.parquet") == [
        Quarantined("long.jsonl", row, "too_long", f"{length} tokens, limit 200", b'{"as": "it was"}')
        for row, length in zip((1, 2, 3), lengths, strict=True)
    ]


def test_every_row_is_accounted_for(data: Path, make_params: Callable[..., Params]) -> None:
    """In each split the rows kept and the rows too long add up to the rows given, and the tokens are counted right."""
    run(make_params(**LIMITS), data)
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


def test_the_limit_itself_is_not_too_long(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, pairs: list[Pair]
) -> None:
    """A pair of exactly `max_tokens` tokens is kept, one token more is set aside."""
    (row,) = zip(pairs[:1], encode_batch(pairs[:1], PromptEncoder(tokenizer, SYSTEM), every_turn=False), strict=True)
    length = len(row[1].input_ids)
    with quarantine_writer(tmp_path / "aside.parquet") as aside:
        fits, one_less = (
            tokenize.SplitCounts(Tokenize(max_seq_length=limit, max_too_long_share=0, train_on="completion"), aside)
            for limit in (length, length - 1)
        )
        assert list(fits.kept([row])) == [(pairs[0].id, row[1])]
        assert list(one_less.kept([row])) == []
    (told,) = read_quarantine(tmp_path / "aside.parquet")
    assert (told.row, told.detail) == (pairs[0].row, f"{length} tokens, limit {length - 1}")


@pytest.mark.parametrize("train_on", ["completion", "all_assistant_turns"])
def test_every_answer_of_a_conversation_is_supervised_if_params_say_so(
    data: Path, pairs: list[Pair], make_params: Callable[..., Params], train_on: str
) -> None:
    """With `all` those within the prompt too; the tokens are the same either way."""
    talk = (Message("user", "hello"), Message("assistant", "yes?"), Message("user", "the sky?"))
    write_pairs(data / "validate" / "train.parquet", [replace(pairs[0], messages=talk), pairs[1]])
    run(make_params(**{"tokenize.train_on": train_on}), data)
    (_, several), (_, one) = read_tokens(data / "tokenize" / "train.arrow")
    assert (len(several.prompt_spans), one.prompt_spans) == ({"completion": 0, "all_assistant_turns": 1}[train_on], ())
    told = read_json(data / "tokenize" / "report.json")["splits"]["train"]
    assert told["supervised"] == len(several.supervised_ids) + len(one.supervised_ids)


def test_the_same_pairs_give_the_same_bytes(data: Path, make_params: Callable[..., Params]) -> None:
    """A second run over the same splits writes the same files, byte for byte."""
    params = make_params(**LIMITS)
    run(params, data)
    first = file_digests(data / "tokenize")
    run(params, data)
    assert file_digests(data / "tokenize") == first
    assert set(first) == {
        "train.arrow", "validation.arrow", "test.arrow", "quarantine.parquet", "report.json", "preview.html",
    }  # fmt: skip


@pytest.mark.parametrize("share", [0.0625, 0.0624])
def test_more_rows_that_are_too_long_than_params_allow_stop_the_run(
    data: Path, make_params: Callable[..., Params], share: float
) -> None:
    """Two of 32 may be too long, or the stage names them and leaves no folder."""
    write_pairs(data / "validate" / "test.parquet", read_pairs(data / "validate" / "test.parquet")[:10])
    params = make_params(**LIMITS | {"tokenize.max_too_long_share": share})
    if share == 0.0625:
        run(params, data)
        return
    with pytest.raises(UserError) as caught:
        run(params, data)
    assert str(caught.value) == (
        "tokenize.max_seq_length: 2 of 32 train rows have more than 200 tokens; expected at most 1 (0.0624 of them); "
        "got long.jsonl row 1, long.jsonl row 2; raise it, shorten those rows, or raise tokenize.max_too_long_share"
    )
    assert not (data / "tokenize").exists()


def test_of_many_rows_that_are_too_long_the_first_are_named(data: Path, make_params: Callable[..., Params]) -> None:
    """Five, and that there are more."""
    write_pairs(data / "validate" / "test.parquet", [long_pair(row) for row in range(1, 8)])
    with pytest.raises(UserError) as caught:
        run(make_params(**LIMITS), data)
    assert str(caught.value) == (
        "tokenize.max_seq_length: 7 of 7 test rows have more than 200 tokens; expected at most 0 (0.1 of them); "
        "got long.jsonl row 1, long.jsonl row 2, long.jsonl row 3, long.jsonl row 4, long.jsonl row 5, ...; "
        "raise it, shorten those rows, or raise tokenize.max_too_long_share"
    )


@pytest.mark.parametrize("group", [1, 7, 5000])
def test_how_the_splits_are_cut_changes_no_byte(data: Path, make_params: Callable[..., Params], group: int) -> None:
    """Row groups are for those who read; whatever they are, each file has the same bytes."""
    params = make_params(**LIMITS)
    run(params, data)
    first = file_digests(data / "tokenize")
    for split in SPLITS:
        path = data / "validate" / f"{split}.parquet"
        pq.write_table(pq.read_table(path), path, row_group_size=group)
    run(params, data)
    assert file_digests(data / "tokenize") == first


def peak(data: Path, pairs: list[Pair], number: int, renderer: PromptEncoder, params: Params) -> int:
    """Bytes held at most while so many rows are encoded."""
    source = data / "validate" / "train.parquet"
    write_pairs(source, (replace(pairs[row % len(pairs)], row=row) for row in range(number)))
    with quarantine_writer(data / "aside.parquet") as aside:
        account = tokenize.SplitCounts(params.tokenize, aside)
        tracemalloc.start()
        with ParallelEncoder(renderer) as encode:
            tokenize.encode_split(source, data / "train.arrow", encode, account)
        told = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert account.summary()["rows"] == number
    return told


def test_memory_does_not_grow_with_the_rows(
    data: Path, pairs: list[Pair], tokenizer: PreTrainedTokenizerFast, make_params: Callable[..., Params]
) -> None:
    """Rows go by some at a time, and how many of them at once is for threads to say: not three times as many."""
    renderer, params = PromptEncoder(tokenizer, SYSTEM), make_params()
    peak(data, pairs, 100, renderer, params)  # what is made once and kept
    few, many = (peak(data, pairs, number, renderer, params) for number in (3000, 9000))
    assert many < 1.5 * few
