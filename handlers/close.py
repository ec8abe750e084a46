"""Closes a run whose execution was stopped, timed out or failed before its own last states.

The event is EventBridge's status change of an execution. Closing is an execution of its own, `close-{runId}`, of the
same state machine: starting it twice is starting it once.
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
    from collections.abc import Mapping

PREFIX = "close-"


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Start the closing of the run that an execution's status change is about."""
    detail = event["detail"]
    return {"closing": close(detail["name"], detail["status"])}


def close(run_id: str, status: str) -> bool:
    """Start closing a run, unless it has ended, is being closed, or is none; tell whether it was started."""
    if run_id.startswith(PREFIX):
        return False
    try:
        run = RunTable().run(run_id)
    except NotFound:
        return False
    if "endedAt" in run:
        return False
    states = client("stepfunctions")
    try:
        states.start_execution(
            stateMachineArn=settings().state_machine_arn,
            name=PREFIX + run_id,
            input=json.dumps({"runId": run_id, "close": status}),
        )
    except states.exceptions.ExecutionAlreadyExists:
        return False
    logger("close", run_id).info("closing", extra={"status": status})
    return True
