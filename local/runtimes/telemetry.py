"""The telemetry frames in which Lambda's runtime client hands over log messages, so that one of many lines stays whole.

The client is told to write them to its standard output, among what the function prints, so that both keep their order.
"""

from __future__ import annotations

from local.runtimes.logs import LogStream

ENVIRONMENT = {"_LAMBDA_TELEMETRY_LOG_FD": "1"}
# awslambdaric/bootstrap.py, FramedTelemetryLogSink: type, length, timestamp, each big-endian, then the message.
MAGIC = b"\xa5\x5a\x00"  # how every type begins; in UTF-8 text these bytes cannot follow one another
LENGTH = slice(4, 8)
HEADER_BYTES = 16


class FramedLogStream(LogStream):
    """A log stream whose process may write frames into its output."""

    _waiting = b""

    def _feed(self, data: bytes) -> None:
        data = self._waiting + data
        self._waiting = b""
        while (start := data.find(MAGIC)) >= 0:
            super()._feed(data[:start])
            frame = data[start:]
            end = HEADER_BYTES + int.from_bytes(frame[LENGTH], "big")
            if len(frame) < HEADER_BYTES or len(frame) < end:
                self._waiting = frame
                return
            self.end_line()
            self._emit(frame[HEADER_BYTES:end].removesuffix(b"\n"))
            data = frame[end:]
        kept = next((size for size in (2, 1) if data.endswith(MAGIC[:size])), 0)  # perhaps the beginning of one
        super()._feed(data[: len(data) - kept])
        self._waiting = data[len(data) - kept :]

    def end_line(self) -> None:
        """Make events of what is unfinished, a broken-off frame too."""
        waiting, self._waiting = self._waiting, b""
        super()._feed(waiting[HEADER_BYTES:] if waiting.startswith(MAGIC) else waiting)
        super().end_line()
