"""Following a run to its end: how often to ask, and when it has ended."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.client import Gateway
    from cli.models import Run

EMBEDDED_FIRST = 0.2
DEPLOYED_FIRST = 1.0
LONGEST = 2.0
GROWTH = 1.3
SETTLING_SECONDS = 60.0


@dataclass
class Pace:
    """Seconds between two questions: short while things change, up to 2 s while they do not."""

    first: float
    _next: float = field(init=False)

    def __post_init__(self) -> None:
        """Start at the shortest."""
        self._next = self.first

    def after(self, *, changed: bool) -> float:
        """Return how long to wait now."""
        self._next = self.first if changed else min(self._next * GROWTH, LONGEST)
        return self._next


def pace_for(gateway: Gateway) -> Pace:
    """Ask an embedded node more often: it costs nothing there, and its runs are short."""
    return Pace(EMBEDDED_FIRST if gateway.target.embedded else DEPLOYED_FIRST)


def snapshots(
    gateway: Gateway,
    run_id: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Run]:
    """Yield the run until it has settled; a final status waits for cleanup and archive a minute at most."""
    pace = pace_for(gateway)
    before: Run | None = None
    final_since: float | None = None
    while True:
        run = gateway.run(run_id)
        yield run
        if run.settled:
            return
        if run.final:
            final_since = clock() if final_since is None else final_since
            if clock() - final_since > SETTLING_SECONDS:
                return
        sleep(pace.after(changed=run != before))
        before = run
