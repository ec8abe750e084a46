"""Executions as AWS answers for them: names, stops with a reason, times, history by pages, events of every change."""

from __future__ import annotations

import functools
import threading
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.stepfunctions.exceptions import ExecutionDoesNotExist, ValidationException
from moto.stepfunctions.models import StateMachine
from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType
from moto.stepfunctions.parser.asl.component.state import state
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventManager
from moto.stepfunctions.parser.asl.eval.states import ExecutionData, StateData
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.parser.backend import execution_worker
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.stepfunctions.responses import StepFunctionResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.patching import Patches

    Emit = Callable[[str, str, list[str], dict[str, Any]], None]

LAST_EVENTS = {
    HistoryEventType.ExecutionAborted,
    HistoryEventType.ExecutionFailed,
    HistoryEventType.ExecutionSucceeded,
    HistoryEventType.ExecutionTimedOut,
}
DETAIL_TYPE = "Step Functions Execution Status Change"
MOST_EVENTS = 1000  # a page
PROMPT = 5.0  # seconds that StopExecution waits for the execution's threads to notice
ENDED = "_ended"  # where an execution keeps the event that its end sets
NEWEST_HISTORIES = 2000  # executions whose history is kept; AWS keeps them for 90 days


def install(patches: Patches, emit: Emit) -> None:
    """Correct the API; `emit` sends an event: source, detail type, resources, detail."""
    ends = _Ends(emit)

    # Functions, as a method bound to `ends` would not be given what it is called on.
    def stop(execution: Execution, **how: Any) -> None:
        ends.stop(execution, **how)

    def terminated(communication: BaseExecutionWorkerCommunication) -> None:
        ends.terminated(communication)

    patches.replace(Execution, "start", ends.start(Execution.start))
    patches.replace(Execution, "stop", stop)
    patches.replace(BaseExecutionWorkerCommunication, "terminated", terminated)
    patches.replace(StateMachine, "stop_execution", _stop_execution)
    patches.replace(EventManager, "_publish_history_event", _publishing(EventManager._publish_history_event))  # noqa: SLF001
    # moto's times have microseconds and an offset, and an execution's start is no text at all.
    patches.replace(state, "StateData", _state_data)
    patches.replace(execution_worker, "ExecutionData", _execution_data)
    for name, action in (
        ("start_execution", _start_execution),
        ("stop_execution", _stop_with_reason),
        ("describe_execution", _describe_execution),
        ("get_execution_history", _history),
    ):
        patches.replace(StepFunctionResponse, name, action)


def _publishing(original: Callable[..., None]) -> Callable[..., None]:
    """Nothing follows an execution's end, although work that was called off may still come to its own."""

    def publish(self: EventManager, *, event_type: HistoryEventType, **event: Any) -> None:
        if vars(self).get(ENDED):
            return
        vars(self)[ENDED] = event_type in LAST_EVENTS
        original(self, event_type=event_type, **event)

    return publish


def _state_data(**data: Any) -> StateData:
    return StateData(**{**data, "EnteredTime": _now()})  # type: ignore[typeddict-item]


def _execution_data(**data: Any) -> ExecutionData:
    return ExecutionData(**{**data, "StartTime": _text(data["StartTime"])})  # type: ignore[typeddict-item]


def _now() -> str:
    return _text(datetime.now(UTC))


