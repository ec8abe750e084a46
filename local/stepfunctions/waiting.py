"""Waits that end at once when an execution is stopped, times out or is done with, and work that is called off then.

moto abandons the threads of a stopped execution: they sleep on to the end of their waits, and the tasks that they
started run on. AWS ends an aborted execution at once and stops its ECS tasks.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common.retry.retrier_decl import RetrierDecl
from moto.stepfunctions.parser.asl.component.common.retry.retrier_outcome import RetrierOutcome
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import EvalTimeoutError
from moto.stepfunctions.parser.asl.component.program.program import Program
from moto.stepfunctions.parser.asl.component.state.choice.state_choice import StateChoice
from moto.stepfunctions.parser.asl.component.state.exec.execute_state import ExecutionState
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.distributed_iteration_component import (
    DistributedIterationComponent,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.state_map import StateMap
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk import (
    StateTaskServiceAwsSdk,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_dynamodb import (
    StateTaskServiceDynamoDB,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.state_task import StateTask
from moto.stepfunctions.parser.asl.component.state.fail.state_fail import StateFail
from moto.stepfunctions.parser.asl.component.state.state_pass.state_pass import StatePass
from moto.stepfunctions.parser.asl.component.state.state_succeed.state_succeed import StateSucceed
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.eval.environment import Environment

from local.stepfunctions.copying import copy_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.iteration_component import (
        IterationComponent,
    )
    from moto.stepfunctions.parser.asl.component.state.state import CommonStateField

    from local.patching import Patches

ENDINGS = ("set_ended", "set_error", "set_timed_out", "set_stop")
WATCHERS, CANCELLATIONS, BRIEF = "_watchers", "_cancellations", "_brief"


@contextmanager
def watched(env: Environment, event: threading.Event | _Attempt) -> Iterator[None]:
    """Set `event` as soon as `env` stops running."""
    watchers: set[threading.Event | _Attempt] = env.__dict__.setdefault(WATCHERS, set())
    watchers.add(event)
    if not env.is_running():
        event.set()
    try:
        yield
    finally:
        watchers.discard(event)


def on_cancel(env: Environment, action: Callable[[], None]) -> None:
    """Have `action` called, once or more, when the attempt that `env` is the frame of is given up."""
    env.__dict__.setdefault(CANCELLATIONS, []).append(action)
    if not env.is_running():
        action()


def pause(env: Environment, seconds: float) -> None:
    """Wait, but no longer than `env` runs."""
    if seconds <= 0:
        return
    ended = threading.Event()
    with watched(env, ended):
        ended.wait(seconds)


def install(patches: Patches) -> None:
    """Correct moto's waits."""
    for ending in ENDINGS:
        patches.replace(Environment, ending, _announcing(getattr(Environment, ending)))
    patches.replace(ExecutionState, "_evaluate_with_timeout", _evaluate_with_timeout)
    patches.replace(WaitFunction, "_wait_interval", lambda _, env, wait_seconds: pause(env, wait_seconds))
    patches.replace(RetrierDecl, "_eval_body", _retry)
    patches.replace(Program, "eval", _evaluate_program(Program.eval))


