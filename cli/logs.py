"""Reading a run's log from the gateway, page by page, and following it to its end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cli.follow import pace_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.client import Gateway
    from cli.models import Json


def log_events(  # noqa: PLR0913 - each by its name
    gateway: Gateway,
    run_id: str,
    *,
    node: str | None = None,
    component: str | None = None,
    follow: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Json]:
    """Yield the events in the gateway's order; with `follow`, until the gateway says that the log is complete."""
    pace = pace_for(gateway)
    token: str | None = None
    while True:
        page = gateway.log_page(run_id, node=node, component=component, token=token)
        events = page.get("events") or []
        yield from events
        following = page.get("nextToken")
        more = bool(following) and following != token
        token = following or token
        if page.get("complete") and not more:
            return
        if not events and not more:
            if not follow:
                return
            sleep(pace.after(changed=False))
        elif not more:
            sleep(pace.after(changed=True))


def log_source(event: Json) -> str:
    """Name the processor or the step of the node that wrote an event."""
    return str(event.get("node") or event.get("component") or "node")
