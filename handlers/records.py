"""The run table: one item a run, one a node of its DAG, one a processor of the compute node.

Keys: `RUN#{runId}` / `RUN`, `RUN#{runId}` / `NODE#{nodeId}`, `NODE` / `PROCESSOR#{name}`.
The state machine reads and writes node items itself; this module holds everything the functions do with them.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from handlers.aws import client
from handlers.errors import Conflict, NotFound
from handlers.settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Item = dict[str, Any]
ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT"})
RETENTION = timedelta(days=2555)  # a run's record lives as long as its log archive


def now() -> str:
    """The time in UTC, ISO 8601 to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_attribute(value: Any) -> dict[str, Any]:  # noqa: PLR0911 - a table of types
    """DynamoDB's form of a plain value; sets of strings become SS, floats are not taken."""
    match value:
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case int():
            return {"N": str(value)}
        case None:
            return {"NULL": True}
        case set() | frozenset():
            return {"SS": sorted(value)}
        case list() | tuple():
            return {"L": [to_attribute(v) for v in value]}
        case dict():
            return {"M": {k: to_attribute(v) for k, v in value.items()}}
    raise TypeError(f"no attribute form for {type(value).__name__}")


def from_attribute(attribute: Mapping[str, Any]) -> Any:
    """The plain value of an attribute in DynamoDB's form."""
    ((kind, value),) = attribute.items()
    match kind:
        case "N":
            return int(value)
        case "NULL":
            return None
        case "SS":
            return set(value)
        case "L":
            return [from_attribute(v) for v in value]
        case "M":
            return {k: from_attribute(v) for k, v in value.items()}
    return value


def plain(item: Mapping[str, Any]) -> Item:
    """An item as plain values."""
    return {key: from_attribute(value) for key, value in item.items()}


