"""Step Publish: copies what the nodes have written to the results bucket, with a manifest of sizes and checksums.

Events, in this order:
`{"action": "plan", "runId", "runDir", "nodes"?}` → the counts of a PublishPlan; without `nodes` those that SUCCEEDED.
`{"action": "part", "runId", "runDir", "part": k}` for each part, then
`{"action": "assemble", "runId", "runDir", "large": k}` for each multipart upload → `{"files", "bytes"}`.
`{"action": "manifest", "runId", "runDir"}` → `{"key"}`.
A repeated call writes the same objects; an assembly that ends with Retryable has got further and is to be repeated.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from handlers.errors import BadRequest
from handlers.records import RunTable
from handlers.settings import Settings
from handlers.transfer.client import bulk_client
from handlers.transfer.installments import expiry
from handlers.transfer.landing import run_directory
from handlers.transfer.manifest import write_manifest, write_publish_plan
from handlers.transfer.send import Publication
from handlers.transfer.store import Documents
from handlers.transfer.tree import RunTree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def handler(event: Mapping[str, Any], context: object) -> Mapping[str, Any]:
    """Carry out one step of a run's publication."""
    settings = Settings.from_env(os.environ)
    run_id, table = event["runId"], RunTable(settings.run_table)
    documents = Documents(bulk_client(), settings.results_bucket, run_id, "publish")
    if event["action"] == "manifest":
        return {"key": write_manifest(documents, run_id, table.run(run_id)["workflowInstanceId"])}
    with RunTree(run_directory(settings.mount_path, event["runDir"]), settings.mount_path) as tree:
        match event["action"]:
            case "plan":
                nodes = _nodes(table, run_id, event.get("nodes"))
                table.enter(run_id, "PUBLISH")
                plan = write_publish_plan(documents, tree, run_id, nodes, _now())
                numbers = {
                    "partNumbers": list(range(plan["parts"])),
                    "multipartNumbers": list(range(plan["multipart"])),
                }
                return {**plan, **numbers}
            case "part":
                return Publication(documents, tree, run_id, expiry(context)).part(event["part"])
            case "assemble":
                return Publication(documents, tree, run_id, expiry(context)).assemble(event["large"])
            case action:
                raise BadRequest(f"unknown action {action!r}; publish knows 'plan', 'part', 'assemble' and 'manifest'")


def _nodes(table: RunTable, run_id: str, given: Iterable[str] | None) -> list[str]:
    if given is None:
        given = [node["nodeId"] for node in table.nodes(run_id) if node["status"] == "SUCCEEDED"]
    nodes = list(given)
    if bad := [node for node in nodes if not NODE_ID.fullmatch(node) or ".." in node]:
        raise BadRequest(f"{bad[0]!r} is not a node id")
    return nodes


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
