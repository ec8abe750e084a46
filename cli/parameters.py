"""`--param name=value`, `--param node.name=value` and `--compute node=type`, set against the workflow.

A value on the command line is a text; what it stands for is settled by the type that the processor declares.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.errors import UsageError
from cli.workflow import node_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cli.models import Json

BOOLEANS = {"true": True, "false": False}
PARSED = {"number": (int, float), "integer": (int,), "array": (list,), "object": (dict,)}


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


def apply_parameters(
    workflow: Json, assignments: Iterable[Assignment], processors: Iterable[Json]
) -> tuple[Json, dict[str, Any]]:
    """Put the nodes' parameters into a copy of the workflow; return it and the run's own parameters.

    On the node the run's value outweighs a node's; on this command line the more precise `node.name` is to hold.
    So a name that is given both ways is handed to each node by itself.
    """
    result = copy.deepcopy(workflow)
    entries = _entries(result)
    declared = {processor["name"]: processor.get("parameters") or {} for processor in processors}
    types = {node: declared.get(entry.get("processor"), {}) for node, entry in entries.items()}
    values = [(given, convert(given, _declared_types(given, types))) for given in assignments]
    precise = {given.name for given, _ in values if given.node is not None}
    own: dict[str, Any] = {}
    # The run's come first, so that a node's own value replaces them.
    for given, value in sorted(values, key=lambda pair: pair[0].node is not None):
        if given.node is None and given.name not in precise:
            own[given.name] = value
            continue
        nodes = [given.node] if given.node else [node for node in entries if given.name in types[node]]
        for node in nodes:
            entries[node]["parameters"] = {**(entries[node].get("parameters") or {}), given.name: value}
    return result, own


def _entries(workflow: Json) -> dict[str, Json]:
    """List the workflow's nodes by id; what is no node is the gateway's to refuse."""
    entries = (entry for entry in workflow["processors"] if isinstance(entry, dict))
    return {entry["id"]: entry for entry in entries if isinstance(entry.get("id"), str)}


def _declared_types(assignment: Assignment, types: Mapping[str, Json]) -> set[str]:
    nodes = types.values() if assignment.node is None else [types.get(assignment.node, {})]
    specs = (parameters[assignment.name] for parameters in nodes if assignment.name in parameters)
    return {str(spec["type"]) for spec in specs if isinstance(spec, dict) and "type" in spec}


def convert(assignment: Assignment, declared: set[str]) -> Any:
    """Read the text as the one type declared for it; where none is, or several are, as JSON if it is JSON."""
    text = assignment.text
    if declared == {"string"}:
        return text
    if declared == {"boolean"}:
        if text.lower() not in BOOLEANS:
            raise UsageError(f"--param {assignment.spelled}={text}: a boolean is true or false")
        return BOOLEANS[text.lower()]
    value = _json_or_text(text)
    wanted = next(iter(declared)) if len(declared) == 1 else None
    if wanted in PARSED and (not isinstance(value, PARSED[wanted]) or isinstance(value, bool)):
        raise UsageError(f"--param {assignment.spelled}={text}: not a JSON {wanted}, which the processor declares")
    return value


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        return text


def _refuse(constant: str) -> None:
    """Leave NaN and Infinity texts: JSON has no such numbers."""
    raise ValueError(constant)


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
