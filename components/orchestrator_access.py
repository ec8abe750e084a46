"""What the state machine itself may do: it makes most calls of a run, with no function in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components import grants
from components.policies import Statement

if TYPE_CHECKING:
    import pulumi

    from components.context import NodeContext

STEP_FUNCTIONS_RULE = (
    "rule/StepFunctionsGetEventsForECSTaskRule"  # the service's own, by which .sync learns of a task's end
)


def state_machine_statements(
    context: NodeContext, roles: tuple[str, ...], file_system_arn: pulumi.Input[str]
) -> list[Statement]:
    """Everything that the definition calls, fenced to what is the node's. `roles` are those of its functions."""
    names = context.names
    return [
        Statement(
            sid="InvokeFunctions",
            actions=("lambda:InvokeFunction",),
            resources=[names.function_arn(role) for role in roles],
        ),
        grants.run_table(names, "GetItem", "UpdateItem"),
        grants.complete_tasks(),
        *_tasks(context),
        *_access_points(context, file_system_arn),
        *_maps(context),
        _log_delivery(),
    ]


def _tasks(context: NodeContext) -> list[Statement]:
    names = context.names
    on_cluster = {"ArnEquals": {"ecs:cluster": names.cluster_arn}}
    return [
        Statement(
            sid="RegisterTaskDefinitions",
            actions=("ecs:RegisterTaskDefinition",),
            resources=(names.task_definitions_arn,),
        ),
        Statement(
            sid="RunTasks", actions=("ecs:RunTask",), resources=(names.task_definitions_arn,), conditions=on_cluster
        ),
        grants.tasks(names, "StopTask", "DescribeTasks"),
        Statement(
            sid="TagWhatItMakes",
            actions=("ecs:TagResource",),
            resources=(names.tasks_arn, names.task_definitions_arn),
            conditions={"StringEquals": {"ecs:CreateAction": ["RunTask", "RegisterTaskDefinition"]}},
        ),
        Statement(
            sid="PassTaskRoles",
            actions=("iam:PassRole",),
            resources=(names.role_arn("task"), names.role_arn("execution")),
            conditions={"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        ),
        Statement(
            sid="LearnOfTaskEnds",
            actions=("events:PutTargets", "events:PutRule", "events:DescribeRule"),
            resources=(names.arn("events", STEP_FUNCTIONS_RULE),),
        ),
    ]


def _access_points(context: NodeContext, file_system_arn: pulumi.Input[str]) -> list[Statement]:
    access_points = context.names.arn("elasticfilesystem", "access-point/*")
    return [
        Statement(
            sid="CreateAccessPoints",
            actions=("elasticfilesystem:CreateAccessPoint",),
            resources=(file_system_arn,),
            # Without the tag nothing of the node could delete it again.
            conditions={"StringEquals": {"aws:RequestTag/node": context.names.node}},
        ),
        Statement(
            sid="TagAccessPoints",
            actions=("elasticfilesystem:TagResource",),
            resources=(access_points,),
            conditions={"StringEquals": {"elasticfilesystem:CreateAction": "CreateAccessPoint"}},
        ),
        Statement(
            sid="WaitForAccessPoints",
            actions=("elasticfilesystem:DescribeAccessPoints",),
            resources=(access_points, file_system_arn),
        ),
    ]


def _maps(context: NodeContext) -> list[Statement]:
    """A distributed Map is an execution of the same state machine, over a plan that lies in the results bucket."""
    names = context.names
    return [
        Statement(sid="StartMaps", actions=("states:StartExecution",), resources=(names.state_machine_arn,)),
        grants.executions(names, "DescribeExecution", "StopExecution"),
        grants.objects("ReadPlans", names, names.results_bucket, ("plans/",), "GetObject"),
    ]


def _log_delivery() -> Statement:
    """https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html#cloudwatch-iam-policy"""
    return Statement(
        sid="DeliverLogs",
        actions=(
            "logs:CreateLogDelivery",
            "logs:GetLogDelivery",
            "logs:UpdateLogDelivery",
            "logs:DeleteLogDelivery",
            "logs:ListLogDeliveries",
            "logs:PutResourcePolicy",
            "logs:DescribeResourcePolicies",
            "logs:DescribeLogGroups",
        ),
        any_resource="the log delivery API has no resource-level permissions",
    )
