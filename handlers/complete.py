"""Ends the wait for a processor on Lambda: the destination of its asynchronous invocation, whichever way it ended.

The event is a destination's record. Whoever can invoke this function can give any record, so nothing in it is believed
but the task token, which only the dispatched invocation has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from handlers.aws import client
from handlers.logs import logger

MAX_CAUSE = 1_000  # characters


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Complete the task token. A token that is done with already is no error: records come at least once."""
    payload = event["requestPayload"]
    request_id = event["requestContext"]["requestId"]
    token = payload["callbackToken"]
    states = client("stepfunctions")
    fault = _fault(event)
    try:
        if fault:
            states.send_task_failure(taskToken=token, error="ProcessorError", cause=fault)
        else:
            states.send_task_success(taskToken=token, output=json.dumps(_task(event, request_id)))
    except (states.exceptions.TaskTimedOut, states.exceptions.TaskDoesNotExist, states.exceptions.InvalidToken):
        return {"completed": False}
    told = {"requestId": request_id, "failed": bool(fault)}
    logger("complete", payload.get("executionRunId", "")).info("processor ended", extra=told)
    return {"completed": True}


def _fault(event: Mapping[str, Any]) -> str | None:
    """What went wrong, in the processor's own words where it has any."""
    context, answer = event["responseContext"] if event.get("responseContext") else {}, event.get("responsePayload")
    condition = event["requestContext"].get("condition", "")
    if not context.get("functionError") and condition == "Success":
        return None
    if isinstance(answer, Mapping) and answer.get("errorMessage"):
        kind = answer.get("errorType", "")
        text = f"{kind}: {answer['errorMessage']}" if kind else str(answer["errorMessage"])
        return text[:MAX_CAUSE]
    return f"the invocation ended with {condition or 'an error'}"


def _task(event: Mapping[str, Any], request_id: str) -> dict[str, Any]:
    return {"requestId": request_id, "stoppedAt": event.get("timestamp", ""), "exitCodes": [0]}
