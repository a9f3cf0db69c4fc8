"""Laws of the benchmarks' bookkeeping: ratios of one round each, their spread, and what is kept of them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from bench.banking77 import messages, varied
from bench.claims import Claim, in_turn
from bench.data_stages import lay_out
from bench.isolated_process import alone
from bench.peers import tokens
from pipeline.ingest import stage as ingest
from pipeline.model.chat_template import PromptEncoder
from pipeline.pairs import read_pairs
from pipeline.params import Params, load_params
from tests.support.chat import SYSTEM


def test_a_ratio_is_of_one_round() -> None:
    """A machine that slows down for both does not change it: each round is compared with itself."""
    claim = Claim("train", "rows", ours=[8.0, 4.0, 6.0], peers={"peer": [2.0, 1.0, 3.0]})
    assert claim.ratios("peer") == [4.0, 4.0, 2.0]
    assert claim.lines() == [
        "train            4.00 x peer                           (n=3, 2.00 to 4.00); 6.00 against 2.00 rows/s"
    ]


def test_a_claim_is_kept_with_its_spread_and_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Median, smallest and largest ratio, their number, both speeds, and what it was measured on."""
    monkeypatch.chdir(tmp_path)
    Claim("train", "rows", ours=[8.0, 4.0, 6.0], peers={"peer": [2.0, 1.0, 3.0]}).write(torch="2")
    told = json.loads((tmp_path / "data/bench/train.json").read_text(encoding="utf-8"))
    assert told["peers"] == {"peer": {"speed": 2.0, "ratio": 4.0, "min": 2.0, "max": 4.0, "n": 3}}
    assert (told["claim"], told["ours"], told["unit"], told["torch"]) == ("train", 6.0, "rows/s", "2")
    assert set(told["hardware"]) == {"machine", "kernels", "device", "threads"}


def test_ours_and_each_peer_do_every_round_in_turn() -> None:
    """Each round has all of them, so that a machine that slows down does so for all."""
    done: list[tuple[str, int]] = []

    def work(name: str, turn: int) -> float:
        done.append((name, turn))
        return float(len(done))

    claim = in_turn("train", "rows", lambda turn: work("ours", turn), {"peer": lambda turn: work("peer", turn)}, 2)
    assert done == [("peer", 0), ("ours", 0), ("peer", 1), ("ours", 1)]
    assert (claim.ours, claim.peers) == ([2.0, 4.0], {"peer": [1.0, 3.0]})


def test_varied_rows_are_all_different_and_keep_their_labels() -> None:
    """As many as are asked for, the same every time, none the row that it was made of."""
    rows = [("where is my new card", "arrival"), ("why", "other")]
    made = list(varied(rows, 1000))
    assert made == list(varied(rows, 1000))
    assert len({text for text, _ in made}) == 1000
    assert [label for _, label in made] == ["arrival", "other"] * 500
    assert not {text for text, _ in made} & {text for text, _ in rows}


def test_the_project_of_the_data_claim_is_one_that_stages_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_params: Callable[..., Params]
) -> None:
    """Its params load, and name its rows."""
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path, make_params(), varied([("where is my new card", "arrival")], 20))
    ingest.run(load_params(Path("params.yaml")).ingest, Path("data"))
    assert [pair.completion for pair in read_pairs(Path("data", "ingest", "pairs.parquet"))] == ["arrival"] * 20


def test_the_peer_makes_the_tokens_that_ours_makes(tokenizer: PreTrainedTokenizerFast) -> None:
    """Else it would not do the same work."""
    rows = list(varied([("the sky on my card", "blue"), ("is it green, or red", "it is red")], 50))
    columns = {"prompt": [text for text, _ in rows], "completion": [label for _, label in rows]}
    theirs = tokens(columns, tokenizer, SYSTEM)
    ours = PromptEncoder(tokenizer, SYSTEM).encode_all([(messages(text), label) for text, label in rows])
    assert theirs["input_ids"] == [row.input_ids for row in ours]
    assert theirs["completion_start"] == [row.completion_start for row in ours]


def test_memory_is_that_of_the_command_alone(tmp_path: Path) -> None:
    """Neither this process, which is larger, nor the one between counts as the command's."""
    taken = alone(["-c", "held = bytearray(64 << 20)"], tmp_path)
    assert 64 < taken.mib < 64 + 40
    assert 0 < taken.seconds < 20


def test_a_command_that_fails_stops_the_benchmark(tmp_path: Path) -> None:
    """With what it said."""
    with pytest.raises(SystemExit, match="no such thing"):
        alone(["-c", "raise SystemExit('no such thing')"], tmp_path)
