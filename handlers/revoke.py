"""Step Revoke: takes back what a run was given: its tasks, access point, task definitions and secret.

Event: `{"runId"}` → `{"done"}`, false while tasks are still stopping; `{"action": "find-access-point", "runId"}` →
`{"accessPointId", "state"}`. Everything is found by the run's own name, so that nothing needs to have been recorded;
what is gone already is fine.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from handlers.aws import client
from handlers.errors import NotFound
from handlers.logs import logger
from handlers.records import RunTable
from handlers.settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

RUN_TAG = "compute-node:run"
DELETE_AT_ONCE = 10  # task definitions a call of DeleteTaskDefinitions


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Revoke what a run was given, or find its access point."""
    run_id = event["runId"]
    if event.get("action") == "find-access-point":
        return _described(run_id)
    RunTable().enter(run_id, "CLEANUP")
    return {"done": revoke(run_id)}


def revoke(run_id: str) -> bool:
    """Stop what a run still runs and, once all of it has stopped, remove what it was given; tell whether it is done."""
    families = list(_families(run_id))
    if stop_tasks(run_id, families, "the run has ended"):
        return False
    removed = {
        "taskDefinitions": sum(map(_delete_definitions, families)),
        "accessPoints": _delete_access_points(run_id),
    }
    _delete_secret(run_id)
    logger("revoke", run_id).info("revoked", extra=removed)
    return True


def stop_tasks(run_id: str, families: list[str], reason: str) -> int:
    """Ask the tasks of these families to stop; return how many have not stopped yet.

    Each is recorded as an attempt of its node, so that the logs of one that the state machine lost are found.
    """
    ecs, cluster = client("ecs"), settings().cluster_arn
    running = 0
    for task in _tasks(families):
        _record(run_id, task)
        if task["lastStatus"] == "STOPPED":
            continue
        running += 1
        if task["desiredStatus"] != "STOPPED":
            ecs.stop_task(cluster=cluster, task=task["taskArn"], reason=reason)
    return running


def _tasks(families: list[str]) -> Iterator[Mapping[str, Any]]:
    """The tasks of families, also those that are stopping, and those that have stopped within the last hour."""
    ecs, cluster = client("ecs"), settings().cluster_arn
    for family in families:
        for status in ("RUNNING", "STOPPED"):
            pages = ecs.get_paginator("list_tasks").paginate(cluster=cluster, family=family, desiredStatus=status)
            for page in pages:
                if page["taskArns"]:
                    yield from ecs.describe_tasks(cluster=cluster, tasks=page["taskArns"])["tasks"]


def _record(run_id: str, task: Mapping[str, Any]) -> None:
    node_id, _, attempt = str(task.get("group", "")).partition("/")
    table = RunTable()
    try:
        known = json.loads(table.node(run_id, node_id)["attempts"].get(attempt, "{}"))
    except NotFound:
        return
    if "taskArn" not in known and attempt:
        container = (task.get("containers") or [{}])[0]
        found = {
            "taskArn": task["taskArn"],
            "createdAt": _milliseconds(task.get("createdAt")),
            "startedAt": _milliseconds(task.get("startedAt")),
            "stoppedAt": _milliseconds(task.get("stoppedAt")),
            "cpu": task.get("cpu"),
            "memory": task.get("memory"),
            "exitCodes": [container["exitCode"]] if "exitCode" in container else [],
            "reason": task.get("stoppedReason") or "the run has ended",
        }
        table.record_attempt(run_id, node_id, int(attempt), {**found, **known})


def _milliseconds(moment: datetime | None) -> int | None:
    """As Step Functions gives a task's times."""
    return None if moment is None else int(moment.timestamp() * 1000)


def _families(run_id: str) -> Iterator[str]:
    pages = client("ecs").get_paginator("list_task_definition_families")
    for page in pages.paginate(familyPrefix=f"{settings().node_name}-{run_id}-", status="ACTIVE"):
        yield from page["families"]


def _delete_definitions(family: str) -> int:
    ecs = client("ecs")
    pages = ecs.get_paginator("list_task_definitions").paginate(familyPrefix=family, status="ACTIVE")
    arns = [arn for page in pages for arn in page["taskDefinitionArns"]]
    for arn in arns:
        ecs.deregister_task_definition(taskDefinition=arn)
    for start in range(0, len(arns), DELETE_AT_ONCE):
        ecs.delete_task_definitions(taskDefinitions=arns[start : start + DELETE_AT_ONCE])
    return len(arns)


def access_points(run_id: str | None = None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The access points of runs, each with its run's id; of one run where it is given."""
    pages = client("efs").get_paginator("describe_access_points").paginate(FileSystemId=settings().file_system_id)
    for page in pages:
        for point in page["AccessPoints"]:
            tags = {tag["Key"]: tag["Value"] for tag in point.get("Tags") or []}
            owner = tags.get(RUN_TAG)
            if owner and run_id in (None, owner):
                yield owner, point


def _described(run_id: str) -> dict[str, Any]:
    for _, point in access_points(run_id):
        return {"accessPointId": point["AccessPointId"], "state": point["LifeCycleState"]}
    raise NotFound(f"run {run_id} has no access point")


def _delete_access_points(run_id: str) -> int:
    efs = client("efs")
    found = [point["AccessPointId"] for _, point in access_points(run_id)]
    for access_point in found:
        try:
            efs.delete_access_point(AccessPointId=access_point)
        except efs.exceptions.AccessPointNotFound:
            continue
    return len(found)


def _delete_secret(run_id: str) -> None:
    # Deleting one that is missing is no error when it is forced.
    manager = client("secretsmanager")
    try:
        manager.delete_secret(SecretId=settings().run_secret_prefix + run_id, ForceDeleteWithoutRecovery=True)
    except manager.exceptions.ResourceNotFoundException:
        return
