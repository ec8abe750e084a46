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
from typing import TYPE_CHECKING, Any

from handlers.errors import BadRequest
from handlers.logs import RunLogger, logger
from handlers.records import RunTable, now
from handlers.settings import Settings
from handlers.transfer.client import bulk_client
from handlers.transfer.installments import expiry
from handlers.transfer.landing import run_directory
from handlers.transfer.manifest import PublishPlan, write_manifest, write_publish_plan
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
    log = logger("publish", run_id)
    documents = Documents(bulk_client(), settings.results_bucket, run_id, "publish")
    if event["action"] == "manifest":
        key = write_manifest(documents, run_id, table.run(run_id)["workflowInstanceId"])
        log.info("manifest written", extra={"key": key})
        return {"key": key}
    with RunTree(run_directory(settings.mount_path, event["runDir"]), settings.mount_path) as tree:
        if event["action"] == "plan":
            nodes = _nodes(table, run_id, event.get("nodes"))
            table.enter(run_id, "PUBLISH")
            return _planned(log, write_publish_plan(documents, tree, run_id, nodes, now()))
        publication = Publication(documents, tree, run_id, expiry(context))
        match event["action"]:
            case "part":
                done = publication.part(event["part"])
            case "assemble":
                done = publication.assemble(event["large"])
            case action:
                raise BadRequest(f"unknown action {action!r}; publish knows 'plan', 'part', 'assemble' and 'manifest'")
    step = {key: event[key] for key in ("action", "part", "large") if key in event}
    log.info("outputs moved", extra={**step, **done})
    return done


def _planned(log: RunLogger, plan: PublishPlan) -> dict[str, Any]:
    """Log a plan, and answer it with the items of the Maps that carry it out."""
    for warning in plan["warnings"]:
        log.warning(warning)
    log.info("publication planned", extra={key: value for key, value in plan.items() if key != "warnings"})
    return {**plan, "partNumbers": list(range(plan["parts"])), "multipartNumbers": list(range(plan["multipart"]))}


def _nodes(table: RunTable, run_id: str, given: Iterable[str] | None) -> list[str]:
    if given is None:
        given = [node["nodeId"] for node in table.nodes(run_id) if node["status"] == "SUCCEEDED"]
    nodes = list(given)
    if bad := [node for node in nodes if not NODE_ID.fullmatch(node) or ".." in node]:
        raise BadRequest(f"{bad[0]!r} is not a node id")
    return nodes