class RunTable:
    """The run table of this node."""

    def __init__(self, name: str | None = None, dynamodb: Any = None) -> None:
        self.name = name or settings().run_table
        self.dynamodb = dynamodb or client("dynamodb")

    # Runs

    def create_run(self, run_id: str, attributes: Mapping[str, Any]) -> bool:
        """Write a run's item unless there is one; tell whether this call wrote it."""
        created = attributes["createdAt"]
        expires = datetime.fromisoformat(created) + RETENTION
        item = {
            **attributes,
            "pk": f"RUN#{run_id}",
            "sk": "RUN",
            "runId": run_id,
            "gsi1pk": "RUNS",
            "gsi1sk": f"{created}#{run_id}",
            "expiresAt": int(expires.timestamp()),
        }
        try:
            self.dynamodb.put_item(
                TableName=self.name, Item=_attributes(item), ConditionExpression="attribute_not_exists(pk)"
            )
        except self.dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def run(self, run_id: str) -> Item:
        """A run's item. Raises NotFound."""
        key = _key(f"RUN#{run_id}", "RUN")
        answer = self.dynamodb.get_item(TableName=self.name, Key=key, ConsistentRead=True)
        if "Item" not in answer:
            raise NotFound(f"there is no run {run_id} on this node")
        return plain(answer["Item"])

    def update_run(self, run_id: str, **values: Any) -> Item:
        """Set attributes of a run that exists; return the item as it is then. Raises NotFound."""
        return self._update(f"RUN#{run_id}", "RUN", values, what=f"run {run_id}")

    def enter(self, run_id: str, phase: str) -> None:
        """Record that a run has come to `phase`; the first one starts it."""
        run = self.run(run_id)
        if run["status"] in ENDED:
            return
        self.update_run(run_id, phase=phase, status="RUNNING", startedAt=run.get("startedAt") or now())

    def end_run(self, run_id: str, status: str, **values: Any) -> Item:
        """Give a run its final status, once: a second call leaves the first one's. Returns the item."""
        values = {**values, "status": status, "endedAt": now(), "phase": "DONE"}
        try:
            return self._update(
                f"RUN#{run_id}", "RUN", values, what=f"run {run_id}", condition="attribute_not_exists(endedAt)"
            )
        except Conflict:
            return self.run(run_id)

    def runs(
        self, *, limit: int, status: str | None = None, start: Item | None = None
    ) -> tuple[list[Item], Item | None]:
        """A page of runs, newest first, and the key from which the next page goes on (None after the last)."""
        query: dict[str, Any] = {
            "TableName": self.name,
            "IndexName": "by-created",
            "KeyConditionExpression": "gsi1pk = :runs",
            "ExpressionAttributeValues": {":runs": {"S": "RUNS"}},
            "ScanIndexForward": False,
            "Limit": limit,
        }
        if status:
            query["FilterExpression"] = "#status = :status"
            query["ExpressionAttributeNames"] = {"#status": "status"}
            query["ExpressionAttributeValues"][":status"] = {"S": status}
        found: list[Item] = []
        while True:
            page = self.dynamodb.query(**query, **({"ExclusiveStartKey": start} if start else {}))
            found += map(plain, page["Items"])
            start = page.get("LastEvaluatedKey")
            if start is None or len(found) >= limit:
                return found, start

    def unfinished(self) -> Iterator[Item]:
        """Runs that have not ended, newest first."""
        start: Item | None = None
        while True:
            page, start = self.runs(limit=100, start=start)
            yield from (run for run in page if run["status"] not in ENDED)
            if start is None:
                return

    # Nodes

    def put_nodes(self, run_id: str, nodes: Iterable[Mapping[str, Any]]) -> None:
        """Write the node items of a run. Those that are there already stay: a retry must not undo progress."""
        for node in nodes:
            item = {**node, "pk": f"RUN#{run_id}", "sk": f"NODE#{node['nodeId']}"}
            try:
                self.dynamodb.put_item(
                    TableName=self.name, Item=_attributes(item), ConditionExpression="attribute_not_exists(pk)"
                )
            except self.dynamodb.exceptions.ConditionalCheckFailedException:
                continue

    def nodes(self, run_id: str, attributes: Iterable[str] = ()) -> Iterator[Item]:
        """The node items of a run, all their attributes or those named, by node id."""
        query: dict[str, Any] = {
            "TableName": self.name,
            "KeyConditionExpression": "pk = :pk AND begins_with(sk, :node)",
            "ExpressionAttributeValues": {":pk": {"S": f"RUN#{run_id}"}, ":node": {"S": "NODE#"}},
            "ConsistentRead": True,
        }
        if names := list(attributes):
            query["ProjectionExpression"] = ", ".join(f"#a{i}" for i in range(len(names)))
            query["ExpressionAttributeNames"] = {f"#a{i}": name for i, name in enumerate(names)}
        for page in self.dynamodb.get_paginator("query").paginate(**query):
            yield from map(plain, page["Items"])

    def node(self, run_id: str, node_id: str) -> Item:
        """A node's item. Raises NotFound."""
        key = _key(f"RUN#{run_id}", f"NODE#{node_id}")
        answer = self.dynamodb.get_item(TableName=self.name, Key=key, ConsistentRead=True)
        if "Item" not in answer:
            raise NotFound(f"run {run_id} has no node {node_id}")
        return plain(answer["Item"])

    def update_node(self, run_id: str, node_id: str, **values: Any) -> Item:
        """Set attributes of a node; return the item as it is then. Raises NotFound."""
        return self._update(f"RUN#{run_id}", f"NODE#{node_id}", values, what=f"node {node_id} of run {run_id}")

    def record_attempt(self, run_id: str, node_id: str, attempt: int, record: Mapping[str, Any]) -> None:
        """Keep what is known of an attempt (a JSON object), under its number: recording twice is recording once."""
        self.dynamodb.update_item(
            TableName=self.name,
            Key=_key(f"RUN#{run_id}", f"NODE#{node_id}"),
            UpdateExpression="SET attempts.#attempt = :record",
            ExpressionAttributeNames={"#attempt": str(attempt)},
            ExpressionAttributeValues={":record": {"S": json.dumps(record)}},
        )

    # Processors

    def processors(self) -> dict[str, Item]:
        """The node's processors by name, each the definition that the program wrote."""
        query = {
            "TableName": self.name,
            "KeyConditionExpression": "pk = :pk AND begins_with(sk, :prefix)",
            "ExpressionAttributeValues": {":pk": {"S": "NODE"}, ":prefix": {"S": "PROCESSOR#"}},
        }
        pages = self.dynamodb.get_paginator("query").paginate(**query)
        definitions = (json.loads(item["definition"]["S"]) for page in pages for item in page["Items"])
        return {definition["name"]: definition for definition in definitions}

    # Layers

    def layers(self) -> list[Item]:
        """Name, size in bytes and number of files of each persistent layer."""
        query = {
            "TableName": self.name,
            "KeyConditionExpression": "pk = :pk AND begins_with(sk, :prefix)",
            "ExpressionAttributeValues": {":pk": {"S": "NODE"}, ":prefix": {"S": "LAYER#"}},
        }
        pages = self.dynamodb.get_paginator("query").paginate(**query)
        items = (plain(item) for page in pages for item in page["Items"])
        return [{key: item[key] for key in ("name", "sizeBytes", "fileCount")} for item in items]

    def remove_layer(self, name: str) -> None:
        """Forget a layer."""
        self.dynamodb.delete_item(TableName=self.name, Key=_key("NODE", f"LAYER#{name}"))

    def _update(self, pk: str, sk: str, values: Mapping[str, Any], *, what: str, condition: str = "") -> Item:
        names = {f"#n{i}": name for i, name in enumerate(values)}
        exists = "attribute_exists(pk)"
        try:
            answer = self.dynamodb.update_item(
                TableName=self.name,
                Key=_key(pk, sk),
                UpdateExpression="SET " + ", ".join(f"#n{i} = :v{i}" for i in range(len(values))),
                ConditionExpression=f"{exists} AND {condition}" if condition else exists,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues={f":v{i}": to_attribute(value) for i, value in enumerate(values.values())},
                ReturnValues="ALL_NEW",
            )
        except self.dynamodb.exceptions.ConditionalCheckFailedException as error:
            if condition:
                raise Conflict(f"{what} has changed meanwhile") from error
            raise NotFound(f"there is no {what}") from error
        return plain(answer["Attributes"])


def _key(pk: str, sk: str) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _attributes(item: Mapping[str, Any]) -> dict[str, Any]:
    # An empty set cannot be stored, and an absent waitingFor is what makes a node ready.
    return {key: to_attribute(value) for key, value in item.items() if value not in (None, set(), frozenset())}


__all__ = ["ENDED", "Item", "RunTable", "from_attribute", "now", "plain", "to_attribute"]
