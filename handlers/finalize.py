"""Step Finalize: gives a run its final status, archives its logs and announces the end.

Event: `{"runId"}` with `emptyNodes` where the run came to its end, `failure` where a step failed, `close` where the
execution was stopped, or `late` for a second pass over the logs alone. Answer: `{"status", "error", "cause"}`.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from handlers import platform
from handlers.archive import archive
from handlers.aws import client
from handlers.causes import cause_message
from handlers.logs import logger
from handlers.records import ENDED, Item, RunTable, now

if TYPE_CHECKING:
    from collections.abc import Mapping

SHOWN = 50  # failed nodes named in a run's error
STOPPED = {"ABORTED": "CANCELLED", "TIMED_OUT": "TIMED_OUT", "FAILED": "FAILED"}
ERROR_CODES = {"BadRequest": "bad_request", "NotFound": "not_found", "Conflict": "conflict", "Forbidden": "forbidden"}


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Finalize a run."""
    run_id = event["runId"]
    table = RunTable()
    if event.get("late"):
        run = table.run(run_id)
        archive(run, table.nodes(run_id))
        table.update_run(run_id, lateLogs=now())
        return {"status": run["status"]}
    table.enter(run_id, "FINALIZE")
    run = table.run(run_id)
    if run["status"] not in ENDED:
        run = _end(table, run, event)
    error = run.get("error") or {}
    cause = "\n".join([error.get("message", ""), *error.get("details", [])]).strip()
    return {"status": run["status"], "error": error.get("code", run["status"]), "cause": cause or run["status"]}


def _end(table: RunTable, run: Item, event: Mapping[str, Any]) -> Item:
    """Everything that a crash may interrupt comes before the final status, so that a retry does it again."""
    run_id = run["runId"]
    _end_nodes(table, run_id, event)
    status, error = judge(list(table.nodes(run_id, ("nodeId", "status", "reason", "position"))), event)
    log = logger("finalize", run_id)
    log.info("run ended", extra={"status": status})
    written = archive(run, table.nodes(run_id))
    log.info("logs archived", extra={"objects": written})
    for node in table.nodes(run_id, ("nodeId", "status")):
        platform.report_processor(run, node["nodeId"], node["status"])
    platform.report_run(run, status)
    ended = table.end_run(run_id, status, **({"error": error} if error else {}))
    _announce(ended)
    return ended


def _end_nodes(table: RunTable, run_id: str, event: Mapping[str, Any]) -> None:
    """What was not done is cancelled; what succeeded without writing anything has failed."""
    empty = set(event.get("emptyNodes") or ())
    for node in table.nodes(run_id, ("nodeId", "status")):
        if node["status"] in ("WAITING", "RUNNING"):
            reason = "the run ended before it could"
            table.update_node(run_id, node["nodeId"], status="CANCELLED", reason=reason, endedAt=now())
        elif node["nodeId"] in empty:
            table.update_node(run_id, node["nodeId"], status="FAILED", reason="wrote no output")


def judge(nodes: list[Item], event: Mapping[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """A run's final status, and the error where it is not SUCCEEDED."""
    if "failure" in event:
        return "FAILED", _step_error(event["failure"])
    if "close" in event:
        status = STOPPED.get(event["close"], "FAILED")
        words = {"CANCELLED": "the run was cancelled", "TIMED_OUT": "the run passed its time limit"}
        message = words.get(status, "the execution failed before the run's own end")
        return status, {"code": status.lower(), "message": message, "details": []}
    counts = Counter(node["status"] for node in nodes)
    if not counts["FAILED"]:
        return "SUCCEEDED", None
    failed = sorted((n for n in nodes if n["status"] == "FAILED"), key=lambda node: node["position"])
    message = f"{counts['FAILED']} of {len(nodes)} nodes failed, {counts['SKIPPED']} were skipped"
    details = [f"{node['nodeId']}: {node['reason']}" for node in failed[:SHOWN]]
    return "FAILED", {"code": "node_failed", "message": message, "details": details}


def _step_error(failure: Mapping[str, Any]) -> dict[str, Any]:
    """A failed step's error, as the step itself put it: message first, then a line a detail."""
    kind = failure.get("Error", "")
    first, *rest = cause_message(failure).split("\n")
    details = [line.removeprefix("- ") for line in rest if line]
    return {"code": ERROR_CODES.get(kind, kind or "step_failed"), "message": first, "details": details}


def _announce(run: Item) -> None:
    """Put the run's end on the account's event bus."""
    detail = {"executionRunId": run["runId"], "status": run["status"], "workflowInstanceId": run["workflowInstanceId"]}
    entry = {"Source": "compute-node", "DetailType": "Run Status Change", "Detail": json.dumps(detail)}
    client("events").put_events(Entries=[entry])
