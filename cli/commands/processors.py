"""`compute-node processors`: what a workflow can be made of on this node."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cli.errors import ExitCode
from cli.view.text import printable

if TYPE_CHECKING:
    import argparse

    from cli.context import Context
    from cli.models import Json
    from cli.parsers import Subparsers
    from cli.view.screen import Screen

SIZES = (("cpu", "cpu", ""), ("memory", "memory", " MiB"), ("at most", "timeoutSeconds", " s"))


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
    for entry in processors:
        _describe(context.screen, entry)
    return ExitCode.OK


def _describe(screen: Screen, entry: Json) -> None:
    screen.say(printable(entry["name"]), style="bold")
    if entry.get("description"):
        screen.say(f"  {printable(entry['description'])}")
    sizes = [f"{name} {entry[key]}{unit}" for name, key, unit in SIZES if entry.get(key)]
    screen.say(f"  on {', '.join(entry.get('computeTypes') or ['?'])}; {', '.join(sizes)}")
    parameters = entry.get("parameters") or {}
    texts = {name: parameter_text(name, spec) for name, spec in parameters.items()}
    width = max(map(len, texts.values()), default=0)
    for name, text in texts.items():
        said = printable(f"{text:<{width}}  {parameters[name].get('description') or ''}".rstrip())
        screen.say(f"    {said}")


def parameter_text(name: str, spec: Json) -> str:
    """Spell a parameter: its name and type, and its default; one without a default is required."""
    kind = spec.get("type", "any")
    if spec.get("default") is None:
        return f"{name}: {kind} (required)"
    return f"{name}: {kind} = {json.dumps(spec['default'], ensure_ascii=False)}"
