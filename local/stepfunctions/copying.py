"""Copies of JSON values. moto copies each state's input several times with `copy.deepcopy`, ten times slower."""

from __future__ import annotations

import copy
from typing import Any

from moto.stepfunctions.parser.asl.eval.program_state import ProgramState


def copy_json(value: Any) -> Any:
    """A deep copy of a JSON value; what is none is copied as `copy.deepcopy` does."""
    kind = type(value)
    if kind is dict:
        return {key: copy_json(item) for key, item in value.items()}
    if kind is list:
        return [copy_json(item) for item in value]
    if kind in (str, int, float, bool, type(None)):
        return value
    # What a program state holds is never changed in place.
    return copy.copy(value) if isinstance(value, ProgramState) else copy.deepcopy(value)


class CopyModule:
    """Stands for the `copy` module where moto copies JSON."""

    deepcopy = staticmethod(copy_json)
    copy = staticmethod(copy.copy)
