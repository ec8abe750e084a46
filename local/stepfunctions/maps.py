"""Maps with AWS's limits, and distributed ones whose children are executions of their own and may fail the map.

moto runs any number of inline iterations at once, starts a thread for each place although there are fewer items,
recurses once an item, and lets a distributed map succeed with failed children.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from moto.stepfunctions.parser.api import HistoryEventType, MapRunFailedEventDetails, MapRunStatus
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import distributed_iteration_component
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.distributed_iteration_component import (
    DistributedIterationComponent,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.inline_iteration_component import (
    InlineIterationComponent,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.itemprocessor.distributed_item_processor_worker import (  # noqa: E501
    DistributedItemProcessorWorker,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.itemprocessor.map_run_record import (
    MapRunRecord,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.iteration_worker import IterationWorker
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.job import Job, JobPool
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventManager
from moto.stepfunctions.parser.asl.eval.program_state import ProgramError, ProgramTimedOut
from moto.stepfunctions.parser.asl.eval.states import ExecutionData, ItemData, MapData

from local.stepfunctions.copying import copy_json
from local.stepfunctions.waiting import has_only_brief_states

if TYPE_CHECKING:
    from moto.stepfunctions.parser.asl.eval.environment import Environment

    from local.patching import Patches

# https://docs.aws.amazon.com/step-functions/latest/dg/state-map-inline.html and …/state-map-distributed.html
INLINE_CONCURRENCY, DISTRIBUTED_CONCURRENCY = 40, 10_000


class _Unrecorded(EventManager):
    """The history of a distributed map's children, which is theirs and not the parent's. Nobody can ask for it here."""

    def _publish_history_event(self, *_: Any, **__: Any) -> None:
        """Keep nothing."""


def install(patches: Patches) -> None:
    """Correct moto's maps."""
    patches.replace(InlineIterationComponent, "_eval_body", _inline)
    patches.replace(DistributedIterationComponent, "_map_run", _distributed)
    patches.replace(distributed_iteration_component, "EventManager", _Unrecorded)
    patches.replace(IterationWorker, "_eval_pool", _work_inline)
    patches.replace(DistributedItemProcessorWorker, "_eval_pool", _work_distributed)
    patches.replace(DistributedItemProcessorWorker, "_eval_job", _child)
    patches.replace(MapRunRecord, "set_stop", _ended(MapRunRecord.set_stop))


def _inline(self: Any, env: Environment) -> None:
    given = env.stack.pop()
    _iterate(self, env, given, given.input_items, given.max_concurrency, INLINE_CONCURRENCY)


def _distributed(self: Any, env: Environment, eval_input: Any) -> None:
    items = env.stack.pop()
    _iterate(self, env, eval_input, items, eval_input.map_run_record.max_concurrency, DISTRIBUTED_CONCURRENCY)


def _iterate(  # noqa: PLR0913, PLR0917 - what both kinds of map have in common
    component: Any, env: Environment, given: Any, items: list[Any], asked: int, most: int
) -> None:
    pool = JobPool(job_program=component._get_iteration_program(), job_inputs=items)  # noqa: SLF001
    if most == INLINE_CONCURRENCY and has_only_brief_states(component):
        # Nothing waits in it, so that threads would only get in each other's way.
        component._create_worker(env=env, eval_input=given, job_pool=pool).eval()  # noqa: SLF001
    else:
        for _ in range(min(len(items), asked or most, most)):
            component._launch_worker(env=env, eval_input=given, job_pool=pool)  # noqa: SLF001
    pool.await_jobs()
    if error := pool.get_worker_exception():
        raise error
    env.stack.append([job.job_output for job in pool.get_closed_jobs()])


