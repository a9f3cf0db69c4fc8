"""The page that shows what training sees: sample rows token by token, and how long the rows are."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from math import ceil
from pathlib import Path
from typing import Any

from pipeline.html.elements import PAGE_STYLE, html_table, page_start
from pipeline.model.chat_template import Encoded
from pipeline.model.tokenized import find_tokens
from pipeline.pairs import Pair
from pipeline.tokenize.samples import SAMPLE_KINDS, SmallestKeys, pair_kinds

PERCENTILES = {"half have at most": 0.5, "nine in ten": 0.9, "99 in a hundred": 0.99, "all": 1.0}
LENGTH_QUANTILES = {"the shortest": 0.0, "of middling length": 0.5, "the longest": 1.0}
SPECIAL_KINDS = ("own system", "several turns", "unicode")
"""Kinds of pairs that are shown if there are some."""
RANDOM_SAMPLES = 6
MAX_SHOWN_TOKENS = 1500
"""Of a sample: so many are shown, the first half and the last."""
PREVIEW_STYLE = """
.tokens { font: .8rem/1.9 ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap; margin: .3rem 0; }
.tokens i { font-style: normal; border-radius: .2rem; padding: .1rem 0; margin-right: 1px; background: #8882; }
.tokens .learnt { background: #1a7f3755; } .tokens .special { color: #8250df; font-weight: 600; }
.tokens .cut { background: #cf222e44; text-decoration: line-through; } .tokens u { text-decoration: none; opacity: .5; }
@media (prefers-color-scheme: dark) { .tokens .special { color: #d2a8ff; } .tokens .learnt { background: #3fb95066; } }
h3 { font-size: 1rem; margin: 1.6rem 0 .2rem; } h3 span { font-weight: 400; opacity: .7; }
"""
PREVIEW_LEGEND = (
    "<p class='tokens'><i class='learnt'>learnt</i> <i>read only</i> <i class='special'>special</i> "
    "<i class='cut'>beyond the limit</i></p>"
)
VISIBLE_WHITESPACE = {" ": "·", "\n": "↵\n", "\r": "␍", "\t": "⇥"}


@dataclass(frozen=True)
class PreviewSample:
    """A row to show: why it was chosen, the id of its pair, its tokens."""

    why: str
    id: str
    encoded: Encoded


@dataclass
class LengthCounts:
    """How many rows of a split have how many tokens, too long ones too, counted while they go by.

    Args:
        prompts: Rows by the tokens of their prompt.
        completions: Rows by the tokens behind it.
        both: Rows by all of their tokens.
        too_long: Rows that have too many.
    """

    prompts: Counter[int] = field(default_factory=Counter)
    completions: Counter[int] = field(default_factory=Counter)
    both: Counter[int] = field(default_factory=Counter)
    too_long: int = 0

    def add(self, row: Encoded) -> int:
        """Count a row, and give its length."""
        length = len(row.input_ids)
        self.prompts[row.completion_start] += 1
        self.completions[length - row.completion_start] += 1
        self.both[length] += 1
        return length


class SampleChooser:
    """Chooses rows to show while they go by: by length, by what is special in them, by chance."""

    def __init__(self) -> None:
        self._lengths: Counter[int] = Counter()
        self._first: dict[int, str] = {}  # of each length the smallest id
        self._kinds = {kind: SmallestKeys[str](SAMPLE_KINDS[kind]) for kind in SPECIAL_KINDS}
        self._drawn = SmallestKeys[str](RANDOM_SAMPLES)
        self._too_long = SmallestKeys[PreviewSample](1)

    def keep(self, pair: Pair, pair_id: str, length: int) -> None:
        """Look at a row that is kept."""
        self._lengths[length] += 1
        self._first[length] = min(pair_id, self._first.get(length, pair_id))
        self._drawn.take(pair_id, pair_id)
        for kind in pair_kinds(pair):
            if kind in self._kinds:
                self._kinds[kind].take(pair_id, pair_id)

    def leave_out(self, pair_id: str, row: Encoded) -> None:
        """Look at a row that is too long."""
        self._too_long.take(pair_id, PreviewSample("too long", pair_id, row))

    def samples(self, kept: Path) -> list[PreviewSample]:
        """Give the rows that were chosen, each once; those that are kept are read from their file."""
        found = {why: self._of_length(share) for why, share in LENGTH_QUANTILES.items()}
        found |= {kind: some.rows for kind, some in self._kinds.items()}
        reasons = sample_reasons({**found, "drawn": self._drawn.rows})
        rows = find_tokens(kept, reasons)
        return [*(PreviewSample(why, row_id, rows[row_id]) for row_id, why in reasons.items()), *self._too_long.rows]

    def _of_length(self, share: float) -> list[str]:
        """Give the row that so large a share of the rows does not exceed."""
        return [self._first[percentile(self._lengths, share)]] if self._lengths else []


def sample_reasons(found: dict[str, list[str]]) -> dict[str, str]:
    """Say of each row for what it was chosen, each once and in the order that it was."""
    reasons: dict[str, list[str]] = {}
    for why, ids in found.items():
        for row_id in ids:
            reasons.setdefault(row_id, []).append(why)
    return {row_id: ", ".join(whys) for row_id, whys in reasons.items()}


def percentile(numbers: Counter[int], share: float) -> int:
    """Give the smallest of some counted numbers that so large a share of them does not exceed; 0 of none."""
    wanted, seen = ceil(share * numbers.total()), 0
    for number in sorted(numbers):
        seen += numbers[number]
        if seen >= max(1, wanted):
            return number
    return 0


def preview_page(
    splits: dict[str, LengthCounts], samples: Sequence[PreviewSample], tokenizer: Any, max_tokens: int
) -> str:
    """Render the lengths of all rows and the tokens of some as one self-contained HTML page."""
    rows = sum(split.both.total() for split in splits.values())
    tiles = {"rows": rows, "too long": sum(split.too_long for split in splits.values()), "tokens at most": max_tokens}
    parts = [
        page_start("Tokens", PAGE_STYLE + PREVIEW_STYLE) + "<h1>What training sees</h1>",
        "<div class='tiles'>" + "".join(f"<div><b>{n:,}</b>{name}</div>" for name, n in tiles.items()) + "</div>",
        "<h2>Lengths in tokens</h2>",
        f"<div class='numbers'>{html_table(['', *PERCENTILES], percentile_rows(splits))}</div>",
        f"<p>A row of more than {max_tokens:,} tokens is set aside whole: cut, it would lose its answer.</p>",
        f"<div class='numbers'>{html_table(['split', 'rows', 'too long'], map(split_row, splits.items()))}</div>",
        "<h2>Sample rows</h2>",
        PREVIEW_LEGEND,
        *(sample_section(sample, tokenizer, max_tokens) for sample in samples),
    ]
    return "\n".join(parts) + "\n"


def percentile_rows(splits: dict[str, LengthCounts]) -> list[str]:
    """Render the percentiles of prompts, of completions and of both together."""
    found = {
        "prompt": sum((split.prompts for split in splits.values()), Counter()),
        "completion": sum((split.completions for split in splits.values()), Counter()),
        "both": sum((split.both for split in splits.values()), Counter()),
    }
    return [
        f"<tr><td>{name}</td>"
        + "".join(f"<td class='n'>{percentile(lengths, share):,}</td>" for share in PERCENTILES.values())
        + "</tr>"
        for name, lengths in found.items()
    ]


def split_row(item: tuple[str, LengthCounts]) -> str:
    """Render how many rows a split has and how many of them are too long."""
    name, split = item
    kind = "n bad" if split.too_long else "n"
    rows = f"<td class='n'>{split.both.total():,}</td>"
    return f"<tr><td>{name}</td>{rows}<td class='{kind}'>{split.too_long:,}</td></tr>"


def sample_section(sample: PreviewSample, tokenizer: Any, max_tokens: int) -> str:
    """Render the tokens of a row."""
    row, marks = sample.encoded, token_classes(sample.encoded, tokenizer, max_tokens)
    length = len(row.input_ids)
    told = f"{length:,} tokens, {row.supervised:,} learnt"
    shown = list(zip(token_texts(row.input_ids, tokenizer), marks, strict=True))
    tokens = [f"<i class='{mark}'>{visible_token(piece)}</i>" for piece, mark in shown]
    if length > MAX_SHOWN_TOKENS:
        half = MAX_SHOWN_TOKENS // 2
        tokens[half:-half] = [f"<b>… {length - 2 * half:,} more tokens …</b>"]
    return (
        f"<h3>{escape(sample.why)} <span>{told}, pair {escape(sample.id)}</span></h3>"
        f"<p class='tokens'>{''.join(tokens)}</p>"
    )


def token_classes(row: Encoded, tokenizer: Any, max_tokens: int) -> list[str]:
    """Say of each token whether it is learnt, special, or beyond the limit."""
    special = set(tokenizer.all_special_ids)
    learnt = {place for start, end in row.spans for place in range(start, end)}
    return [
        " ".join(
            mark
            for mark, holds in {
                "learnt": place in learnt and len(row.input_ids) <= max_tokens,
                "special": token in special,
                "cut": place >= max_tokens,
            }.items()
            if holds
        )
        for place, token in enumerate(row.input_ids)
    ]


def token_texts(ids: Sequence[int], tokenizer: Any) -> list[str]:
    """Give the text of each token; a character of several tokens stands with the last of them.

    What a token adds to those before it: some tokenizers drop the blank of a token that stands alone.
    """
    found: list[str] = []
    start, told = 0, ""
    for end in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[start:end], clean_up_tokenization_spaces=False)
        whole = not text.endswith("\ufffd")
        found.append(text[len(told) :] if whole else "")
        if whole:
            start, told = end - 1, tokenizer.decode(ids[end - 1 : end], clean_up_tokenization_spaces=False)
            if "\ufffd" in told:
                start, told = end, ""
    return found


def visible_token(piece: str) -> str:
    """Write a token so that its blanks are seen."""
    return "".join(
        f"<u>{VISIBLE_WHITESPACE[char]}</u>" if char in VISIBLE_WHITESPACE else escape(char) for char in piece
    )
