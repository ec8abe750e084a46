"""Step Initialize: settles what a run does before anything of it is made.

Event: `{"runId"}`. Answer: `{runId, runDir, nodeCount, nodes, nodesKey, definitions, downloads: {parts, large}}`, the
state machine's own copy of the plan. Repeating it gives the same answer: the run's directory name is drawn once.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from handlers import environment, platform
from handlers.aws import client
from handlers.errors import BadRequest
from handlers.logs import logger
from handlers.records import Item, RunTable
from handlers.settings import settings
from handlers.transfer.plan import list_inputs, write_plan
from handlers.workflow import Node, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

INLINE_NODES = 40  # the concurrency of an inline Map
MAX_ANSWER = 200_000  # bytes; a state's payload may have 262,144


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Validate a run, write its node items and plans, and answer what the state machine needs."""
    run_id = event["runId"]
    log = logger("initialize", run_id)
    table = RunTable()
    table.enter(run_id, "INITIALIZE")
    run = table.run(run_id)
    request = platform.resolve(run)
    nodes = resolve(request, table.processors())
    log.info("workflow validated", extra={"nodes": len(nodes)})
    run_dir = _run_directory(table, run)
    downloads = _plan_download(run_id, request)
    log.info("transfer planned", extra=downloads)
    plans = {node.id: environment.plan(node, run, request, run_dir) for node in nodes}
    table.put_nodes(run_id, (_item(node, plans[node.id]) for node in nodes))
    platform.report_run(run, "RUNNING")
    answer = {
        "runId": run_id,
        "runDir": run_dir,
        "nodeCount": len(nodes),
        "definitions": _definitions(run, nodes),
        "downloads": {"parts": list(range(downloads["parts"])), "large": list(range(downloads["large"]))},
        **_node_list(run_id, nodes),
    }
    _check_size(answer)
    return answer


def _run_directory(table: RunTable, run: Item) -> str:
    """An unguessable name: on the node's own mount, knowing it is the right to enter."""
    if "runDir" not in run:
        run = table.update_run(run["runId"], runDir=secrets.token_hex(16))
    name: str = run["runDir"]
    return name


def _plan_download(run_id: str, request: Mapping[str, Any]) -> dict[str, int]:
    s3, bucket = client("s3"), settings().results_bucket
    files = list_inputs(s3, request.get("inputs") or [], settings().allowed_buckets)
    return {**write_plan(s3, bucket, run_id, files)}  # type: ignore[dict-item]


def _item(node: Node, plan: Mapping[str, Any]) -> Item:
    return {
        "nodeId": node.id,
        "processor": node.processor,
        "computeType": node.compute_type,
        "position": node.position,
        "status": "WAITING",
        "dependsOn": list(node.depends_on),
        "waitingFor": set(node.depends_on),
        "attempts": {},
        "image": node.definition.get("image", ""),
        "parameters": json.dumps(node.parameters),
        "plan": json.dumps(plan),
    }


def _node_list(run_id: str, nodes: list[Node]) -> dict[str, Any]:
    """Few nodes go with the answer; many lie in S3, where a distributed Map reads them."""
    listed = [{"nodeId": node.id} for node in nodes]
    if len(nodes) <= INLINE_NODES:
        return {"nodes": listed, "nodesKey": ""}
    key = f"plans/{run_id}/nodes.json"
    client("s3").put_object(Bucket=settings().results_bucket, Key=key, Body=json.dumps(listed).encode())
    return {"nodes": [], "nodesKey": key}


def _definitions(run: Item, nodes: list[Node]) -> list[dict[str, Any]]:
    """What RegisterTaskDefinition takes, once for each distinct processor of the run that runs on ECS."""
    distinct = {node.processor: node.definition for node in nodes if node.compute_type == "ecs"}
    return [environment.task_definition(run, definition) for definition in distinct.values()]


def _check_size(answer: Mapping[str, Any]) -> None:
    size = len(json.dumps(answer))
    if size > MAX_ANSWER:
        count = len(answer["definitions"])
        raise BadRequest(
            "the run has too many distinct processors",
            [f"workflow: the definitions of {count} processors take {size:,} bytes, {MAX_ANSWER:,} are allowed"],
        )