def _work_inline(self: Any, job: Job | None, worker_frame: Environment) -> None:
    """Work off jobs until there are none. A frame closes before its job does: with the last job, the map goes on."""
    if job is None:
        self._env.close_frame(worker_frame)
    while job is not None:
        frame = worker_frame.open_inner_frame()
        self._eval_job(env=frame, job=job)
        worker_frame.close_frame(frame)
        over = isinstance(job.job_output, Exception) or self.stopped()
        following = None if over else self._job_pool.next_job()
        if following is None:
            if not over:  # the map's next event follows this iteration's last
                worker_frame.event_history_context.source_event_id = frame.event_history_context.last_published_event_id
            self._env.close_frame(worker_frame)
        self._job_pool.close_job(job)
        job = following


def _work_distributed(self: Any, job: Job | None, worker_frame: Environment) -> None:
    while job is not None:
        frame = worker_frame.open_inner_frame()
        self._eval_job(env=frame, job=job)
        worker_frame.delete_frame(frame)
        over = isinstance(job.job_output, Exception) or self.stopped()
        following = None if over else self._job_pool.next_job()
        self._job_pool.close_job(job)
        job = following


def _child(self: Any, env: Environment, job: Job) -> None:
    """Run one child execution."""
    record: MapRunRecord = self._map_run_record
    counters = (record.item_counter, record.execution_counter)
    for counter in counters:
        counter.total.count()
        counter.running.count()
    failed = False
    try:
        _enter_child(self, env, job, record)
        job.job_program.eval(env)
        failed = isinstance(env.program_state(), (ProgramError, ProgramTimedOut))
    except Exception:  # noqa: BLE001 - a child fails of whatever it fails, and the map decides what follows
        failed = True
    aborted = not self._env.is_running()
    for counter in counters:
        counter.running.offset(-1)
        (counter.aborted if aborted else counter.failed if failed else counter.succeeded).count()
    if aborted:
        job.job_output = RuntimeError("the map run was aborted")
    elif failed:
        job.job_output = _threshold_exceeded(env, record, self._job_pool._jobs_number)  # noqa: SLF001
    else:
        job.job_output = env.states.get_input()


def _enter_child(self: Any, env: Environment, job: Job, record: MapRunRecord) -> None:
    """A child has the item as its input, and its own name and ARN; only the item's selection sees the map."""
    context: dict[str, Any] = env.states.context_object.context_object_data  # type: ignore[assignment]
    context["Map"] = MapData(Item=ItemData(Index=job.job_index, Value=job.job_input))
    env.states.reset(input_value=job.job_input)
    env.stack.append(env.states.get_input())
    self._eval_input(env_frame=env)
    del context["Map"]
    name = str(uuid.uuid4())
    machine = record.map_state_machine_arn
    context["Execution"] = ExecutionData(
        Id=f"{machine.replace(':stateMachine:', ':execution:')}:{name}",
        Input=copy_json(env.states.get_input()),
        Name=name,
        RoleArn=context["Execution"]["RoleArn"],
        StartTime=context["Execution"]["StartTime"],
    )


def _threshold_exceeded(env: Environment, record: MapRunRecord, items: int) -> FailureEventException | None:
    """The map's failure, or None where so many children may fail. A threshold of 0 is one that was not given."""
    failed = record.execution_counter.failed.get()
    count, percentage = record.tolerated_failure_count, record.tolerated_failure_percentage
    tolerated = (count or percentage) and not (
        (count and failed > count) or (percentage and 100 * failed / items > percentage)
    )
    if tolerated:
        return None
    error = StatesErrorName(typ=StatesErrorNameType.StatesExceedToleratedFailureThreshold)
    details = MapRunFailedEventDetails(
        error=error.error_name, cause="The specified tolerated failure threshold was exceeded"
    )
    event = FailureEvent(
        env=env,
        error_name=error,
        event_type=HistoryEventType.MapRunFailed,
        event_details=EventDetails(mapRunFailedEventDetails=details),  # type: ignore[typeddict-item]
    )
    return FailureEventException(failure_event=event)


def _ended(original: Any) -> Any:
    def set_stop(self: MapRunRecord, status: MapRunStatus) -> None:
        exceeded = self.execution_counter.failed.get() > 0
        aborted = self.execution_counter.aborted.get() > 0 and not exceeded
        original(self, status=MapRunStatus.ABORTED if aborted else status)

    return set_stop
