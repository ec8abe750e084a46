"""What processes print, into CloudWatch log streams: while they run, in order, and in bounded memory."""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import threading
import time
from typing import TYPE_CHECKING, Any

from moto.logs.exceptions import ResourceAlreadyExistsException, ResourceNotFoundException
from moto.logs.models import logs_backends

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
EVENT_OVERHEAD_BYTES = 26
BATCH_BYTES = 1_048_576
BATCH_EVENTS = 10_000
# The awslogs driver of Docker cuts lines here (daemon/logger/awslogs, maximumBytesPerEvent).
MESSAGE_BYTES = 262_144 - EVENT_OVERHEAD_BYTES
FLUSH_SECONDS = 0.2
READ_BYTES = 65_536

_LOGGER = logging.getLogger(__name__)


class LogTarget:
    """One CloudWatch log stream; made at once, so that a missing group is known before a process starts."""

    def __init__(self, account: str, region: str, group: str, stream: str, *, create_group: bool) -> None:
        self.group = group
        self.stream = stream
        self._backend = logs_backends[account][region]
        if create_group:
            self._backend.ensure_log_group(group)
        with contextlib.suppress(ResourceAlreadyExistsException):
            self._backend.create_log_stream(group, stream)

    def put(self, events: list[dict[str, Any]]) -> None:
        """Send one batch; events of a group deleted meanwhile are lost, as they are in AWS."""
        try:
            self._backend.put_log_events(self.group, self.stream, events)
        except ResourceNotFoundException:
            pass
        except Exception:
            # A subscription's function may fail in there, whose log this is not; and all others wait on this thread.
            _LOGGER.exception("%s, stream %s: %d log events are lost", self.group, self.stream, len(events))


class LogStream:
    """Cuts a process's output into log events and sends them in batches; without a target it is discarded.

    `descriptor` is the reading end of the process's output, non-blocking; `observer` sees each message.
    """

    def __init__(
        self, target: LogTarget | None, descriptor: int, observer: Callable[[str], None] | None = None
    ) -> None:
        self.descriptor = descriptor
        self.flush_due: float | None = None
        self._target = target
        self._observer = observer
        self._lock = threading.RLock()
        self._partial = bytearray()
        self._events: list[dict[str, Any]] = []
        self._bytes = 0
        self._last_time = 0
        self._open = True
        self._closed = False

    def read_available(self) -> bool:
        """Take what the process has written so far; False once nothing more can come."""
        with self._lock:
            while self._open:
                try:
                    data = os.read(self.descriptor, READ_BYTES)
                except BlockingIOError:
                    return True
                if not data:
                    self._open = False
                else:
                    self._feed(data)
            return False

    def read_some(self) -> bool:
        """Take one portion, so that one talkative process cannot hold up the others; False at the end."""
        with self._lock, contextlib.suppress(BlockingIOError):
            data = os.read(self.descriptor, READ_BYTES) if self._open else b""
            self._feed(data)
            self._open = bool(data)
        return self._open

    def write(self, message: str) -> None:
        """Add one event of the runtime's own."""
        with self._lock:
            for piece in _pieces(message):
                self._add(piece)

    def end_line(self) -> None:
        """Make an event of an unfinished line, because what follows belongs to another invocation or to nobody."""
        with self._lock:
            if self._partial:
                self._emit(bytes(self._partial))
                self._partial.clear()

    def flush(self) -> None:
        """Send what is collected."""
        with self._lock:
            if self._events and self._target is not None:
                self._target.put(self._events)
            self._events, self._bytes, self.flush_due = [], 0, None

    def close(self) -> None:
        """Close the descriptor; whoever still waits to read it finds the end."""
        with self._lock:
            self._open = False
            if not self._closed:
                self._closed = True
                os.close(self.descriptor)

    def _feed(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._partial += line
            self._emit(bytes(self._partial))
            self._partial.clear()
        self._partial += rest
        while len(self._partial) > MESSAGE_BYTES:
            cut = _boundary(self._partial, MESSAGE_BYTES)
            self._emit(bytes(self._partial[:cut]))
            del self._partial[:cut]

    def _emit(self, line: bytes) -> None:
        for piece in _pieces(line.decode("utf-8", errors="replace")):
            self._add(piece)

    def _add(self, message: str) -> None:
        if self._observer is not None:
            self._observer(message)
        size = len(message.encode()) + EVENT_OVERHEAD_BYTES
        if self._bytes + size > BATCH_BYTES or len(self._events) >= BATCH_EVENTS:
            self.flush()
        # The clock may be set back; a batch must be in order.
        self._last_time = max(self._last_time, time.time_ns() // 1_000_000)
        self._events.append({"timestamp": self._last_time, "message": message})
        self._bytes += size
        if self.flush_due is None:
            self.flush_due = time.monotonic() + FLUSH_SECONDS


class LogPump:
    """One thread that reads every process's output."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._streams: set[LogStream] = set()
        self._lock = threading.Lock()
        self._wake_read, self._wake_write = os.pipe()
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
        self._thread.start()

    def add(self, stream: LogStream) -> None:
        """Read a stream's descriptor, which is the pump's from now on."""
        os.set_blocking(stream.descriptor, False)
        with self._lock:
            self._streams.add(stream)
            self._selector.register(stream.descriptor, selectors.EVENT_READ, stream)

    def finish(self, stream: LogStream) -> None:
        """Take the rest of an ended process's output and send it; returns when it is in CloudWatch."""
        self._forget(stream)
        stream.read_available()
        stream.end_line()
        stream.flush()
        with self._lock:
            self._streams.discard(stream)
        stream.close()

    def close(self) -> None:
        """Stop reading; what is collected is sent."""
        os.write(self._wake_write, b"x")
        self._thread.join()
        for stream in list(self._streams):
            self.finish(stream)
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _forget(self, stream: LogStream) -> None:
        with self._lock, contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(stream.descriptor)

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select(self._next_flush()):
                if key.data is None:
                    return
                if not key.data.read_some():
                    self._forget(key.data)
            now = time.monotonic()
            for stream in self._waiting():
                if stream.flush_due is not None and stream.flush_due <= now:
                    stream.flush()

    def _waiting(self) -> list[LogStream]:
        with self._lock:
            return [stream for stream in self._streams if stream.flush_due is not None]

    def _next_flush(self) -> float | None:
        due = [stream.flush_due for stream in self._waiting() if stream.flush_due is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None


_UTF8_TAIL_MASK, _UTF8_TAIL = 0xC0, 0x80


def _boundary(data: bytearray, limit: int) -> int:
    """Where to cut within `limit` bytes without splitting a UTF-8 character."""
    for cut in range(limit, limit - 4, -1):
        if data[cut] & _UTF8_TAIL_MASK != _UTF8_TAIL:
            return cut
    return limit


def _pieces(message: str) -> Iterator[str]:
    """The parts of a message that CloudWatch takes; it takes no empty one."""
    start = 0
    while start < len(message):
        # A replaced byte takes three, so the length in bytes is known only now.
        piece = message[start : start + MESSAGE_BYTES]
        while len(piece.encode()) > MESSAGE_BYTES:
            piece = piece[: len(piece) * MESSAGE_BYTES // len(piece.encode())]
        yield piece
        start += len(piece)
