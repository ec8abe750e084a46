"""What a run is asked to do, made sure of: the DAG, its parameters and compute types. Pure; every mistake at once."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from handlers.errors import BadRequest

NODE_ID = re.compile(r"[A-Za-z0-9](?!.*\.\.)[A-Za-z0-9_.-]{0,63}")
MAX_NODES = 10_000  # the concurrency of a distributed Map: every node must be able to wait at once
MAX_DEGREE = 1_000  # dependencies or dependents of a node: releasing them is history of one execution
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html: all overrides with their punctuation
MAX_OVERRIDES = 8_192
NODE_KEYS = frozenset({"id", "processor", "dependsOn", "parameters", "computeType"})
WORKFLOW_KEYS = frozenset({"name", "description", "parameters", "processors"})
TYPES: dict[str, tuple[type, ...]] = {
    "number": (int, float),
    "integer": (int,),
    "string": (str,),
    "boolean": (bool,),
}
RESERVED = frozenset(
    [
        "INPUT_DIR",
        "OUTPUT_DIR",
        "EXECUTION_RUN_ID",
        "WORKFLOW_INSTANCE_ID",
        "INTEGRATION_ID",
        "SESSION_TOKEN",
        "REFRESH_TOKEN",
        "PENNSIEVE_API_HOST",
        "PENNSIEVE_API_HOST2",
        "DEPLOYMENT_MODE",
        "DATASET_ID",
        "ORGANIZATION_ID",
        "TARGET_TYPE",
        "LLM_GOVERNOR_FUNCTION",
        "LLM_RUN_TOKEN",
        "CALLBACK_TOKEN",
        "LAYERS_DIR",
        "PARAMETERS_FILE",
    ]
)
"""Names of a processor's environment that are the node's; no parameter, variable or secret may take one."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node of a run's DAG, everything settled. `position` counts in topological order."""

    id: str
    processor: str
    depends_on: tuple[str, ...]
    dependents: tuple[str, ...]
    parameters: dict[str, Any]
    compute_type: str
    position: int
    definition: Mapping[str, Any] = field(repr=False)


def resolve(request: Mapping[str, Any], processors: Mapping[str, Mapping[str, Any]]) -> list[Node]:
    """The nodes of a request's workflow in topological order.

    `processors` holds the compute node's definitions by name. Raises BadRequest with a line a mistake.
    """
    workflow = request.get("workflow")
    if not isinstance(workflow, Mapping):
        raise BadRequest("the request has no workflow", ["workflow: an object with processors is needed"])
    entries = _entries(workflow)
    mistakes = _Mistakes()
    _check_shape(workflow, entries, mistakes)
    mistakes.stop()
    _check_references(entries, processors, mistakes)
    mistakes.stop()
    order = _topological_order(entries)
    dependents = _dependents(entries, mistakes)
    compute_types = _compute_types(entries, request, processors, mistakes)
    parameters = _Parameters(request, workflow, entries, processors, mistakes).merged()
    mistakes.stop()
    by_id = {entry["id"]: entry for entry in entries}
    return [
        Node(
            id=node_id,
            processor=by_id[node_id]["processor"],
            depends_on=tuple(by_id[node_id].get("dependsOn") or ()),
            dependents=tuple(dependents[node_id]),
            parameters=parameters[node_id],
            compute_type=compute_types[node_id],
            position=position,
            definition=processors[by_id[node_id]["processor"]],
        )
        for position, node_id in enumerate(order)
    ]


class _Mistakes(list[str]):
    """Collects mistakes, so that a reader sees all of one kind at once."""

    def stop(self) -> None:
        """Raise BadRequest where there are any."""
        if self:
            many = f"{len(self)} mistakes" if len(self) > 1 else "a mistake"
            raise BadRequest(f"the workflow has {many}", self[:100])


