"""What a change makes of model, tokens and pairs, as a comment on a pull request."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from flows.review.data_diff import ACTION_SENTENCES, KIND_WORDS
from flows.review.markdown import MAX_TEXT_LENGTH, details_block, inline_code, markdown_table
from pipeline.arms import FINETUNED
from pipeline.errors import UserError
from pipeline.verdicts import VERDICT_WORDS

COMMENT_MARKER = "<!-- tunesmith diff -->"
"""The first line, by which the comment is found again, to be written anew."""
COMMENT_CHARS = 65_536
"""Characters that GitHub takes of a comment."""
ROWS_PER_KIND = (10, 3, 0)
"""Rows of a kind that are shown: the most with which the comment is not too long."""
NAMES_SHOWN = 20
"""Labels, and reasons, that are named."""

DiffResult = Mapping[str, Any]


@dataclass(frozen=True)
class ProjectSide:
    """The project before a change or after it: what it is called, its release, and the lines of its golden contract.

    A Problem stands for what is not known, and says why.
    """

    name: str
    release: DiffResult | UserError
    golden_tokens: Sequence[DiffResult] | UserError


def write_comment(before: ProjectSide, after: ProjectSide, pairs: DiffResult | UserError) -> str:
    """Write the comment, with as many rows as it has room for.

    Args:
        before: What it was.
        after: What it is.
        pairs: What `pipeline.data_diff` found of the pairs of both.
    """
    head = [COMMENT_MARKER, "## What changes", "", f"{inline_code(before.name)} → {inline_code(after.name)}", ""]
    for shown in ROWS_PER_KIND:
        text = (
            "\n".join(
                [
                    *head,
                    *model_section(before, after),
                    "",
                    *golden_section(before, after),
                    "",
                    *pairs_section(pairs, shown),
                ]
            )
            + "\n"
        )
        if len(text) <= COMMENT_CHARS:
            return text
    return "\n".join([*head, "It is too long for a comment: `tunesmith diff` shows it."]) + "\n"


def not_available(what: str, problem: UserError) -> str:
    """Say that something is not known, and why."""
    return f"{what}: **not known.** {inline_code(problem, MAX_TEXT_LENGTH)}"


def model_section(before: ProjectSide, after: ProjectSide) -> Iterator[str]:
    """Tell each measure of the fine-tuned model, before and after, then the verdict and its reasons."""
    yield "### Model"
    for side in (before, after):
        if isinstance(side.release, UserError):
            yield f"\n{not_available(f'The release of {inline_code(side.name)}', side.release)}"
    then, now = (None if isinstance(side.release, UserError) else side.release for side in (before, after))
    if then or now:
        yield from markdown_table(
            ("metric", "before", "after", "change"), [*metrics_table(then, now), verdict_table(then, now)]
        )
    if then and now:
        yield f"\n{comparability_lines(then['digests'], now['digests'])}"
    if now:
        yield from ["", "The gate now says:", "", *reason_list(now)]
        if "worth" in now:
            yield f"\nWas it worth it? {inline_code(now['worth']['text'], MAX_TEXT_LENGTH)}"
    if then:
        yield from details_block("What the gate said before", reason_list(then))


def metrics_table(then: DiffResult | None, now: DiffResult | None) -> Iterator[list[str]]:
    """Lay out the measures: value, interval and n of both sides, and how far the value moved."""
    sides = [release["metrics"]["arms"][FINETUNED] if release else {} for release in (then, now)]
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        old, new = (side.get(name) for side in sides)
        yield [
            inline_code(name),
            metric_text_of(old),
            metric_text_of(new),
            f"{new['value'] - old['value']:+.3f}" if old and new else "",
        ]


def metric_text_of(result: DiffResult | None) -> str:
    """Show a measure with its 95 % interval and n."""
    if result is None:
        return "not known"
    return f"{result['value']:.3f} ({result['low']:.3f} to {result['high']:.3f}, n={result['n']})"


def verdict_table(then: DiffResult | None, now: DiffResult | None) -> list[str]:
    """Lay out the verdicts."""
    words = (VERDICT_WORDS[release["verdict"]].partition(":")[0] if release else "not known" for release in (then, now))
    return ["verdict", *words, ""]


def comparability_lines(then: DiffResult, now: DiffResult) -> str:
    """Say whether weights and test rows are the same: scores of other rows cannot be held against each other."""
    weights = "The weights are the same, byte for byte" if then["adapter"] == now["adapter"] else (
        f"Weights {inline_code(then['adapter'][:12])} → {inline_code(now['adapter'][:12])}"
    )  # fmt: skip
    rows = (
        "the same test rows" if then["test"] == now["test"] else "**other test rows**, so the change is no comparison"
    )
    return f"{weights}; scored on {rows}."


def reason_list(result: DiffResult) -> list[str]:
    """List the reasons of a verdict or a decision; labels may stand in them."""
    shown, more = result["reasons"][:NAMES_SHOWN], len(result["reasons"]) - NAMES_SHOWN
    return [
        *(f"- {inline_code(reason, MAX_TEXT_LENGTH)}" for reason in shown),
        *([f"- and {more} more"] if more > 0 else []),
    ]


def golden_section(before: ProjectSide, after: ProjectSide) -> Iterator[str]:
    """Tell what becomes of the golden contract: its terms, the pairs that come and go, and whose tokens change."""
    yield "### Accepted tokens"
    known = []
    for side in (before, after):
        if isinstance(side.golden_tokens, UserError):
            yield f"\n{not_available(f'The contract of {inline_code(side.name)}', side.golden_tokens)}"
        else:
            known.append(side.golden_tokens)
    if len(known) < 2:
        return
    then, now = known
    if then == now:
        yield f"\n{max(len(now) - 1, 0)} pairs, unchanged." if now else "\nNone are accepted, before or after."
        return
    yield from golden_terms_lines(*(side[0] if side else {} for side in (then, now)))
    yield from markdown_table(("pair", "chosen as", "what becomes of it"), golden_pairs_table(then[1:], now[1:]))


def golden_terms_lines(then: DiffResult, now: DiffResult) -> Iterator[str]:
    """Say what the tokens were accepted with that is otherwise now."""
    for name in dict.fromkeys([*then, *now]):
        if then.get(name) != now.get(name):
            yield f"\n{inline_code(name)}: {inline_code(then.get(name, ''))} → {inline_code(now.get(name, ''))}"


def golden_pairs_table(then: Sequence[DiffResult], now: Sequence[DiffResult]) -> Iterator[list[str]]:
    """Lay out the pairs of a contract that are not as they were, and count the others."""
    old, new = ({row["id"]: row for row in rows} for rows in (then, now))
    same = 0
    for key in dict.fromkeys([*old, *new]):
        was, row = old.get(key), new.get(key)
        same += was == row
        if was != row:
            shown = new.get(key) or old[key]
            asked = shown["messages"][-1]["content"] if shown["messages"] else ""
            yield [
                f"{inline_code(asked)} → {inline_code(shown['completion'])}",
                inline_code(shown["kind"]),
                token_change(was, row),
            ]
    if same:
        yield [f"{same} more", "", "unchanged"]


def token_change(was: DiffResult | None, row: DiffResult | None) -> str:
    """Say what became of the tokens of a pair."""
    if was is None or row is None:
        return f"accepted anew, {len(row['ids'])} tokens" if row else "accepted no more"
    lines = [list(zip(side["ids"], side["tokens"], strict=True)) for side in (was, row)]
    positions = enumerate(zip_longest(*lines, fillvalue=("none", "")), start=1)
    first = next((position for position in positions if position[1][0] != position[1][1]), None)
    if first is None:
        return (
            "other spans are learnt" if was["spans"] != row["spans"] else "the same tokens, rendered from another text"
        )
    number, ((old_id, old), (new_id, new)) = first
    counted = f"{len(was['ids'])} → {len(row['ids'])} tokens"
    then, now = (f"{inline_code(one)} {inline_code(text)}" for one, text in ((old_id, old), (new_id, new)))
    return f"{counted}; first at {number}: {then} → {now}"


def pairs_section(pairs: DiffResult | UserError, shown: int) -> Iterator[str]:
    """Tell what changed in the pairs, what it calls for, and the first rows of each kind of change."""
    yield "### Pairs"
    if isinstance(pairs, UserError):
        yield f"\n{not_available('What changed in them', pairs)}"
        return
    rows, change, decision = pairs["rows"], pairs["change"], pairs["decision"]
    yield f"\n**{ACTION_SENTENCES[decision['outcome']]}**\n"
    yield from reason_list(decision)
    yield f"\n{rows['before']:,} rows before, {rows['after']:,} after, {rows['unchanged']:,} unchanged."
    kinds = [(words, change["learnt"][kind], change["tested"][kind]) for kind, words in KIND_WORDS.items()]
    if any(learnt + tested for _, learnt, tested in kinds):
        yield from markdown_table(
            ("rows", "that training or validation sees", "in the test set alone"),
            [[words, f"{learnt:,}", f"{tested:,}"] for words, learnt, tested in kinds if learnt + tested],
        )
    yield from label_lists(change)
    moved = ", ".join(f"{name} {how_far:.3f}" for name, how_far in change["drift"].items())
    yield f"\nDrift: {moved} (0: no more than chance, 1: nothing in common)."
    for kind, words in KIND_WORDS.items():
        yield from example_rows(words, [row for row in pairs["examples"] if row["kind"] == kind], shown)


def label_lists(change: DiffResult) -> Iterator[str]:
    """Name the labels that came or went."""
    for word in ("new", "vanished"):
        labels = change[f"{word}_labels"]
        named = [f"{inline_code(label)} ({count:,} rows)" for label, count in labels.items()][:NAMES_SHOWN]
        if named:
            more = f" and {len(labels) - NAMES_SHOWN} more" if len(labels) > NAMES_SHOWN else ""
            yield f"\n{word.capitalize()} labels: {', '.join(named)}{more}"


def example_rows(words: str, rows: Sequence[DiffResult], shown: int) -> Iterator[str]:
    """Show the first rows of a kind of change, folded; or say that there is no room for them."""
    if rows and not shown:
        yield f"\nNo room here for rows that are {words.partition(':')[0]}: `tunesmith diff` shows them."
    elif rows:
        first = markdown_table(("row", "prompt", "completion"), map(example_row, rows[:shown]))
        yield from details_block(f"The first rows {words.partition(':')[0]}", first)


def example_row(row: DiffResult) -> list[str]:
    """Lay out a row that changed: what it was, an arrow, what it is, each only where they differ."""
    location = f"{inline_code(row['source'])} {row['row']}"
    return [
        location,
        *(before_after_code(row[f"{part}_before"], row[f"{part}_after"]) for part in ("prompt", "completion")),
    ]


def before_after_code(before: str | None, after: str | None) -> str:
    """Show a text, or what it was and what it is."""
    return " → ".join(inline_code(text) for text in dict.fromkeys((before, after)) if text is not None)
