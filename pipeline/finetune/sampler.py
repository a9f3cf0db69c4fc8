"""The order of rows: shuffled, then sorted by length within a window of batches."""

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler


class WindowedSampler(Sampler[int]):
    """Every row once an epoch, in an order whose consecutive batches hold rows of similar length.

    Rows are shuffled, cut into windows, sorted by length within each, cut into batches, and the batches shuffled. They
    are sorted nowhere else, so that batches stay random enough.

    Args:
        lengths: Length of each row in tokens.
        batch_size: Rows to a batch.
        window: Batches to a window; 1 for batches as the shuffle makes them.
        seed: With the epoch it fixes the order.
    """

    def __init__(self, lengths: Sequence[int], *, batch_size: int, window: int, seed: int) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.window = window
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next; the Trainer calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.lengths), generator=random).tolist()
        size = self.batch_size * self.window
        ordered = [
            row for start in range(0, len(order), size) for row in sorted(order[start : start + size], key=self._length)
        ]
        batches = [ordered[start : start + self.batch_size] for start in range(0, len(ordered), self.batch_size)]
        # The short batch stays last: the loader cuts the stream into batches by counting.
        full, rest = (batches, []) if len(batches[-1]) == self.batch_size else (batches[:-1], batches[-1])
        for index in torch.randperm(len(full), generator=random).tolist():
            yield from full[index]
        yield from rest

    def _length(self, row: int) -> tuple[int, int]:
        return self.lengths[row], row
