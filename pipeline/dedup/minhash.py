"""Texts that are nearly the same: MinHash finds candidates, their sets of characters in fours decide.

MinHash and its bands: Broder, "On the resemblance and containment of documents" (1997); Leskovec, Rajaraman and Ullman,
"Mining of Massive Datasets", chapter 3.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

from pipeline.arrays import Ints, UInts

IntegerType = TypeVar("IntegerType", np.int64, np.uint64)

NGRAM_SIZE = 4
"""Characters of a gram."""
BAND_COUNT, BAND_MINIMA = 16, 4
"""Pairs alike by 0.8 share a band of the 64 minima all but 2 times in 10,000, by 0.7 all but 1 in 80."""
BATCH_NGRAMS = 1_000_000
"""Letters whose grams are computed at once, and grams of which minima and marks are."""
CROWD_SIZE = 40
"""Of many different texts that share a band, each is compared with so many that come after it, and with the first."""
COMPARED_NGRAMS = 4_000_000
"""Grams compared at once."""
SIGNATURE_WORDS = 8
"""Words of 64 bits, of which each gram of a text sets one bit."""
THRESHOLD_ROUNDING = 1e-9
"""So that a pair right at the threshold is looked at."""
BOUNDED_PAIRS = 500_000
"""Pairs whose marks are compared at once."""


@dataclass(frozen=True)
class NGramSets:
    """The different grams of each text as hashes: those of text i are hashes[starts[i]:starts[i + 1]], sorted."""

    hashes: npt.NDArray[np.uint32]
    starts: Ints

    def __len__(self) -> int:
        return len(self.starts) - 1

    def sizes(self) -> Ints:
        """How many each text has."""
        return np.diff(self.starts)

    def of(self, start: int, end: int) -> "NGramSets":
        """Those of some texts that follow each other."""
        first, last = self.starts[start], self.starts[end]
        return NGramSets(self.hashes[first:last], self.starts[start : end + 1] - first)


def concat_ngrams(parts: Sequence[NGramSets]) -> NGramSets:
    """Put the grams of texts behind those of others."""
    sizes = [np.zeros(1, np.int64), *(part.sizes() for part in parts)]
    return NGramSets(
        np.concatenate([np.zeros(0, np.uint32), *(part.hashes for part in parts)]), np.cumsum(np.concatenate(sizes))
    )


@dataclass(frozen=True)
class NearDuplicates:
    """Pairs of texts, by their places (first < second, in order), and how alike they are."""

    first: Ints
    second: Ints
    jaccard: npt.NDArray[np.float64]


def near_duplicates(texts: Iterable[str], threshold: float, others: NGramSets | None = None) -> NearDuplicates:
    """Find the pairs of texts whose sets of character grams overlap by at least a threshold.

    Args:
        texts: Any number, each folded and no two the same; a million short ones take about half a gigabyte.
        threshold: Least Jaccard index (size of the intersection over size of the union), above 0 and at most 1.
        others: Grams of more texts, whose places count on behind those of *texts*; two of them are no pair.

    Returns:
        All such pairs but those that share no band (see BANDS) or meet only in a crowd (see CROWD); none that is not.
    """
    parts = [hash_ngrams(some) for some in ngram_batches(texts)]
    number = sum(map(len, parts))
    grams = concat_ngrams([*parts, others] if others else parts)
    del parts
    first, second = candidate_pairs(minhash_bands(grams))
    first, second = first[first < number], second[first < number]
    likely = may_reach_threshold(grams, first, second, threshold)
    first, second = first[likely], second[likely]
    both = grams.sizes()[first] + grams.sizes()[second]
    jaccard = np.concatenate(
        [np.zeros(0), *(exact_jaccard(grams, first[at], second[at]) for at in slices_by_size(both, COMPARED_NGRAMS))]
    )
    kept = jaccard >= threshold
    return NearDuplicates(first[kept], second[kept], jaccard[kept])


def ngram_batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Take texts together whose grams are computed at once, so that only they are ever held twice."""
    some: list[str] = []
    letters = 0
    for text in texts:
        some.append(text)
        letters += len(text)
        if letters >= BATCH_NGRAMS:
            yield some
            some, letters = [], 0
    if some:
        yield some


def slices_by_size(sizes: Ints, most: int) -> Iterator[slice]:
    """Cut what has so many grams each into slices of at most so many; one at least."""
    behind = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = behind[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(behind, before + most, side="right")))
        yield slice(start, end)
        start = end


def minhash_bands(grams: NGramSets) -> UInts:
    """Hash the minima of each band of each text, some texts at a time."""
    bands = np.empty((len(grams), BAND_COUNT), np.uint64)
    for at in slices_by_size(grams.sizes(), BATCH_NGRAMS):
        some = grams.of(at.start, at.stop)
        digests = RMinHash.digest_matrix_from_flat_token_hashes(
            some.hashes.astype(np.uint64), some.starts.astype(np.uint64), BAND_COUNT * BAND_MINIMA, 1
        )
        minima = np.array(digests.to_rows(), np.uint32).reshape(-1, BAND_MINIMA)
        keys = mix_hash(minima) << np.uint64(32) | mix_hash(minima[:, ::-1])
        bands[at] = keys.reshape(-1, BAND_COUNT)
    return bands


