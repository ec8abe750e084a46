"""A stack's configuration as the engine hands it to the program."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from local.provider.mocks import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class StackConfig:
    """The project's name and the values of one stack, each as text under its full key."""

    project: str
    stack: str
    values: Mapping[str, str]


def load(program: Path, stack: str, overrides: Mapping[str, str] | None = None) -> StackConfig:
    """Read the project's defaults and the stack's file; `overrides` win over both.

    Keys without a namespace are the project's. Raises DeploymentError for a stack that has no file, or for a value
    that only the engine could decrypt and no override gives.
    """
    project = _document(program / "Pulumi.yaml")
    name = str(project["name"])
    file = program / f"Pulumi.{stack}.yaml"
    if not file.is_file():
        there = sorted(path.name.split(".")[1] for path in program.glob("Pulumi.*.yaml"))
        raise DeploymentError(
            f"stack {stack!r} has no {file.name} in {program}; there are {', '.join(there) or 'none'}"
        )
    sources = (_defaults(project), _document(file).get("config") or {}, overrides or {})
    values = {key if ":" in key else f"{name}:{key}": value for source in sources for key, value in source.items()}
    if sealed := sorted(key for key, value in values.items() if isinstance(value, dict) and set(value) == {"secure"}):
        raise DeploymentError(
            "\n".join(f"{key}: is encrypted for Pulumi's engine; give its value to the embedded node" for key in sealed)
        )
    return StackConfig(name, stack, {key: _text(value) for key, value in values.items()})


def _defaults(project: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for key, entry in (project.get("config") or {}).items():
        value = entry.get("value", entry.get("default")) if isinstance(entry, dict) else entry
        if value is not None:
            found[key] = value
    return found


def _document(path: Path) -> dict[str, Any]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise DeploymentError(f"{path}: not a mapping of keys to values")
    return document


def _text(value: Any) -> str:
    """As the engine writes a value: texts as they are, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
