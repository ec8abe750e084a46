"""One execution environment of a function: a process that handles one invocation after another."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from local.runtimes.lambda_report import MIB, Reporter, Tail
from local.runtimes.runtime_api import error_payload
from local.runtimes.telemetry import FramedLogStream
from local.sandbox.launcher.child import SIGNAL_BASE
from local.sandbox.spec import ProcessEvents

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.runtimes.lambda_function import FunctionFactory, FunctionSnapshot, Package
    from local.runtimes.logs import LogPump
    from local.runtimes.runtime_api import Invocation, RuntimeApi
    from local.sandbox.memory import MemoryGroup, MemoryLimits
    from local.sandbox.processes import Launcher
    from local.sandbox.spec import Process

# Lambda allows this for loading a function, and then loads it again within the invocation's own time.
INIT_SECONDS = 10.0


class Machinery:
    """What all workers share."""

    def __init__(
        self, factory: FunctionFactory, launcher: Launcher, pump: LogPump, api: RuntimeApi, limits: MemoryLimits
    ) -> None:
        self.factory = factory
        self.launcher = launcher
        self.pump = pump
        self.api = api
        self.limits = limits


class Worker:
    """Starts with `start`; `on_ready` comes each time that it can be given an invocation, `on_ended` once."""

    def __init__(
        self,
        machinery: Machinery,
        function: FunctionSnapshot,
        on_ready: Callable[[Worker], None],
        on_ended: Callable[[Worker], None],
    ) -> None:
        self.function = function
        self.failure: bytes | None = None  # why it cannot serve
        self.idle_since = 0.0
        self._machinery = machinery
        self._on_ready, self._on_ended = on_ready, on_ended
        self._endpoint = machinery.api.endpoint(self)
        self._target = machinery.factory.log_target(function)
        self._tail = Tail()
        self._stream: FramedLogStream | None = None
        self._process: Process | None = None
        self._memory: MemoryGroup | None = None
        self._invocation: Invocation | None = None
        self._handover = threading.Lock()
        self._asking = False  # it waits for an invocation
        self._released = True  # nobody writes into its log any more
        self._was_ready = False
        self._init_seconds: float | None = None
        self._begun = time.monotonic()
        self._exit_code: int | None = None
        self._peak_bytes = 0  # of memory, known once it has ended

    def start(self, package: Package) -> None:
        """Start the process.

        Raises FunctionError where the function's parts are missing.
        """
        factory = self._machinery.factory
        spec = factory.process_spec(self.function, package, self._endpoint.address, self._target)
        self._memory = self._machinery.limits.create(self.function.memory_mib * MIB)
        if self._memory is not None:
            spec = spec.within(self._memory.members)
        self._endpoint.open()
        read, write = os.pipe()
        self._stream = FramedLogStream(self._target, read, self._tail.add)
        self._reporter = Reporter(self.function, self._stream)
        self._reporter.init()
        self._machinery.pump.add(self._stream)
        events = ProcessEvents(lambda _: None, self._not_started, self._ended)
        try:
            self._process = self._machinery.launcher.spawn(spec, write, events)
        finally:
            os.close(write)
        self._machinery.api.later(INIT_SECONDS + self.function.timeout_seconds, self._init_overdue)

    def invoke(self, invocation: Invocation) -> bytes:
        """Handle one invocation, to its end or its time-out; the answer is the tail of its log."""
        stream, limit = self._require_stream(), invocation.timeout_seconds
        self._tail.clear()
        self._reporter.start(invocation.request_id)
        begun = time.monotonic()
        invocation.deadline_ms = int((time.time() + limit) * 1000)
        self._asking = self._released = False
        self._invocation = invocation
        if self._exit_code is not None:
            self._crashed(invocation)  # while it was idle
        self._endpoint.give(invocation)
        in_time = invocation.done.wait(limit)
        elapsed = time.monotonic() - begun
        status = "success" if in_time and invocation.error is None else "error"
        if not in_time:
            status = "timeout"
            message = f"Task timed out after {limit:.2f} seconds"
            error = error_payload("Sandbox.Timedout", f"RequestId: {invocation.request_id} Error: {message}")
            invocation.finish(error, "Unhandled")
            self.end()
            self._wait_ended()
        stream.read_available()
        stream.end_line()
        if not in_time:
            now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
            stream.write(f"{now}Z {invocation.request_id} Task timed out after {limit:.2f} seconds")
        self._report(invocation, min(elapsed, limit), status)
        return self._tail.text()

    def release(self) -> None:
        """Let go of the worker after `invoke`; it is ready again once it has also asked for more."""
        with self._handover:
            self._released = True
            free = self._asking
        if free:
            self._on_ready(self)

    def end(self) -> None:
        """End the process; nothing of it is needed any more."""
        if self._process is not None:
            self._machinery.launcher.signal(self._process, signal.SIGKILL)

    def ready(self) -> None:
        """The process has asked for an invocation."""
        if not self._was_ready:
            self._was_ready = True
            self._init_seconds = time.monotonic() - self._begun
        with self._handover:
            self._asking = True
            free = self._released
        if free:
            self._on_ready(self)

    def init_failed(self, error: bytes) -> None:
        """The process cannot load the function, and will end."""
        self.failure = error

    def _require_stream(self) -> FramedLogStream:
        if self._stream is None:
            raise RuntimeError(f"{self.function.name}: invoked before its start")
        return self._stream

    def _report(self, invocation: Invocation, seconds: float, status: str) -> None:
        memory = self._peak_bytes or (_peak_resident(self._process.pid) if self._process is not None else 0)
        self._reporter.end(invocation.request_id, seconds, memory, self._init_seconds, status)
        self._init_seconds = None
        self._require_stream().flush()

    def _init_overdue(self) -> None:
        if not self._was_ready and self._exit_code is None and self.failure is None:
            seconds = INIT_SECONDS + self.function.timeout_seconds
            self.failure = error_payload("Sandbox.Timedout", f"Error: loading timed out after {seconds:.2f} seconds")
            self.end()

    def _not_started(self, error: OSError) -> None:
        self.failure = error_payload("Runtime.InvalidEntrypoint", f"Error: {error}")
        self._ended(SIGNAL_BASE - 1)

    def _ended(self, code: int) -> None:
        self._exit_code = code
        self._endpoint.close()
        self._machinery.pump.finish(self._require_stream())
        if self._memory is not None:
            self._peak_bytes = self._memory.peak_bytes()
        invocation = self._invocation
        if invocation is not None and not invocation.done.is_set():
            self._crashed(invocation)
        if not self._was_ready and self.failure is None:
            self.failure = error_payload("Runtime.ExitError", f"Error: Runtime exited {_how(code)}")
        if self._memory is not None:
            self._memory.discard()
        self._on_ended(self)

    def _crashed(self, invocation: Invocation) -> None:
        out_of_memory = self._memory is not None and self._memory.out_of_memory()
        kind = "Runtime.OutOfMemory" if out_of_memory else "Runtime.ExitError"
        how = _how(self._exit_code or 0)
        message = f"RequestId: {invocation.request_id} Error: Runtime exited {how}"
        invocation.finish(error_payload(kind, message), "Unhandled")

    def _wait_ended(self) -> None:
        if self._process is not None:
            self._process.ended.wait()


def _how(code: int) -> str:
    if code > SIGNAL_BASE:
        with contextlib.suppress(ValueError):
            return f"with error: signal: {signal.strsignal(signal.Signals(code - SIGNAL_BASE))}".lower()
    return f"with error: exit status {code}" if code else "without providing a reason"


def _peak_resident(pid: int) -> int:
    """The peak resident size of a process, or of the one child where it is a sandbox's first process; 0 if unknown."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        status = Path(f"/proc/{children[0] if children else pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(fields.get("VmHWM", "0 kB").split()[0]) * 1024
