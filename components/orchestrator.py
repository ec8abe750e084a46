"""What carries a run: the state machine, the functions around it, the cluster, and what watches over them."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_aws as aws

from components.base import NodeComponent
from components.function_plan import Plan
from components.functions import FunctionBase, NodeFunction
from components.orchestrator_access import state_machine_statements
from components.roles import ServiceRole
from components.state_machine import definition

if TYPE_CHECKING:
    from collections.abc import Mapping

    from components.context import NodeContext
    from components.encryption import Encryption
    from components.log_pipeline import LogPipeline
    from components.network.base import Network
    from components.storage import Storage

SWEEPS = {"starts": "rate(1 minute)", "orphans": "rate(15 minutes)"}  # what the reaper looks for, and how often


class Orchestrator(NodeComponent):
    """State machine, functions, cluster, rule and schedules. The gateway, which starts runs, is not part of it."""

    KIND = "computenode:orchestration:Orchestrator"

    def __init__(  # noqa: PLR0913 - the parts that a run touches
        self,
        name: str,
        context: NodeContext,
        *,
        network: Network,
        storage: Storage,
        logs: LogPipeline,
        functions: FunctionBase,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(name, context, opts)
        self.functions = {
            spec.role: NodeFunction(f"{name}-{spec.role}", context, spec=spec, base=functions, opts=self._opts())
            for spec in Plan(context=context, storage=storage).specs()
        }
        self.cluster = self._cluster()
        self.definition = self._definition(network, storage)
        self.definition_sha256 = self.definition.apply(lambda text: hashlib.sha256(text.encode()).hexdigest())
        self.state_machine = self._state_machine(storage, logs, functions.encryption)
        self._close_what_is_stopped()
        for sweep, rate in SWEEPS.items():
            self._schedule(sweep, rate)
        self.register_outputs({"stateMachineArn": self.state_machine.arn, "clusterArn": self.cluster.arn})

    def _cluster(self) -> aws.ecs.Cluster:
        cluster = aws.ecs.Cluster(
            f"{self.label}-cluster",
            name=self.context.names.cluster,
            settings=[aws.ecs.ClusterSettingArgs(name="containerInsights", value="disabled")],
            opts=self._opts(),
        )
        aws.ecs.ClusterCapacityProviders(
            f"{self.label}-capacity", cluster_name=cluster.name, capacity_providers=["FARGATE"], opts=self._opts()
        )
        return cluster

    def _definition(self, network: Network, storage: Storage) -> pulumi.Output[str]:
        return pulumi.Output.all(
            subnet_ids=list(network.subnet_ids),
            security_group_id=network.groups.processors.id,
            file_system_id=storage.file_system.id,
            layers_access_point_id=storage.layers_access_point.id,
        ).apply(lambda made: definition(self._variables(network, made)))

    def _variables(self, network: Network, made: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the definition's variables. Function ARNs go by role: `InitializeFunctionArn`."""
        names, config = self.context.names, self.context.config
        functions = {f"{role.capitalize()}FunctionArn": names.function_arn(role) for role in self.functions}
        return {
            **functions,
            "NodeName": names.node,
            "Region": names.region,
            "RunTable": names.run_table,
            "ResultsBucket": names.results_bucket,
            "ClusterArn": names.cluster_arn,
            "StateMachineArn": names.state_machine_arn,
            "FileSystemId": made["file_system_id"],
            "LayersAccessPointId": made["layers_access_point_id"],
            "SubnetIds": made["subnet_ids"],
            "SecurityGroupId": made["security_group_id"],
            "AssignPublicIp": "ENABLED" if network.assign_public_ip else "DISABLED",
            "TaskRoleArn": names.role_arn("task"),
            "ExecutionRoleArn": names.role_arn("execution"),
            "ProcessorLogGroup": names.processor_log_group,
            "RunSecretPrefix": names.run_secrets,
            "CpuArchitecture": config.architecture.upper(),
            "EnvironmentTag": config.environment,
        }

    def _state_machine(self, storage: Storage, logs: LogPipeline, encryption: Encryption) -> aws.sfn.StateMachine:
        names = self.context.names
        role = ServiceRole(
            f"{self.label}-state-machine-access",
            self.context,
            purpose="state-machine",
            service="states.amazonaws.com",
            statements=state_machine_statements(self.context, tuple(self.functions), storage.file_system.arn),
            conditions={
                "StringEquals": {"aws:SourceAccount": names.account},
                "ArnLike": {"aws:SourceArn": [names.state_machine_arn, f"{names.state_machine_arn}/*"]},
            },
            opts=self._opts(),
        )
        return aws.sfn.StateMachine(
            f"{self.label}-state-machine",
            name=names.state_machine,
            type="STANDARD",
            role_arn=role.arn,
            definition=self.definition,
            encryption_configuration=encryption.state_machine,
            logging_configuration=aws.sfn.StateMachineLoggingConfigurationArgs(
                level="ALL",
                include_execution_data=False,
                log_destination=pulumi.Output.concat(logs.state_machine.arn, ":*"),
            ),
            # Step Functions tries the log destination when the state machine is made.
            opts=self._opts(depends_on=[role.policy, *(function.function for function in self.functions.values())]),
        )

    def _close_what_is_stopped(self) -> None:
        """An execution that is stopped, times out or fails runs none of its own states any more."""
        pattern = {
            "source": ["aws.states"],
            "detail-type": ["Step Functions Execution Status Change"],
            "detail": {
                "stateMachineArn": [self.context.names.state_machine_arn],
                "status": ["ABORTED", "TIMED_OUT", "FAILED"],
            },
        }
        rule = aws.cloudwatch.EventRule(
            f"{self.label}-stopped",
            name=f"{self.context.names.node}-stopped",
            description="executions that ended without running their last states",
            event_pattern=json.dumps(pattern),
            opts=self._opts(),
        )
        self._send("stopped", rule, self.functions["close"])

    def _schedule(self, sweep: str, rate: str) -> None:
        rule = aws.cloudwatch.EventRule(
            f"{self.label}-sweep-{sweep}",
            name=f"{self.context.names.node}-sweep-{sweep}",
            description=f"the reaper's sweep for {sweep}",
            schedule_expression=rate,
            opts=self._opts(),
        )
        self._send(f"sweep-{sweep}", rule, self.functions["reaper"], json.dumps({"sweep": sweep}))

    def _send(self, what: str, rule: aws.cloudwatch.EventRule, to: NodeFunction, message: str | None = None) -> None:
        """Let a rule invoke a function, with its event or a fixed message."""
        permission = aws.lambda_.Permission(
            f"{self.label}-{what}-permission",
            action="lambda:InvokeFunction",
            function=to.function.name,
            principal="events.amazonaws.com",
            source_arn=rule.arn,
            opts=self._opts(),
        )
        aws.cloudwatch.EventTarget(
            f"{self.label}-{what}-target",
            rule=rule.name,
            target_id=what,
            arn=to.arn,
            input=message,
            opts=self._opts(depends_on=[permission]),
        )
