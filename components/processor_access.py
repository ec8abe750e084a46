"""What processors may do in AWS, which is little: their files, their logs, and the word that they have ended."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pulumi

from components import grants
from components.policies import Statement

if TYPE_CHECKING:
    from components.context import NodeContext
    from components.log_pipeline import LogPipeline
    from components.storage import Storage

ECR_IMAGE = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com/(?P<repository>[^@:]+)")
PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")


def task_statements(storage: Storage) -> list[Statement]:
    """A task's own role: mount its run's directory, and the layers to read. No secret, no other service."""
    access_point = "elasticfilesystem:AccessPointArn"
    whole = [storage.root_access_point.arn, storage.node_access_point.arn]
    return [
        Statement(
            sid="MountRunAndLayers",
            actions=("elasticfilesystem:ClientMount",),
            resources=(storage.file_system.arn,),
            conditions={"ArnNotEquals": {access_point: whole}, "Null": {access_point: "false"}},
        ),
        Statement(
            sid="WriteToRun",
            actions=("elasticfilesystem:ClientWrite",),
            resources=(storage.file_system.arn,),
            conditions={
                "ArnNotEquals": {access_point: [*whole, storage.layers_access_point.arn]},
                "Null": {access_point: "false"},
            },
        ),
    ]


def execution_statements(context: NodeContext, logs: LogPipeline) -> list[Statement]:
    """What ECS does before and beside a task: pull its image, inject its run's secret, ship its logs."""
    names = context.names
    return [
        Statement(
            sid="LogInToEcr",
            actions=("ecr:GetAuthorizationToken",),
            any_resource="the token is the account's; the action has no resource-level permissions",
        ),
        Statement(sid="PullImages", actions=PULL, resources=[names.repositories_arn, *_foreign_repositories(context)]),
        Statement(
            sid="WriteLogs",
            actions=("logs:CreateLogStream", "logs:PutLogEvents"),
            resources=(pulumi.Output.concat(logs.processors.arn, ":log-stream:*"),),
        ),
        grants.run_secrets(names, "GetSecretValue"),
    ]


def _foreign_repositories(context: NodeContext) -> list[str]:
    """ECR repositories that are not the node's but hold an image that its configuration names."""
    found = set()
    for processor in context.config.processors:
        if processor.image and (match := ECR_IMAGE.match(processor.image)):
            where = f"{match['region']}:{match['account']}"
            found.add(f"arn:{context.names.partition}:ecr:{where}:repository/{match['repository']}")
    return sorted(found)


def lambda_statements(
    context: NodeContext, storage: Storage, complete_function_arn: pulumi.Output[str]
) -> list[Statement]:
    """A Lambda processor's role.

    The last statement is for Lambda, which tells `complete` of the end. The processor's code has it too, so `complete`
    believes nothing but the task token, which a record of another run cannot have.
    """
    names = context.names
    return [
        grants.write_logs(names, f"{names.processor_log_group}/*"),
        grants.mount(storage.file_system.arn, storage.node_access_point.arn),
        *grants.join_vpc(names),
        Statement(sid="TellComplete", actions=("lambda:InvokeFunction",), resources=(complete_function_arn,)),
    ]
