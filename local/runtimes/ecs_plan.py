"""What a task's process needs before it can start: image, secrets, file systems, log stream.

Each missing piece has the reason that ECS gives for it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moto.core.exceptions import JsonRESTError, ServiceException
from moto.logs.exceptions import ResourceNotFoundException
from moto.secretsmanager.models import secretsmanager_backends

from local.filesystem import MountError
from local.images import ImageError, ImageNotFoundError
from local.runtimes.identity import role_environment
from local.runtimes.logs import LogTarget
from local.sandbox.spec import DEFAULT_UID, Mount, ProcessSpec

if TYPE_CHECKING:
    from local.filesystem import AccessPointMount, FileSystems
    from local.images import Images, LocalImage
    from local.runtimes.ecs_task import LocalTask

PATH = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"
SECRET_ARN_PARTS = 7
MIB = 1024 * 1024


class StartError(Exception):
    """A task cannot start; the message is its `stoppedReason`."""


@dataclass(frozen=True)
class Resources:
    """What plans are made from."""

    endpoint_url: str
    file_systems: FileSystems
    images: Images


def pull(resources: Resources, task: LocalTask) -> LocalImage:
    """The task's image.

    Raises StartError where it cannot be had.
    """
    try:
        return resources.images.resolve(task.container["image"])
    except (ImageNotFoundError, ImageError) as error:
        raise StartError(
            f"CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {error}"
        ) from error


def log_target(task: LocalTask) -> LogTarget | None:
    """The log stream of the task's container, made; None where it has no log configuration.

    Raises StartError where the group does not exist.
    """
    configuration = task.container.get("logConfiguration")
    if not configuration:
        return None
    driver, options = configuration["logDriver"], configuration.get("options", {})
    if driver != "awslogs":
        raise StartError(f"ResourceInitializationError: log driver {driver!r}: only awslogs is imitated here")
    prefix = options.get("awslogs-stream-prefix")
    stream = f"{prefix}/{task.container['name']}/{task.id}" if prefix else task.id
    region, group = options.get("awslogs-region", task.region), options["awslogs-group"]
    create = options.get("awslogs-create-group") == "true"
    try:
        return LogTarget(task.account, region, group, stream, create_group=create)
    except ResourceNotFoundException as error:
        raise StartError(
            "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: "
            f"failed to create Cloudwatch log stream: ResourceNotFoundException: log group {group}: "
            "The specified log group does not exist. : exit status 1"
        ) from error


def process_spec(resources: Resources, task: LocalTask, image: LocalImage) -> ProcessSpec:
    """What to start for the task.

    Raises StartError where a secret or a file system is missing.
    """
    mounts, user = _file_system_mounts(resources, task)
    override = task.container_override
    entrypoint = task.container.get("entryPoint")
    command = override.get("command") or task.container.get("command")
    if entrypoint:
        argv = image.command_line(tuple(command or ()), entrypoint=tuple(entrypoint))
    else:
        argv = image.command_line(tuple(command) if command else image.command)
    if not argv:
        raise StartError("CannotStartContainerError: Error response from daemon: no command specified")
    writable = not task.container.get("readonlyRootFilesystem")
    own = [Mount(mount.source, mount.target, read_only=True, private=writable) for mount in image.mounts]
    return ProcessSpec(
        argv=argv,
        env=_environment(resources, task, image),
        cwd=task.container.get("workingDirectory") or image.workdir,
        scratch_root=resources.images.cache / "scratch",
        mounts=[*own, *mounts],
        host_paths=image.host_paths,
        hidden=[resources.file_systems.path],
        uid=DEFAULT_UID if user is None or user.uid is None else user.uid,
        gid=DEFAULT_UID if user is None or user.gid is None else user.gid,
        host_cwd=None if task.container.get("workingDirectory") else image.host_workdir,
    )


def memory_limit(task: LocalTask) -> int:
    """The container's memory limit in bytes, 0 for none."""
    return int(task.container_override.get("memory") or task.container.get("memory") or task.memory_mib or 0) * MIB


