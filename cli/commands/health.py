"""`compute-node health`: the node's own account of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.errors import ExitCode
from cli.view.table import Table
from cli.view.text import count_text, size_text

if TYPE_CHECKING:
    import argparse

    from cli.context import Context
    from cli.parsers import Subparsers

HEALTHY = "HEALTHY"


def add_parser(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "health",
        parents=[common],
        help="show the node's health",
        description="Show the node's health. The exit code is 0 only where it is HEALTHY.",
    )
    parser.set_defaults(execute=execute)


def execute(context: Context) -> ExitCode:
    """Show it."""
    with context.gateway() as gateway:
        url = gateway.target.url
        health = gateway.health()
    status = str(health.get("status") or "UNKNOWN")
    code = ExitCode.OK if status == HEALTHY else ExitCode.COMMAND_FAILED
    if context.screen.json_mode:
        context.screen.document(health)
        return code
    resources = health.get("resources") or {}
    active = resources.get("sfnActiveExecutions")
    context.screen.say(f"{url} is {status.lower()}", style="green" if status == HEALTHY else "bold yellow")
    if active is not None:
        context.screen.say(f"{count_text(int(active), 'active run')}")
    for layer in resources.get("efsLayers") or []:
        files = count_text(int(layer.get("fileCount") or 0), "file")
        context.screen.say(f"layer {layer.get('name')}: {files}, {size_text(int(layer.get('sizeBytes') or 0))}")
    issues = health.get("issues") or []
    if issues:
        rows = [(str(i.get("component")), str(i.get("status", "")).lower(), str(i.get("message", ""))) for i in issues]
        context.screen.table(Table(("component", "status", "message"), rows))
    return code
