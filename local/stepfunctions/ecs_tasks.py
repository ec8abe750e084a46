"""`ecs:runTask` with all its parameters, and `.sync` that fails, waits and stops as on AWS.

moto keeps eleven parameters and drops the rest in silence, succeeds whatever a container's exit code, asks every half a
second whether a task has ended, and lets it run on when the execution is aborted.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from moto.stepfunctions.parser.api import HistoryEventType, TaskFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_ecs import (
    StateTaskServiceEcs,
)
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails

from local.stepfunctions.errors import named
from local.stepfunctions.recasing import from_response, pascal
from local.stepfunctions.waiting import on_cancel

if TYPE_CHECKING:
    from collections.abc import Callable

    from moto.stepfunctions.parser.asl.eval.environment import Environment

    from local.patching import Patches

    WaitStopped = Callable[[str, float], bool]

LOG = logging.getLogger(__name__)
STOP_REASON = "Stopped by AWS Step Functions: the execution does not wait for the task any more"
LONGEST_WAIT = 3600.0  # seconds; asked again after it, as the wait itself has no end


def install(patches: Patches, client: Callable[[str], Any], wait_stopped: WaitStopped) -> None:
    """Correct the integration; `wait_stopped` tells within a time limit whether a task has stopped."""

    def evaluate(self: Any, env: Environment, *_: Any, normalised_parameters: dict[str, Any], **__: Any) -> None:
        if self.resource.api_action != "runTask":
            raise ValueError(f"ecs:{self.resource.api_action}: Step Functions runs tasks and nothing else of ECS")
        response = client("ecs").run_task(**normalised_parameters)
        response.pop("ResponseMetadata", None)
        if response.get("failures") and self._is_integration_pattern():
            # Without a pattern the request succeeded, and its failures are for the definition to look at.
            raise _failed(self, env, "AmazonECS.Unknown", {"Failures": _described(response["failures"]), "Tasks": []})
        env.stack.append(response)

    def follow(self: Any, env: Environment, *args: Any, **kwargs: Any) -> None:
        if self.resource.condition != ResourceCondition.Sync:
            StateTaskServiceCallback._eval_integration_pattern(self, env, *args, **kwargs)  # noqa: SLF001
            return
        task = env.stack.pop()["Tasks"][0]
        cluster, arn = task["ClusterArn"], task["TaskArn"]
        on_cancel(env, lambda: _stop(client("ecs"), cluster, arn))
        while env.is_running() and not wait_stopped(arn, LONGEST_WAIT):
            pass
        if not env.is_running():
            raise RuntimeError("the state was given up")  # for nobody: no event may follow the execution's end
        shape = client("ecs").meta.service_model.operation_model("DescribeTasks").output_shape
        described = client("ecs").describe_tasks(cluster=cluster, tasks=[arn])
        ended = from_response(described["tasks"][0], shape.members["tasks"].member, epoch=True)
        if not _succeeded(ended):
            raise _failed(self, env, "States.TaskFailed", ended)
        env.stack.append(ended)

    # No list of what is let through: what RunTask does not have is refused when its parameters are recased.
    patches.replace(StateTaskServiceEcs, "_get_supported_parameters", lambda _: frozenset())
    patches.replace(StateTaskServiceEcs, "_eval_service_task", evaluate)
    # Inherited by moto's class, so there is nothing of its own to replace.
    patches.add(StateTaskServiceEcs, "_eval_integration_pattern", follow)


def _described(failures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{pascal(key): value for key, value in failure.items()} for failure in failures]


def _succeeded(task: dict[str, Any]) -> bool:
    """Every container ended by itself with 0: any other exit code, or none at all, fails the state."""
    return bool(task["Containers"]) and all(container.get("ExitCode") == 0 for container in task["Containers"])


def _failed(self: Any, env: Environment, error: str, cause: dict[str, Any]) -> FailureEventException:
    details = TaskFailedEventDetails(
        resource=self._get_sfn_resource(),
        resourceType=self._get_sfn_resource_type(),
        error=error,
        cause=json.dumps(cause, sort_keys=True, separators=(",", ":")),
    )
    event = FailureEvent(
        env=env,
        error_name=named(error),
        event_type=HistoryEventType.TaskFailed,
        event_details=EventDetails(taskFailedEventDetails=details),  # type: ignore[typeddict-item]
    )
    return FailureEventException(failure_event=event)


def _stop(ecs: Any, cluster: str, arn: str) -> None:
    try:
        ecs.stop_task(cluster=cluster, task=arn, reason=STOP_REASON)
    except ClientError as error:
        # AWS makes a best-effort attempt too: https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html
        LOG.warning("task %s could not be stopped: %s", arn, error)
