"""The statements that several roles share, each about one thing that a role does with one thing of the node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.policies import Statement
from components.storage import MOUNT_ACTIONS, ROOT_ACTION

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pulumi

    from components.naming import Names


def write_logs(names: Names, group: str) -> Statement:
    """Write to the streams of one log group."""
    return Statement(
        sid="WriteLogs",
        actions=("logs:CreateLogStream", "logs:PutLogEvents"),
        resources=(f"{names.log_group_arn(group)}:log-stream:*",),
    )


def read_logs(names: Names) -> Statement:
    """Read the node's log groups, of functions, processors and the state machine."""
    groups = names.log_group_arn(f"{names.log_groups}/*")
    return Statement(
        sid="ReadLogs",
        actions=("logs:FilterLogEvents", "logs:GetLogEvents", "logs:DescribeLogStreams"),
        resources=(groups, f"{groups}:log-stream:*"),
    )


def join_vpc(names: Names) -> tuple[Statement, ...]:
    """Let Lambda attach a function to the VPC.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions
    """
    # Lambda asks for the rights on all interfaces before it knows which one the function will share.
    kinds = ("network-interface", "subnet", "security-group")
    return (
        Statement(
            sid="AttachToVpc",
            actions=(
                "ec2:CreateNetworkInterface",
                "ec2:DeleteNetworkInterface",
                "ec2:AssignPrivateIpAddresses",
                "ec2:UnassignPrivateIpAddresses",
            ),
            resources=[names.arn("ec2", f"{kind}/*") for kind in kinds],
        ),
        Statement(
            sid="LookAtVpc",
            actions=("ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"),
            any_resource="EC2's Describe actions have no resource-level permissions",
        ),
    )


def mount(
    file_system_arn: pulumi.Input[str], access_point_arn: pulumi.Input[str], *, as_root: bool = False
) -> Statement:
    """Mount the file system through one access point, to read and write."""
    return Statement(
        sid="MountFiles",
        actions=(*MOUNT_ACTIONS, ROOT_ACTION) if as_root else MOUNT_ACTIONS,
        resources=(file_system_arn,),
        conditions={"ArnEquals": {"elasticfilesystem:AccessPointArn": access_point_arn}},
    )


def run_table(names: Names, *actions: str) -> Statement:
    """Use the run table and its index by the named DynamoDB actions."""
    return Statement(
        sid="RunTable",
        actions=tuple(f"dynamodb:{action}" for action in actions),
        resources=(names.run_table_arn, f"{names.run_table_arn}/index/*"),
    )


def objects(sid: str, names: Names, bucket: str, prefixes: Sequence[str], *actions: str) -> Statement:
    """Use the objects under some prefixes of a bucket by the named S3 actions."""
    return Statement(
        sid=sid,
        actions=tuple(f"s3:{action}" for action in actions),
        resources=tuple(names.bucket_arn(bucket, f"{prefix}*") for prefix in prefixes),
    )


def list_bucket(sid: str, names: Names, bucket: str) -> Statement:
    """List the keys of one of the node's buckets."""
    return Statement(
        sid=sid,
        # Not fenced by s3:prefix: without the plain right, S3 answers 403 for a key that is not there, not 404.
        actions=("s3:ListBucket",),
        resources=(names.bucket_arn(bucket),),
    )


def read_inputs(names: Names, buckets: Sequence[str]) -> tuple[Statement, ...]:
    """Read what runs may take as input: the configured buckets, what clients uploaded, what other runs published."""
    uploads = objects("ReadUploads", names, names.results_bucket, ("uploads/", "runs/"), "GetObject")
    if not buckets:
        return (uploads,)
    return (
        uploads,
        Statement(
            sid="ReadInputs", actions=("s3:GetObject",), resources=[names.bucket_arn(name, "*") for name in buckets]
        ),
        Statement(sid="ListInputs", actions=("s3:ListBucket",), resources=[names.bucket_arn(name) for name in buckets]),
    )


def run_secrets(names: Names, *actions: str) -> Statement:
    """Use the secrets of runs by the named Secrets Manager actions."""
    return Statement(
        sid="RunSecrets",
        actions=tuple(f"secretsmanager:{action}" for action in actions),
        resources=(names.secret_arn(names.run_secrets),),
    )


def executions(names: Names, *actions: str) -> Statement:
    """Use the executions of the state machine, its Maps' included, by the named Step Functions actions."""
    return Statement(
        sid="Executions",
        actions=tuple(f"states:{action}" for action in actions),
        resources=(names.executions_arn, names.map_executions_arn, names.express_executions_arn),
    )


def start_executions(names: Names) -> Statement:
    """Start executions of the state machine, and list them."""
    return Statement(
        sid="StartExecutions",
        actions=("states:StartExecution", "states:ListExecutions"),
        resources=(names.state_machine_arn, names.map_runs_arn),
    )


def complete_tasks() -> Statement:
    """Hand results back for task tokens."""
    return Statement(
        sid="CompleteTasks",
        actions=("states:SendTaskSuccess", "states:SendTaskFailure"),
        any_resource="Step Functions authorises these by the token alone; they have no resource-level permissions",
    )


def tasks(names: Names, *actions: str) -> Statement:
    """Use the tasks of the node's cluster by the named ECS actions."""
    return Statement(
        sid="Tasks",
        actions=tuple(f"ecs:{action}" for action in actions),
        resources=(names.tasks_arn,),
        conditions={"ArnEquals": {"ecs:cluster": names.cluster_arn}},
    )


def list_tasks(names: Names) -> Statement:
    """List the tasks of the node's cluster."""
    return Statement(
        sid="ListTasks",
        actions=("ecs:ListTasks",),
        resources=(names.container_instances_arn,),  # what ECS asks for, also on a cluster without any
        conditions={"ArnEquals": {"ecs:cluster": names.cluster_arn}},
    )


def retire_task_definitions(names: Names) -> tuple[Statement, ...]:
    """Find, deregister and delete the run-scoped task definitions."""
    return (
        Statement(
            sid="RetireTaskDefinitions",
            actions=("ecs:ListTaskDefinitions", "ecs:DescribeTaskDefinition", "ecs:DeregisterTaskDefinition"),
            any_resource="these actions on task definitions have no resource-level permissions",
        ),
        Statement(
            sid="DeleteTaskDefinitions", actions=("ecs:DeleteTaskDefinitions",), resources=(names.task_definitions_arn,)
        ),
    )


def run_access_points(names: Names, file_system_arn: pulumi.Input[str]) -> tuple[Statement, ...]:
    """Find the file system's access points, and delete those that carry the node's tag."""
    return (
        Statement(
            sid="FindAccessPoints",
            actions=("elasticfilesystem:DescribeAccessPoints",),
            resources=(file_system_arn, names.arn("elasticfilesystem", "access-point/*")),
        ),
        Statement(
            sid="DeleteAccessPoints",
            actions=("elasticfilesystem:DeleteAccessPoint",),
            resources=(names.arn("elasticfilesystem", "access-point/*"),),
            conditions={
                "StringEquals": {"aws:ResourceTag/node": names.node},
                "Null": {"aws:ResourceTag/compute-node:run": "false"},
            },
        ),
    )