def _announcing(original: Callable[..., None]) -> Callable[..., None]:
    def end(self: Environment, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        for event in tuple(self.__dict__.get(WATCHERS, ())):
            event.set()

    return end


class _Attempt:
    """One evaluation of a state, which can be given up."""

    def __init__(self, state: ExecutionState, frame: Environment) -> None:
        self._state, self._frame = state, frame
        self.done = threading.Event()  # or given up
        self.finished = False
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self._state._eval_execution(self._frame)  # noqa: SLF001 - the step whose surroundings are corrected here
        except Exception as error:  # noqa: BLE001 - carried to the thread that waits
            self.error = error
        self.finished = True
        self.done.set()

    def set(self) -> None:
        """Give up: it is what watches over an environment that calls."""
        for action in tuple(self._frame.__dict__.get(CANCELLATIONS, ())):
            action()


def _evaluate_with_timeout(self: ExecutionState, env: Environment) -> None:
    """Evaluate the state once. Raises EvalTimeoutError past its time; returns in silence where `env` has ended."""
    self.timeout.eval(env=env)
    seconds = env.stack.pop()
    frame = env.open_frame()
    frame.states.reset(input_value=env.states.get_input())
    frame.stack = copy_json(env.stack)
    attempt = _Attempt(self, frame)
    if is_brief(self) or _waits_for_token(self):
        with watched(env, attempt):
            attempt.run()  # a thread would cost more than the call
    else:
        with watched(env, attempt.done):
            threading.Thread(target=attempt.run, daemon=True).start()
            attempt.done.wait(min(seconds, threading.TIMEOUT_MAX))
    in_time = attempt.finished
    frame.set_ended()
    env.close_frame(frame)
    if not in_time:
        attempt.set()
    if not env.is_running():
        _note_abort(self, env)
        return
    if not in_time:
        raise EvalTimeoutError
    if attempt.error:
        raise attempt.error
    env.stack.append(frame.stack.pop())
    _shape_output(self, env)


def is_brief(state: CommonStateField) -> bool:
    """Whether the state ends at once: no more than a call of an API, or an inline map over such states."""
    if isinstance(state, StateMap):
        component = state.iteration_component
        return not isinstance(component, DistributedIterationComponent) and has_only_brief_states(component)
    if isinstance(state, (StateTaskServiceDynamoDB, StateTaskServiceAwsSdk)):
        return state.resource.condition is None
    return isinstance(state, (StateChoice, StateFail, StatePass, StateSucceed))


def has_only_brief_states(component: IterationComponent) -> bool:
    """Whether each iteration of a map ends at once."""
    known: bool | None = component.__dict__.get(BRIEF)
    if known is None:
        known = all(is_brief(state) for state in component._states.states.values())  # noqa: SLF001
        component.__dict__[BRIEF] = known
    return known


def _waits_for_token(state: ExecutionState) -> bool:
    """Whether the state calls an API that answers at once, and then waits for its token, which has its own limit."""
    return (
        isinstance(state, StateTaskServiceAwsSdk)
        and state.resource.api_name != "lambda"
        and state.resource.condition == ResourceCondition.WaitForTaskToken
        and state.heartbeat is None
    )


def _shape_output(self: ExecutionState, env: Environment) -> None:
    if not self._is_language_query_jsonpath():
        env.states.set_result(env.stack[-1])
    if self.assign_decl:
        self.assign_decl.eval(env=env)
    if self.result_selector:
        self.result_selector.eval(env=env)
    if self.result_path:
        self.result_path.eval(env)
    else:
        env.states.reset(input_value=env.stack.pop())


def _note_abort(self: ExecutionState, env: Environment) -> None:
    aborted = HistoryEventType.TaskStateAborted if isinstance(self, StateTask) else HistoryEventType.MapStateAborted
    env.event_manager.add_event(context=env.event_history_context, event_type=aborted)


def _retry(self: RetrierDecl, env: Environment) -> None:
    """moto's own steps, save that the interval can be cut short."""
    self.error_equals.eval(env)
    if not env.stack.pop():
        env.stack.append(RetrierOutcome.Skipped)
        return
    self.max_attempts.eval(env=env)
    if env.stack.pop().name == "EXHAUSTED":
        env.stack.append(RetrierOutcome.Failed)
        return
    for step in (self.interval_seconds, self.backoff_rate, self.max_delay_seconds, self.jitter_strategy):
        step.eval(env=env)
    pause(env, env.stack.pop())
    env.stack.append(RetrierOutcome.Executed)


def _evaluate_program(original: Callable[..., None]) -> Callable[..., None]:
    def evaluate(self: Program, env: Environment) -> None:
        """Without a time limit nothing needs another thread: hundreds of iterations would have one each."""
        if self.timeout_seconds:
            original(self, env)
            return
        env.next_state_name = self.start_at.start_at_name
        super(Program, self).eval(env)

    return evaluate
