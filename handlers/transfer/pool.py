"""Threads that work ahead of an ordered consumer by a bounded number of items, so that memory stays bounded too."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Condition
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def workers(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool that drops what has not begun when its block ends, so that the first error ends the work."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def ordered(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T], window: int) -> Iterator[R]:
    """Yield `work(item)` for each item in order, with at most `window` of them begun and not yet consumed."""
    waiting: deque[Future[R]] = deque()
    for item in items:
        if len(waiting) >= window:
            yield waiting.popleft().result()
        waiting.append(pool.submit(work, item))
    while waiting:
        yield waiting.popleft().result()


class Ring:
    """Buffers for work that `ordered` does ahead, used in turn, since fresh memory costs as much as filling it.

    An item's buffer is free again once the consumer has asked for the next item.
    """

    def __init__(self, size: int, ahead: int) -> None:
        self._size = size
        self._buffers: list[bytearray | None] = [None] * (ahead + 1)  # those ahead, and the one in use

    def slot(self, number: int, size: int) -> memoryview:
        """Return the first `size` bytes of the buffer for item `number`."""
        index = number % len(self._buffers)
        buffer = self._buffers[index]
        if buffer is None:
            buffer = self._buffers[index] = bytearray(self._size)
        return memoryview(buffer)[:size]


class Allowance:
    """A number of bytes that threads may hold in memory at once; a thread waits until its share is free."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free = size
        self._changed = Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Hold `size` bytes, or all there are where it is more."""
        share = min(size, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= share)
            self._free -= share
        try:
            yield
        finally:
            with self._changed:
                self._free += share
                self._changed.notify_all()
