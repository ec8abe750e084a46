"""Copies a run's logs from CloudWatch to the log bucket, a gzipped NDJSON object for each node and each component.

Nothing is held but a page of events and a piece of the compressed object, whatever the log's size; writing an archive
again replaces it by one with the same events, and those that have arrived since.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from handlers.aws import client
from handlers.settings import settings
from handlers.transfer.uploads import put_stream

if TYPE_CHECKING:
    from handlers.records import Item

COMPONENTS = (
    "initialize", "scope", "download", "prepare", "dispatch", "complete", "assess", "publish", "revoke", "cleanup",
    "finalize", "close", "gateway",
)  # fmt: skip
PIECE = 8 * 1024 * 1024  # bytes of compressed log handed on at once
Event = Mapping[str, Any]


def prefix(run: Item) -> str:
    """Where a run's archive lies in the log bucket."""
    return f"workflows/{run['workflowInstanceId']}/runs/{run['runId']}/"


def archive(run: Item, nodes: Iterable[Item]) -> int:
    """Archive the logs of the orchestration's components and of all nodes; return how many objects were written."""
    written = 0
    for component in COMPONENTS:
        written += _write(run, component, component_lines(run, component))
    for node in nodes:
        if attempts(node):
            _write(run, node["nodeId"], node_lines(run, node), even_if_empty=True)
            written += 1
    return written


def _write(run: Item, name: str, lines: Iterator[Event], *, even_if_empty: bool = False) -> int:
    first = next(lines, None)
    if first is None and not even_if_empty:
        return 0
    rest = lines if first is None else _chain(first, lines)
    put_stream(client("s3"), settings().log_bucket, f"{prefix(run)}{name}.ndjson.gz", compressed(rest))
    return 1


def _chain(first: Event, rest: Iterator[Event]) -> Iterator[Event]:
    yield first
    yield from rest


def compressed(lines: Iterable[Event]) -> Iterator[bytes]:
    """The gzip of one JSON object a line, in pieces. The same lines give the same bytes."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as stream:
        for line in lines:
            stream.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            if buffer.tell() > PIECE:
                yield buffer.getvalue()
                buffer.seek(0)
                buffer.truncate()
    yield buffer.getvalue()


def component_lines(run: Item, component: str) -> Iterator[Event]:
    """The lines of an orchestration component that speak of the run."""
    group = f"{settings().log_group_prefix}/functions/{component}"
    for event in _filtered(group, f'"{run["runId"]}"', _milliseconds(run["createdAt"])):
        yield line(event, event["logStreamName"], component=component)


def attempts(node: Item) -> dict[int, dict[str, Any]]:
    """What is recorded of a node's attempts, by number."""
    recorded = node.get("attempts") or {}
    return {int(number): json.loads(recorded[number]) for number in sorted(recorded, key=int)}


def node_lines(run: Item, node: Item) -> Iterator[Event]:
    """The lines of a node, attempt by attempt."""
    for number, attempt in attempts(node).items():
        for event, stream in attempt_events(run, node, attempt):
            yield line(event, stream, node=node["nodeId"], attempt=number)


def attempt_events(run: Item, node: Item, attempt: Mapping[str, Any]) -> Iterator[tuple[Event, str]]:
    """The events of one attempt, each with the name of its stream."""
    if attempt.get("taskArn"):
        stream = f"{run['runId']}/processor/{attempt['taskArn'].rpartition('/')[2]}"
        yield from ((event, stream) for event in _stream(settings().processor_log_group, stream))
    elif attempt.get("requestId"):
        group = f"{settings().processor_log_group}/{node['processor']}"
        yield from _invocation(group, attempt["requestId"], _milliseconds(run["createdAt"]))


def _invocation(group: str, request_id: str, since: int) -> Iterator[tuple[Event, str]]:
    """What an invocation wrote: an environment takes one at a time, so it is all between its START and its END."""
    start = next(_filtered(group, f'"START RequestId: {request_id}"', since), None)
    if start is None:
        return
    inside = False
    for event in _stream(group, start["logStreamName"], start["timestamp"]):
        message = event["message"]
        if message.startswith(f"START RequestId: {request_id}"):
            inside = True
        elif message.startswith(f"END RequestId: {request_id}"):
            return
        elif inside:
            yield event, start["logStreamName"]


def _stream(group: str, stream: str, start: int = 0) -> Iterator[Event]:
    """A stream's events from the beginning; GetLogEvents ends when its token repeats."""
    logs = client("logs")
    query = {"logGroupName": group, "logStreamName": stream, "startFromHead": True, "startTime": start}
    token: str | None = None
    while True:
        try:
            page = logs.get_log_events(**query, **({"nextToken": token} if token else {}))
        except logs.exceptions.ResourceNotFoundException:
            return  # the attempt ended before it wrote a line
        yield from page["events"]
        if page["nextForwardToken"] == token:
            return
        token = page["nextForwardToken"]


def _filtered(group: str, pattern: str, since: int) -> Iterator[Event]:
    logs = client("logs")
    pages = logs.get_paginator("filter_log_events")
    try:
        for page in pages.paginate(logGroupName=group, filterPattern=pattern, startTime=since):
            yield from page["events"]
    except logs.exceptions.ResourceNotFoundException:
        return


def line(event: Event, stream: str, **where: Any) -> Event:
    """An event as it is archived and answered: time, stream, node or component, message."""
    moment = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
    time = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"time": time, "stream": stream, **where, "message": event["message"]}


def _milliseconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1000)
