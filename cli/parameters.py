"""`--param name=value`, `--param node.name=value` and `--compute node=type`, set against the workflow.

A value on the command line is a text; what it stands for is settled by the type that the processor declares.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.errors import UsageError
from cli.workflow import node_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cli.models import Json

BOOLEANS = {"true": True, "false": False}
KINDS = {"number": (int, float), "integer": (int,), "boolean": (bool,)}


@dataclass(frozen=True)
class Assignment:
    """One `--param`: for the whole run, or for one node of it."""

    node: str | None
    name: str
    text: str

    @property
    def spelled(self) -> str:
        """The left side as it was given."""
        return f"{self.node}.{self.name}" if self.node else self.name


def parse_assignments(given: Iterable[str], workflow: Json) -> list[Assignment]:
    """Split each `--param`; raise UsageError where there is no `=`, no such node, or the same one twice."""
    found: dict[tuple[str | None, str], Assignment] = {}
    for argument in given:
        left, equals, text = argument.partition("=")
        if not equals or not left:
            raise UsageError(f"--param {argument!r} is not name=value, nor node.name=value")
        assignment = _assignment(left, text, node_ids(workflow))
        if found.setdefault((assignment.node, assignment.name), assignment) is not assignment:
            raise UsageError(f"--param {left} is given twice")
    return list(found.values())


def _assignment(left: str, text: str, nodes: list[str]) -> Assignment:
    # A node's id may hold dots itself: the longest id that fits is meant.
    for node in sorted(nodes, key=len, reverse=True):
        if left.startswith(f"{node}.") and len(left) > len(node) + 1:
            return Assignment(node, left[len(node) + 1 :], text)
    if "." in left:
        wanted = left.rpartition(".")[0]
        raise UsageError(
            f"--param {left}: the workflow has no node {wanted!r}", details=[f"its nodes: {', '.join(nodes)}"]
        )
    return Assignment(None, left, text)


def run_parameters(assignments: Iterable[Assignment], workflow: Json, processors: Iterable[Json]) -> dict[str, Any]:
    """Return the request's `parameters`, by `name` or `node.name`, each of the type declared for it."""
    declared = {processor["name"]: processor.get("parameters") or {} for processor in processors}
    entries = (entry for entry in workflow["processors"] if isinstance(entry, dict))
    types = {entry.get("id"): declared.get(entry.get("processor"), {}) for entry in entries}
    return {given.spelled: convert(given, _declared_types(given, types)) for given in assignments}


def _declared_types(assignment: Assignment, types: Mapping[Any, Json]) -> set[str]:
    nodes = types.values() if assignment.node is None else [types.get(assignment.node, {})]
    specs = (parameters[assignment.name] for parameters in nodes if assignment.name in parameters)
    return {str(spec["type"]) for spec in specs if isinstance(spec, dict) and "type" in spec}


def convert(assignment: Assignment, declared: set[str]) -> Any:
    """Read the text as the one type declared for it; failing that, as the number or boolean that it spells."""
    text = assignment.text
    wanted = next(iter(declared)) if len(declared) == 1 else None
    if wanted == "string":
        return text
    value = _value(text)
    if wanted in KINDS and type(value) not in KINDS[wanted]:
        raise UsageError(f"--param {assignment.spelled}={text}: its processor takes the type {wanted}")
    return value


def _value(text: str) -> str | bool | int | float:
    if text.lower() in BOOLEANS:
        return BOOLEANS[text.lower()]
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float) and math.isfinite(value) else text


def parse_compute(given: Iterable[str], workflow: Json) -> dict[str, str]:
    """Read each `--compute node=type` as an entry of `computeTypeOverrides`."""
    overrides: dict[str, str] = {}
    nodes = node_ids(workflow)
    for argument in given:
        node, equals, compute = argument.partition("=")
        if not equals or not compute:
            raise UsageError(f"--compute {argument!r} is not node=ecs or node=lambda")
        if node not in nodes:
            raise UsageError(
                f"--compute {argument}: the workflow has no node {node!r}", details=[f"its nodes: {', '.join(nodes)}"]
            )
        overrides[node] = compute
    return overrides
