"""Reading a run's log from the gateway, page by page, and following it to its end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cli.follow import pace_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.client import Gateway
    from cli.models import Json


PAGE = 1000  # events, as many as the gateway gives at once
COMPONENTS = (
    "gateway",
    "initialize",
    "scope",
    "download",
    "prepare",
    "dispatch",
    "complete",
    "assess",
    "publish",
    "revoke",
    "cleanup",
    "finalize",
    "close",
)


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
        before, token = token, page.get("nextToken") or token
        if page.get("complete"):
            return
        if follow and len(events) < PAGE:
            sleep(pace.after(changed=bool(events)))
        elif not events and token == before:
            return  # all there is for now


def log_source(event: Json) -> str:
    """Name the processor or the step of the node that wrote an event."""
    return str(event.get("node") or event.get("component") or "node")