def hash_ngrams(texts: Sequence[str]) -> NGramSets:
    """Hash the grams of folded texts, all at once; a text shorter than a gram is one gram."""
    together = "\0".join(text.replace("\0", " ").ljust(NGRAM_SIZE, "\x01") for text in texts) + "\0"
    letters = np.frombuffer(together.encode("utf-32-le", errors="surrogatepass"), np.uint32)
    ends = np.equal(letters, 0)
    windows = np.lib.stride_tricks.sliding_window_view(letters, NGRAM_SIZE)
    whole: npt.NDArray[np.bool_] = np.asarray(~np.lib.stride_tricks.sliding_window_view(ends, NGRAM_SIZE).any(axis=1))
    rows: Ints = (np.cumsum(ends) - ends)[: len(whole)][whole]
    keys = sorted_unique(rows.astype(np.uint64) << np.uint64(32) | mix_hash(windows[whole]))
    starts = np.searchsorted(keys, np.arange(len(texts) + 1, dtype=np.uint64) << np.uint64(32))
    return NGramSets(keys.astype(np.uint32), starts.astype(np.int64))


def sorted_unique(numbers: npt.NDArray[IntegerType]) -> npt.NDArray[IntegerType]:
    """Sort numbers and leave out repeated ones; a fifth of the time of np.unique, which hashes them first."""
    ordered = np.sort(numbers)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered


def mix_hash(letters: npt.NDArray[np.uint32]) -> UInts:
    """Hash each row of letters to 32 bits (the steps and factors of FNV-1a and MurmurHash3's last mixing)."""
    hashes = np.full(len(letters), 0xCBF29CE484222325, np.uint64)
    for column in letters.T:
        hashes = (hashes ^ column) * np.uint64(0x100000001B3)
    hashes ^= hashes >> np.uint64(33)
    hashes *= np.uint64(0xFF51AFD7ED558CCD)
    return hashes >> np.uint64(32)


def candidate_pairs(bands: UInts) -> tuple[Ints, Ints]:
    """Find the pairs of rows that have some band in common."""
    candidates = np.zeros(0, np.int64)
    for keys in bands.T:
        order = np.argsort(keys, kind="stable")
        candidates = sorted_unique(np.concatenate([candidates, pairs_with_equal_keys(keys[order], order, len(keys))]))
    return np.divmod(candidates, max(len(bands), 1))


def pairs_with_equal_keys(keys: UInts, order: Ints, rows: int) -> Ints:
    """Pair rows whose keys are equal and stand in an order: first place times all rows, plus second place."""
    indices = np.arange(len(keys))
    opens = np.maximum.accumulate(np.where(np.diff(keys, prepend=~keys[:1]) != 0, indices, 0))
    pairs = [np.stack([opens, indices])]
    alike = indices
    for apart in range(1, CROWD_SIZE + 1):
        alike = alike[alike + apart < len(keys)]
        alike = alike[keys[alike] == keys[alike + apart]]
        if not len(alike):
            break
        pairs.append(np.stack([alike, alike + apart]))
    first, second = np.sort(order[np.concatenate(pairs, axis=1)], axis=0)
    keys_of_pairs: Ints = (first * rows + second)[first != second]
    return keys_of_pairs


def may_reach_threshold(grams: NGramSets, first: Ints, second: Ints, threshold: float) -> npt.NDArray[np.bool_]:
    """Say of which pairs the Jaccard index may reach a threshold; most are told apart without looking at their grams.

    Each bit that one text has marked and the other has not stands for a gram of its own at least, so what is left is as
    much as they can share. Long texts mark nearly every bit and all pass.
    """
    sizes, marks = grams.sizes(), bit_signatures(grams)
    reachable = np.empty(len(first), bool)
    for start in range(0, len(first), BOUNDED_PAIRS):
        one, two = first[start : start + BOUNDED_PAIRS], second[start : start + BOUNDED_PAIRS]
        shared = np.minimum(overlap_bound(marks, sizes, one, two), overlap_bound(marks, sizes, two, one))
        reachable[start : start + BOUNDED_PAIRS] = shared >= threshold * (sizes[one] + sizes[two] - shared) * (
            1 - THRESHOLD_ROUNDING
        )
    return reachable


def overlap_bound(marks: UInts, sizes: Ints, one: Ints, two: Ints) -> Ints:
    """Say how many grams of a text another one can have at most."""
    alone: Ints = np.bitwise_count(marks[one] & ~marks[two]).sum(axis=1, dtype=np.int64)
    return sizes[one] - alone


def bit_signatures(grams: NGramSets) -> UInts:
    """Set, for each text, a bit for each of its grams."""
    signatures = np.zeros((len(grams), SIGNATURE_WORDS), np.uint64)
    for at in slices_by_size(grams.sizes(), BATCH_NGRAMS):
        some = grams.of(at.start, at.stop)
        texts = np.repeat(np.arange(at.start, at.stop), some.sizes())
        bits = np.uint64(1) << (some.hashes & np.uint32(63)).astype(np.uint64)
        np.bitwise_or.at(signatures, (texts, (some.hashes >> np.uint32(6)) % SIGNATURE_WORDS), bits)
    return signatures


def exact_jaccard(grams: NGramSets, first: Ints, second: Ints) -> npt.NDArray[np.float64]:
    """Compute the Jaccard index of pairs: what occurs twice among the grams of both is shared."""
    sizes = grams.sizes()
    indices = np.stack([first, second], axis=1).ravel()
    lengths = sizes[indices]
    ends = np.cumsum(lengths)
    at = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - lengths - grams.starts[indices], lengths)
    pair = np.repeat(np.arange(len(indices)) // 2, lengths)
    keys = np.sort(pair.astype(np.uint64) << np.uint64(32) | grams.hashes[at])
    twice = (keys[1:][keys[1:] == keys[:-1]] >> np.uint64(32)).astype(np.int64)
    shared = np.bincount(twice, minlength=len(first))
    similarity: npt.NDArray[np.float64] = shared / (sizes[first] + sizes[second] - shared)
    return similarity
