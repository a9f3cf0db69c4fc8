"""The page that shows what training sees: sample rows token by token, and how long the rows are."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.html.render import render_template
from pipeline.model.chat_template import Encoded
from pipeline.model.tokenized import find_tokens
from pipeline.pairs import Pair
from pipeline.tokenize.samples import SAMPLE_KINDS, SmallestKeys, pair_kinds

PREVIEW_TEMPLATES = Path(__file__).parent / "templates"
PERCENTILES = {"median": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
LENGTH_QUANTILES = {"the shortest": 0.0, "of median length": 0.5, "the longest": 1.0}
SPECIAL_KINDS = ("own system", "several turns", "unicode")
"""Kinds of pairs that are shown if there are some."""
RANDOM_SAMPLES = 6
MAX_SHOWN_TOKENS = 1500
"""Of a sample: so many are shown, the first half and the last."""
VISIBLE_WHITESPACE = {" ": "·", "\n": "↵\n", "\r": "␍", "\t": "⇥"}


@dataclass(frozen=True)
class PreviewSample:
    """A row to show: why it was chosen, the id of its pair, its tokens."""

    reason: str
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
        self._smallest_ids: dict[int, str] = {}  # of each length the smallest id
        self._kinds = {kind: SmallestKeys[str](SAMPLE_KINDS[kind]) for kind in SPECIAL_KINDS}
        self._random = SmallestKeys[str](RANDOM_SAMPLES)
        self._too_long = SmallestKeys[PreviewSample](1)

    def add(self, pair: Pair, pair_id: str, length: int) -> None:
        """Look at a row that is kept."""
        self._lengths[length] += 1
        self._smallest_ids[length] = min(pair_id, self._smallest_ids.get(length, pair_id))
        self._random.add(pair_id, pair_id)
        for kind in pair_kinds(pair):
            if kind in self._kinds:
                self._kinds[kind].add(pair_id, pair_id)

    def add_too_long(self, pair_id: str, row: Encoded) -> None:
        """Look at a row that is too long."""
        self._too_long.add(pair_id, PreviewSample("too long", pair_id, row))

    def samples(self, kept: Path) -> list[PreviewSample]:
        """Give the rows that were chosen, each once; those that are kept are read from their file."""
        candidates = {why: self._of_length(share) for why, share in LENGTH_QUANTILES.items()}
        candidates |= {kind: some.rows for kind, some in self._kinds.items()}
        reasons = sample_reasons({**candidates, "drawn": self._random.rows})
        rows = find_tokens(kept, reasons)
        return [*(PreviewSample(why, row_id, rows[row_id]) for row_id, why in reasons.items()), *self._too_long.rows]

    def _of_length(self, share: float) -> list[str]:
        """Give the row that so large a share of the rows does not exceed."""
        return [self._smallest_ids[percentile(self._lengths, share)]] if self._lengths else []


def sample_reasons(candidates: dict[str, list[str]]) -> dict[str, str]:
    """Say of each row for what it was chosen, each once and in the order that it was."""
    reasons: dict[str, list[str]] = {}
    for why, ids in candidates.items():
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


class ShownToken(NamedTuple):
    """A token on the page: its text, and the classes that say how training sees it."""

    text: str
    classes: str


class ShownSample(NamedTuple):
    """A sample on the page: of a long one the tokens at both ends, and how many are hidden between them."""

    why: str
    id: str
    length: int
    learnt: int
    head: list[ShownToken]
    hidden: int
    tail: list[ShownToken]


def preview_page(
    splits: dict[str, LengthCounts], samples: Sequence[PreviewSample], tokenizer: Any, max_tokens: int
) -> str:
    """Render the lengths of all rows and the tokens of some as one self-contained HTML page."""
    rows = sum(split.both.total() for split in splits.values())
    tiles = {"rows": rows, "too long": sum(split.too_long for split in splits.values()), "tokens at most": max_tokens}
    return render_template(
        PREVIEW_TEMPLATES,
        "preview.html.j2",
        tiles=tiles.items(),
        percentile_names=[*PERCENTILES],
        percentiles=length_percentiles(splits),
        splits=splits,
        samples=[shown_sample(sample, tokenizer, max_tokens) for sample in samples],
        max_tokens=max_tokens,
        whitespace=VISIBLE_WHITESPACE,
    )


def length_percentiles(splits: dict[str, LengthCounts]) -> dict[str, list[int]]:
    """Give the percentiles of prompts, of completions and of both together, over all splits."""
    lengths = {
        "prompt": sum((split.prompts for split in splits.values()), Counter()),
        "completion": sum((split.completions for split in splits.values()), Counter()),
        "both": sum((split.both for split in splits.values()), Counter()),
    }
    return {name: [percentile(counts, share) for share in PERCENTILES.values()] for name, counts in lengths.items()}


def shown_sample(sample: PreviewSample, tokenizer: Any, max_tokens: int) -> ShownSample:
    """Choose which tokens of a row are shown."""
    row = sample.encoded
    texts, classes = token_texts(row.input_ids, tokenizer), token_classes(row, tokenizer, max_tokens)
    tokens, half = list(map(ShownToken, texts, classes)), MAX_SHOWN_TOKENS // 2
    hidden = len(tokens) - 2 * half if len(tokens) > MAX_SHOWN_TOKENS else 0
    head, tail = (tokens[:half], tokens[-half:]) if hidden else (tokens, [])
    return ShownSample(sample.reason, sample.id, len(tokens), row.supervised_count, head, hidden, tail)


def token_classes(row: Encoded, tokenizer: Any, max_tokens: int) -> list[str]:
    """Say of each token whether it is learnt, special, or beyond the limit."""
    special = set(tokenizer.all_special_ids)
    learnt = {index for start, end in row.spans for index in range(start, end)}
    return [
        " ".join(
            mark
            for mark, holds in {
                "learnt": index in learnt and len(row.input_ids) <= max_tokens,
                "special": token in special,
                "cut": index >= max_tokens,
            }.items()
            if holds
        )
        for index, token in enumerate(row.input_ids)
    ]


def token_texts(ids: Sequence[int], tokenizer: Any) -> list[str]:
    """Give the text of each token; a character of several tokens stands with the last of them.

    What a token adds to those before it: some tokenizers drop the blank of a token that stands alone.
    """
    texts: list[str] = []
    start, known = 0, ""
    for end in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[start:end], clean_up_tokenization_spaces=False)
        whole = not text.endswith("\ufffd")
        texts.append(text[len(known) :] if whole else "")
        if whole:
            start, known = end - 1, tokenizer.decode(ids[end - 1 : end], clean_up_tokenization_spaces=False)
            if "\ufffd" in known:
                start, known = end, ""
    return texts
