"""Accepts a run, so that a repeated request, or one cut off anywhere, comes to one run or to none.

In this order: the run's record (whoever writes it owns the id), its secret, the execution. What a crash leaves undone,
the same request does; where it never comes, the reaper ends the run.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import TYPE_CHECKING, Any

from handlers.aws import client
from handlers.errors import BadRequest, Conflict, NotFound
from handlers.gateway import vault
from handlers.logs import logger
from handlers.records import ENDED, Item, RunTable, now
from handlers.settings import settings
from handlers.transfer.paths import path_fault
from handlers.workflow import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.gateway.models import RunRequest

MAX_INLINE = 256_000  # bytes of a request in its item, which may have 400 KB; a larger one lies in S3


def submit(request: RunRequest, tokens: Mapping[str, str], owner: str, scope: str) -> Item:
    """The record of the run that the request asks for; it was started by this call or an earlier one.

    Raises BadRequest with every mistake, Conflict where the id is another request's.
    """
    run_id = request.executionRunId or str(uuid.uuid4())
    table = RunTable()
    body = request.model_dump(exclude={"executionRunId"}, exclude_none=True)
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    run = _existing(table, run_id, digest)
    if run is None:
        run = _record(table, run_id, _checked(table, request, body), digest, owner)
    if "executionArn" in run or run["status"] in ENDED:
        return run
    run = _give_secret(table, run, {**vault.read(vault.SHARED), **vault.read(scope), **tokens})
    return _start(table, run)


def _existing(table: RunTable, run_id: str, digest: str) -> Item | None:
    try:
        run = table.run(run_id)
    except NotFound:
        return None
    if run["requestHash"] != digest:
        raise Conflict(f"run {run_id} exists already, and asks for something else")
    return run


def _checked(table: RunTable, request: RunRequest, body: dict[str, Any]) -> dict[str, Any]:
    """The request as it is recorded. Raises BadRequest with every mistake that can be seen before the run."""
    faults = [
        f"inputs[{index}].path: {entry.path!r} {fault}"
        for index, entry in enumerate(request.inputs)
        if entry.path is not None and (fault := path_fault(entry.path))
    ]
    faults += [
        f"inputs[{index}].uri: {entry.uri!r} is no s3:// URI"
        for index, entry in enumerate(request.inputs)
        if not entry.uri.startswith("s3://")
    ]
    if faults:
        raise BadRequest("the run's inputs cannot be", faults)
    if request.workflow is not None:
        resolve(body, table.processors())
        return body
    if request.executionRunId and settings().platform_api_host2:
        return {**body, "platform": True}
    reason = "workflow: missing, and this node has no platform that could resolve an executionRunId"
    raise BadRequest("the request has no workflow", [reason])


def _record(table: RunTable, run_id: str, request: dict[str, Any], digest: str, owner: str) -> Item:
    text = json.dumps(request)
    if len(text) > MAX_INLINE:
        key = f"runs/{run_id}/request.json"
        client("s3").put_object(Bucket=settings().results_bucket, Key=key, Body=text.encode())
        text = json.dumps({"object": key})
    attributes = {
        "status": "QUEUED",
        "createdAt": now(),
        "workflowInstanceId": request.get("workflowInstanceId") or run_id,
        "workflowName": (request.get("workflow") or {}).get("name") or "",
        "request": text,
        "requestHash": digest,
        "secretName": settings().run_secret_prefix + run_id,
        "owner": owner,
    }
    if not table.create_run(run_id, attributes):
        # Another request was quicker: the same one, or one that has the id now.
        run = _existing(table, run_id, digest)
        if run is not None:
            return run
    return table.run(run_id)


def _give_secret(table: RunTable, run: Item, values: Mapping[str, str]) -> Item:
    """Make the run's secret, unless it is there: the first request's tokens count."""
    manager = client("secretsmanager")
    tags = {"node": settings().node_name, "environment": settings().environment_tag, "compute-node:run": run["runId"]}
    try:
        arn = manager.create_secret(
            Name=run["secretName"],
            Description="The tokens and secrets of one run; deleted at its end",
            SecretString=json.dumps(values),
            Tags=[{"Key": key, "Value": value} for key, value in tags.items() if value],
        )["ARN"]
    except manager.exceptions.ResourceExistsException:
        arn = manager.describe_secret(SecretId=run["secretName"])["ARN"]
    return table.update_run(run["runId"], secretArn=arn, secretKeys=sorted(values))


def _start(table: RunTable, run: Item) -> Item:
    """Start the execution under the run's id: a second start of the same name and input is the first one."""
    run_id = run["runId"]
    states = client("stepfunctions")
    try:
        arn = states.start_execution(
            stateMachineArn=settings().state_machine_arn, name=run_id, input=json.dumps({"runId": run_id})
        )["executionArn"]
    except states.exceptions.ExecutionAlreadyExists:
        arn = settings().state_machine_arn.replace(":stateMachine:", ":execution:") + f":{run_id}"
    logger("gateway", run_id).info("run accepted", extra={"workflow": run["workflowName"]})
    return table.update_run(run_id, executionArn=arn)


def cancel(run_id: str) -> Item:
    """Stop a run's execution; what it made is removed by the closing that follows. Raises Conflict where it has ended.

    Neither error nor cause goes with the stop: under a customer's key the caller would need rights on it.
    """
    table = RunTable()
    run = table.run(run_id)
    if run["status"] in ENDED:
        raise Conflict(f"run {run_id} has ended already: {run['status']}")
    run = table.update_run(run_id, cancelRequested=run.get("cancelRequested") or now())
    if "executionArn" in run:
        states = client("stepfunctions")
        try:
            states.stop_execution(executionArn=run["executionArn"])
        except states.exceptions.ExecutionDoesNotExist:
            logger("gateway", run_id).warning("the execution is gone already")
    logger("gateway", run_id).info("cancelled")
    return run