def _environment(resources: Resources, task: LocalTask, image: LocalImage) -> dict[str, str]:
    path = f"{image.python.parent}:{PATH}"
    environment = {"PATH": path, "HOME": "/root", "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE"}
    environment |= role_environment(resources.endpoint_url, task.region)
    environment |= image.env
    if "PATH" in image.env:
        environment["PATH"] = f"{image.env['PATH']}:{path}"
    for listed in (task.container.get("environment", []), task.container_override.get("environment", [])):
        environment |= {item["name"]: item["value"] for item in listed}
    return environment | _secrets(task)


def _secrets(task: LocalTask) -> dict[str, str]:
    known: dict[tuple[str, str, str], str] = {}
    values: dict[str, str] = {}
    for item in task.container.get("secrets", []):
        arn, key, stage, version = _secret_reference(item["valueFrom"])
        if (arn, stage, version) not in known:
            known[arn, stage, version] = _secret_string(arn, stage, version)
        values[item["name"]] = (
            _json_value(known[arn, stage, version], key, item["name"]) if key else known[arn, stage, version]
        )
    return values


def _secret_reference(value_from: str) -> tuple[str, str, str, str]:
    """The ARN, JSON key, version stage and version id of `valueFrom`; what is not given is empty."""
    parts = value_from.split(":")
    if len(parts) < SECRET_ARN_PARTS or parts[2] != "secretsmanager":
        raise StartError(_secret_failure(f"{value_from}: only full Secrets Manager ARNs are imitated here"))
    key, stage, version = [*parts[SECRET_ARN_PARTS:], "", "", ""][:3]
    return ":".join(parts[:SECRET_ARN_PARTS]), key, stage, version


def _secret_string(arn: str, stage: str, version: str) -> str:
    _, _, _, region, account, *_ = arn.split(":")
    try:
        # moto tells "not given" by None, whatever its annotations say.
        wanted: dict[str, Any] = {"version_id": version or None, "version_stage": stage or None}
        answer = secretsmanager_backends[account][region].get_secret_value(secret_id=arn, **wanted)
    except (JsonRESTError, ServiceException, KeyError) as error:
        reason = getattr(error, "message", None) or error
        raise StartError(
            _secret_failure(f"failed to fetch secret {arn} from secrets manager: {type(error).__name__}: {reason}")
        ) from error
    if "SecretString" not in answer:
        raise StartError(_secret_failure(f"secret {arn} has no string value"))
    return str(answer["SecretString"])


def _json_value(text: str, key: str, name: str) -> str:
    try:
        value: Any = json.loads(text)[key]
    except (ValueError, KeyError, TypeError):
        # The cause would show the secret's text.
        raise StartError(
            _secret_failure(f"retrieved secret from Secrets Manager did not contain json key {key} (for {name})")
        ) from None
    return value if isinstance(value, str) else json.dumps(value)


def _secret_failure(reason: str) -> str:
    return (
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: "
        f"unable to retrieve secret from asm: service call has been retried 1 time(s): {reason}"
    )


def _file_system_mounts(resources: Resources, task: LocalTask) -> tuple[list[Mount], AccessPointMount | None]:
    """The task's EFS mounts, and the first one, as whose user the process runs."""
    volumes = {volume["name"]: volume for volume in task.definition.volumes}
    mounts: list[Mount] = []
    first: AccessPointMount | None = None
    for point in task.container.get("mountPoints", []):
        volume = volumes.get(point["sourceVolume"], {})
        if "efsVolumeConfiguration" not in volume:
            raise StartError(
                f"ResourceInitializationError: volume {point['sourceVolume']!r}: only EFS volumes are imitated here"
            )
        mounted = _mount(resources, task, volume["efsVolumeConfiguration"])
        first = first or mounted
        mounts.append(Mount(mounted.path, point["containerPath"], read_only=bool(point.get("readOnly"))))
    return mounts, first


def _mount(resources: Resources, task: LocalTask, configuration: dict[str, Any]) -> AccessPointMount:
    access_point = configuration.get("authorizationConfig", {}).get("accessPointId")
    directory = configuration.get("rootDirectory", "/")
    try:
        if access_point:
            return resources.file_systems.mount_access_point(access_point, account=task.account, region=task.region)
        return resources.file_systems.mount_root(
            configuration["fileSystemId"], directory, account=task.account, region=task.region
        )
    except MountError as error:
        raise StartError(
            "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: "
            f"stderr: mount.nfs4: {error} : unsuccessful EFS utils command execution; code: 32"
        ) from error
