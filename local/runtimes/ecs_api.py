"""The ECS operations on tasks, in place of moto's, which only pretend to run any."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from moto.core.responses import ActionResult
from moto.ecs.exceptions import EcsClientException, InvalidParameterException
from moto.ecs.models import ecs_backends
from moto.ecs.responses import EC2ContainerServiceResponse

from local.runtimes.ecs_task import PLATFORM_VERSION, LocalTask

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from moto.ecs.models import Cluster, EC2ContainerServiceBackend, TaskDefinition

    from local.runtimes.ecs_runtime import EcsRuntime

# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
OVERRIDES_CHARACTERS = 8192
MOST_TASKS = 10
PAGE = 100
NO_CAPACITY = "Capacity is unavailable at this time. Please try again later or in a different availability zone"


def install(runtime: EcsRuntime, hooks: ExitStack) -> None:
    """Answer these operations until `hooks` close."""
    operations: dict[str, Callable[[EC2ContainerServiceResponse], ActionResult]] = {
        "run_task": lambda response: _run_task(runtime, response),
        "stop_task": lambda response: _stop_task(runtime, response),
        "describe_tasks": _describe_tasks,
        "list_tasks": _list_tasks,
    }
    for name, operation in operations.items():
        hooks.enter_context(patch.object(EC2ContainerServiceResponse, name, operation))


def count(task: LocalTask, status: str) -> None:
    """Keep the cluster's counts of pending and running tasks."""
    backend = ecs_backends[task.account][task.region]
    cluster = backend.clusters.get(task.cluster_name)
    kinds = {"PROVISIONING": "PENDING", "PENDING": "PENDING", "RUNNING": "RUNNING"}
    before, after = kinds.get(task.last_status), kinds.get(status)
    if cluster is None or before == after:
        return
    for kind, change in ((before, -1), (after, 1)):
        if kind is not None:
            backend.update_cluster_resources(cluster, change, kind)


def forget(task: LocalTask) -> None:
    """Drop a stopped task from its cluster."""
    ecs_backends[task.account][task.region].tasks.get(task.cluster_name, {}).pop(task.task_arn, None)


def event(task: LocalTask) -> dict[str, Any]:
    """The EventBridge event of the task's present state."""
    detail = task.describe(with_tags=False)
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "ECS Task State Change",
        "source": "aws.ecs",
        "account": task.account,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": task.region,
        "resources": [task.task_arn],
        "detail": json.loads(json.dumps(detail, default=_iso)) | {"updatedAt": _iso(datetime.now(UTC))},
    }


def _iso(value: object) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    raise TypeError(f"{type(value).__name__} in a task's description")


def _run_task(runtime: EcsRuntime, response: EC2ContainerServiceResponse) -> ActionResult:
    backend = response.ecs_backend
    cluster = _cluster(response)
    definition = backend.describe_task_definition(_get(response, "taskDefinition"))
    number = int(_get(response, "count") or 1)
    overrides = _get(response, "overrides") or {}
    _check(definition, number, overrides)
    if not runtime.has_capacity(number):
        arn = cluster.arn.replace(":cluster/", ":container-instance/")
        return ActionResult({"tasks": [], "failures": [{"arn": arn, "reason": NO_CAPACITY}]})
    if known := runtime.asked_before(cluster.arn, _get(response, "clientToken")):
        return ActionResult({"tasks": [task.describe() for task in known], "failures": []})
    tasks = [_make_task(response, backend, cluster, definition) for _ in range(number)]
    descriptions = [task.describe() for task in tasks]  # as they are now; they change at once
    for task in tasks:
        backend.tasks.setdefault(cluster.name, {})[task.task_arn] = task  # type: ignore[assignment]
        backend.update_cluster_resources(cluster, 1, "PENDING")
        runtime.submit(task)
    return ActionResult({"tasks": descriptions, "failures": []})


def _get(response: EC2ContainerServiceResponse, name: str) -> Any:
    """A parameter of the request, None where it is not given."""
    return response._get_param(name)  # noqa: SLF001 - moto has no public way


def _cluster(response: EC2ContainerServiceResponse) -> Cluster:
    """The cluster that the request names, or `default`."""
    return response.ecs_backend._get_cluster(_get(response, "cluster") or "default")  # noqa: SLF001


def _check(definition: TaskDefinition, number: int, overrides: dict[str, Any]) -> None:
    if definition.status != "ACTIVE":
        raise EcsClientException("TaskDefinition is inactive")
    if not 1 <= number <= MOST_TASKS:
        raise InvalidParameterException(f"Count must be between 1 and {MOST_TASKS}, not {number}")
    names = [container["name"] for container in definition.container_definitions]
    if len(names) != 1:
        raise InvalidParameterException(f"the embedded AWS runs one container a task; this task definition has {names}")
    for override in overrides.get("containerOverrides", []):
        if override.get("name") not in names:
            raise InvalidParameterException(
                f"Override for container named {override.get('name')} is not a container in the TaskDefinition."
            )
    if len(json.dumps(overrides, separators=(",", ":"))) > OVERRIDES_CHARACTERS:
        raise InvalidParameterException(f"Container Overrides length must be at most {OVERRIDES_CHARACTERS}")


