"""What is computed of every pair, so that the checks compare numbers: a column of them for each thing to look at.

Texts pass by in batches and are not kept; what is kept of each pair is a few numbers.
"""

import hashlib
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import ftfy.badness
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Ints, UInts
from pipeline.dedup.normalize import normalize, text_hash
from pipeline.pairs import SPLITS
from pipeline.strict_json import is_json
from pipeline.validate.language_id import other_language
from pipeline.validate.pii import count_pii, mask_pairs
from pipeline.validate.pii import mask_text as masked_text

VISIBLE_PATTERN = r"[^\pC\pZ]"
"""Controls, blanks and zero-width characters cannot be seen."""
CONTROL_PATTERN = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\x{FFFD}]"
"""Control characters but for line ends and tabs, and what a wrong decoding leaves."""
TEMPLATE_MARKUP = (
    r"<\|[^|<>\s]{1,40}\|>|</?s>|\[/?INST\]|<</?SYS>>|<(start|end)_of_turn>|<(bos|eos|pad|unk|mask|think|/think)>"
    r"|<\x{FF5C}[^<>\s]{1,60}\x{FF5C}>"
)
"""What chat templates write between turns: in a text it would end the turn, or begin another one."""
NOT_ASCII = r"[^\x00-\x7f]"
SHORT_COMPLETION = 3
"""Characters of a completion that stands in many prompts by chance."""
TEST, VALIDATION, TRAIN = SPLITS.index("test"), SPLITS.index("validation"), SPLITS.index("train")
UNASSIGNED = -1
"""In place of a split's number: its source names none."""


@dataclass(frozen=True)
class PairColumns:
    """All pairs, a number each in their order.

    Args:
        ids: Their content.
        prompts: The place of their prompt in *asked*.
        asked: The hashes of all prompts that differ by more than case, whitespace and punctuation.
        turns: How many messages their prompt has.
        points: Where the law of the split puts their conversation, from 0 to 1.
        given: The number of the split that their source names, or DRAWN.
        completions: The place of their completion in *answers*.
        answers: All different completions if they are labels; of texts, which may be as many as the pairs, hashes.
        sources: The place of their file in *files*.
        files: All files.
        rows: Their row in it.
        texts: What was counted in each text, by name.
    """

    ids: UInts
    prompts: Ints
    asked: UInts
    turns: Ints
    points: npt.NDArray[np.float64]
    given: Ints
    completions: Ints
    answers: list[str]
    sources: Ints
    files: list[str]
    rows: Ints
    texts: dict[str, Ints]

    def __len__(self) -> int:
        return len(self.ids)


def prompt_texts(batch: pa.RecordBatch) -> pa.Array:
    """Give the prompt of each pair in one text, as `Pair.prompt` does."""
    messages = batch["messages"]
    contents = pc.struct_field(messages.values, "content")
    return pc.binary_join(pa.ListArray.from_arrays(messages.offsets, contents), "\n")


def first_user_turns(batch: pa.RecordBatch) -> pa.Array:
    """Give what the first user turn of each prompt says, else its first turn: with that a conversation begins."""
    messages = batch["messages"]
    users = np.flatnonzero(pc.equal(pc.struct_field(messages.values, "role"), "user").to_numpy(zero_copy_only=False))
    starts, ends = messages.offsets.to_numpy()[:-1], messages.offsets.to_numpy()[1:]
    first = np.append(users, len(messages.values))[np.searchsorted(users, starts)]
    return pc.struct_field(messages.values, "content").take(pa.array(np.where(first < ends, first, starts)))


def last_turns(batch: pa.RecordBatch) -> pa.Array:
    """Give what the last turn of each prompt says."""
    messages = batch["messages"]
    return pc.struct_field(messages.values, "content").take(pc.subtract(messages.offsets[1:], 1))


def text_columns(batch: pa.RecordBatch) -> dict[str, Ints]:
    """Count, in the texts of a batch of pairs, what the checks ask for."""
    prompt, completion = prompt_texts(batch), batch["completion"]
    both = pc.binary_join_element_wise(prompt, completion, "\n")
    columns = {
        "question_seen": pc.match_substring_regex(last_turns(batch), VISIBLE_PATTERN),
        "completion_seen": pc.match_substring_regex(completion, VISIBLE_PATTERN),
        "prompt_chars": pc.utf8_length(pc.utf8_trim_whitespace(prompt)),
        "completion_chars": pc.utf8_length(pc.utf8_trim_whitespace(completion)),
        "control_chars": pc.count_substring_regex(both, CONTROL_PATTERN),
        "markup": pc.count_substring_regex(both, TEMPLATE_MARKUP),
    }
    numbers = {name: np.asarray(column.to_numpy(zero_copy_only=False), np.int64) for name, column in columns.items()}
    return {
        **numbers,
        "mojibake": count_where(both, NOT_ASCII, ftfy.badness.badness),
        "personal": count_pii(both, secrets=False),
        "secrets": count_pii(both, secrets=True),
        "answer_in_prompt": completion_in_prompt(prompt, completion),
    }


def mask_batch(batch: pa.RecordBatch, masks: Collection[str]) -> pa.RecordBatch:
    """Mask what the checks of these names find in a batch of pairs."""
    for name in ("secret", "pii"):
        if name in masks:
            texts = pc.binary_join_element_wise(prompt_texts(batch), batch["completion"], "\n")
            batch = mask_pairs(batch, texts, secrets=name == "secret")
    return batch


def mask_raw(raw: bytes, masks: Collection[str]) -> bytes:
    """Mask what the checks of these names find in the bytes of a row."""
    text = raw.decode(errors="replace")
    for name in masks:
        text = masked_text(text, secrets=name == "secret")
    return text.encode()


