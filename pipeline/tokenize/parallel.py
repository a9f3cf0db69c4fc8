"""Pairs encoded while others are written: by threads, or where there are many in processes, one for each core.

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

from pipeline.errors import Problem
from pipeline.model.chat_template import Encoded, Renderer, load_tokenizer
from pipeline.model.tokenized import in_batches
from pipeline.pairs import Pair
from pipeline.process import die_with_parent

MANY = 50_000
"""Pairs from which on processes are worth their start."""
AHEAD = 2
"""For each process, so many batches wait or are encoded while those before them are written."""
THREADS = 2
"""While one renders a batch, the other tokenizes one, on all cores."""

Encode = Callable[[Sequence[Pair]], list[Encoded] | None]


class Encoder:
    """Encodes pairs in their order, some at a time; used in a `with`.

    Args:
        renderer: What renders and tokenizes.
        base: The folder of its tokenizer, where processes find it.
        every_turn: Supervise the answers within the prompts too.
        rows: How many pairs there will be, at a guess.
    """

    def __init__(
        self, renderer: Renderer, base: Path | None = None, *, every_turn: bool = False, rows: int = 0
    ) -> None:
        self._renderer = renderer
        self._every_turn = every_turn
        self._pool: Executor
        if base is None or rows < MANY:
            self._ahead = THREADS
            self._pool = ThreadPoolExecutor(THREADS)
            self._encode: Encode = self._here
        else:
            context = multiprocessing.get_context("spawn")  # a fork would not survive the tokenizer's threads
            self._ahead = AHEAD * (os.cpu_count() or 1)
            self._pool = ProcessPoolExecutor(os.cpu_count(), context, settle, (base, renderer.system))
            self._encode = partial(elsewhere, every_turn=every_turn)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def __call__(self, pairs: Iterable[Pair]) -> Iterator[tuple[Pair, Encoded]]:
        """Encode pairs.

        Raises:
            Problem: If one of them cannot be rendered; it names the row.
        """
        waiting: deque[tuple[list[Pair], Future[list[Encoded] | None]]] = deque()
        for some in in_batches(pairs):
            waiting.append((some, self._pool.submit(self._encode, some)))
            if len(waiting) > self._ahead:
                yield from self._ended(*waiting.popleft())
        for left in waiting:
            yield from self._ended(*left)

    def _ended(self, pairs: list[Pair], told: Future[list[Encoded] | None]) -> Iterator[tuple[Pair, Encoded]]:
        return zip(pairs, told.result() or self._here(pairs), strict=True)

    def _here(self, pairs: Sequence[Pair]) -> list[Encoded]:
        return encode_some(pairs, self._renderer, every_turn=self._every_turn)


def encoded(pairs: Sequence[Pair], renderer: Renderer, *, every_turn: bool) -> list[Encoded]:
    """Give the tokens of pairs."""
    return renderer.encode_all([(pair.messages, pair.completion) for pair in pairs], every_turn=every_turn)


def encode_some(pairs: Sequence[Pair], renderer: Renderer, *, every_turn: bool) -> list[Encoded]:
    """Encode pairs at once.

    Raises:
        Problem: If one of them cannot be rendered; it names the row.
    """
    try:
        return encoded(pairs, renderer, every_turn=every_turn)
    except Problem:
        for pair in pairs:
            try:
                renderer.encode(pair.messages, pair.completion, every_turn=every_turn)
            except Problem as problem:
                raise Problem(f"{pair.source} row {pair.row}", f"cannot be rendered: {problem}") from problem
        raise


RENDERERS: list[Renderer] = []
"""That of this process, if it was started to encode."""


def settle(base: Path, system: str) -> None:
    """Make ready a process that encodes: one thread, its own renderer, and an end with the one that started it."""
    die_with_parent()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    RENDERERS.append(Renderer(load_tokenizer(base), system))


def elsewhere(pairs: Sequence[Pair], *, every_turn: bool) -> list[Encoded] | None:
    """Encode pairs in such a process; None if one cannot be rendered, which who asked then finds out."""
    try:
        return encoded(pairs, RENDERERS[0], every_turn=every_turn)
    except Problem:
        return None
