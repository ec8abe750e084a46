"""Runs: start, list, look at, cancel."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Path, Query
from aws_lambda_powertools.event_handler.router import LambdaFunctionUrlRouter

from handlers.archive import attempts
from handlers.gateway import cursor, submission
from handlers.gateway.caller import identity, tokens, user_scope
from handlers.gateway.models import RUN_ID, RunRequest
from handlers.records import RunTable

if TYPE_CHECKING:
    from handlers.records import Item

router = LambdaFunctionUrlRouter()
RunPath = Annotated[str, Path(pattern=RUN_ID, description="The run's id")]
SHOWN = ("nodeId", "processor", "computeType", "status", "dependsOn", "waitingFor", "reason", "startedAt", "endedAt",
         "attempts", "position")  # fmt: skip


@router.post("/runs", status_code=202, tags=["runs"], summary="Start a run")
def start_run(request: RunRequest) -> Response[dict[str, Any]]:
    """Accept a run. The same id with the same request is the same run; with another request it is refused."""
    event = router.current_event
    run = submission.submit(request, tokens(event), identity(event), user_scope(event))
    return _json(202, {"executionRunId": run["runId"], "status": run["status"], "links": _links(run["runId"])})


@router.get("/runs", tags=["runs"], summary="List runs, newest first")
def list_runs(
    status: Annotated[str | None, Query(description="Only those of this status")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    nextToken: Annotated[str | None, Query()] = None,
) -> Response[dict[str, Any]]:
    """A page of runs."""
    found, following = RunTable().runs(limit=limit, status=status, start=cursor.read(nextToken))
    return _json(200, {"runs": [_summary(run) for run in found], "nextToken": cursor.write(following)})


@router.get("/runs/<run_id>", tags=["runs"], summary="Look at a run")
def get_run(run_id: RunPath, nodes: Annotated[bool, Query()] = True) -> Response[dict[str, Any]]:
    """A run with its nodes, in topological order."""
    table = RunTable()
    run = _summary(table.run(run_id))
    if nodes:
        found = sorted(table.nodes(run_id, SHOWN), key=lambda node: node["position"])
        run["nodes"] = [_node(node) for node in found]
    return _json(200, run)


@router.delete("/runs/<run_id>", status_code=202, tags=["runs"], summary="Cancel a run")
def cancel_run(run_id: RunPath) -> Response[dict[str, Any]]:
    """Stop a run; its files, tokens and definitions are removed, its logs kept."""
    run = submission.cancel(run_id)
    return _json(202, {"executionRunId": run_id, "status": run["status"], "links": _links(run_id)})


def _json(status: int, body: dict[str, Any]) -> Response[dict[str, Any]]:
    return Response(status, "application/json", body)


def _links(run_id: str) -> dict[str, str]:
    base = f"/runs/{run_id}"
    return {"self": base, "logs": f"{base}/logs", "outputs": f"{base}/outputs"}


def _summary(run: Item) -> dict[str, Any]:
    shown = ("status", "phase", "workflowInstanceId", "workflowName", "createdAt", "startedAt", "endedAt", "error")
    return {"executionRunId": run["runId"], **{key: run.get(key) for key in shown}, "links": _links(run["runId"])}


def _node(node: Item) -> dict[str, Any]:
    return {
        "id": node["nodeId"],
        "processor": node["processor"],
        "computeType": node["computeType"],
        "status": node["status"],
        "dependsOn": node.get("dependsOn", []),
        "waitingFor": sorted(node.get("waitingFor") or ()),
        "reason": node.get("reason"),
        "startedAt": node.get("startedAt"),
        "endedAt": node.get("endedAt"),
        "attempts": [_attempt(number, attempt) for number, attempt in attempts(node).items()],
    }


def _attempt(number: int, attempt: dict[str, Any]) -> dict[str, Any]:
    codes = attempt.get("exitCodes") or [None]
    times = {key: _time(attempt.get(key)) for key in ("createdAt", "startedAt", "stoppedAt")}
    return {"attempt": number, **times, "exitCode": codes[0], "reason": attempt.get("reason")}


def _time(value: int | str | None) -> str | None:
    """ISO 8601 of what Step Functions gives in milliseconds, and Lambda as text."""
    if isinstance(value, int):
        moment = datetime.fromtimestamp(value / 1000, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value or None
