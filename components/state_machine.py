"""Puts the node's names into the state machine's definition, which is an ASL file with variables."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFINITION = Path(__file__).with_name("state_machine.asl.json")
NODE_DEFINITION = Path(__file__).with_name("node.asl.json")
NODE_VARIABLE = "NodeProcessor"
INCLUDE = "Include"  # the inline and the distributed Map run the same states, written once
VARIABLE = re.compile(r"\$\{(\w+)\}")


def definition(values: Mapping[str, object]) -> str:
    """The definition as JSON. A text that is one variable takes the value's own type.

    Raises KeyError naming a variable without a value.
    """
    node = json.loads(NODE_DEFINITION.read_text())
    machine = json.loads(DEFINITION.read_text())
    return json.dumps(substitute(machine, {**values, NODE_VARIABLE: substitute(node, values)}), indent=1)


def substitute(value: object, values: Mapping[str, object]) -> object:
    """The JSON value with every `${Name}` in its texts replaced, and what a key "Include" names put in its place."""
    if isinstance(value, dict) and INCLUDE in value:
        included = substitute(value[INCLUDE], values)
        if not isinstance(included, dict):
            raise TypeError(f"{value[INCLUDE]} is included, but is no JSON object")
        return {**{key: substitute(item, values) for key, item in value.items() if key != INCLUDE}, **included}
    if isinstance(value, dict):
        return {key: substitute(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [substitute(item, values) for item in value]
    if not isinstance(value, str):
        return value
    if whole := VARIABLE.fullmatch(value):
        return _value(whole[1], values)
    return VARIABLE.sub(lambda match: str(_value(match[1], values)), value)


def variables(value: object) -> set[str]:
    """The names of the variables in a JSON value's texts."""
    return set(VARIABLE.findall(json.dumps(value)))


def _value(name: str, values: Mapping[str, object]) -> object:
    if name not in values:
        raise KeyError(f"the state machine's variable ${{{name}}} has no value; there are {', '.join(sorted(values))}")
    return values[name]
