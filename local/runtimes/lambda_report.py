"""The lines that Lambda itself writes into a function's log, and the log's tail for the caller."""

from __future__ import annotations

import json
from collections import deque
from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local.runtimes.lambda_function import FunctionSnapshot
    from local.runtimes.logs import LogStream

TAIL_BYTES = 4096  # what Invoke returns with LogType=Tail
MIB = 1024 * 1024


class Tail:
    """The last of an invocation's log."""

    def __init__(self) -> None:
        self._messages: deque[str] = deque()
        self._size = 0

    def add(self, message: str) -> None:
        """Take one more message."""
        self._messages.append(message)
        self._size += len(message) + 1
        while self._messages and self._size - len(self._messages[0]) > TAIL_BYTES:
            self._size -= len(self._messages.popleft()) + 1

    def clear(self) -> None:
        """Begin a new invocation."""
        self._messages.clear()
        self._size = 0

    def text(self) -> bytes:
        """At most 4 KiB."""
        return "".join(f"{message}\n" for message in self._messages).encode()[-TAIL_BYTES:]


class Reporter:
    """Writes the platform's lines, as text or as JSON, whichever the function's logging asks for."""

    def __init__(self, function: FunctionSnapshot, stream: LogStream) -> None:
        self._function = function
        self._stream = stream
        self._json = function.log_format == "JSON"

    def init(self) -> None:
        """A worker begins to load the function."""
        runtime = self._function.runtime or "container image"
        record = {"initializationType": "on-demand", "phase": "init", "runtimeVersion": runtime}
        self._write(f"INIT_START Runtime Version: {runtime}", "platform.initStart", record)

    def start(self, request_id: str) -> None:
        """An invocation begins."""
        version = self._function.version
        text = f"START RequestId: {request_id} Version: {version}"
        self._write(text, "platform.start", {"requestId": request_id, "version": version})

    def note(self, request_id: str, message: str) -> None:
        """Something went wrong that the function cannot tell itself."""
        self._write(f"RequestId: {request_id} {message}", "platform.runtimeDone", {"requestId": request_id})

    def end(self, request_id: str, seconds: float, memory_bytes: int, init_seconds: float | None, status: str) -> None:
        """An invocation has ended; `init_seconds` only for a worker's first."""
        milliseconds, memory = seconds * 1000, self._function.memory_mib
        used = min(memory, ceil(memory_bytes / MIB))
        if self._json:
            metrics: dict[str, Any] = {
                "durationMs": round(milliseconds, 3),
                "billedDurationMs": ceil(milliseconds),
                "memorySizeMB": memory,
                "maxMemoryUsedMB": used,
            }
            if init_seconds is not None:
                metrics["initDurationMs"] = round(init_seconds * 1000, 3)
            record = {"requestId": request_id, "status": status, "metrics": metrics}
            self._write("", "platform.report", record)
            return
        fields = [
            f"REPORT RequestId: {request_id}",
            f"Duration: {milliseconds:.2f} ms",
            f"Billed Duration: {ceil(milliseconds)} ms",
            f"Memory Size: {memory} MB",
            f"Max Memory Used: {used} MB",
        ]
        fields += [] if init_seconds is None else [f"Init Duration: {init_seconds * 1000:.2f} ms"]
        fields += [] if status == "success" else [f"Status: {status}"]
        self._stream.write(f"END RequestId: {request_id}")
        self._stream.write("\t".join(fields) + "\t")

    def _write(self, text: str, kind: str, record: dict[str, Any]) -> None:
        if self._json:
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
            text = json.dumps({"time": now, "type": kind, "record": record})
        self._stream.write(text)
