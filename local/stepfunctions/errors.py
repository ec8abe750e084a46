"""Names of errors: those of AWS's services, and Step Functions' own where moto has no place for them.

moto knows the prefixes of two services and calls any error of Lambda's own `Exception`. It takes an error that fails an
iteration or a branch for the definition's own, whose name may not begin with `States.`: a task that fails with
`States.TaskFailed` in a map fails the map with another error.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import iteration_worker
from moto.stepfunctions.parser.asl.component.state.exec.state_parallel import branches_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_task.lambda_eval_utils import LambdaFunctionErrorException
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk import (
    StateTaskServiceAwsSdk,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_lambda import (
    StateTaskServiceLambda,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.state_task_lambda import StateTaskLambda
from moto.stepfunctions.parser.asl.component.state.fail import state_fail

if TYPE_CHECKING:
    from collections.abc import Callable

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
    for module in (iteration_worker, branches_decl, state_fail):
        patches.replace(module, "CustomErrorName", named)
    patches.replace(StateTaskServiceAwsSdk, "_normalise_service_error_name", staticmethod(_prefix))
    for kind in (StateTaskLambda, StateTaskServiceLambda):
        patches.replace(kind, "_from_error", _of_function(kind._from_error))  # noqa: SLF001


def _of_function(original: Callable[..., FailureEvent]) -> Callable[..., FailureEvent]:
    """Lambda's own errors by their names, and `Lambda.Unknown` for a function that ended without a word.

    https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
    """

    def from_error(state: Any, env: Any, ex: Exception) -> FailureEvent:
        if isinstance(ex, ClientError):
            code, message = ex.response["Error"]["Code"], ex.response["Error"]["Message"]
            suffix = "" if code.endswith("Exception") else "Exception"
            return _failed(original(state, env, ex), env, f"Lambda.{code}{suffix}", message)
        if isinstance(ex, LambdaFunctionErrorException) and not _error_type(ex.payload):
            return _failed(original(state, env, ex), env, "Lambda.Unknown", ex.payload)
        return original(state, env, ex)

    return from_error


def _error_type(payload: str) -> object:
    try:
        found = json.loads(payload)
    except ValueError:
        return None
    return found.get("errorType") if isinstance(found, dict) else None


def _failed(event: FailureEvent, env: Any, error: str, cause: str) -> FailureEvent:
    told: dict[str, Any] = dict(event.event_details or {})
    details: Any = {key: {**value, "error": error, "cause": cause} for key, value in told.items()}
    return FailureEvent(env=env, error_name=named(error), event_type=event.event_type, event_details=details)


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
