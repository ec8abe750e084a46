"""One JSON object a line, each with the run that it speaks of, so that a run's lines can be told apart and archived."""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime
from typing import Any, TextIO

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname,
            "message": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in _STANDARD},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """Adds the run, and whatever else was bound, to each line."""

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        kwargs["extra"] = {**(self.extra or {}), **kwargs.get("extra", {})}
        return msg, kwargs


def logger(component: str, run_id: str = "", **bound: Any) -> RunLogger:
    """A logger whose lines carry `component`, `runId` and what else is `bound`. Never hand it a token."""
    base = logging.getLogger(f"compute-node.{component}")
    if not base.handlers:
        base.propagate = False
        base.setLevel(os.environ.get("LOG_LEVEL", "INFO"))
        handler: logging.StreamHandler[TextIO] = logging.StreamHandler()
        handler.setFormatter(_JsonFormatter())
        base.addHandler(handler)
    return RunLogger(base, {"component": component, "runId": run_id, **bound})
