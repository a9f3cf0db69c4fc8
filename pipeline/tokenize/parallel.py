"""Encodes pairs in parallel: by threads, or for many pairs by one process per core.

Rendering is Python, of which one process runs one thread at a time; but a process needs seconds to start.
"""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Self

from pipeline.errors import UserError
from pipeline.model.chat_template import Encoded, PromptEncoder, load_tokenizer
from pipeline.model.tokenized import in_batches
from pipeline.pairs import Pair
from pipeline.process import die_with_parent

PARALLEL_FROM_ROWS = 50_000
"""Pairs from which on processes are worth their start."""
QUEUED_BATCHES = 2
"""For each process, so many batches wait or are encoded while those before them are written."""
ENCODER_THREADS = 2
"""While one renders a batch, the other tokenizes one, on all cores."""

EncodeBatch = Callable[[Sequence[Pair]], list[Encoded] | None]


class ParallelEncoder:
    """Encodes pairs in their order, some at a time; used in a `with`.

    Args:
        renderer: What renders and tokenizes.
        base: The folder of its tokenizer, where processes find it.
        every_turn: Supervise the answers within the prompts too.
        rows: How many pairs there will be, at a guess.
    """

    def __init__(
        self, renderer: PromptEncoder, base: Path | None = None, *, every_turn: bool = False, rows: int = 0
    ) -> None:
        self._renderer = renderer
        self._every_turn = every_turn
        self._pool: Executor
        if base is None or rows < PARALLEL_FROM_ROWS:
            self._max_pending = ENCODER_THREADS
            self._pool = ThreadPoolExecutor(ENCODER_THREADS)
            self._encode: EncodeBatch = self._encode_in_process
        else:
            context = multiprocessing.get_context("spawn")  # a fork would not survive the tokenizer's threads
            self._max_pending = QUEUED_BATCHES * (os.cpu_count() or 1)
            self._pool = ProcessPoolExecutor(os.cpu_count(), context, start_worker, (base, renderer.system))
            self._encode = partial(encode_in_worker, every_turn=every_turn)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def __call__(self, pairs: Iterable[Pair]) -> Iterator[tuple[Pair, Encoded]]:
        """Encode pairs.

        Raises:
            UserError: If one of them cannot be rendered; it names the row.
        """
        waiting: deque[tuple[list[Pair], Future[list[Encoded] | None]]] = deque()
        for some in in_batches(pairs):
            waiting.append((some, self._pool.submit(self._encode, some)))
            if len(waiting) > self._max_pending:
                yield from self._finished_batch(*waiting.popleft())
        for left in waiting:
            yield from self._finished_batch(*left)

    def _finished_batch(
        self, pairs: list[Pair], encoded: Future[list[Encoded] | None]
    ) -> Iterator[tuple[Pair, Encoded]]:
        return zip(pairs, encoded.result() or self._encode_in_process(pairs), strict=True)

    def _encode_in_process(self, pairs: Sequence[Pair]) -> list[Encoded]:
        return encode_batch(pairs, self._renderer, every_turn=self._every_turn)


def encode_all(pairs: Sequence[Pair], renderer: PromptEncoder, *, every_turn: bool) -> list[Encoded]:
    """Give the tokens of pairs."""
    return renderer.encode_all([(pair.messages, pair.completion) for pair in pairs], every_turn=every_turn)


def encode_batch(pairs: Sequence[Pair], renderer: PromptEncoder, *, every_turn: bool) -> list[Encoded]:
    """Encode pairs at once.

    Raises:
        UserError: If one of them cannot be rendered; it names the row.
    """
    try:
        return encode_all(pairs, renderer, every_turn=every_turn)
    except UserError:
        for pair in pairs:
            try:
                renderer.encode(pair.messages, pair.completion, every_turn=every_turn)
            except UserError as problem:
                raise UserError(f"{pair.source} row {pair.row}", f"cannot be rendered: {problem}") from problem
        raise


WORKER_ENCODERS: list[PromptEncoder] = []
"""That of this process, if it was started to encode."""


def start_worker(base: Path, system: str) -> None:
    """Make ready a process that encodes: one thread, its own renderer, and an end with the one that started it."""
    die_with_parent()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    WORKER_ENCODERS.append(PromptEncoder(load_tokenizer(base), system))


def encode_in_worker(pairs: Sequence[Pair], *, every_turn: bool) -> list[Encoded] | None:
    """Encode pairs in such a process; None if one cannot be rendered, which who asked then finds out."""
    try:
        return encode_all(pairs, WORKER_ENCODERS[0], every_turn=every_turn)
    except UserError:
        return None
