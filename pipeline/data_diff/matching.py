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

from pipeline.dedup.minhash import near_duplicates
from pipeline.dedup.normalize import folded, hash_of
from pipeline.validate.columns import Hashes, Numbers, given_of, group_of, openings_of, point, prompts_of
from pipeline.validate.contamination import pairs_of, with_equal
from pipeline.validate.duplicates import copies, within_runs

READ = ["id", "messages", "completion", "source", "row", "split"]
BATCH_ROWS = 10_000
STEP = np.uint64(0x9E3779B97F4A7C15)
"""Tells copies of one key apart; odd, so that no two copies meet (Knuth's multiplicative hashing)."""

Kind = str
SETTLED: tuple[tuple[Kind, str], ...] = (("unchanged", "ids"), ("spelling", "spelt"), ("relabelled", "prompts"))
"""What equal hashes of one kind make of two pairs, tried in this order."""


@dataclass(frozen=True)
class Rows:
    """The pairs of a file, a few numbers each in their order.

    Args:
        ids: Their content.
        spelt: Their content but for blanks, and for the case of the prompt.
        prompts: Their prompt but for case and blanks, and who says what.
        places: Their file, their row in it, and their completion.
        chars: Characters of their prompt.
        points: Where the law of the split puts them, from 0 to 1.
        given: The number of the split that their source names, or DRAWN.
        labels: How often each completion occurs.
    """

    ids: Hashes
    spelt: Hashes
    prompts: Hashes
    places: Hashes
    chars: Numbers
    points: npt.NDArray[np.float64]
    given: Numbers
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

    both: dict[Kind, tuple[Numbers, Numbers]]
    removed: Numbers
    added: Numbers


def batches_of(path: Path) -> Iterator[pa.RecordBatch]:
    """Read pairs some at a time, without the bytes that they were read from."""
    yield from pq.ParquetFile(path).iter_batches(BATCH_ROWS, columns=READ)


def read_rows(path: Path, salt: str, *, labels: bool) -> Rows:
    """Read the numbers of all pairs; completions are counted only if they are labels, of which there are few."""
    parts, counted = [], Counter[str]()
    for batch in batches_of(path):
        parts.append(numbers_of(batch, salt))
        if labels:
            counted.update(batch["completion"].to_pylist())
    return Rows(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, labels=counted)


def numbers_of(batch: pa.RecordBatch, salt: str) -> dict[str, npt.NDArray[np.generic]]:
    """Compute the numbers of some pairs."""
    prompts, completions = prompts_of(batch).to_pylist(), batch["completion"].to_pylist()
    groups = [group_of(prompt) for prompt in prompts]
    asked = [f"{group} {who}" for group, who in zip(groups, roles_of(batch).to_pylist(), strict=True)]
    spelt = [f"{prompt} {' '.join(answer.split())}" for prompt, answer in zip(asked, completions, strict=True)]
    places = zip(batch["source"].to_pylist(), batch["row"].to_pylist(), completions, strict=True)
    return {
        "ids": np.array([int(content, 16) for content in batch["id"].to_pylist()], np.uint64),
        "spelt": hashed(spelt),
        "prompts": hashed(asked),
        "places": hashed([f"{source}\0{row}\0{answer}" for source, row, answer in places]),
        "chars": np.array([len(prompt) for prompt in prompts], np.int64),
        "points": np.array([point(group_of(opening), salt) for opening in openings_of(batch).to_pylist()]),
        "given": given_of(batch),
    }


def roles_of(batch: pa.RecordBatch) -> pa.Array:
    """Give the roles of the turns of each prompt in one text."""
    messages = batch["messages"]
    return pc.binary_join(pa.ListArray.from_arrays(messages.offsets, pc.struct_field(messages.values, "role")), ",")


def hashed(texts: Sequence[str]) -> Hashes:
    """Hash each text to 64 bits."""
    return np.array([hash_of(text) for text in texts], np.uint64)


