"""`compute-node cancel`: stop a run; the node cleans up after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.errors import ExitCode
from cli.lookup import find_run

if TYPE_CHECKING:
    import argparse

    from cli.context import Context
    from cli.parsers import Subparsers


def add_parser(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "cancel",
        parents=[common],
        help="cancel a run",
        description="Cancel a run: its processors are stopped, and its files and credentials removed.",
    )
    parser.add_argument("run", metavar="RUN", help="the run's id, its beginning, or `latest`")
    parser.set_defaults(execute=execute)


def execute(context: Context) -> ExitCode:
    """Cancel it."""
    with context.gateway() as gateway:
        run_id = find_run(gateway, context.args.run)
        answer = gateway.cancel(run_id)
    context.screen.say(f"run {run_id} is being cancelled")
    context.screen.note(f"its end: compute-node status {run_id} --follow")
    if context.screen.json_mode:
        context.screen.document(answer)
    return ExitCode.OK
