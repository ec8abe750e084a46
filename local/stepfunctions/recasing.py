"""Parameters and results of service integrations in PascalCase, as Step Functions spells them.

moto hands parameters to boto3 as they stand in the definition and returns what boto3 returns. AWS's rules, by the
shapes of the operation: a name begins with a capital (`family` is `Family`), a leading acronym is one word
(`SSESpecification` is `SseSpecification`, `BOOL` is `Bool`), the rest of the name stays. A name that the operation has
not is refused.
"""

from __future__ import annotations

import base64
import functools
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape
from botocore.response import StreamingBody
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk import (
    StateTaskServiceAwsSdk,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_ecs import (
    StateTaskServiceEcs,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.patching import Patches

SERVICES = {"sfn": "stepfunctions", "states": "stepfunctions"}


def pascal(name: str) -> str:
    """A member's name as Step Functions spells it: its leading capitals count as one word."""
    end = 1
    while end < len(name) and name[end].isupper() and not (end + 1 < len(name) and name[end + 1].islower()):
        end += 1
    return name[0].upper() + name[1:end].lower() + name[end:]


def to_request(value: Any, shape: Shape, path: str = "") -> Any:
    """The parameter as boto3 takes it. Raises ValueError naming a parameter that the operation does not have."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        return {
            name: to_request(item, shape.members[name], f"{path}.{key}".lstrip("."))
            for key, item in value.items()
            for name in [_member(shape, key, path)]
        }
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [to_request(item, shape.member, path) for item in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: to_request(item, shape.value, f"{path}.{key}") for key, item in value.items()}
    if isinstance(shape, StringShape) and not isinstance(value, str):
        return json.dumps(value, separators=(",", ":"))
    if shape.type_name == "blob" and not isinstance(value, bytes):
        return json.dumps(value, separators=(",", ":")).encode()
    return value


def from_response(value: Any, shape: Shape | None, *, epoch: bool = False) -> Any:
    """The result as Step Functions shows it; `epoch`: times in milliseconds rather than as text."""
    if isinstance(value, dict):
        if isinstance(shape, StructureShape):
            members = shape.members
            return {pascal(key): from_response(item, members.get(key), epoch=epoch) for key, item in value.items()}
        inner = shape.value if isinstance(shape, MapShape) else None
        return {key: from_response(item, inner, epoch=epoch) for key, item in value.items()}
    if isinstance(value, list):
        inner = shape.member if isinstance(shape, ListShape) else None
        return [from_response(item, inner, epoch=epoch) for item in value]
    return _scalar(value, epoch=epoch)


def _scalar(value: Any, *, epoch: bool) -> Any:
    if isinstance(value, datetime):
        utc = value.astimezone(UTC)
        return round(utc.timestamp() * 1000) if epoch else utc.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    if isinstance(value, StreamingBody):
        return value.read().decode()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, set):
        return sorted(value)
    return value


def _member(shape: StructureShape, key: str, path: str) -> str:
    if name := _names(shape).get(key):
        return name
    # An acronym within a name is spelled either way in AWS's own examples.
    loose = {spelled.lower(): name for spelled, name in _names(shape).items()}
    if key[:1].isupper() and key not in shape.members and (name := loose.get(key.lower())):
        return name
    where = f"{path}.{key}".lstrip(".")
    raise ValueError(f"The field {where!r} is not supported by Step Functions: {', '.join(sorted(_names(shape)))} are")


@functools.lru_cache(maxsize=1024)
def _names(shape: StructureShape) -> dict[str, str]:
    return {pascal(name): name for name in shape.members}


def install(patches: Patches, client: Callable[[str], Any]) -> None:
    """Recase what the `aws-sdk:` and `ecs:` integrations send and receive."""

    @functools.cache
    def operation(service: str, action: str) -> Any:
        return client(service).meta.service_model.operation_model(action[0].upper() + action[1:])

    def model(self: Any) -> Any:
        return operation(SERVICES.get(self.resource.api_name, self.resource.api_name), self.resource.api_action)

    def normalise_parameters(self: Any, parameters: dict[str, Any], *_: Any, **__: Any) -> None:
        converted = to_request(parameters, model(self).input_shape)
        parameters.clear()
        parameters.update(converted)

    def normalise_response(self: Any, response: Any, *_: Any, **__: Any) -> None:
        epoch = isinstance(self, StateTaskServiceEcs)
        converted = from_response(response, model(self).output_shape, epoch=epoch)
        response.clear()
        response.update(converted)

    for kind in (StateTaskServiceAwsSdk, StateTaskServiceEcs):
        patches.replace(kind, "_normalise_parameters", normalise_parameters)
        patches.replace(kind, "_normalise_response", normalise_response)
