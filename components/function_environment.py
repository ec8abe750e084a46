"""What the node's functions find in their environment: names, never secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.functions import MOUNT_PATH

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pulumi

    from components.context import NodeContext
    from components.storage import Storage

START_DEADLINE_SECONDS = 600  # of a task whose processor does not say


def function_environment(context: NodeContext, storage: Storage) -> Mapping[str, pulumi.Input[str]]:
    """The variables that all functions have; ARNs are composed, so that no two resources need each other."""
    names, config = context.names, context.config
    return {
        "NODE_NAME": names.node,
        "DEPLOYMENT_MODE": config.mode,
        "ENVIRONMENT_TAG": config.environment,
        "RUN_TABLE": names.run_table,
        "RESULTS_BUCKET": names.results_bucket,
        "LOG_BUCKET": names.log_bucket,
        "INPUT_BUCKETS": ",".join(config.storage.input_buckets),
        "CLUSTER_ARN": names.cluster_arn,
        "STATE_MACHINE_ARN": names.state_machine_arn,
        "FILE_SYSTEM_ID": storage.file_system.id,
        "LAYERS_ACCESS_POINT_ID": storage.layers_access_point.id,
        "MOUNT_PATH": MOUNT_PATH,
        "LOG_GROUP_PREFIX": names.log_groups,
        "PROCESSOR_LOG_GROUP": names.processor_log_group,
        "RUN_SECRET_PREFIX": names.run_secrets,
        "TASK_ROLE_ARN": names.role_arn("task"),
        "EXECUTION_ROLE_ARN": names.role_arn("execution"),
        "TASK_CPU_ARCHITECTURE": config.architecture.upper(),
        "START_DEADLINE_SECONDS": str(START_DEADLINE_SECONDS),
        "FINALIZE_FUNCTION": names.function("finalize"),
        "PLATFORM_API_HOST": config.platform.host or "",
        "PLATFORM_API_HOST2": config.platform.host2 or "",
    }
