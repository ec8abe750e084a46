"""`compute-node runs`: the newest runs of the node."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from cli.errors import ExitCode
from cli.view.follow import now_utc
from cli.view.run import SHORT_ID
from cli.view.table import Table
from cli.view.text import duration_text, state_word, time_text

if TYPE_CHECKING:
    from cli.context import Context
    from cli.parsers import Subparsers

STATUSES = ("QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT")
DEFAULT_LIMIT = 20
ROOM_FOR_IDS = 110


def add_parser(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "runs", parents=[common], help="list runs", description="List the node's runs, newest first."
    )
    parser.add_argument(
        "--status",
        type=lambda word: word.upper().replace("-", "_"),
        choices=STATUSES,
        metavar="STATUS",
        help=f"only those with one of: {', '.join(status.lower() for status in STATUSES)}",
    )
    parser.add_argument(
        "--limit", type=_positive, default=DEFAULT_LIMIT, metavar="N", help=f"how many ({DEFAULT_LIMIT})"
    )
    parser.set_defaults(execute=execute)


def execute(context: Context) -> ExitCode:
    """List them."""
    with context.gateway() as gateway:
        runs = list(gateway.runs(status=context.args.status, limit=context.args.limit))
    if context.screen.json_mode:
        context.screen.document({"runs": [run.raw for run in runs]})
        return ExitCode.OK
    if not runs:
        context.screen.say("no runs")
        return ExitCode.OK
    now = now_utc()
    # The beginning of an id names a run as well, and leaves a narrow terminal its columns.
    terminal = context.screen.stdout
    shown = SHORT_ID if terminal.is_terminal and terminal.width < ROOM_FOR_IDS else None
    rows = [
        (
            run.id[:shown],
            run.workflow,
            state_word(run.status),
            time_text(run.created_at),
            duration_text(run.seconds(now)),
        )
        for run in runs
    ]
    context.screen.table(Table(("run", "workflow", "status", "created", "elapsed"), rows, right=frozenset({"elapsed"})))
    return ExitCode.OK


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value
