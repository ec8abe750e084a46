"""Why an attempt failed, from what Step Functions and ECS tell, and whether another try can help. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

INFRASTRUCTURE_TRIES = 4  # attempts of a node whose infrastructure fails
# What ECS says of a task that ended through no fault of its container:
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
TRANSIENT = re.compile(
    r"CannotPull|ResourceInitializationError|Capacity|Timeout waiting for network|RESOURCE:|Throttl|Rate exceeded"
    r"|Spot|InternalError|network interface|Task failed to start|Host EC2",
    re.IGNORECASE,
)
TRANSIENT_ERRORS = re.compile(
    r"AmazonECS\.Unknown|ECS\.\w*(Server|Throttl|Limit|Unavailable)\w*|Lambda\.(TooMany|Service|SdkClient)\w*|Retryable"
)
KILLED = {
    137: "killed (SIGKILL; exit code 137), most often for using more memory than it was given",
    143: "stopped (SIGTERM; exit code 143)",
}
FIRST_WAIT, LONGEST_WAIT = 2, 60  # seconds


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How an attempt ended. `transient`: the infrastructure's fault, worth another try whatever the processor says."""

    reason: str
    transient: bool
    exit_code: int | None = None
    record: Mapping[str, Any]


def judge(failure: Mapping[str, Any], plan: Mapping[str, Any]) -> Verdict:
    """The verdict on a caught failure `{Error, Cause}` of the plan's attempt."""
    error, cause = failure.get("Error", ""), failure.get("Cause") or ""
    task = _object(cause)
    if error in ("States.Timeout", "States.HeartbeatTimeout"):
        limit = plan["timeoutSeconds"]
        return Verdict(reason=f"ran past its time limit of {limit} s", transient=False, record={"error": error})
    if "TaskArn" in task or "Containers" in task:
        return _judge_task(task)
    message = cause_message(failure)
    transient = bool(TRANSIENT_ERRORS.search(error) or TRANSIENT.search(message))
    reason = (
        _first_line(message) if error in ("States.TaskFailed", "ProcessorError") else f"{error}: {_first_line(message)}"
    )
    return Verdict(reason=reason, transient=transient, record={"error": error})


def _judge_task(task: Mapping[str, Any]) -> Verdict:
    containers = task.get("Containers") or [{}]
    code = containers[0].get("ExitCode")
    stopped = str(task.get("StoppedReason") or "")
    detail = str(containers[0].get("Reason") or "")
    record = {
        "taskArn": task.get("TaskArn"),
        "createdAt": task.get("CreatedAt"),
        "startedAt": task.get("StartedAt"),
        "stoppedAt": task.get("StoppedAt"),
        "cpu": task.get("Cpu"),
        "memory": task.get("Memory"),
        "exitCodes": [code] if code is not None else [],
        "stoppedReason": stopped,
    }
    if code is not None and task.get("StopCode") != "SpotInterruption":
        reason = KILLED.get(code, f"exit code {code}")
        if task.get("StopCode") == "UserInitiated" and stopped:
            reason = stopped
        elif detail:
            reason = f"{reason}: {detail}"
        return Verdict(reason=reason, transient=False, exit_code=code, record=record)
    text = "; ".join(filter(None, (stopped, detail))) or "the task stopped without a reason"
    never = "" if task.get("StartedAt") else "never started: "
    return Verdict(reason=never + text, transient=bool(TRANSIENT.search(text)), record=record)


def tries_again(verdict: Verdict, plan: Mapping[str, Any]) -> bool:
    """Whether a failed attempt is followed by another: a non-zero exit only as often as the processor says."""
    if verdict.transient:
        return bool(plan["attempt"] < INFRASTRUCTURE_TRIES)
    return verdict.exit_code is not None and bool(plan["attempt"] <= plan["retries"])


def wait_before(attempt: int, draw: random.Random) -> int:
    """Seconds to wait before the next attempt: doubling, with full jitter, at least one."""
    longest: int = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1))
    return max(1, round(draw.uniform(0.5, 1) * longest))


def cause_message(failure: Mapping[str, Any]) -> str:
    """The words of a failure that a function raised, else its cause, else its name."""
    cause = failure.get("Cause") or ""
    return str(_object(cause).get("errorMessage") or cause or failure.get("Error") or "unknown cause")


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0][:500]
