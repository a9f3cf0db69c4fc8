"""Laws of the comment on a pull request: what it says, of what is not known too, and that it fits."""

import copy
from typing import Any

import pytest

from flows.review.data_diff import KIND_WORDS
from flows.review.markdown import inline_code
from flows.review.pr_comment import COMMENT_CHARS, COMMENT_MARKER, ProjectSide, write_comment
from pipeline.errors import UserError

METRIC = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 175}
RELEASE: dict[str, Any] = {
    "verdict": "promote",
    "reasons": ["significantly better than the base model"],
    "digests": {"adapter": "a" * 64, "test": "t" * 64},
    "metrics": {"arms": {"zero_shot": {"accuracy": METRIC}, "fine-tuned": {"accuracy": METRIC, "macro_f1": METRIC}}},
}
NOTHING = dict.fromkeys(KIND_WORDS, 0)
PAIRS: dict[str, Any] = {
    "rows": {"before": 60, "after": 61, "unchanged": 58},
    "change": {
        "learnt": NOTHING | {"added": 2}, "tested": NOTHING | {"relabelled": 1}, "new_labels": {"mau|ve": 2},
        "vanished_labels": {}, "drift": {"labels": 0.25, "prompt lengths": 0.5},
    },
    "decision": {"outcome": "ask", "reasons": ["new labels: mau|ve (2 rows)"]},
    "examples": [
        {"kind": "added", "source": "a.jsonl", "row": 7, "prompt_before": None, "prompt_after": "@all <b>",
         "completion_before": None, "completion_after": "mau|ve"},
        {"kind": "relabelled", "source": "a.jsonl", "row": 8, "prompt_before": "same", "prompt_after": "same",
         "completion_before": "red", "completion_after": "blue"},
    ],
}  # fmt: skip
TERMS = {"source": "a base", "system": "Name the colour."}


def golden(key: str, *tokens: str, **more: Any) -> dict[str, Any]:
    """A pair of the contract, its tokens numbered by their length."""
    row = {
        "id": key, "kind": "shortest", "messages": [{"role": "user", "content": f"prompt {key}"}], "completion": "blue",
        "text": " ".join(tokens), "ids": [len(token) for token in tokens], "tokens": [*tokens], "spans": [[1, 2]],
    }  # fmt: skip
    return row | more


def side(name: str, release: Any = RELEASE, contract: Any = ()) -> ProjectSide:
    return ProjectSide(name, release, contract)


def said(before: ProjectSide | None = None, after: ProjectSide | None = None, pairs: Any = PAIRS) -> str:
    return write_comment(before or side("main"), after or side("now"), pairs)


