from dataclasses import replace
from itertools import permutations

from pipeline.pairs import Message, Pair
from pipeline.tokenize.samples import SmallestKeys, pair_kinds


def test_a_pair_is_of_every_kind_that_it_shows(pairs: list[Pair]) -> None:
    """A conversation of several turns may have a system message of its own, and letters beyond ASCII."""
    turns = [("system", "kurz"), ("user", "hallo"), ("assistant", "ja?"), ("user", "grün?")]
    found = replace(pairs[0], messages=tuple(Message(role, said) for role, said in turns))
    assert pair_kinds(found) == ["own system", "several turns", "unicode"]
    assert pair_kinds(pairs[0]) == ["one turn"]
    assert pair_kinds(replace(pairs[0], completion="grün")) == ["one turn", "unicode"]


def test_the_smallest_are_kept_whatever_their_order() -> None:
    """So many as are asked for, in the order of their keys."""
    for keys in permutations("abcd"):
        some = SmallestKeys[str](2)
        for key in keys:
            some.add(key, key.upper())
        assert some.rows == ["A", "B"]


def test_a_key_is_kept_once() -> None:
    """The same pair may come twice; the first is kept, and takes no other one's place."""
    some = SmallestKeys[int](2)
    for row, key in enumerate("baacb"):
        some.add(key, row)
    assert some.rows == [1, 0]


def test_what_would_not_be_kept_is_not_wanted() -> None:
    """So that nobody computes what is thrown away."""
    some = SmallestKeys[None](1)
    assert some.would_keep("b")
    some.add("b", None)
    assert [some.would_keep(key) for key in "abc"] == [True, False, False]
