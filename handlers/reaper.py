"""Sweeps: stops tasks that never start, closes runs that nothing will close, removes what is left of ended ones.

Events, by schedule: `{"sweep": "starts"}` each minute, `{"sweep": "orphans"}` each quarter of an hour.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from handlers import revoke
from handlers.aws import client
from handlers.close import close
from handlers.errors import BadRequest, NotFound
from handlers.logs import logger
from handlers.records import ENDED, Item, RunTable
from handlers.settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BATCH = 100  # tasks a call of DescribeTasks
GRACE = timedelta(minutes=10)  # what is younger may still be on its way
LATE_LOGS = timedelta(minutes=15)  # when CloudWatch has delivered what arrives late


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Carry out one sweep and answer what it found."""
    match event.get("sweep"):
        case "starts":
            return {"stopped": stop_what_never_starts()}
        case "orphans":
            return {"closed": close_abandoned(), "archived": archive_late_logs(), "removed": remove_leftovers()}
        case sweep:
            raise BadRequest(f"unknown sweep {sweep!r}; the reaper knows starts and orphans")


def stop_what_never_starts(moment: datetime | None = None) -> list[str]:
    """Stop tasks that have not started by their deadline; return their ARNs. ECS's reason says why."""
    moment = moment or datetime.now(UTC)
    table, stopped = RunTable(), []
    for task in _tasks():
        if task.get("startedAt") or task["lastStatus"] not in ("PROVISIONING", "PENDING", "ACTIVATING"):
            continue
        deadline = _start_deadline(table, task)
        if moment - task["createdAt"] > deadline:
            reason = f"did not start within {round(deadline.total_seconds())} s"
            client("ecs").stop_task(cluster=settings().cluster_arn, task=task["taskArn"], reason=reason)
            stopped.append(task["taskArn"])
    return stopped


def _tasks() -> Iterator[Mapping[str, Any]]:
    ecs, cluster = client("ecs"), settings().cluster_arn
    for page in ecs.get_paginator("list_tasks").paginate(cluster=cluster):
        arns = page["taskArns"]
        for start in range(0, len(arns), BATCH):
            yield from ecs.describe_tasks(cluster=cluster, tasks=arns[start : start + BATCH])["tasks"]


def _start_deadline(table: RunTable, task: Mapping[str, Any]) -> timedelta:
    """The deadline that the task's processor has; the longest common one where the task's run is not known."""
    node_id = str(task.get("group", "")).partition("/")[0]
    family = task["taskDefinitionArn"].rpartition("/")[2].partition(":")[0]
    run_id = family.removeprefix(f"{settings().node_name}-")[: len("00000000-0000-0000-0000-000000000000")]
    try:
        plan = json.loads(table.node(run_id, node_id)["plan"])
    except NotFound:
        return GRACE
    return timedelta(seconds=plan["startDeadlineSeconds"])


def close_abandoned(moment: datetime | None = None) -> list[str]:
    """Close runs whose execution has ended, or never was, without ending them: a lost event, a crash between calls."""
    moment = moment or datetime.now(UTC)
    closed = []
    for run in RunTable().unfinished():
        if moment - datetime.fromisoformat(run["createdAt"]) < GRACE:
            continue
        status = _execution_status(run)
        if status != "RUNNING" and close(run["runId"], status):
            closed.append(run["runId"])
    return closed


def _execution_status(run: Item) -> str:
    states = client("stepfunctions")
    arn = settings().state_machine_arn.replace(":stateMachine:", ":execution:") + f":{run['runId']}"
    try:
        status: str = states.describe_execution(executionArn=arn)["status"]
    except states.exceptions.ExecutionDoesNotExist:
        return "FAILED"
    return status


def archive_late_logs(moment: datetime | None = None) -> list[str]:
    """Have the logs of runs that ended a while ago archived once more, for events that arrived late."""
    moment = moment or datetime.now(UTC)
    table, archived = RunTable(), []
    page, _ = table.runs(limit=100)
    for run in page:
        if run["status"] not in ENDED or run.get("lateLogs"):
            continue
        if moment - datetime.fromisoformat(run["endedAt"]) > LATE_LOGS:
            client("lambda").invoke(
                FunctionName=settings().finalize_function,
                InvocationType="Event",
                Payload=json.dumps({"runId": run["runId"], "late": True}).encode(),
            )
            archived.append(run["runId"])
    return archived


def remove_leftovers() -> int:
    """Revoke what belongs to runs that have ended, or of which there is no record; return how many there were."""
    table, removed = RunTable(), 0
    for run_id in {owner for owner, _ in revoke.access_points()} | set(_secrets()):
        try:
            ended = "endedAt" in table.run(run_id)
        except NotFound:
            ended = True
        if ended:
            logger("reaper", run_id).warning("leftovers of an ended run")
            revoke.revoke(run_id)
            removed += 1
    return removed


def _secrets() -> Iterator[str]:
    """The ids of runs that have a secret, but for those just made: their record may be on its way."""
    prefix = settings().run_secret_prefix
    youngest = datetime.now(UTC) - GRACE
    pages = client("secretsmanager").get_paginator("list_secrets")
    for page in pages.paginate(Filters=[{"Key": "name", "Values": [prefix]}]):
        for secret in page["SecretList"]:
            if secret["CreatedDate"] < youngest:
                yield secret["Name"].removeprefix(prefix)
