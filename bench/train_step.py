"""Claim: the loss and gradients of a batch cost less when only what they need is computed.

Peer: the plain computation of transformers (shuffled batches, padded on the right, a logit for every token). Both do
the same rows with the same adapter on the same threads, in turn, so that the machine's speed cancels out.
"""

import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from pipeline.batches import IGNORED, WindowedSampler, shared_prefix
from pipeline.model import add_adapter, load_base, settle
from pipeline.packing import PackedLoss
from pipeline.params import load_params
from pipeline.prompt import Encoded
from pipeline.tokens import read_tokens
from pipeline.weights import fetch

ROUNDS = 5
BATCHES = 2
BATCH_ROWS = 16


def plain(model: torch.nn.Module, rows: Sequence[Encoded]) -> None:
    """Compute loss and gradients of a batch as transformers does it by itself."""
    width = max(len(row.input_ids) for row in rows)
    pad = [width - len(row.input_ids) for row in rows]
    ids = torch.tensor([row.input_ids + [0] * p for row, p in zip(rows, pad, strict=True)])
    mask = torch.tensor([[1] * (width - p) + [0] * p for p in pad])
    labels = torch.where(mask.bool(), ids, IGNORED)
    for place, row in enumerate(rows):
        labels[place, : row.completion_start] = IGNORED
    model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss.backward()


def seconds(work: Callable[[], None]) -> float:
    """Time a piece of work."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Print the ratio of the two, rows per second against rows per second."""
    params = load_params(Path("params.yaml"))
    settle(params.model, seed=1)
    model = add_adapter(load_base(fetch(params.model).folder, params.model), params.finetune)
    rows = [encoded for _, encoded in read_tokens(Path("data/tokenize/train.arrow"))]
    prefix = shared_prefix(rows)
    ours = PackedLoss(model, prefix)
    sorted_order = list(WindowedSampler([len(row.input_ids) for row in rows], BATCH_ROWS, seed=1))
    shuffled = random.Random(1).sample(range(len(rows)), len(rows))  # noqa: S311 -- an order, not a secret
    size = BATCH_ROWS * BATCHES

    def run(order: Sequence[int], step: Callable[[list[Encoded]], None], start: int) -> None:
        for first in range(start, start + size, BATCH_ROWS):
            step([rows[place] for place in order[first : first + BATCH_ROWS]])
            model.zero_grad()

    def our_step(batch: list[Encoded]) -> None:
        model.set_attn_implementation(f"packed_{params.model.attention}")
        ours(**ours.batch(batch))["loss"].backward()

    def plain_step(batch: list[Encoded]) -> None:
        model.set_attn_implementation(params.model.attention)
        plain(model, batch)

    ratios, speeds = [], []
    for turn in range(-1, ROUNDS):  # the first turn warms up and is not counted
        start = max(turn, 0) * size
        peer = seconds(lambda: run(shuffled, plain_step, start))  # noqa: B023 -- called at once
        own = seconds(lambda: run(sorted_order, our_step, start))  # noqa: B023 -- called at once
        if turn >= 0:
            ratios.append(peer / own)
            speeds.append(size / own)
    sys.stdout.write(
        f"train-step  rows/s against plain transformers: {statistics.median(ratios):.2f} times as many "
        f"(n={ROUNDS}, {min(ratios):.2f} to {max(ratios):.2f}); ours {statistics.median(speeds):.2f} rows/s, "
        f"{params.model.threads} threads, {len(prefix)} shared prefix tokens\n"
    )


if __name__ == "__main__":
    main()
