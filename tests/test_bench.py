"""Laws of the benchmarks' bookkeeping: ratios of one round each, their spread, and what is kept of them."""

import json
from pathlib import Path

import pytest

from bench.measure import Claim, in_turn


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
