"""Task tokens: one for each attempt, found at once whoever holds it, and void when its task is over.

moto gives one token to a state, so that a retry finds the answer of the attempt before; it looks a token up in one
running execution after the other; and it accepts an answer to a task that has ended, where AWS says TaskTimedOut.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
from typing import TYPE_CHECKING, Any

from moto.core.exceptions import ServiceException
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import StateTaskService
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.eval.callback.callback import (
    CallbackEndpoint,
    CallbackOutcome,
    CallbackOutcomeFailure,
    CallbackOutcomeSuccess,
)
from moto.stepfunctions.parser.asl.eval.states import TaskData
from moto.stepfunctions.parser.models import StepFunctionsParserBackend
from moto.stepfunctions.responses import StepFunctionResponse

from local.stepfunctions.waiting import on_cancel

if TYPE_CHECKING:
    from moto.stepfunctions.parser.asl.eval.environment import Environment

    from local.patching import Patches


class TaskTimedOut(ServiceException):
    """The task that the token stood for is over."""

    code = "TaskTimedOut"
    message = "Task Timed Out: 'Provided task does not exist anymore'"


class InvalidToken(ServiceException):
    """The token is none that was given out."""

    code = "InvalidToken"
    message = "Invalid Token: 'Invalid token'"


class InvalidOutput(ServiceException):
    """The output is not JSON."""

    code = "InvalidOutput"


class Tokens:
    """The tokens that something waits for. Those that are over need no memory: a token proves itself to be ours."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._waiting: dict[str, CallbackEndpoint] = {}
        self._lock = threading.Lock()

    def open(self) -> CallbackEndpoint:
        """A new token with the endpoint that its answer arrives at."""
        body = secrets.token_bytes(24)
        token = base64.urlsafe_b64encode(body + self._proof(body)).decode()
        endpoint = CallbackEndpoint(callback_id=token)
        with self._lock:
            self._waiting[token] = endpoint
        return endpoint

    def close(self, token: str) -> None:
        """Let no answer in any more."""
        with self._lock:
            self._waiting.pop(token, None)

    def succeed(self, token: str, output: str) -> None:
        """Hand in a task's result. Raises InvalidOutput for what is no JSON, and as `settle` does."""
        try:
            json.loads(output)
        except ValueError as error:
            raise InvalidOutput(f"Invalid Output: {error}") from error
        self.settle(CallbackOutcomeSuccess(callback_id=token, output=output))

    def settle(self, outcome: CallbackOutcome) -> None:
        """Hand in a task's outcome. Raises TaskTimedOut for a task that is over, InvalidToken for no token of ours."""
        with self._lock:
            endpoint = self._waiting.pop(outcome.callback_id, None)
        if endpoint is None:
            raise self._refusal(outcome.callback_id)
        endpoint.notify(outcome=outcome)

    def heartbeat(self, token: str) -> None:
        """Tell that the task is alive. Raises as `settle` does."""
        endpoint = self._waiting.get(token)
        if endpoint is None:
            raise self._refusal(token)
        endpoint.notify_heartbeat()

    def _refusal(self, token: str) -> ServiceException:
        try:
            data = base64.urlsafe_b64decode(token)
        except ValueError:
            return InvalidToken()
        ours = hmac.compare_digest(self._proof(data[:24]), data[24:])
        return TaskTimedOut() if ours else InvalidToken()

    def _proof(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, hashlib.sha256)


def install(patches: Patches) -> Tokens:
    """Give each attempt a token of its own."""
    tokens = Tokens()

    def send_task_success(_: Any, task_token: str, outcome: str) -> None:
        tokens.succeed(task_token, outcome)

    def send_task_failure(_: Any, task_token: str, error: str | None = None, cause: str | None = None) -> None:
        tokens.settle(CallbackOutcomeFailure(callback_id=task_token, error=error, cause=cause))

    def send_task_heartbeat(_: Any, task_token: str) -> None:
        tokens.heartbeat(task_token)

    def evaluate(self: Any, env: Environment) -> None:
        if not self._is_integration_pattern():
            StateTaskService._eval_execution(self, env)  # noqa: SLF001 - the class's own next step
            return
        self._assert_integration_pattern_is_supported()
        endpoint = tokens.open()
        token = endpoint.callback_id
        # moto looks the endpoint up here once the call is made; by then its answer may have come already.
        pool = env.callback_pool_manager._pool  # noqa: SLF001
        pool[token] = endpoint
        env.states.context_object.context_object_data["Task"] = TaskData(Token=token)
        on_cancel(env, endpoint.interrupt_all)
        on_cancel(env, lambda: tokens.close(token))
        try:
            StateTaskService._eval_execution(self, env)  # noqa: SLF001
        finally:
            tokens.close(token)
            pool.pop(token, None)

    patches.replace(StepFunctionsParserBackend, "send_task_success", send_task_success)
    patches.replace(StepFunctionsParserBackend, "send_task_failure", send_task_failure)
    patches.replace(StepFunctionsParserBackend, "send_task_heartbeat", send_task_heartbeat)
    patches.replace(StepFunctionResponse, "send_task_failure", _failure_with_cause)
    patches.replace(StateTaskServiceCallback, "_eval_execution", evaluate)
    patches.replace(StateTaskServiceCallback, "_eval_body", StateTaskService._eval_body)  # noqa: SLF001
    return tokens


def _failure_with_cause(self: StepFunctionResponse) -> Any:
    """moto's answer drops the cause."""
    from moto.core.responses import EmptyResult  # noqa: PLC0415 - moto's request classes are loaded late on purpose

    token, error, cause = (self._get_param(name) for name in ("taskToken", "error", "cause"))
    backend: Any = self.stepfunction_backend
    backend.send_task_failure(token, error=error, cause=cause)
    return EmptyResult()
