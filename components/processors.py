"""The processors of a node: what runs them on ECS and on Lambda, and their entries in the run table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.base import NodeComponent
from components.processor import ProcessorEntry, ProcessorGround
from components.processor_access import execution_statements, lambda_statements, task_statements
from components.roles import ServiceRole

if TYPE_CHECKING:
    import pulumi

    from components.context import NodeContext
    from components.encryption import Encryption
    from components.log_pipeline import LogPipeline
    from components.network.base import Network
    from components.policies import Statement
    from components.storage import Storage

TASKS_SERVICE = "ecs-tasks.amazonaws.com"


class Processors(NodeComponent):
    """One entry a processor, and the roles that all of them share. Runs are kept apart by access point and secret."""

    KIND = "computenode:processors:Processors"

    def __init__(  # noqa: PLR0913 - the parts that processors touch
        self,
        name: str,
        context: NodeContext,
        *,
        network: Network,
        storage: Storage,
        encryption: Encryption,
        logs: LogPipeline,
        complete_function_arn: pulumi.Output[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(name, context, opts)
        self.task_role = self._task_role("task", task_statements(storage))
        self.execution_role = self._task_role("execution", execution_statements(context, logs))
        lambda_role = self._lambda_role(storage, complete_function_arn)
        ground = ProcessorGround(
            network=network,
            storage=storage,
            encryption=encryption,
            lambda_role=lambda_role,
            complete_function_arn=complete_function_arn,
        )
        self.entries = [
            ProcessorEntry(f"{name}-{processor.name}", context, processor=processor, ground=ground, opts=self._opts())
            for processor in context.config.processors
        ]
        self.register_outputs({"taskRoleArn": self.task_role.arn, "executionRoleArn": self.execution_role.arn})

    def _task_role(self, purpose: str, statements: list[Statement]) -> ServiceRole:
        names = self.context.names
        return ServiceRole(
            f"{self.label}-{purpose}",
            self.context,
            purpose=purpose,
            service=TASKS_SERVICE,
            statements=statements,
            conditions={
                "StringEquals": {"aws:SourceAccount": names.account},
                "ArnLike": {"aws:SourceArn": names.arn("ecs", "*")},
            },
            opts=self._opts(),
        )

    def _lambda_role(self, storage: Storage, complete_function_arn: pulumi.Output[str]) -> ServiceRole | None:
        if not any(processor.on_lambda for processor in self.context.config.processors):
            return None
        return ServiceRole(
            f"{self.label}-lambda",
            self.context,
            purpose="processor",
            service="lambda.amazonaws.com",
            statements=lambda_statements(self.context, storage, complete_function_arn),
            opts=self._opts(),
        )
