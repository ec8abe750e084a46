"""Calls that every node of a run makes several of, without the way through botocore: half of their time.

The interpreter shares its processor with the tasks that it schedules. What is left out is the wire (signing,
serialising, parsing); moto's own checks, conditions and errors are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.core.exceptions import ServiceException
from moto.dynamodb.responses import DynamoHandler
from moto.moto_api._internal import mock_random
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk import (
    StateTaskServiceAwsSdk,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_dynamodb import (
    StateTaskServiceDynamoDB,
)
from werkzeug.exceptions import HTTPException

from local.stepfunctions.copying import copy_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from botocore.exceptions import ClientError

    from local.patching import Patches
    from local.stepfunctions.tokens import Tokens

ITEM_ACTIONS = {
    "deleteItem": "delete_item",
    "getItem": "get_item",
    "putItem": "put_item",
    "updateItem": "update_item",
}
BINARY = frozenset({"B", "BS"})


class Direct:
    """DynamoDB's operations on items, and the answers to task tokens."""

    def __init__(
        self, account: str, client: Callable[[str], Any], lock: AbstractContextManager[Any], tokens: Tokens
    ) -> None:
        self._account, self._client, self._lock, self._tokens = account, client, lock, tokens

    def install(self, patches: Patches) -> None:
        """Take the short way wherever there is one."""
        for kind in (StateTaskServiceDynamoDB, StateTaskServiceAwsSdk):
            patches.replace(kind, "_eval_service_task", self._shortened(kind._eval_service_task))  # noqa: SLF001

    def _shortened(self, original: Callable[..., None]) -> Callable[..., None]:
        def evaluate(state: Any, env: Any, resource_runtime_part: Any, normalised_parameters: Any, **more: Any) -> None:
            service, action = state.resource.api_name, state.resource.api_action
            if service == "dynamodb" and action in ITEM_ACTIONS and not _has_binary(normalised_parameters):
                env.stack.append(self._item(action, resource_runtime_part.region, normalised_parameters))
            elif (service, action) == ("sfn", "sendTaskSuccess"):
                env.stack.append(self._answer(normalised_parameters))
            else:
                original(
                    state,
                    env=env,
                    resource_runtime_part=resource_runtime_part,
                    normalised_parameters=normalised_parameters,
                    **more,
                )

        return evaluate

    def _item(self, action: str, region: str, parameters: dict[str, Any]) -> dict[str, Any]:
        handler: Any = DynamoHandler()
        handler.body, handler.current_account, handler.region = parameters, self._account, region
        try:
            with self._lock:
                result = getattr(handler, ITEM_ACTIONS[action])().result
        except (HTTPException, ServiceException) as error:
            raise self._error("dynamodb", action, error) from error
        asked = parameters.get("ReturnConsumedCapacity", "NONE") != "NONE"
        kept = {"Attributes", "Item", "ItemCollectionMetrics", *(("ConsumedCapacity",) if asked else ())}
        return {key: copy_json(value) for key, value in result.items() if key in kept}

    def _answer(self, parameters: dict[str, Any]) -> dict[str, Any]:
        try:
            self._tokens.succeed(parameters["taskToken"], parameters["output"])
        except ServiceException as error:
            raise self._error("stepfunctions", "SendTaskSuccess", error) from error
        return {}

    def _error(self, service: str, action: str, error: HTTPException | ServiceException) -> ClientError:
        """The error as boto3 would have raised it."""
        kind = getattr(error, "relative_error_type", None) or str(error.code)
        message = str(getattr(error, "message", "") or error)
        answer = {
            "Error": {"Code": kind, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": 400, "RequestId": mock_random.get_random_string(52)},
        }
        raised: ClientError = self._client(service).exceptions.from_code(kind)(answer, action)
        return raised


def _has_binary(value: Any) -> bool:
    """Whether a request has binary attributes, which look otherwise on the wire."""
    if isinstance(value, dict):
        return bool(BINARY & value.keys()) or any(_has_binary(item) for item in value.values())
    return isinstance(value, list) and any(_has_binary(item) for item in value)
