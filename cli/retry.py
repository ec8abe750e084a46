"""Retries with back-off and jitter, for the gateway and for transfers alike."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})
LONGEST_RETRY_AFTER = 30.0


class Transient(Exception):
    """A failure worth another try; `error` is what the reader is told when the tries are used up."""

    def __init__(self, error: Exception, *, retry_after: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after


@dataclass(frozen=True)
class Retries:
    """How often and how patiently: 5 attempts wait 0.2, 0.4, 0.8 and 1.6 s, each drawn between half of that and all."""

    attempts: int = 5
    first_delay: float = 0.2
    longest_delay: float = 5.0
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = field(default=random.SystemRandom().random)

    def run(self, action: Callable[[], T]) -> T:
        """Call `action` until it returns; raise the error of its last Transient when the attempts are used up."""
        for attempt in range(self.attempts):
            try:
                return action()
            except Transient as transient:
                if attempt + 1 >= self.attempts:
                    raise transient.error from transient
                self.sleep(self._delay(attempt, transient.retry_after))
        raise ValueError(f"attempts must be at least 1, not {self.attempts}")

    def _delay(self, attempt: int, retry_after: float | None) -> float:
        if retry_after is not None:
            return min(retry_after, LONGEST_RETRY_AFTER)
        delay = min(self.first_delay * (1 << attempt), self.longest_delay)
        return delay * (0.5 + self.jitter() / 2)


def retry_after_seconds(header: str | None) -> float | None:
    """Read a Retry-After header given in seconds; None for its date form, which gateways here do not send."""
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:
        return None