def _make_task(
    response: EC2ContainerServiceResponse,
    backend: EC2ContainerServiceBackend,
    cluster: Cluster,
    definition: TaskDefinition,
) -> LocalTask:
    strategy = _get(response, "capacityProviderStrategy") or []
    if strategy and _get(response, "launchType"):
        raise InvalidParameterException("Specify either Launch Type or Capacity Provider Strategy, but not both.")
    version = _get(response, "platformVersion")
    task = LocalTask(
        account=backend.account_id,
        region=backend.region_name,
        cluster_name=cluster.name,
        cluster_arn=cluster.arn,
        definition=definition,
        group=_get(response, "group") or f"family:{definition.family}",
        overrides=_get(response, "overrides") or {},
        started_by=_get(response, "startedBy") or "",
        tags=_tags(response, cluster, definition),
        launch_type=_get(response, "launchType") or "FARGATE",
        platform_version=PLATFORM_VERSION if version in {None, "LATEST"} else version,
        capacity_provider_name=strategy[0]["capacityProvider"] if strategy else None,
        client_token=_get(response, "clientToken"),
        enable_execute_command=bool(_get(response, "enableExecuteCommand")),
    )
    network = _get(response, "networkConfiguration")
    if definition.network_mode == "awsvpc":
        if not network:
            raise InvalidParameterException(
                "Network Configuration must be provided when networkMode 'awsvpc' is specified."
            )
        task.attach_interface(network)
    return task


def _tags(response: EC2ContainerServiceResponse, cluster: Cluster, definition: TaskDefinition) -> list[dict[str, str]]:
    propagate = _get(response, "propagateTags")
    if propagate == "SERVICE":
        raise InvalidParameterException("propagateTags SERVICE: a task that RunTask starts has no service")
    tags: dict[str, str] = {}
    if _get(response, "enableECSManagedTags"):
        tags["aws:ecs:clusterName"] = cluster.name
    if propagate == "TASK_DEFINITION":
        tags |= {tag["key"]: tag["value"] for tag in definition.tags or []}
    tags |= {tag["key"]: tag.get("value", "") for tag in _get(response, "tags") or []}
    return [{"key": key, "value": value} for key, value in tags.items()]


def _stop_task(runtime: EcsRuntime, response: EC2ContainerServiceResponse) -> ActionResult:
    reference = _get(response, "task")
    task = _find(response, reference)
    if task is None:
        raise InvalidParameterException("The referenced task was not found.")
    runtime.request_stop(task, _get(response, "reason") or "")
    return ActionResult({"task": task.describe(with_tags=False)})


def _describe_tasks(response: EC2ContainerServiceResponse) -> ActionResult:
    references = _get(response, "tasks") or []
    if not references:
        raise InvalidParameterException("Tasks cannot be empty.")
    with_tags = "TAGS" in (_get(response, "include") or [])
    found = [(reference, _find(response, reference)) for reference in references]
    return ActionResult(
        {
            "tasks": [task.describe(with_tags=with_tags) for _, task in found if task is not None],
            "failures": [{"arn": reference, "reason": "MISSING"} for reference, task in found if task is None],
        }
    )


def _find(response: EC2ContainerServiceResponse, reference: str) -> LocalTask | None:
    """A task of the request's cluster, by its ARN or its id."""
    cluster = _cluster(response)
    tasks: dict[str, Any] = response.ecs_backend.tasks.get(cluster.name, {})
    task = tasks.get(reference) or tasks.get(cluster.arn.replace(":cluster/", ":task/") + f"/{reference}")
    return task if isinstance(task, LocalTask) else None


def _list_tasks(response: EC2ContainerServiceResponse) -> ActionResult:
    cluster = _cluster(response)
    tasks: list[Any] = list(response.ecs_backend.tasks.get(cluster.name, {}).values())
    wanted = {
        "desired_status": _get(response, "desiredStatus") or "RUNNING",  # what ECS lists when it is not asked for more
        "started_by": _get(response, "startedBy"),
        "launch_type": _get(response, "launchType"),
    }
    family = _get(response, "family")
    if _get(response, "serviceName") or _get(response, "containerInstance"):
        tasks = []  # there are none here
    chosen = [
        task.task_arn
        for task in tasks
        if all(value is None or getattr(task, name) == value for name, value in wanted.items())
        and (family is None or task.definition.family == family)
    ]
    start, size = int(_get(response, "nextToken") or 0), int(_get(response, "maxResults") or PAGE)
    page: dict[str, Any] = {"taskArns": chosen[start : start + size]}
    if start + size < len(chosen):
        page["nextToken"] = str(start + size)
    return ActionResult(page)