def row_of(text: str, first: str) -> list[str]:
    """The cells of the row of a table that begins so."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return line.strip("| ").split(" | ")


def test_each_measure_stands_before_and_after() -> None:
    """Value, interval and n of the fine-tuned model on both sides, and how far it moved; the same of the verdict."""
    now = copy.deepcopy(RELEASE) | {"verdict": "keep", "reasons": ["not significantly better"]}
    now["digests"]["adapter"] = "b" * 64
    now["metrics"]["arms"]["fine-tuned"]["accuracy"] = {"value": 0.625, "low": 0.55, "high": 0.7, "n": 180}
    text = said(after=side("now", now))
    assert row_of(text, inline_code("accuracy")) == [
        inline_code("accuracy"), "0.500 (0.400 to 0.600, n=175)", "0.625 (0.550 to 0.700, n=180)", "+0.125"
    ]  # fmt: skip
    assert row_of(text, inline_code("macro_f1"))[3] == "+0.000"
    assert row_of(text, "verdict")[1:3] == ["promoted", "not promoted"]
    assert f"Weights <code>{'a' * 12}</code> → <code>{'b' * 12}</code>; scored on the same test rows." in text
    assert (
        text.index("not significantly better")
        < text.index("<details>")
        < text.index("significantly better than the base model")
    )


def test_whether_it_was_worth_it_is_told() -> None:
    """Where the release says so: one of an earlier time does not."""
    text = said(after=side("now", RELEASE | {"worth": {"text": "use a prompt"}}))
    assert f"Was it worth it? {inline_code('use a prompt')}" in text
    assert "worth it" not in said()


def test_reasons_that_are_left_out_are_counted() -> None:
    """A gate may have one for every label."""
    text = said(after=side("now", RELEASE | {"reasons": [f"reason {n}" for n in range(23)]}))
    assert (text.count("reason "), "- and 3 more\n" in text) == (20, True)


def test_other_test_rows_and_the_same_weights_are_told() -> None:
    """A change of scores is no comparison then; and a change that changes nothing says that."""
    now = copy.deepcopy(RELEASE)
    now["digests"]["test"] = "u" * 64
    assert "byte for byte; scored on **other test rows**, so the change is no comparison." in said(
        after=side("now", now)
    )


@pytest.mark.parametrize("missing", ["before", "after", "both"])
def test_a_release_that_is_not_to_be_had_is_told(missing: str) -> None:
    """With the reason, and what is known stands all the same."""
    gone = UserError("dvc.lock", "names no release", do="run it")
    text = said(
        side("main", gone if missing != "after" else RELEASE), side("now", gone if missing != "before" else RELEASE)
    )
    told = text.count(f"**not known.** {inline_code('dvc.lock: names no release; run it')}")
    assert told == (2 if missing == "both" else 1)
    if missing == "both":
        assert "| metric |" not in text
    else:
        place = 1 if missing == "before" else 2
        assert row_of(text, inline_code("accuracy"))[place] == row_of(text, "verdict")[place] == "not known"
        assert row_of(text, inline_code("accuracy"))[3 - place] == "0.500 (0.400 to 0.600, n=175)"


def test_pairs_of_the_contract_come_go_and_change() -> None:
    """Each by its prompt and completion; where its tokens differ first; the others are counted."""
    then = [TERMS, golden("a", "x", "yy"), golden("b", "x"), golden("c", "x"), golden("e", "x", "y")]
    now = [TERMS | {"system": "Say it."}, golden("a", "x", "zzz", "z"), golden("c", "x"), golden("d", "x|"),
           golden("e", "x", "y", spans=[[0, 2]])]  # fmt: skip
    text = said(side("main", contract=then), side("now", contract=now))
    assert f"{inline_code('system')}: {inline_code('Name the colour.')} → {inline_code('Say it.')}" in text
    assert inline_code("source") not in text
    what = {key: row_of(text, f"{inline_code(f'prompt {key}')} → {inline_code('blue')}")[2] for key in "abde"}
    assert what == {
        "a": f"2 → 3 tokens; first at 2: {inline_code(2)} {inline_code('yy')} → {inline_code(3)} {inline_code('zzz')}",
        "b": "accepted no more",
        "d": "accepted anew, 1 tokens",
        "e": "other spans are learnt",
    }
    assert "| 1 more |  | unchanged |" in text


def test_a_contract_that_grows_longer_names_the_first_token_more() -> None:
    """There was none in its place."""
    text = said(
        side("main", contract=[TERMS, golden("a", "x")]), side("now", contract=[TERMS, golden("a", "x", "end")])
    )
    assert f"1 → 2 tokens; first at 2: {inline_code('none')} (empty) → {inline_code(3)} {inline_code('end')}" in text


@pytest.mark.parametrize(
    ("then", "now", "words"),
    [
        ((), (), "None are accepted, before or after."),
        ([TERMS, golden("a", "x")], [TERMS, golden("a", "x")], "1 pairs, unchanged."),
        (UserError("that commit", "holds no such file"), (), inline_code("that commit: holds no such file")),
    ],
)
def test_a_contract_that_did_not_change_or_is_not_known_is_told(then: Any, now: Any, words: str) -> None:
    """Neither is passed over."""
    assert words in said(side("main", contract=then), side("now", contract=now))


def test_what_changed_in_the_pairs_is_told_with_its_rows() -> None:
    """Decision first; counts of each kind, labels, drift; then the rows, of which nothing is taken for Markdown."""
    text = said()
    assert text.index("**stop and ask") < text.index("60 rows before, 61 after, 58 unchanged.")
    assert row_of(text, "added") == ["added", "2", "0"]
    assert row_of(text, KIND_WORDS["relabelled"]) == [KIND_WORDS["relabelled"], "0", "1"]
    assert f"New labels: {inline_code('mau|ve')} (2 rows)" in text
    assert "Vanished" not in text
    assert "Drift: labels 0.250, prompt lengths 0.500 " in text
    place = f"{inline_code('a.jsonl')} 7"
    assert row_of(text, place) == [place, inline_code("@all <b>"), inline_code("mau|ve")]
    assert row_of(text, f"{inline_code('a.jsonl')} 8")[1:] == [
        inline_code("same"),
        f"{inline_code('red')} → {inline_code('blue')}",
    ]
    assert not {"@all", "<b>", "mau|ve"} & set(text.replace("|", " | ").split(" "))
    assert "mau|ve" not in text


def test_pairs_that_cannot_be_compared_are_told() -> None:
    """And the rest of the comment stands."""
    text = said(pairs=UserError("main", "no pairs are kept there"))
    assert f"What changed in them: **not known.** {inline_code('main: no pairs are kept there')}" in text
    assert "| metric |" in text


@pytest.mark.parametrize(("letters", "shown"), [("x" * 400, 10), ("|" * 400, 3)])
def test_a_comment_fits_into_what_github_takes(letters: str, shown: int) -> None:
    """With fewer rows of each kind, if it must be."""
    rows = [
        {"kind": kind, "source": "a.jsonl", "row": n, "prompt_before": letters, "prompt_after": f"{n}{letters}",
         "completion_before": letters, "completion_after": f"{n}{letters}"}
        for kind in KIND_WORDS for n in range(20)
    ]  # fmt: skip
    text = said(pairs=PAIRS | {"examples": rows})
    assert len(text) <= COMMENT_CHARS
    assert text.count(inline_code("a.jsonl")) == shown * len(KIND_WORDS)
    assert text.startswith(f"{COMMENT_MARKER}\n")


def test_what_never_fits_is_told() -> None:
    """GitHub would refuse the comment, and nobody would know why."""
    labels = [f"{'|' * 999}{n}" for n in range(20)]
    text = said(side("main", RELEASE | {"reasons": labels}), side("now", RELEASE | {"reasons": labels}))
    assert len(text) < COMMENT_CHARS
    assert "It is too long for a comment: `tunesmith diff` shows it." in text
