"""Bounded concurrency: order, the window, the first error, and the memory allowance."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from handlers.transfer.pool import Allowance, ordered, workers

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_results_come_in_order_whatever_ends_first() -> None:
    first_may_end = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert first_may_end.wait(10)
        if item == 3:
            first_may_end.set()
        return item * 10

    with workers(4) as pool:
        assert list(ordered(pool, work, range(8), 8)) == [item * 10 for item in range(8)]


def test_no_more_than_the_window_is_begun_before_the_consumer_takes() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    with workers(2) as pool:
        results = ordered(pool, lambda item: item, items(), 5)
        assert next(results) == 0
        assert len(taken) == 6
        results.close()  # type: ignore[attr-defined]


def test_the_first_error_ends_the_work() -> None:
    done: list[int] = []

    def work(item: int) -> int:
        if item == 1:
            raise KeyError(item)
        done.append(item)
        return item

    with pytest.raises(KeyError), workers(1) as pool:
        list(ordered(pool, work, range(1_000), 10))
    assert len(done) < 20


def test_an_allowance_makes_a_thread_wait_for_memory() -> None:
    allowance = Allowance(100)
    entered = threading.Event()

    def second() -> None:
        with allowance.hold(60):
            entered.set()

    with allowance.hold(60):
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.05)
    thread.join(10)
    assert entered.is_set()


def test_more_than_the_whole_allowance_is_the_whole_allowance() -> None:
    allowance = Allowance(100)
    with allowance.hold(1_000):
        pass
    with allowance.hold(100):
        pass
