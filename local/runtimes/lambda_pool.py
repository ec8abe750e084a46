"""The warm workers of all functions: taken for an invocation, given back after it, ended when there are too many.

A new worker takes most of a core for a good part of a second. So while all workers of a function are busy, only as many
as there are cores start at once; whoever waits takes the first that becomes free, old or new. Short invocations then
share few workers, and long ones soon have one each.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local.runtimes.lambda_worker import Worker
from local.runtimes.runtime_api import error_payload

if TYPE_CHECKING:
    from local.runtimes.lambda_function import FunctionSnapshot, Package
    from local.runtimes.lambda_worker import Machinery

MAX_IDLE = 12  # each holds 30 to 60 MB


@dataclass
class _Group:
    """The workers of one version of one function."""

    idle: list[Worker] = field(default_factory=list)
    starting: set[Worker] = field(default_factory=set)
    returning: set[Worker] = field(default_factory=set)  # done with an invocation, about to ask for the next
    alive: int = 0
    wanting: int = 0  # callers that have no worker yet
    failures: list[bytes] = field(default_factory=list)


class WorkerFailedError(Exception):
    """A function's worker could not start; `payload` is the error that its invocation answers with."""

    def __init__(self, payload: bytes) -> None:
        super().__init__(payload.decode(errors="replace"))
        self.payload = payload


class WorkerPool:
    """`most` bounds the workers of a function (None: nothing does); whoever comes then waits."""

    def __init__(self, machinery: Machinery, most: int | None = None, max_idle: int = MAX_IDLE) -> None:
        self._machinery = machinery
        self._most = most
        self._max_idle = max_idle
        self._at_once = os.cpu_count() or 1
        self._groups: dict[FunctionSnapshot, _Group] = defaultdict(_Group)
        self._changed = threading.Condition()
        self._workers: set[Worker] = set()
        self._closed = False

    def take(self, function: FunctionSnapshot, package: Package) -> Worker:
        """A worker that is ready for an invocation; to be given back after it.

        Raises WorkerFailedError where the function does not load, FunctionError where its parts are missing.
        """
        with self._changed:
            self._groups[function].wanting += 1
        try:
            while True:
                worker, start = self._choose(function)
                if worker is not None and not start:
                    return worker
                if worker is not None:
                    # Outside the lock: what a start waits for may wait for the lock itself.
                    self._start(worker, package)
        finally:
            with self._changed:
                self._groups[function].wanting -= 1

    def give_back(self, worker: Worker) -> None:
        """Let others have a worker after its invocation."""
        with self._changed:
            if worker in self._workers:
                self._groups[worker.function].returning.add(worker)
        worker.release()

    def retire(self, name: str) -> None:
        """End the idle workers of a function that was changed or deleted."""
        with self._changed:
            old = [w for function, group in self._groups.items() if function.name == name for w in group.idle]
            for worker in old:
                self._groups[worker.function].idle.remove(worker)
        for worker in old:
            worker.end()

    def close(self) -> None:
        """End all workers and wait until they have."""
        with self._changed:
            self._closed = True
            workers = list(self._workers)
        for worker in workers:
            worker.end()
        with self._changed:
            self._changed.wait_for(lambda: not self._workers, timeout=30)

    def _choose(self, function: FunctionSnapshot) -> tuple[Worker | None, bool]:
        """An idle worker, or a new one that is to be started (True), or, after a wait for a change, none."""
        with self._changed:
            group = self._groups[function]
            if self._closed:
                raise WorkerFailedError(error_payload("ServiceException", "the embedded AWS stops"))
            if group.idle:
                return group.idle.pop(), False
            if group.failures:
                raise WorkerFailedError(group.failures.pop())
            if self._may_start(group):
                worker = Worker(self._machinery, function, self._ready, self._ended)
                group.starting.add(worker)
                group.alive += 1
                self._workers.add(worker)
                return worker, True
            self._changed.wait()
            return None, False

    def _may_start(self, group: _Group) -> bool:
        coming = len(group.starting) + len(group.returning)
        if coming >= group.wanting or len(group.starting) >= self._at_once:
            return False
        return self._most is None or group.alive < self._most

    def _start(self, worker: Worker, package: Package) -> None:
        try:
            worker.start(package)
        except BaseException:
            with self._changed:
                self._forget(worker)
            raise

    def _forget(self, worker: Worker) -> None:
        group = self._groups[worker.function]
        group.alive -= 1
        group.starting.discard(worker)
        group.returning.discard(worker)
        self._workers.discard(worker)
        if worker in group.idle:
            group.idle.remove(worker)
        if not group.alive and not group.wanting:
            del self._groups[worker.function]
        self._changed.notify_all()

    def _ready(self, worker: Worker) -> None:
        with self._changed:
            if worker not in self._workers:
                return  # it has ended meanwhile
            group = self._groups[worker.function]
            group.starting.discard(worker)
            group.returning.discard(worker)
            group.idle.append(worker)
            worker.idle_since = time.monotonic()
            surplus = self._surplus()
            self._changed.notify_all()
        for old in surplus:
            old.end()

    def _ended(self, worker: Worker) -> None:
        with self._changed:
            if worker not in self._workers:
                return
            group = self._groups[worker.function]
            if worker.failure is not None and len(group.failures) < group.wanting:
                group.failures.append(worker.failure)
            self._forget(worker)

    def _surplus(self) -> list[Worker]:
        """The longest idle workers beyond the number kept, taken out of their groups."""
        idle = sorted((w for group in self._groups.values() for w in group.idle), key=lambda w: w.idle_since)
        old = idle[: max(0, len(idle) - self._max_idle)]
        for worker in old:
            self._groups[worker.function].idle.remove(worker)
        return old