def match(old: Rows, new: Rows, files: tuple[Path, Path], near: float) -> Matching:
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
    both: dict[Kind, tuple[Numbers, Numbers]] = {}
    for kind, key in SETTLED:
        both[kind] = settled(old, new, left, key)
        left = without(left, both[kind])
    likest = nearest(files, left, near)
    left = without(left, likest)
    placed = settled(old, new, left, "places")
    both["edited"] = in_order(np.concatenate([likest[0], placed[0]]), np.concatenate([likest[1], placed[1]]))
    removed, added = without(left, placed)
    return Matching(both, removed, added)


def settled(old: Rows, new: Rows, left: tuple[Numbers, Numbers], key: str) -> tuple[Numbers, Numbers]:
    """Match what is left by equal hashes: the first of each hash with the first, the second with the second."""
    first, second = (apart(getattr(rows, key)[at]) for rows, at in zip((old, new), left, strict=True))
    _, one, other = np.intersect1d(first, second, assume_unique=True, return_indices=True)
    return in_order(left[0][one], left[1][other])


def in_order(old: Numbers, new: Numbers) -> tuple[Numbers, Numbers]:
    """Put matched places in the order of the old set."""
    order = np.argsort(old, kind="stable")
    return old[order], new[order]


def apart(keys: Hashes) -> Hashes:
    """Tell equal keys apart by how many of them came before."""
    before = copies(keys, np.zeros(len(keys), np.int64), np.ones(len(keys), bool)).astype(np.uint64)
    return keys + before * STEP


def without(left: tuple[Numbers, Numbers], taken: tuple[Numbers, Numbers]) -> tuple[Numbers, Numbers]:
    """Leave out the places that are taken."""
    return np.setdiff1d(left[0], taken[0]), np.setdiff1d(left[1], taken[1])


def nearest(files: tuple[Path, Path], left: tuple[Numbers, Numbers], near: float) -> tuple[Numbers, Numbers]:
    """Match what is left by prompts that are nearly the same, the likest first."""
    if not (len(left[0]) and len(left[1])):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    known: dict[str, int] = {}
    asked = [
        np.array([known.setdefault(folded(text), len(known)) for text in prompts_at(path, places)], np.int64)
        for path, places in zip(files, left, strict=True)
    ]
    found = with_equal(near_duplicates(known, near), len(known))
    first, at = pairs_of(asked[0], found)
    second, runs = having(asked[1], found.second[at])
    first, jaccard = np.repeat(first, runs), np.repeat(found.jaccard[at], runs)
    order = np.lexsort((second, first, -jaccard))
    matched = once(first[order].tolist(), second[order].tolist())
    return left[0][list(matched)], left[1][list(matched.values())]


def having(numbers: Numbers, wanted: Numbers) -> tuple[Numbers, Numbers]:
    """Give the places of each of some wanted numbers, one number after the other, and how many each has."""
    order = np.argsort(numbers, kind="stable")
    opens, ends = (np.searchsorted(numbers[order], wanted, side=side) for side in ("left", "right"))
    lengths = ends - opens
    return order[np.repeat(opens, lengths) + within_runs(lengths)], lengths


def once(first: list[int], second: list[int]) -> dict[int, int]:
    """Take pairs in their order, each end at most once."""
    found: dict[int, int] = {}
    taken: set[int] = set()
    for one, other in zip(first, second, strict=True):
        if one not in found and other not in taken:
            found[one] = other
            taken.add(other)
    return found


def prompts_at(path: Path, places: Numbers) -> Iterator[str]:
    """Read the prompts at some places, which are in order."""
    for batch in rows_at(path, places):
        yield from prompts_of(batch).to_pylist()


def rows_at(path: Path, places: Numbers) -> Iterator[pa.RecordBatch]:
    """Read the pairs at some places, which are in order, some at a time."""
    start = 0
    for batch in batches_of(path):
        within = places[np.searchsorted(places, start) : np.searchsorted(places, start + len(batch))]
        if len(within):
            yield batch.take(pa.array(within - start))
        start += len(batch)