def count_where(texts: pa.Array, pattern: str, count: Callable[[str], int]) -> Ints:
    """Count with a slow function, and only in texts that a fast pattern finds."""
    counts = np.zeros(len(texts), np.int64)
    at = np.flatnonzero(pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False))
    counts[at] = [count(text) for text in texts.take(pa.array(at)).to_pylist()]
    return counts


def completion_in_prompt(prompts: pa.Array, completions: pa.Array) -> Ints:
    """Say where the whole completion, unless it is very short, stands in its own prompt."""
    pairs = zip(prompts.to_pylist(), completions.to_pylist(), strict=True)
    return np.fromiter(
        (len(answer) > SHORT_COMPLETION and answer in asked for asked, answer in pairs), np.int64, len(prompts)
    )


def split_point(group: str, salt: str) -> float:
    """Hash a group of pairs to a place from 0 to 1: the law of the split, which no other row can change."""
    return int.from_bytes(hashlib.sha256(f"{salt} {group}".encode()).digest()[:8], "big") / 2**64


def split_group(opening: str) -> str:
    """Name what must stay on one side of the split: how the conversation opens, apart from case and whitespace."""
    plain = unicodedata.normalize("NFC", opening).casefold()
    return hashlib.sha256(" ".join(plain.split()).encode()).hexdigest()


class ColumnReader:
    """Takes batches of pairs, passes their prompts on, and keeps their columns.

    Args:
        salt: Of the law of the split.
        masks: The checks whose findings are masked: all but what was counted in the texts is that of the masked pair.
        languages: Those that prompts may be in; None if nobody asks.
        labels: Whether completions are labels.
        json: Whether completions are to be JSON.
    """

    def __init__(
        self,
        salt: str,
        masks: Collection[str] = (),
        languages: Collection[str] | None = None,
        *,
        labels: bool = True,
        json: bool = False,
    ) -> None:
        self.salt = salt
        self.labels = labels
        self.json = json
        self.masks = masks
        self.languages = languages
        self.parts: list[dict[str, npt.NDArray[Any]]] = []
        self.asked: dict[int, int] = {}
        self.answers: dict[str | int | None, int] = {}
        self.files: dict[str | int | None, int] = {}

    def texts(self, batches: Iterable[pa.RecordBatch]) -> Iterator[str]:
        """Give every prompt, folded, once; and keep the columns of each batch that went by."""
        for batch in batches:
            kept = mask_batch(batch, self.masks)
            prompts = list(map(normalize, prompt_texts(kept).to_pylist()))
            known = len(self.asked)
            numbers = [self.asked.setdefault(text_hash(prompt), len(self.asked)) for prompt in prompts]
            self.parts.append({**self._counted(batch), **self._places(kept), "prompts": np.array(numbers, np.int64)})
            fresh = dict(zip(reversed(numbers), reversed(prompts), strict=True))  # of equal ones the first
            yield from (fresh[number] for number in range(known, len(self.asked)))

    def _counted(self, batch: pa.RecordBatch) -> dict[str, Ints]:
        """Count in the texts of a batch."""
        strange = other_language(last_turns(batch), self.languages)
        wrong = [self.json and not is_json(text) for text in batch["completion"].to_pylist()]
        return {**text_columns(batch), "other_language": strange, "not_json": np.array(wrong, np.int64)}

    def _places(self, batch: pa.RecordBatch) -> dict[str, npt.NDArray[Any]]:
        openings = first_user_turns(batch).to_pylist()
        return {
            "ids": np.frombuffer(bytes.fromhex("".join(batch["id"].to_pylist())), ">u8").astype(np.uint64),
            "turns": np.diff(batch["messages"].offsets.to_numpy()).astype(np.int64),
            "points": np.array([split_point(split_group(opening), self.salt) for opening in openings], np.float64),
            "given": source_splits(batch),
            "completions": number_values(batch["completion"], self.answers, hashed=not self.labels),
            "sources": number_values(batch["source"], self.files),
            "rows": batch["row"].to_numpy(),
        }

    def columns(self) -> PairColumns:
        """Give the columns of all that went by, once: the parts go as they are put together."""
        names = list(self.parts[0]) if self.parts else []
        merged = {name: np.concatenate([part.pop(name) for part in self.parts]) for name in names}
        own = {name: merged.pop(name) for name in BASE_COLUMNS}
        answers, files = (list(map(str, known)) for known in (self.answers, self.files))
        asked = np.array(list(self.asked), np.uint64)
        return PairColumns(**own, asked=asked, answers=answers, files=files, texts=merged)


BASE_COLUMNS = ("ids", "prompts", "turns", "points", "given", "completions", "sources", "rows")
"""Columns that stand for themselves; the others were counted in the texts."""


def source_splits(batch: pa.RecordBatch) -> Ints:
    """Give the number of the split that the source of each pair names, or DRAWN."""
    return number_values(batch["split"], {None: UNASSIGNED, **{name: index for index, name in enumerate(SPLITS)}})


def number_values(values: pa.Array, known: dict[str | int | None, int], *, hashed: bool = False) -> Ints:
    """Give each value, or its hash, its number, and one that is not known yet the next one."""
    encoded = values.dictionary_encode(null_encoding="encode")
    keys = map(text_hash, encoded.dictionary.to_pylist()) if hashed else encoded.dictionary.to_pylist()
    numbers = np.array([known.setdefault(key, len(known)) for key in keys], np.int64)
    numbered: Ints = numbers[encoded.indices.to_numpy()]
    return numbered
