"""`compute-node processors`: what a workflow can be made of on this node."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cli.errors import ExitCode
from cli.view.table import Table

if TYPE_CHECKING:
    import argparse

    from cli.context import Context
    from cli.models import Json
    from cli.parsers import Subparsers


def add_parser(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "processors",
        parents=[common],
        help="list the node's processors and their parameters",
        description="List the node's processors and their parameters.",
    )
    parser.set_defaults(execute=execute)


def execute(context: Context) -> ExitCode:
    """List them."""
    with context.gateway() as gateway:
        processors = gateway.processors()
    if context.screen.json_mode:
        context.screen.document({"processors": processors})
        return ExitCode.OK
    if not processors:
        context.screen.say("the node has no processors (`compute-node:processors` in the stack's configuration)")
        return ExitCode.OK
    columns = ("processor", "compute", "cpu", "memory", "parameters", "description")
    context.screen.table(Table(columns, [_row(entry) for entry in processors], right=frozenset({"cpu", "memory"})))
    return ExitCode.OK


def _row(entry: Json) -> tuple[str, ...]:
    return (
        entry["name"],
        ", ".join(entry.get("computeTypes") or ()),
        str(entry.get("cpu") or ""),
        str(entry.get("memory") or ""),
        ", ".join(parameter_text(name, spec) for name, spec in (entry.get("parameters") or {}).items()),
        entry.get("description") or "",
    )


def parameter_text(name: str, spec: Json) -> str:
    """Spell a parameter: its name and type, and its default; one without a default is required."""
    kind = spec.get("type", "any")
    if spec.get("default") is None:
        return f"{name}: {kind} (required)"
    return f"{name}: {kind} = {json.dumps(spec['default'], ensure_ascii=False)}"
