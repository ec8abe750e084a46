"""Makes the node's own Lambda functions, each with a role of its own that can do what it must and no more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pulumi
import pulumi_aws as aws

from components import grants
from components.base import NodeComponent
from components.roles import ServiceRole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.context import NodeContext
    from components.encryption import Encryption
    from components.network.base import Network
    from components.policies import Statement
    from components.storage import Storage

RUNTIME = "python3.12"
MOUNT_PATH = "/mnt/efs"


@dataclass(frozen=True, kw_only=True)
class FunctionSpec:
    """A function of the node: what it is for and what it needs. Memory in MB, time in seconds."""

    role: str
    description: str
    memory: int
    timeout: int
    statements: Sequence[Statement] = ()
    mounts: aws.efs.AccessPoint | None = None  # what mounts files is in the VPC, and only that
    mounts_as_root: bool = False
    layers: Sequence[str] = ()

    @property
    def handler(self) -> str:
        """Where the bundle has the function's entry."""
        return f"handlers.{self.role}.handler"


@dataclass(frozen=True, kw_only=True)
class FunctionBase:
    """What all functions of the node have in common."""

    network: Network
    storage: Storage
    encryption: Encryption
    environment: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)


class NodeFunction(NodeComponent):
    """A Lambda function out of the bundle, with its role and its log group."""

    KIND = "computenode:functions:NodeFunction"

    def __init__(
        self,
        name: str,
        context: NodeContext,
        *,
        spec: FunctionSpec,
        base: FunctionBase,
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__(name, context, opts)
        names = context.names
        group = names.function_log_group(spec.role)
        role = ServiceRole(
            f"{name}-access",
            context,
            purpose=spec.role,
            service="lambda.amazonaws.com",
            statements=[
                grants.write_logs(names, group),
                *spec.statements,
                *_mount_statements(context, spec, base.storage),
            ],
            opts=self._opts(),
        )
        log_group = aws.cloudwatch.LogGroup(
            f"{name}-logs",
            name=group,
            retention_in_days=context.config.logs.retention_days,
            kms_key_id=base.encryption.log_key,
            opts=self._opts(),
        )
        self.function = self._function(name, spec, base, role, log_group)
        self.arn = self.function.arn
        self.register_outputs({"arn": self.arn})

    def _function(
        self, name: str, spec: FunctionSpec, base: FunctionBase, role: ServiceRole, log_group: aws.cloudwatch.LogGroup
    ) -> aws.lambda_.Function:
        bundle = self.context.bundle
        vpc, files = _attachment(spec, base.network)
        # Lambda checks the role and the mount targets when it creates the function.
        needed: list[pulumi.Resource] = [role.policy, *(base.storage.mount_targets if files else ())]
        return aws.lambda_.Function(
            f"{name}-function",
            name=self.context.names.function(spec.role),
            description=spec.description,
            role=role.arn,
            runtime=RUNTIME,
            architectures=[self.context.config.architecture],
            handler=spec.handler,
            code=pulumi.FileArchive(str(bundle.path)),
            source_code_hash=bundle.sha256_base64,
            layers=list(spec.layers),
            memory_size=spec.memory,
            timeout=spec.timeout,
            environment=aws.lambda_.FunctionEnvironmentArgs(variables=_environment(spec, base)),
            kms_key_arn=base.encryption.function_key,
            logging_config=aws.lambda_.FunctionLoggingConfigArgs(log_format="Text", log_group=log_group.name),
            vpc_config=vpc,
            file_system_config=files,
            opts=self._opts(depends_on=needed),
        )


def _mount_statements(context: NodeContext, spec: FunctionSpec, storage: Storage) -> Sequence[Statement]:
    if spec.mounts is None:
        return ()
    files = grants.mount(storage.file_system.arn, spec.mounts.arn, as_root=spec.mounts_as_root)
    return (files, *grants.join_vpc(context.names))


def _environment(spec: FunctionSpec, base: FunctionBase) -> dict[str, pulumi.Input[str]]:
    mounted = {"MOUNTED": "true"} if spec.mounts else {}
    return {**base.environment, **mounted}


def _attachment(
    spec: FunctionSpec, network: Network
) -> tuple[aws.lambda_.FunctionVpcConfigArgs | None, aws.lambda_.FunctionFileSystemConfigArgs | None]:
    if spec.mounts is None:
        return None, None
    return (
        aws.lambda_.FunctionVpcConfigArgs(
            subnet_ids=network.subnet_ids, security_group_ids=[network.groups.functions.id]
        ),
        aws.lambda_.FunctionFileSystemConfigArgs(arn=spec.mounts.arn, local_mount_path=MOUNT_PATH),
    )
