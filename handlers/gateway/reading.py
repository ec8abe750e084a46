"""Reads one log at a time, from a place that an earlier page left to the next."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from handlers import archive
from handlers.aws import client
from handlers.environment import family
from handlers.errors import BadRequest
from handlers.records import ENDED, Item, RunTable
from handlers.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Place = dict[str, Any]
Page = tuple[list[dict[str, Any]], Place]


@dataclass(frozen=True)
class Source:
    """One log: `read(run, place, limit)` gives events and the place after them; a place has `end` where there are no
    more for now."""

    key: str
    read: Callable[[Item, Place | None, int], Page]


def component_source(component: str) -> Source:
    """The lines of an orchestration component that speak of the run."""
    if component not in archive.COMPONENTS:
        raise BadRequest(f"there is no component {component!r}; there are {', '.join(archive.COMPONENTS)}")
    return Source(component, lambda run, place, limit: _skip(archive.component_lines(run, component), place, limit))


def node_sources(run: Item, node_id: str | None) -> list[Source]:
    """The logs of a node's attempts, or of all nodes', in topological order."""
    table = RunTable()
    nodes = [table.node(run["runId"], node_id)] if node_id else list(table.nodes(run["runId"]))
    running = _running(run, nodes) if run["status"] not in ENDED else {}
    sources = []
    for node in sorted(nodes, key=lambda found: found["position"]):
        known = {**archive.attempts(node), **running.get(node["nodeId"], {})}
        sources += [_attempt_source(node, number, known[number]) for number in sorted(known)]
    return sources


def _running(run: Item, nodes: list[Item]) -> dict[str, dict[int, dict[str, Any]]]:
    """Attempts that go on: their tasks are known to ECS alone, each by its group, `node/attempt`."""
    ecs, cluster = client("ecs"), settings().cluster_arn
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for name in {node["processor"] for node in nodes if node["computeType"] == "ecs" and node["status"] == "RUNNING"}:
        arns = ecs.list_tasks(cluster=cluster, family=family(run["runId"], name))["taskArns"]
        for task in ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else ():
            node_id, _, attempt = task["group"].partition("/")
            found.setdefault(node_id, {})[int(attempt)] = {"taskArn": task["taskArn"]}
    return found


def _attempt_source(node: Item, number: int, attempt: Mapping[str, Any]) -> Source:
    def read(run: Item, place: Place | None, limit: int) -> Page:
        if not attempt.get("taskArn"):
            lines = (
                archive.line(event, stream, node=node["nodeId"], attempt=number)
                for event, stream in archive.attempt_events(run, node, attempt)
            )
            return _skip(lines, place, limit)
        return _stream_page(run, node["nodeId"], number, attempt["taskArn"], place, limit)

    return Source(f"{node['nodeId']}/{number}", read)


def _skip(lines: Iterator[archive.Event], place: Place | None, limit: int) -> Page:
    """Events after those that were given: for logs that are found by a search, which has no lasting token."""
    given = (place or {}).get("given", 0)
    found = list(islice(lines, given, given + limit))
    return [dict(event) for event in found], {"given": given + len(found), "end": len(found) < limit}


def _stream_page(run: Item, node_id: str, number: int, task_arn: str, place: Place | None, limit: int) -> Page:
    """A page of a task's stream, by CloudWatch's own token: it repeats at the end, and goes on from there later."""
    logs = client("logs")
    stream = f"{run['runId']}/processor/{task_arn.rpartition('/')[2]}"
    token = (place or {}).get("token")
    query = {
        "logGroupName": settings().processor_log_group,
        "logStreamName": stream,
        "startFromHead": True,
        "limit": limit,
    }
    try:
        page = logs.get_log_events(**query, **({"nextToken": token} if token else {}))
    except logs.exceptions.ResourceNotFoundException:
        return [], {"end": True}
    events = [dict(archive.line(event, stream, node=node_id, attempt=number)) for event in page["events"]]
    return events, {"token": page["nextForwardToken"], "end": page["nextForwardToken"] == token}
