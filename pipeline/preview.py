"""The page that shows what training sees: sample rows token by token, and how long the rows are."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from pipeline.page import STYLE, table
from pipeline.prompt import Encoded

SHARES = {"half have at most": 0.5, "nine in ten": 0.9, "99 in a hundred": 0.99, "all": 1.0}
DRAWN = 6
MOST_TOKENS = 1500
"""Of a sample: so many are shown, the first half and the last."""
TOKENS = """
.tokens { font: .8rem/1.9 ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap; margin: .3rem 0; }
.tokens i { font-style: normal; border-radius: .2rem; padding: .1rem 0; margin-right: 1px; background: #8882; }
.tokens .learnt { background: #1a7f3755; } .tokens .special { color: #8250df; font-weight: 600; }
.tokens .cut { background: #cf222e44; text-decoration: line-through; } .tokens u { text-decoration: none; opacity: .5; }
@media (prefers-color-scheme: dark) { .tokens .special { color: #d2a8ff; } .tokens .learnt { background: #3fb95066; } }
h3 { font-size: 1rem; margin: 1.6rem 0 .2rem; } h3 span { font-weight: 400; opacity: .7; }
"""
LEGEND = (
    "<p class='tokens'><i class='learnt'>learnt</i> <i>read only</i> <i class='special'>special</i> "
    "<i class='cut'>beyond the limit</i></p>"
)
BLANKS = {" ": "·", "\n": "↵\n", "\r": "␍", "\t": "⇥"}


@dataclass(frozen=True)
class Sample:
    """A row to show: why it was chosen, the id of its pair, its tokens."""

    why: str
    id: str
    encoded: Encoded


@dataclass(frozen=True)
class Lengths:
    """How many tokens the rows of a split have, in the prompt and behind it; too long ones too."""

    prompts: Sequence[int]
    completions: Sequence[int]
    too_long: int


def lengths_of(rows: Sequence[Encoded], too_long: int) -> Lengths:
    """Measure the rows of a split."""
    prompts = [row.completion_start for row in rows]
    return Lengths(prompts, [len(row.input_ids) - row.completion_start for row in rows], too_long)


def choose(rows: Sequence[tuple[str, Encoded]], too_long: Sequence[tuple[str, Encoded]]) -> list[Sample]:
    """Choose rows to show, whatever their order: by length, by chance (the smallest hashes), and what is special.

    Args:
        rows: Ids and tokens of rows that are kept.
        too_long: The same of rows that are not.
    """
    by_length = sorted(rows, key=lambda row: (len(row[1].input_ids), row[0]))
    found = {"the shortest": by_length[:1], "of middling length": by_length[len(by_length) // 2 :][:1]}
    found["the longest"] = by_length[-1:]
    found["several answers"] = sorted((row for row in rows if row[1].earlier), key=lambda row: row[0])[:2]
    found["drawn"] = sorted(rows, key=lambda row: row[0])[:DRAWN]
    found["too long"] = sorted(too_long, key=lambda row: row[0])[:1]
    chosen: dict[str, Sample] = {}
    for why, some in found.items():
        for pair_id, encoded in some:
            chosen.setdefault(pair_id, Sample(why, pair_id, encoded))
    return list(chosen.values())


def percentile(numbers: Sequence[int], share: float) -> int:
    """Give the smallest of some numbers that so large a share of them does not exceed; 0 of none."""
    ordered = sorted(numbers)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)] if ordered else 0


def preview_page(splits: dict[str, Lengths], samples: Sequence[Sample], tokenizer: Any, max_tokens: int) -> str:
    """Render the lengths of all rows and the tokens of some as one self-contained HTML page."""
    rows = sum(len(split.prompts) for split in splits.values())
    tiles = {"rows": rows, "too long": sum(split.too_long for split in splits.values()), "tokens at most": max_tokens}
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>",
        f"<title>Tokens</title><style>{STYLE}{TOKENS}</style><h1>What training sees</h1>",
        "<div class='tiles'>" + "".join(f"<div><b>{n:,}</b>{name}</div>" for name, n in tiles.items()) + "</div>",
        "<h2>Lengths in tokens</h2>",
        f"<div class='numbers'>{table(['', *SHARES], percentile_rows(splits))}</div>",
        f"<p>A row of more than {max_tokens:,} tokens is set aside whole: cut, it would lose its answer.</p>",
        f"<div class='numbers'>{table(['split', 'rows', 'too long'], map(split_row, splits.items()))}</div>",
        "<h2>Sample rows</h2>",
        LEGEND,
        *(sample_part(sample, tokenizer, max_tokens) for sample in samples),
    ]
    return "\n".join(parts) + "\n"


def percentile_rows(splits: dict[str, Lengths]) -> list[str]:
    """Render the percentiles of prompts, of completions and of both together."""
    prompts = [length for split in splits.values() for length in split.prompts]
    completions = [length for split in splits.values() for length in split.completions]
    both = [sum(lengths) for lengths in zip(prompts, completions, strict=True)]
    return [
        f"<tr><td>{name}</td>"
        + "".join(f"<td class='n'>{percentile(lengths, share):,}</td>" for share in SHARES.values())
        + "</tr>"
        for name, lengths in {"prompt": prompts, "completion": completions, "both": both}.items()
    ]


def split_row(item: tuple[str, Lengths]) -> str:
    """Render how many rows a split has and how many of them are too long."""
    name, split = item
    kind = "n bad" if split.too_long else "n"
    return (
        f"<tr><td>{name}</td><td class='n'>{len(split.prompts):,}</td><td class='{kind}'>{split.too_long:,}</td></tr>"
    )


def sample_part(sample: Sample, tokenizer: Any, max_tokens: int) -> str:
    """Render the tokens of a row."""
    row, marks = sample.encoded, marks_of(sample.encoded, tokenizer, max_tokens)
    length = len(row.input_ids)
    told = f"{length:,} tokens, {len(row.supervised_ids):,} learnt"
    shown = list(zip(pieces_of(row.input_ids, tokenizer), marks, strict=True))
    tokens = [f"<i class='{mark}'>{visible(piece)}</i>" for piece, mark in shown]
    if length > MOST_TOKENS:
        half = MOST_TOKENS // 2
        tokens[half:-half] = [f"<b>… {length - 2 * half:,} more tokens …</b>"]
    return (
        f"<h3>{escape(sample.why)} <span>{told}, pair {escape(sample.id)}</span></h3>"
        f"<p class='tokens'>{''.join(tokens)}</p>"
    )


def marks_of(row: Encoded, tokenizer: Any, max_tokens: int) -> list[str]:
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


def pieces_of(ids: Sequence[int], tokenizer: Any) -> list[str]:
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


def visible(piece: str) -> str:
    """Write a token so that its blanks are seen."""
    return "".join(f"<u>{BLANKS[char]}</u>" if char in BLANKS else escape(char) for char in piece)
