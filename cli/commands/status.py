"""`compute-node status`: one run, processor by processor; `--follow` shows it to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.commands.following import error_lines, follow, report_end
from cli.errors import ExitCode
from cli.lookup import LATEST, find_run
from cli.view.follow import now_utc
from cli.view.run import node_detail
from cli.view.table import Table
from cli.view.text import duration_text, printable, state_word, time_text

if TYPE_CHECKING:
    import argparse

    from cli.context import Context
    from cli.models import Run
    from cli.parsers import Subparsers
    from cli.view.screen import Screen


def add_parser(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "status",
        parents=[common],
        help="show a run, processor by processor",
        description="Show a run, processor by processor. With --follow the exit code tells how the run ended.",
    )
    parser.add_argument("run", metavar="RUN", nargs="?", default=LATEST, help="the run; by default the latest")
    parser.add_argument("--follow", action="store_true", help="go on showing it until it ends")
    parser.set_defaults(execute=execute)


def execute(context: Context) -> ExitCode:
    """Show the run as it is, or to its end."""
    screen = context.screen
    with context.gateway() as gateway:
        run_id = find_run(gateway, context.args.run)
        if context.args.follow:
            run = follow(context, gateway, run_id)
            report_end(context, gateway, run)
        else:
            run = gateway.run(run_id)
            show_status(screen, run)
    if screen.json_mode:
        screen.document(run.raw)
    return run.exit_code if context.args.follow else ExitCode.OK


def show_status(screen: Screen, run: Run) -> None:
    """Print the run's facts, its nodes and its error."""
    now = now_utc()
    state = state_word(run.status) + (f" ({run.phase.lower()})" if run.phase and not run.settled else "")
    facts = {
        "run": run.id,
        "workflow": run.workflow,
        "instance": run.instance,
        "status": state,
        "created": time_text(run.created_at),
        "elapsed": duration_text(run.seconds(now)),
    }
    for name, value in facts.items():
        if value:
            screen.say(f"{name:<9} {printable(value)}")
    if run.error:
        for index, line in enumerate(error_lines(run)):
            screen.say(f"{'' if index else 'error':<9} {line}")
    if run.nodes:
        screen.say()
        rows = [
            (
                node.id,
                node.processor,
                node.compute,
                state_word(node.status),
                duration_text(node.seconds(now)),
                node_detail(node),
            )
            for node in run.nodes
        ]
        columns = ("node", "processor", "compute", "state", "time", "detail")
        screen.table(Table(columns, rows, right=frozenset({"time"})))
