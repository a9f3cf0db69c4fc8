from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pipeline.data_diff.matching import Matching, match_pairs, one_to_one, read_pair_keys
from pipeline.pairs import Message, Pair, write_pairs

Became = Callable[..., dict[str, list[tuple[str, str]]]]
LONG = "please tell me when the parcel that I ordered on the first of may will be with me"


def pair(prompt: str, completion: str = "yes", *, row: int = 1, source: str = "a.jsonl", role: str = "user") -> Pair:
    return Pair((Message(role, prompt),), completion, source, row, None, b"{}")


def told(pair: Pair) -> str:
    return f"{pair.prompt} = {pair.completion}"


@pytest.fixture
def became(tmp_path: Path) -> Became:
    """Give a function that says what became of each pair, by kind: the old one and the new one, empty if none."""

    def compared(old: Sequence[Pair], new: Sequence[Pair]) -> dict[str, list[tuple[str, str]]]:
        files = tmp_path / "old.parquet", tmp_path / "new.parquet"
        for path, pairs in zip(files, (old, new), strict=True):
            write_pairs(path, pairs)
        rows = [read_pair_keys(path, "salt", labels=True) for path in files]
        matching: Matching = match_pairs(rows[0], rows[1], files, 0.8)
        found = {
            kind: sorted((told(old[one]), told(new[other])) for one, other in zip(*both, strict=True))
            for kind, both in matching.both.items()
        }
        found["removed"] = [(told(old[place]), "") for place in matching.removed]
        found["added"] = [("", told(new[place])) for place in matching.added]
        return {kind: pairs for kind, pairs in found.items() if pairs}

    return compared


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (pair("a"), pair("a", row=9, source="b.csv"), "unchanged"),
        (pair("Where is it?"), pair(" where  is it?\n"), "spelling"),
        (pair("a", "an answer"), pair("a", " an  answer "), "spelling"),
        (pair("a", "yes"), pair("a", "no"), "relabelled"),
        (pair("A", "yes"), pair(" a", "no"), "relabelled"),
        (pair("a", "yes"), pair("a", "Yes"), "relabelled"),
        (pair(LONG), pair(f"{LONG} now", row=7), "edited"),
        (pair(LONG, "yes"), pair(f"{LONG}!!", "no", row=7), "edited"),
        (pair("lost my card", row=3), pair("my card was stolen", row=3), "edited"),
        (pair("a", role="user"), pair("a", role="system"), "edited"),
    ],
)
def test_a_row_that_changed_is_one_row_of_its_kind(became: Became, old: Pair, new: Pair, kind: str) -> None:
    """Not one removed and one added; wherever it stands now, if its text says that it is the same."""
    assert became([old, pair("other", row=2)], [pair("other", row=5), new]) == {
        **({"unchanged": [(told(pair("other")),) * 2]} if kind != "unchanged" else {}),
        kind: sorted([(told(old), told(new)), *([(told(pair("other")),) * 2] if kind == "unchanged" else [])]),
    }


def test_what_only_shares_a_row_number_is_another_row(became: Became) -> None:
    """Another prompt with another completion at the same place: one is gone, one is new."""
    assert became([pair("a", "yes")], [pair("b", "no")]) == {"removed": [("a = yes", "")], "added": [("", "b = no")]}


def test_copies_are_matched_one_by_one(became: Became) -> None:
    """Of three copies two are left: one is gone, whichever."""
    found = became([pair("a", row=n) for n in (1, 2, 3)], [pair("a", row=n) for n in (1, 2)])
    assert {kind: len(pairs) for kind, pairs in found.items()} == {"unchanged": 2, "removed": 1}


def test_a_row_that_is_put_first_changes_no_other(became: Became) -> None:
    """All that follow have another row number, and are unchanged all the same."""
    rows = [f"question number {n} of many" for n in range(30)]
    old, new = ([pair(text, row=n) for n, text in enumerate(texts)] for texts in (rows, ["what is this", *rows]))
    found = became(old, new)
    assert {kind: len(pairs) for kind, pairs in found.items()} == {"unchanged": 30, "added": 1}


def test_the_likest_prompt_is_the_edited_one(became: Became) -> None:
    """Of two that are near, the nearer; the other is new."""
    found = became([pair(LONG)], [pair(f"{LONG} or not, tell me", row=5), pair(f"{LONG} ok", row=6)])
    assert found["edited"] == [(told(pair(LONG)), told(pair(f"{LONG} ok")))]
    assert len(found["added"]) == 1


def test_nothing_is_lost(became: Became, pairs: list[Pair]) -> None:
    """Every old and every new pair is in exactly one place."""
    new = [pair(f"{one.prompt} ?", one.completion, row=one.row) for one in pairs[5:]] + pairs[:20]
    found = became(pairs, new)
    ends = [[one[side] for some in found.values() for one in some if one[side]] for side in (0, 1)]
    assert [len(end) for end in ends] == [len(pairs), len(new)]
    assert [sorted(end) for end in ends] == [sorted(map(told, pairs)), sorted(map(told, new))]


def test_each_end_is_taken_once() -> None:
    """In the order that they come in."""
    assert one_to_one([1, 1, 2, 3], [5, 6, 5, 6]) == {1: 5, 3: 6}


def test_only_labels_are_counted(tmp_path: Path, pairs: list[Pair]) -> None:
    """Free texts are all different, and are not held."""
    write_pairs(tmp_path / "p.parquet", pairs)
    assert read_pair_keys(tmp_path / "p.parquet", "s", labels=True).labels == {"blue": 20, "green": 20, "red": 20}
    assert not read_pair_keys(tmp_path / "p.parquet", "s", labels=False).labels
