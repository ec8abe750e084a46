"""Names of errors: those of AWS's services, and Step Functions' own where moto has no place for them.

moto knows the prefixes of two services, and takes an error that fails an iteration or a branch for the definition's
own, whose name may not begin with `States.`: a task that fails with `States.TaskFailed` in a map
fails it with another error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import iteration_worker
from moto.stepfunctions.parser.asl.component.state.exec.state_parallel import branches_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk import (
    StateTaskServiceAwsSdk,
)

if TYPE_CHECKING:
    from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName

    from local.patching import Patches

# As the Java SDK names its classes, whose exceptions Step Functions shows: `DynamoDb.ConditionalCheckFailedException`.
PREFIXES = {
    "dynamodb": "DynamoDb",
    "ec2": "Ec2",
    "ecs": "Ecs",
    "efs": "Efs",
    "lambda": "Lambda",
    "s3": "S3",
    "secretsmanager": "SecretsManager",
    "sfn": "Sfn",
}


def install(patches: Patches) -> None:
    """Correct the names."""
    for module in (iteration_worker, branches_decl):
        patches.replace(module, "CustomErrorName", named)
    patches.replace(StateTaskServiceAwsSdk, "_normalise_service_error_name", staticmethod(_prefix))


def named(error_name: str | None) -> ErrorName:
    """The error of that name, Step Functions' own or another."""
    if error_name in {kind.to_name() for kind in StatesErrorNameType}:
        return StatesErrorName(typ=StatesErrorNameType.from_name(error_name))
    return CustomErrorName(error_name=error_name)


def _prefix(service_name: str) -> str:
    """Raises ValueError for a service whose errors nobody looked up."""
    if prefix := PREFIXES.get(service_name.lower()):
        return prefix
    raise ValueError(f"aws-sdk:{service_name}: how its errors are named is not known here")
