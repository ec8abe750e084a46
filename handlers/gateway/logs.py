"""Logs of a run, while it goes on and after: by node, by component, or those of all nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query
from aws_lambda_powertools.event_handler.router import LambdaFunctionUrlRouter

from handlers.errors import BadRequest
from handlers.gateway import cursor
from handlers.gateway.reading import Source, component_source, node_sources
from handlers.gateway.runs import RunPath  # noqa: TC001 - read by the resolver
from handlers.records import ENDED, RunTable

if TYPE_CHECKING:
    from handlers.records import Item

router = LambdaFunctionUrlRouter()
MAX_SOURCES = 200  # a token keeps a place for each
MAX_BYTES = 4_000_000  # of messages in one answer, which may have 6 MB


@router.get("/runs/<run_id>/logs", tags=["runs"], summary="Read a run's log")
def read_logs(
    run_id: RunPath,
    node: Annotated[str | None, Query()] = None,
    component: Annotated[str | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
    nextToken: Annotated[str | None, Query()] = None,
) -> Response[dict[str, Any]]:
    """A page of events. While the run goes on, the token of the last page leads to what comes next."""
    # Read before the events: what is written after this is not missed, only left to the next page.
    run = RunTable().run(run_id)
    sources = _sources(run, node, component)
    places: dict[str, Any] = cursor.read(nextToken) or {}
    events: list[dict[str, Any]] = []
    room = MAX_BYTES
    for source in sources:
        if len(events) >= limit or room <= 0:
            break
        found, places[source.key] = source.read(run, places.get(source.key), limit - len(events))
        events += found
        room -= sum(len(event["message"]) for event in found)
    exhausted = all(places.get(source.key, {}).get("end") for source in sources)
    complete = run["status"] in ENDED and exhausted
    body = {"events": events, "complete": complete, "nextToken": None if complete else cursor.write(places)}
    return Response(200, "application/json", body)


def _sources(run: Item, node: str | None, component: str | None) -> list[Source]:
    if node and component:
        raise BadRequest("a log is a node's or a component's", ["name node or component, not both"])
    if component:
        return [component_source(component)]
    sources = node_sources(run, node)
    if len(sources) > MAX_SOURCES:
        raise BadRequest(f"the run has {len(sources)} attempts; name the node whose log to read")
    return sources