def _text(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


class _Ends:
    """Tells of each execution's start and end, and lets a stop wait for the end."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._ended: list[Execution] = []

    def start(self, original: Callable[[Execution], None]) -> Callable[[Execution], None]:
        """Tell of each execution's start."""

        @functools.wraps(original)
        def start(execution: Execution) -> None:
            vars(execution)[ENDED] = threading.Event()
            # Told before it runs: a short execution may have ended before this thread goes on.
            execution.exec_status = ExecutionStatus.RUNNING
            self._tell(execution)
            original(execution)

        return start

    def stop(self, execution: Execution, stop_date: Any, error: str | None, cause: str | None) -> None:
        """Stop the execution and wait until it says so, as AWS answers when it is stopped."""
        ended: threading.Event = vars(execution)[ENDED]
        worker: Any = execution.exec_worker
        while worker.env is None and not ended.wait(0.01):
            """The execution's thread has not read its definition yet."""
        if ended.is_set():
            return
        execution.error, execution.cause = error, cause
        worker.env.set_stop(stop_date=stop_date, cause=cause, error=error)
        ended.wait(PROMPT)

    def terminated(self, communication: Any) -> None:
        """Take over the outcome, and tell of it."""
        execution: Execution = communication.execution
        communication._reflect_execution_status()  # noqa: SLF001 - what moto does here
        self._forget_old(execution)
        self._tell(execution)
        vars(execution)[ENDED].set()

    def _forget_old(self, execution: Execution) -> None:
        self._ended.append(execution)
        if len(self._ended) > NEWEST_HISTORIES:
            worker: Any = self._ended.pop(0).exec_worker
            worker.env.event_manager._history_event_list.clear()  # noqa: SLF001

    def _tell(self, execution: Execution) -> None:
        self._emit("aws.states", DETAIL_TYPE, [execution.exec_arn], _detail(execution))


def _detail(execution: Execution) -> dict[str, Any]:
    """https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html."""
    output = to_json_str(execution.output, separators=(",", ":")) if execution.status == "SUCCEEDED" else None
    return {
        "executionArn": execution.exec_arn,
        "stateMachineArn": execution.state_machine.arn,
        "name": execution.name,
        "status": execution.status,
        "startDate": _milliseconds(execution.start_date),
        "stopDate": _milliseconds(execution.stop_date),
        "input": execution.execution_input,
        "output": output,
        "inputDetails": {"included": True},
        "outputDetails": {"included": True} if output is not None else None,
        "error": execution.error,
        "cause": execution.cause,
    }


def _milliseconds(time: datetime | None) -> int | None:
    return None if time is None else round(time.timestamp() * 1000)


def _stop_execution(self: StateMachine, execution_arn: str) -> Any:
    """Find the execution; `_stop_with_reason` stops it."""
    for execution in self.executions:
        if execution.execution_arn == execution_arn:
            return execution
    raise ExecutionDoesNotExist(f"Execution Does Not Exist: '{execution_arn}'")


def _start_execution(self: StepFunctionResponse) -> ActionResult:
    """moto has no name for an execution that comes without one."""
    name = self._get_param("name") or str(uuid.uuid4())
    backend: Any = self.stepfunction_backend
    execution = backend.start_execution(
        self._get_param("stateMachineArn"), name, self._get_param("input", if_none="{}")
    )
    return ActionResult({"executionArn": execution.execution_arn, "startDate": execution.start_date})


def _stop_with_reason(self: StepFunctionResponse) -> ActionResult:
    """moto drops the error and the cause."""
    execution: Any = self.stepfunction_backend.stop_execution(self._get_param("executionArn"))
    now = datetime.now(UTC)
    execution.stop(stop_date=now, error=self._get_param("error"), cause=self._get_param("cause"))
    return ActionResult({"stopDate": execution.stop_date or now})


def _describe_execution(self: StepFunctionResponse) -> ActionResult:
    """moto leaves out the end of an execution that timed out."""
    execution: Any = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
    answer = {
        "executionArn": execution.execution_arn,
        "stateMachineArn": execution.state_machine_arn,
        "name": execution.name,
        "status": execution.status,
        "startDate": execution.start_date,
        "stopDate": execution.stop_date,
        "input": execution.execution_input,
        "inputDetails": {"included": True},
        "error": execution.error,
        "cause": execution.cause,
    }
    if execution.exec_status == ExecutionStatus.SUCCEEDED:
        answer["output"] = to_json_str(execution.output, separators=(",", ":"))
        answer["outputDetails"] = {"included": True}
    return ActionResult({key: value for key, value in answer.items() if value is not None})


def _history(self: StepFunctionResponse) -> ActionResult:
    """moto answers with the whole history at once, whatever was asked."""
    execution: Any = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
    env = execution.exec_worker.env
    events = list(env.event_manager._history_event_list) if env else []  # noqa: SLF001
    if self._get_param("reverseOrder"):
        events.reverse()
    first, size = _page(self._get_param("nextToken")), self._get_int_param("maxResults") or MOST_EVENTS
    page = events[first : first + min(size, MOST_EVENTS)]
    if self._get_param("includeExecutionData") is False:
        page = [_without_data(event) for event in page]
    following = first + len(page)
    more = {"nextToken": str(following)} if following < len(events) else {}
    return ActionResult({"events": page, **more})


def _page(token: str | None) -> int:
    if token is not None and not token.isdecimal():
        raise ValidationException("Invalid Token: 'Token is invalid'")
    return int(token or 0)


def _without_data(event: dict[str, Any]) -> dict[str, Any]:
    hidden = {"input", "output", "parameters", "cause", "error"}
    return {
        key: {name: item for name, item in value.items() if name not in hidden} if isinstance(value, dict) else value
        for key, value in event.items()
    }
