"""What a change makes of model, tokens and pairs, as a comment on a pull request."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from flows.review.data_diff import OUTCOMES, WORDS
from flows.review.markdown import LONG, code, folded, table
from pipeline.errors import Problem

MARK = "<!-- tunesmith diff -->"
"""The first line, by which the comment is found again, to be written anew."""
LIMIT = 65_536
"""Characters that GitHub takes of a comment."""
SHOWN = (10, 3, 0)
"""Rows of a kind that are shown: the most with which the comment is not too long."""
NAMED = 20
"""Labels, and reasons, that are named."""
MODEL = "fine-tuned"
VERDICTS = {"promote": "promoted", "keep": "not promoted", "unchanged": "unchanged: the champion already"}

Found = Mapping[str, Any]


@dataclass(frozen=True)
class Side:
    """The project before a change or after it: what it is called, its release, and the lines of its golden contract.

    A Problem stands for what is not known, and says why.
    """

    name: str
    release: Found | Problem
    golden: Sequence[Found] | Problem


def comment(before: Side, after: Side, pairs: Found | Problem) -> str:
    """Write the comment, with as many rows as it has room for.

    Args:
        before: What it was.
        after: What it is.
        pairs: What `pipeline.data_diff` found of the pairs of both.
    """
    head = [MARK, "## What changes", "", f"{code(before.name)} → {code(after.name)}", ""]
    for shown in SHOWN:
        text = "\n".join([*head, *model(before, after), "", *tokens(before, after), "", *changes(pairs, shown)]) + "\n"
        if len(text) <= LIMIT:
            return text
    return "\n".join([*head, "It is too long for a comment: `tunesmith diff` shows it."]) + "\n"


def unknown(what: str, problem: Problem) -> str:
    """Say that something is not known, and why."""
    return f"{what}: **not known.** {code(problem, LONG)}"


def model(before: Side, after: Side) -> Iterator[str]:
    """Tell each measure of the fine-tuned model, before and after, then the verdict and its reasons."""
    yield "### Model"
    known: list[Found | None] = []
    for side in (before, after):
        if isinstance(side.release, Problem):
            yield f"\n{unknown(f'The release of {code(side.name)}', side.release)}"
        known.append(None if isinstance(side.release, Problem) else side.release)
    then, now = known
    if then or now:
        yield from table(("metric", "before", "after", "change"), [*measures(then, now), verdicts(then, now)])
    if then and now:
        yield f"\n{likeness(then['digests'], now['digests'])}"
    if now:
        yield from ["", "The gate now says:", "", *reasons(now)]
        if "worth" in now:
            yield f"\nWas it worth it? {code(now['worth']['text'], LONG)}"
    if then:
        yield from folded("What the gate said before", reasons(then))


def measures(then: Found | None, now: Found | None) -> Iterator[list[str]]:
    """Lay out the measures: value, interval and n of both sides, and how far the value moved."""
    sides = [release["metrics"]["arms"][MODEL] if release else {} for release in (then, now)]
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        old, new = (side.get(name) for side in sides)
        yield [code(name), measure(old), measure(new), f"{new['value'] - old['value']:+.3f}" if old and new else ""]


def measure(found: Found | None) -> str:
    """Show a measure with its 95 % interval and n."""
    if found is None:
        return "not known"
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f}, n={found['n']})"


def verdicts(then: Found | None, now: Found | None) -> list[str]:
    """Lay out the verdicts."""
    return ["verdict", *(VERDICTS[release["verdict"]] if release else "not known" for release in (then, now)), ""]


def likeness(then: Found, now: Found) -> str:
    """Say whether weights and test rows are the same: scores of other rows cannot be held against each other."""
    weights = "The weights are the same, byte for byte" if then["adapter"] == now["adapter"] else (
        f"Weights {code(then['adapter'][:12])} → {code(now['adapter'][:12])}"
    )  # fmt: skip
    rows = (
        "the same test rows" if then["test"] == now["test"] else "**other test rows**, so the change is no comparison"
    )
    return f"{weights}; scored on {rows}."


def reasons(found: Found) -> list[str]:
    """List the reasons of a verdict or a decision; labels may stand in them."""
    told, more = found["reasons"][:NAMED], len(found["reasons"]) - NAMED
    return [*(f"- {code(reason, LONG)}" for reason in told), *([f"- and {more} more"] if more > 0 else [])]


def tokens(before: Side, after: Side) -> Iterator[str]:
    """Tell what becomes of the golden contract: its terms, the pairs that come and go, and whose tokens change."""
    yield "### Accepted tokens"
    known = []
    for side in (before, after):
        if isinstance(side.golden, Problem):
            yield f"\n{unknown(f'The contract of {code(side.name)}', side.golden)}"
        else:
            known.append(side.golden)
    if len(known) < 2:
        return
    then, now = known
    if then == now:
        yield f"\n{max(len(now) - 1, 0)} pairs, unchanged." if now else "\nNone are accepted, before or after."
        return
    yield from terms(*(side[0] if side else {} for side in (then, now)))
    yield from table(("pair", "chosen as", "what becomes of it"), golden_rows(then[1:], now[1:]))


def terms(then: Found, now: Found) -> Iterator[str]:
    """Say what the tokens were accepted with that is otherwise now."""
    for name in dict.fromkeys([*then, *now]):
        if then.get(name) != now.get(name):
            yield f"\n{code(name)}: {code(then.get(name, ''))} → {code(now.get(name, ''))}"


def golden_rows(then: Sequence[Found], now: Sequence[Found]) -> Iterator[list[str]]:
    """Lay out the pairs of a contract that are not as they were, and count the others."""
    old, new = ({row["id"]: row for row in rows} for rows in (then, now))
    same = 0
    for key in dict.fromkeys([*old, *new]):
        was, row = old.get(key), new.get(key)
        same += was == row
        if was != row:
            shown = new.get(key) or old[key]
            asked = shown["messages"][-1]["content"] if shown["messages"] else ""
            yield [f"{code(asked)} → {code(shown['completion'])}", code(shown["kind"]), fate(was, row)]
    if same:
        yield [f"{same} more", "", "unchanged"]


def fate(was: Found | None, row: Found | None) -> str:
    """Say what became of the tokens of a pair."""
    if was is None or row is None:
        return f"accepted anew, {len(row['ids'])} tokens" if row else "accepted no more"
    lines = [list(zip(side["ids"], side["tokens"], strict=True)) for side in (was, row)]
    places = enumerate(zip_longest(*lines, fillvalue=("none", "")), start=1)
    first = next((place for place in places if place[1][0] != place[1][1]), None)
    if first is None:
        return (
            "other spans are learnt" if was["spans"] != row["spans"] else "the same tokens, rendered from another text"
        )
    number, ((old_id, old), (new_id, new)) = first
    counted = f"{len(was['ids'])} → {len(row['ids'])} tokens"
    return f"{counted}; first at {number}: {code(old_id)} {code(old)} → {code(new_id)} {code(new)}"


def changes(pairs: Found | Problem, shown: int) -> Iterator[str]:
    """Tell what changed in the pairs, what it calls for, and the first rows of each kind of change."""
    yield "### Pairs"
    if isinstance(pairs, Problem):
        yield f"\n{unknown('What changed in them', pairs)}"
        return
    rows, change, decision = pairs["rows"], pairs["change"], pairs["decision"]
    yield f"\n**{OUTCOMES[decision['outcome']]}**\n"
    yield from reasons(decision)
    yield f"\n{rows['before']:,} rows before, {rows['after']:,} after, {rows['unchanged']:,} unchanged."
    kinds = [(words, change["learnt"][kind], change["tested"][kind]) for kind, words in WORDS.items()]
    if any(learnt + tested for _, learnt, tested in kinds):
        yield from table(
            ("rows", "that training or validation sees", "in the test set alone"),
            [[words, f"{learnt:,}", f"{tested:,}"] for words, learnt, tested in kinds if learnt + tested],
        )
    yield from labels(change)
    moved = ", ".join(f"{name} {how_far:.3f}" for name, how_far in change["drift"].items())
    yield f"\nDrift: {moved} (0: as before, 1: nothing in common)."
    for kind, words in WORDS.items():
        yield from examples(words, [row for row in pairs["examples"] if row["kind"] == kind], shown)


def labels(change: Found) -> Iterator[str]:
    """Name the labels that came or went."""
    for word in ("new", "vanished"):
        found = change[f"{word}_labels"]
        named = [f"{code(label)} ({count:,} rows)" for label, count in found.items()][:NAMED]
        if named:
            more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
            yield f"\n{word.capitalize()} labels: {', '.join(named)}{more}"


def examples(words: str, rows: Sequence[Found], shown: int) -> Iterator[str]:
    """Show the first rows of a kind of change, folded; or say that there is no room for them."""
    if rows and not shown:
        yield f"\nNo room here for rows that are {words.partition(':')[0]}: `tunesmith diff` shows them."
    elif rows:
        first = table(("row", "prompt", "completion"), map(example, rows[:shown]))
        yield from folded(f"The first rows {words.partition(':')[0]}", first)


def example(row: Found) -> list[str]:
    """Lay out a row that changed: what it was, an arrow, what it is, each only where they differ."""
    place = f"{code(row['source'])} {row['row']}"
    return [place, *(arrow(row[f"{part}_before"], row[f"{part}_after"]) for part in ("prompt", "completion"))]


def arrow(before: str | None, after: str | None) -> str:
    """Show a text, or what it was and what it is."""
    return " → ".join(code(text) for text in dict.fromkeys((before, after)) if text is not None)
