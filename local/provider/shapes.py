"""Turns Pulumi's properties into parameters of an operation, by the operation's own shapes.

Pulumi's names are AWS's in camelCase, save where the bridge counts otherwise (a list of at most one is a single object,
`rule` is `rules`) or a table renames. What the shape does not have is an error, not a parameter that gets lost.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape

from local.provider.model import ProviderError

if TYPE_CHECKING:
    from collections.abc import Mapping

Renames = dict[str, str]


def convert(value: Any, shape: Shape, path: str, renames: Renames) -> Any:
    """`value` as the parameter `shape` wants it. Raises ProviderError naming the property that it has no place for."""
    if isinstance(shape, StructureShape):
        return _structure(value, shape, path, renames)
    if isinstance(shape, ListShape):
        return _list(value, shape, path, renames)
    if isinstance(shape, MapShape):
        return {key: convert(item, shape.value, f"{path}.{key}", renames) for key, item in value.items()}
    if isinstance(shape, StringShape) and not isinstance(value, str):
        return json.dumps(value)  # policies may be given as objects
    return value


def place(parameters: dict[str, Any], target: str, value: Any) -> None:
    """Set a parameter by its path: `A.B` is member B of A."""
    *parents, last = target.split(".")
    for parent in parents:
        parameters = parameters.setdefault(parent, {})
    parameters[last] = value


def member(shape: StructureShape, target: str) -> Shape:
    """The shape at a path of a structure."""
    current: Shape = shape
    for name in target.split("."):
        if not isinstance(current, StructureShape) or name not in current.members:
            raise ProviderError(f"{shape.name} has no parameter {target}")
        current = current.members[name]
    return current


def _structure(value: Any, shape: StructureShape, path: str, renames: Renames) -> Any:
    if isinstance(value, list):
        if len(value) != 1:
            raise ProviderError(f"{path}: {len(value)} given where {shape.name} is one")
        value = value[0]
    names = {_bare(name): name for name in shape.members}
    converted = {}
    for key, item in value.items():
        here = f"{path}.{key}"
        name = renames.get(here) or names.get(_bare(key))
        if name is None:
            raise ProviderError(f"{here}: {shape.name} has no such member, only {', '.join(sorted(shape.members))}")
        converted[name] = convert(item, shape.members[name], here, renames)
    return converted


def _list(value: Any, shape: ListShape, path: str, renames: Renames) -> list[Any]:
    inner: Shape = shape.member
    if isinstance(value, dict) and (pair := _pair(inner)):
        key_name, value_name = pair
        return [{key_name: key, value_name: item} for key, item in value.items()]
    items = value if isinstance(value, list) else [value]
    return [convert(item, inner, path, renames) for item in items]


def _pair(shape: Shape) -> tuple[str, str] | None:
    """The names that a tag's key and value go by, or None where the shape is no tag."""
    names: Mapping[str, str] = {_bare(name): name for name in getattr(shape, "members", {})}
    return (names["key"], names["value"]) if set(names) == {"key", "value"} else None


def _bare(name: str) -> str:
    return name.replace("_", "").lower()
