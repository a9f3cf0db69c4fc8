"""Which pair of one set is which pair of another: the same, spelt otherwise, relabelled, edited; none of them twice.

Of every pair a few hashes are held; the prompts of what they do not settle are read again.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.arrays import Ints, UInts
from pipeline.dedup.minhash import near_duplicates
from pipeline.dedup.normalize import normalize, text_hash
from pipeline.validate.columns import first_user_turns, prompt_texts, source_splits, split_group, split_point
from pipeline.validate.contamination import neighbours_of, with_identical
from pipeline.validate.duplicates import count_copies, run_positions

MATCHED_COLUMNS = ["id", "messages", "completion", "source", "row", "split"]
MATCHING_BATCH_ROWS = 10_000
COPY_STEP = np.uint64(0x9E3779B97F4A7C15)
"""Tells copies of one key apart; odd, so that no two copies meet (Knuth's multiplicative hashing)."""

ChangeKind = str
EXACT_MATCHES: tuple[tuple[ChangeKind, str], ...] = (
    ("unchanged", "ids"),
    ("spelling", "spelt"),
    ("relabelled", "prompts"),
)
"""What equal hashes of one kind make of two pairs, tried in this order."""


@dataclass(frozen=True)
class PairKeys:
    """The pairs of a file, a few numbers each in their order.

    Args:
        ids: Their content.
        spelt: Their content but for blanks, and for the case of the prompt.
        prompts: Their prompt apart from case and whitespace, and who says what.
        places: Their file, their row in it, and their completion.
        chars: Characters of their prompt.
        points: Where the law of the split puts them, from 0 to 1.
        given: The number of the split that their source names, or DRAWN.
        labels: How often each completion occurs.
    """

    ids: UInts
    spelt: UInts
    prompts: UInts
    places: UInts
    chars: Ints
    points: npt.NDArray[np.float64]
    given: Ints
    labels: Counter[str]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Matching:
    """What became of each pair, by its place.

    Args:
        both: For each kind, places in the old set and, in the same order, places in the new set.
        removed: Places in the old set that match none.
        added: Places in the new set that match none.
    """

    both: dict[ChangeKind, tuple[Ints, Ints]]
    removed: Ints
    added: Ints


def read_pair_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Read pairs some at a time, without the bytes that they were read from."""
    yield from pq.ParquetFile(path).iter_batches(MATCHING_BATCH_ROWS, columns=MATCHED_COLUMNS)


def read_pair_keys(path: Path, salt: str, *, labels: bool) -> PairKeys:
    """Read the numbers of all pairs; completions are counted only if they are labels, of which there are few."""
    parts, counted = [], Counter[str]()
    for batch in read_pair_batches(path):
        parts.append(pair_keys(batch, salt))
        if labels:
            counted.update(batch["completion"].to_pylist())
    return PairKeys(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, labels=counted)


def pair_keys(batch: pa.RecordBatch, salt: str) -> dict[str, npt.NDArray[np.generic]]:
    """Compute the numbers of some pairs."""
    prompts, completions = prompt_texts(batch).to_pylist(), batch["completion"].to_pylist()
    groups = [split_group(prompt) for prompt in prompts]
    asked = [f"{group} {roles}" for group, roles in zip(groups, role_sequences(batch).to_pylist(), strict=True)]
    spelt = [f"{prompt} {' '.join(answer.split())}" for prompt, answer in zip(asked, completions, strict=True)]
    locations = zip(batch["source"].to_pylist(), batch["row"].to_pylist(), completions, strict=True)
    return {
        "ids": np.array([int(content, 16) for content in batch["id"].to_pylist()], np.uint64),
        "spelt": hash_texts(spelt),
        "prompts": hash_texts(asked),
        "places": hash_texts([f"{source}\0{row}\0{answer}" for source, row, answer in locations]),
        "chars": np.array([len(prompt) for prompt in prompts], np.int64),
        "points": np.array(
            [split_point(split_group(opening), salt) for opening in first_user_turns(batch).to_pylist()]
        ),
        "given": source_splits(batch),
    }


def role_sequences(batch: pa.RecordBatch) -> pa.Array:
    """Give the roles of the turns of each prompt in one text."""
    messages = batch["messages"]
    return pc.binary_join(pa.ListArray.from_arrays(messages.offsets, pc.struct_field(messages.values, "role")), ",")


def hash_texts(texts: Sequence[str]) -> UInts:
    """Hash each text to 64 bits."""
    return np.array([text_hash(text) for text in texts], np.uint64)


def match_pairs(old: PairKeys, new: PairKeys, files: tuple[Path, Path], near: float) -> Matching:
    """Find for each old pair the new one that it became.

    What hashes settle comes first; of the rest, prompts that are nearly the same are one edited pair, the likest
    first; then what stands in the same row of the same file with the same completion.

    Args:
        old: The numbers of the old pairs.
        new: Those of the new ones.
        files: Where both are, for the prompts of what hashes do not settle.
        near: Share of four-letter pieces in common from which on two prompts are nearly the same.
    """
    left = np.arange(len(old)), np.arange(len(new))
    both: dict[ChangeKind, tuple[Ints, Ints]] = {}
    for kind, key in EXACT_MATCHES:
        both[kind] = match_equal_hashes(old, new, left, key)
        left = remaining(left, both[kind])
    likest = match_near_duplicates(files, left, near)
    left = remaining(left, likest)
    placed = match_equal_hashes(old, new, left, "places")
    both["edited"] = sorted_matches(np.concatenate([likest[0], placed[0]]), np.concatenate([likest[1], placed[1]]))
    removed, added = remaining(left, placed)
    return Matching(both, removed, added)


def match_equal_hashes(old: PairKeys, new: PairKeys, left: tuple[Ints, Ints], key: str) -> tuple[Ints, Ints]:
    """Match what is left by equal hashes: the first of each hash with the first, the second with the second."""
    first, second = (distinguish_copies(getattr(rows, key)[at]) for rows, at in zip((old, new), left, strict=True))
    _, one, other = np.intersect1d(first, second, assume_unique=True, return_indices=True)
    return sorted_matches(left[0][one], left[1][other])


def sorted_matches(old: Ints, new: Ints) -> tuple[Ints, Ints]:
    """Put matched places in the order of the old set."""
    order = np.argsort(old, kind="stable")
    return old[order], new[order]


def distinguish_copies(keys: UInts) -> UInts:
    """Tell equal keys apart by how many of them came before."""
    before = count_copies(keys, np.zeros(len(keys), np.int64), np.ones(len(keys), bool)).astype(np.uint64)
    return keys + before * COPY_STEP


def remaining(left: tuple[Ints, Ints], taken: tuple[Ints, Ints]) -> tuple[Ints, Ints]:
    """Leave out the places that are taken."""
    return np.setdiff1d(left[0], taken[0]), np.setdiff1d(left[1], taken[1])


def match_near_duplicates(files: tuple[Path, Path], left: tuple[Ints, Ints], near: float) -> tuple[Ints, Ints]:
    """Match what is left by prompts that are nearly the same, the likest first."""
    if not (len(left[0]) and len(left[1])):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    known: dict[str, int] = {}
    asked = [
        np.array([known.setdefault(normalize(text), len(known)) for text in read_prompts_at(path, indices)], np.int64)
        for path, indices in zip(files, left, strict=True)
    ]
    near_pairs = with_identical(near_duplicates(known, near), len(known))
    first, at = neighbours_of(asked[0], near_pairs)
    second, runs = positions_of(asked[1], near_pairs.second[at])
    first, jaccard = np.repeat(first, runs), np.repeat(near_pairs.jaccard[at], runs)
    order = np.lexsort((second, first, -jaccard))
    matched = one_to_one(first[order].tolist(), second[order].tolist())
    return left[0][list(matched)], left[1][list(matched.values())]


def positions_of(numbers: Ints, wanted: Ints) -> tuple[Ints, Ints]:
    """Give the places of each of some wanted numbers, one number after the other, and how many each has."""
    order = np.argsort(numbers, kind="stable")
    opens, ends = (np.searchsorted(numbers[order], wanted, side=side) for side in ("left", "right"))
    lengths = ends - opens
    return order[np.repeat(opens, lengths) + run_positions(lengths)], lengths


def one_to_one(first: list[int], second: list[int]) -> dict[int, int]:
    """Take pairs in their order, each end at most once."""
    matches: dict[int, int] = {}
    taken: set[int] = set()
    for one, other in zip(first, second, strict=True):
        if one not in matches and other not in taken:
            matches[one] = other
            taken.add(other)
    return matches


def read_prompts_at(path: Path, indices: Ints) -> Iterator[str]:
    """Read the prompts at some places, which are in order."""
    for batch in read_pairs_at(path, indices):
        yield from prompt_texts(batch).to_pylist()


def read_pairs_at(path: Path, indices: Ints) -> Iterator[pa.RecordBatch]:
    """Read the pairs at some places, which are in order, some at a time."""
    start = 0
    for batch in read_pair_batches(path):
        within = indices[np.searchsorted(indices, start) : np.searchsorted(indices, start + len(batch))]
        if len(within):
            yield batch.take(pa.array(within - start))
        start += len(batch)