def _entries(workflow: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    entries = workflow.get("processors")
    if not isinstance(entries, list) or not entries:
        raise BadRequest("the workflow has no processors", ["workflow.processors: a list of at least one is needed"])
    if len(entries) > MAX_NODES:
        raise BadRequest(
            "the workflow has too many nodes",
            [f"workflow.processors: {len(entries):,} nodes; at most {MAX_NODES:,} can wait for each other at once"],
        )
    return entries


def _check_shape(workflow: Mapping[str, Any], entries: Sequence[Any], mistakes: _Mistakes) -> None:
    mistakes += [
        f"workflow.{key}: unknown; allowed: {_list(WORKFLOW_KEYS)}" for key in workflow if key not in WORKFLOW_KEYS
    ]
    if not isinstance(workflow.get("parameters") or {}, Mapping):
        mistakes.append("workflow.parameters: must be an object")
    for index, entry in enumerate(entries):
        where = f"workflow.processors[{index}]"
        if isinstance(entry, Mapping):
            mistakes += _entry_faults(where, entry)
        else:
            mistakes.append(f"{where}: must be an object with id and processor")


def _entry_faults(where: str, entry: Mapping[str, Any]) -> list[str]:
    faults = [f"{where}.{key}: unknown; allowed: {_list(NODE_KEYS)}" for key in entry if key not in NODE_KEYS]
    node_id, depends_on = entry.get("id"), entry.get("dependsOn") or []
    if not isinstance(node_id, str) or not NODE_ID.fullmatch(node_id):
        faults.append(f"{where}.id: {node_id!r} is no node id: 1 to 64 letters, digits, '-', '_' and single '.'")
    if not isinstance(entry.get("processor"), str):
        faults.append(f"{where}.processor: the name of a processor is needed")
    if not isinstance(depends_on, list) or not all(isinstance(d, str) for d in depends_on):
        faults.append(f"{where}.dependsOn: must be a list of node ids")
    elif len(set(depends_on)) < len(depends_on):
        faults.append(f"{where}.dependsOn: names a node twice")
    if not isinstance(entry.get("parameters") or {}, Mapping):
        faults.append(f"{where}.parameters: must be an object")
    if entry.get("computeType") not in (None, "ecs", "lambda"):
        faults.append(f"{where}.computeType: {entry['computeType']!r}; allowed: ecs, lambda")
    return faults


def _check_references(entries: Sequence[Mapping[str, Any]], processors: Mapping[str, Any], mistakes: _Mistakes) -> None:
    ids: dict[str, int] = {}
    for index, entry in enumerate(entries):
        if (first := ids.setdefault(entry["id"], index)) != index:
            mistakes.append(f"workflow.processors[{index}].id: {entry['id']!r} is already that of [{first}]")
    for index, entry in enumerate(entries):
        where = f"workflow.processors[{index}] ({entry['id']})"
        if entry["processor"] not in processors:
            hint = _hint(entry["processor"], processors)
            mistakes.append(f"{where}: this node has no processor {entry['processor']!r}{hint}")
        for dependency in entry.get("dependsOn") or ():
            if dependency not in ids:
                mistakes.append(f"{where}: depends on {dependency!r}, which is no node{_hint(dependency, ids)}")


def _topological_order(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Node ids, dependencies first, else in the order written. Raises BadRequest naming one cycle."""
    waiting = {entry["id"]: len(entry.get("dependsOn") or ()) for entry in entries}
    dependents = _dependents(entries, _Mistakes())
    order = [node_id for node_id, count in waiting.items() if not count]
    for node_id in order:  # grows while it is walked
        for dependent in dependents[node_id]:
            waiting[dependent] -= 1
            if not waiting[dependent]:
                order.append(dependent)
    if len(order) < len(entries):
        cycle = _cycle({entry["id"]: entry.get("dependsOn") or () for entry in entries}, set(waiting) - set(order))
        raise BadRequest("the workflow is not acyclic", [f"workflow.processors: cycle {' -> '.join(cycle)}"])
    return order


def _cycle(depends_on: Mapping[str, Sequence[str]], left: set[str]) -> list[str]:
    """One cycle among the nodes that never became ready, as a path that ends where it begins."""
    node_id = min(left)
    path: dict[str, None] = {}
    while node_id not in path:
        path[node_id] = None
        node_id = next(d for d in depends_on[node_id] if d in left)
    steps = list(path)
    return [*steps[steps.index(node_id) :], node_id]


def _dependents(entries: Sequence[Mapping[str, Any]], mistakes: _Mistakes) -> dict[str, list[str]]:
    dependents: dict[str, list[str]] = {entry["id"]: [] for entry in entries}
    for index, entry in enumerate(entries):
        depends_on = entry.get("dependsOn") or ()
        for dependency in depends_on:
            dependents[dependency].append(entry["id"])
        _check_degree(f"workflow.processors[{index}] ({entry['id']})", len(depends_on), "dependencies", mistakes)
    for node_id, found in dependents.items():
        _check_degree(f"workflow.processors ({node_id})", len(found), "dependents", mistakes)
    return dependents


def _check_degree(where: str, degree: int, what: str, mistakes: _Mistakes) -> None:
    if degree > MAX_DEGREE:
        mistakes.append(f"{where}: {degree:,} {what}; at most {MAX_DEGREE:,}: gather in between")


def _compute_types(
    entries: Sequence[Mapping[str, Any]],
    request: Mapping[str, Any],
    processors: Mapping[str, Mapping[str, Any]],
    mistakes: _Mistakes,
) -> dict[str, str]:
    overrides = request.get("computeTypeOverrides") or {}
    ids = {entry["id"] for entry in entries}
    mistakes += [
        f"computeTypeOverrides.{node}: no such node{_hint(node, ids)}" for node in overrides if node not in ids
    ]
    settled = {}
    for entry in entries:
        allowed = processors[entry["processor"]]["computeTypes"]
        settled[entry["id"]] = overrides.get(entry["id"]) or entry.get("computeType") or allowed[0]
        if settled[entry["id"]] not in allowed:
            mistakes.append(
                f"{entry['id']}: processor {entry['processor']!r} does not run on {settled[entry['id']]!r}; "
                f"it runs on {_list(allowed)}"
            )
    return settled


class _Parameters:
    """Merges parameters: run (`node.name` before `name`) over node over workflow over the processor's default."""

    def __init__(
        self,
        request: Mapping[str, Any],
        workflow: Mapping[str, Any],
        entries: Sequence[Mapping[str, Any]],
        processors: Mapping[str, Mapping[str, Any]],
        mistakes: _Mistakes,
    ) -> None:
        self.run: Mapping[str, Any] = request.get("parameters") or {}
        self.workflow: Mapping[str, Any] = workflow.get("parameters") or {}
        self.entries, self.mistakes = entries, mistakes
        self.declared = {e["id"]: processors[e["processor"]].get("parameters") or {} for e in entries}

    def merged(self) -> dict[str, dict[str, Any]]:
        """By node, the value of each declared parameter."""
        self._refuse_unknown()
        return {entry["id"]: dict(self._of(entry)) for entry in self.entries}

    def _of(self, entry: Mapping[str, Any]) -> Any:
        node_id = entry["id"]
        for name, declaration in self.declared[node_id].items():
            layers = (
                (f"parameters.{node_id}.{name}", self.run, f"{node_id}.{name}"),
                (f"parameters.{name}", self.run, name),
                (f"{node_id}.parameters.{name}", entry.get("parameters") or {}, name),
                (f"workflow.parameters.{name}", self.workflow, name),
                (f"default of {name}", declaration, "default"),
            )
            where, value = next(((w, values[k]) for w, values, k in layers if values.get(k) is not None), ("", None))
            if value is None:
                self.mistakes.append(f"{node_id}: parameter {name!r} of {entry['processor']!r} is required")
            elif fault := type_fault(value, declaration["type"]):
                self.mistakes.append(f"{where}: {fault}")
            yield name, value

    def _refuse_unknown(self) -> None:
        names = {name for declared in self.declared.values() for name in declared}
        exact = {f"{node}.{name}" for node, declared in self.declared.items() for name in declared}
        for name in self.run:
            if name not in names and name not in exact:
                self.mistakes.append(
                    f"parameters.{name}: no processor of this workflow declares it{_hint(name, names)}"
                )
        for name in self.workflow:
            if name not in names:
                self.mistakes.append(f"workflow.parameters.{name}: no processor of it declares it{_hint(name, names)}")
        for entry in self.entries:
            declared = self.declared[entry["id"]]
            for name in entry.get("parameters") or {}:
                if name not in declared:
                    hint = _hint(name, declared)
                    self.mistakes.append(
                        f"{entry['id']}: processor {entry['processor']!r} has no parameter {name!r}{hint}"
                    )


def type_fault(value: Any, kind: str) -> str | None:
    """What is wrong with a parameter's value, or None."""
    fits = isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
    return None if fits else f"{json.dumps(value)} is no {kind}"


def as_text(value: Any) -> str:
    """A parameter's form in the environment: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def check_overrides(node_id: str, environment: Sequence[Mapping[str, str]]) -> None:
    """Raise BadRequest where a task's environment exceeds what overrides may hold, with the sizes."""
    overrides = {"containerOverrides": [{"name": "processor", "environment": list(environment)}]}
    size = len(json.dumps(overrides, separators=(",", ":"), ensure_ascii=False))
    if size > MAX_OVERRIDES:
        largest = max(environment, key=lambda variable: len(variable["Value"]))
        raise BadRequest(
            "parameters exceed the override limit",
            [
                f"{node_id}: its environment takes {size:,} characters as overrides, {MAX_OVERRIDES:,} are allowed",
                f"the largest is {largest['Name']} with {len(largest['Value']):,}: hand it over as an input file",
            ],
        )


def _hint(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _list(names: Collection[str]) -> str:
    return ", ".join(sorted(names))
