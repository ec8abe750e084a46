"""One ECS task: its state, and how DescribeTasks shows it."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends

if TYPE_CHECKING:
    from moto.ec2.models.elastic_network_interfaces import NetworkInterface
    from moto.ecs.models import TaskDefinition

    from local.sandbox.memory import MemoryGroup
    from local.sandbox.spec import Process

PLATFORM_VERSION = "1.4.0"
EPHEMERAL_GIB = 20


@dataclass
class LocalTask:
    """A task in its cluster. Whoever changes it holds `lock`.

    `tags`, `task_arn`, `cluster_arn`, `desired_status` and the like are named as moto's own task names them,
    because moto's tagging and listing read them.
    """

    account: str
    region: str
    cluster_name: str
    cluster_arn: str
    definition: TaskDefinition
    group: str
    overrides: dict[str, Any]
    started_by: str
    tags: list[dict[str, str]]
    launch_type: str
    platform_version: str = PLATFORM_VERSION
    capacity_provider_name: str | None = None
    client_token: str | None = None
    enable_execute_command: bool = False
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    last_status: str = "PROVISIONING"
    desired_status: str = "RUNNING"
    stop_code: str | None = None
    stopped_reason: str | None = None
    exit_code: int | None = None
    container_reason: str | None = None
    image_digest: str | None = None
    runtime_id: str | None = None
    times: dict[str, datetime] = field(default_factory=dict)
    version: int = 1
    interface: NetworkInterface | None = None
    process: Process | None = None
    memory: MemoryGroup | None = None
    kill_timer: threading.Timer | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)
    stopped: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.mark("createdAt")
        self.container_arn = f"{self.arn_of('container')}/{uuid.uuid4()}"
        # moto looks for it where a task is listed by container instance; Fargate has none.
        self.container_instance_arn = ""

    def arn_of(self, kind: str) -> str:
        """The ARN of the task (`task`), or the beginning of its container's."""
        return f"arn:aws:ecs:{self.region}:{self.account}:{kind}/{self.cluster_name}/{self.id}"

    @property
    def task_arn(self) -> str:
        """The task's ARN."""
        return self.arn_of("task")

    @property
    def task_definition_arn(self) -> str:
        """The ARN of the revision that the task runs."""
        return str(self.definition.arn)

    @property
    def container(self) -> dict[str, Any]:
        """The definition of the task's one container."""
        container: dict[str, Any] = self.definition.container_definitions[0]
        return container

    @property
    def container_override(self) -> dict[str, Any]:
        """What RunTask overrides for the container."""
        for override in self.overrides.get("containerOverrides", []):
            if override.get("name") == self.container["name"]:
                return dict(override)
        return {}

    @property
    def cpu(self) -> str:
        """The task's CPU units."""
        return str(self.overrides.get("cpu") or self.definition.cpu or self.container.get("cpu") or 0)

    @property
    def memory_mib(self) -> str:
        """The task's memory."""
        return str(self.overrides.get("memory") or self.definition.memory or self.container.get("memory") or 0)

    def mark(self, name: str) -> None:
        """Note that something happens now."""
        self.times[name] = datetime.now(UTC)

    def attach_interface(self, network: dict[str, Any]) -> None:
        """Make the network interface of an `awsvpc` task; moto refuses an unknown subnet."""
        configuration = network["awsvpcConfiguration"]
        self.interface = ec2_backends[self.account][self.region].create_network_interface(
            subnet=configuration["subnets"][0],
            private_ip_address="",  # one of the subnet's
            group_ids=configuration.get("securityGroups", []),
            description=self.arn_of("attachment"),
        )

    def detach_interface(self) -> None:
        """Delete the network interface; its description in the task stays."""
        if self.interface is not None:
            ec2_backends[self.account][self.region].enis.pop(self.interface.id, None)

    def describe(self, *, with_tags: bool = True) -> dict[str, Any]:
        """The task as DescribeTasks gives it. Values of secrets are nowhere in it."""
        with self.lock:
            description = self._description()
        if with_tags:
            description["tags"] = list(self.tags)
        return {key: value for key, value in description.items() if value is not None}

    def _description(self) -> dict[str, Any]:
        overrides = {"containerOverrides": [{"name": self.container["name"]}], "inferenceAcceleratorOverrides": []}
        running = self.last_status in {"RUNNING", "DEPROVISIONING", "STOPPED"}
        return {
            "attachments": self._attachments(),
            "attributes": [{"name": "ecs.cpu-architecture", "value": self._architecture()}],
            "availabilityZone": f"{self.region}a",
            "capacityProviderName": self.capacity_provider_name,
            "clusterArn": self.cluster_arn,
            "connectivity": "CONNECTED" if running else None,
            "connectivityAt": self.times.get("startedAt"),
            "containers": [self._container()],
            "cpu": self.cpu,
            "desiredStatus": self.desired_status,
            "enableExecuteCommand": self.enable_execute_command,
            "ephemeralStorage": self.overrides.get("ephemeralStorage")
            or getattr(self.definition, "ephemeral_storage", None)
            or {"sizeInGiB": EPHEMERAL_GIB},
            "group": self.group,
            "healthStatus": "UNKNOWN",
            "lastStatus": self.last_status,
            "launchType": self.launch_type,
            "memory": self.memory_mib,
            "overrides": overrides | self.overrides,
            "platformFamily": "Linux",
            "platformVersion": self.platform_version,
            "startedBy": self.started_by or None,
            "stopCode": self.stop_code,
            "stoppedReason": self.stopped_reason,
            "taskArn": self.task_arn,
            "taskDefinitionArn": self.task_definition_arn,
            "version": self.version,
            **self.times,
        }

    def _architecture(self) -> str:
        platform = getattr(self.definition, "runtime_platform", None) or {}
        return "arm64" if platform.get("cpuArchitecture") == "ARM64" else "x86_64"

    def _container(self) -> dict[str, Any]:
        status = self.last_status if self.last_status in {"RUNNING", "STOPPED"} else "PENDING"
        addresses = [{"privateIpv4Address": self.interface.private_ip_address}] if self.interface else []
        description = {
            "containerArn": self.container_arn,
            "cpu": str(self.container_override.get("cpu", self.container.get("cpu", 0))),
            "exitCode": self.exit_code,
            "healthStatus": "UNKNOWN",
            "image": self.container["image"],
            "imageDigest": self.image_digest,
            "lastStatus": status,
            "memory": None if self.container.get("memory") is None else str(self.container["memory"]),
            "name": self.container["name"],
            "networkInterfaces": addresses,
            "reason": self.container_reason,
            "runtimeId": self.runtime_id,
            "taskArn": self.task_arn,
        }
        return {key: value for key, value in description.items() if value is not None}

    def _attachments(self) -> list[dict[str, Any]]:
        if self.interface is None:
            return []
        details = {
            "subnetId": self.interface.subnet.id,
            "networkInterfaceId": self.interface.id,
            "macAddress": self.interface.mac_address,
            "privateIPv4Address": self.interface.private_ip_address,
        }
        return [
            {
                "id": self.id,
                "type": "ElasticNetworkInterface",
                "status": "DELETED" if self.stopped.is_set() else "ATTACHED",
                "details": [{"name": name, "value": value} for name, value in details.items() if value],
            }
        ]
