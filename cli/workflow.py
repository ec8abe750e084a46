"""A workflow file: the `workflow` object of `POST /runs`, as YAML (or JSON, which is YAML too)."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import yaml

from cli.errors import CliError

if TYPE_CHECKING:
    from pathlib import Path

    from cli.models import Json

# What YAML 1.2 takes for other than text. PyYAML's 1.1 reads NO as false, 1:30 as 90, 010 as 8, and 1e-3 as text.
SCALARS = {
    "bool": (re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    "int": (re.compile(r"^[-+]?(0|[1-9]\d*)$|^0x[0-9a-fA-F]+$"), "-+0123456789"),
    "float": (
        re.compile(r"^[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"),
        "-+0123456789.",
    ),
}
KEPT = {f"tag:yaml.org,2002:{name}" for name in ("null", "merge")}


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's scalars, without dates (JSON has none) and without silently repeated keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                continue
            if key in seen and key != "<<":
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in KEPT]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, (_pattern, _first) in SCALARS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", _pattern, list(_first))


def load_workflow(path: Path) -> Json:
    """Read a workflow file; raise CliError telling file, line and what is wrong. The gateway checks the DAG itself."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise CliError(f"there is no workflow file {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"the workflow file {path} cannot be read: {error}") from error
    loaded = parse_yaml(text, str(path))
    if not isinstance(loaded, dict) or not isinstance(loaded.get("processors"), list):
        raise CliError(
            f"{path} is not a workflow: it has no list `processors` at its top",
            hint="a workflow has name, parameters and processors, each with id, processor and dependsOn",
        )
    for place, value in _misfits(loaded, ""):
        raise CliError(f"{path}: {place} is {value!r}, which JSON cannot carry")
    return loaded


def node_ids(workflow: Json) -> list[str]:
    """List the ids of a workflow's nodes, as far as they are texts."""
    entries = (entry for entry in workflow["processors"] if isinstance(entry, dict))
    return [entry["id"] for entry in entries if isinstance(entry.get("id"), str)]


def parse_yaml(text: str, origin: str) -> Any:
    """Parse YAML with JSON's types; raise CliError with origin, line and column."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{origin}:{mark.line + 1}:{mark.column + 1}" if mark else origin
        raise CliError(f"{place}: not valid YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise CliError(f"{origin}: not valid YAML: {error}") from error


def _misfits(value: Any, place: str) -> list[tuple[str, Any]]:
    """List the values that JSON cannot carry, with their places."""
    if isinstance(value, dict):
        wrong_keys = [(f"a key of {place or 'the top'}", key) for key in value if not isinstance(key, str)]
        inner = [misfit for key, item in value.items() for misfit in _misfits(item, f"{place}.{key}".lstrip("."))]
        return wrong_keys + inner
    if isinstance(value, list):
        return [misfit for index, item in enumerate(value) for misfit in _misfits(item, f"{place}[{index}]")]
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return []
    return [(place, value)]
