"""What `run`, `status --follow` and `demo` share: following a run, and telling how it ended."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from cli.errors import CliError, ExitCode, UnreachableError
from cli.follow import snapshots
from cli.logs import log_events
from cli.view.follow import now_utc, show_run
from cli.view.lines import outcome_line
from cli.view.text import printable

if TYPE_CHECKING:
    from cli.client import Gateway
    from cli.context import Context
    from cli.models import Node, Run

TOLD_NODES = 3
TOLD_LINES = 10


class DetachedError(CliError):
    """Ctrl-C while following: the run goes on without the reader."""

    exit_code = ExitCode.INTERRUPTED


def follow(context: Context, gateway: Gateway, run_id: str) -> Run:
    """Show the run until it has settled; Ctrl-C and a lost node leave it running and say how to go on."""
    try:
        return show_run(context.screen, snapshots(gateway, run_id, sleep=context.retries.sleep))
    except KeyboardInterrupt as interrupt:
        raise DetachedError(
            f"no longer following run {run_id}, which goes on",
            details=[
                f"follow it again: compute-node status {run_id} --follow",
                f"cancel it: compute-node cancel {run_id}",
            ],
        ) from interrupt
    except UnreachableError as error:
        hint = f"if it runs on, follow it again: compute-node status {run_id} --follow"
        raise UnreachableError(f"lost sight of run {run_id}: {error.message}", hint=hint) from error


def report_end(context: Context, gateway: Gateway, run: Run) -> None:
    """Say how the run ended, what the failed processors said last, and where to look next."""
    screen = context.screen
    if screen.live and not screen.json_mode:
        screen.say(outcome_line(run, now_utc()))
    if not run.final or run.exit_code is ExitCode.OK:
        return
    failed = [node for node in run.nodes if node.status == "FAILED"]
    for node in failed[:TOLD_NODES]:
        for line in last_words(gateway, run, node):
            screen.note(f"  {line}")
        screen.note(f"log of {node.id}: compute-node logs {run.id} --node {node.id}")
    if len(failed) > TOLD_NODES:
        screen.note(f"and {len(failed) - TOLD_NODES} more: compute-node status {run.id}")
    if not failed:
        for line in error_lines(run)[1:]:
            screen.note(line)


def last_words(gateway: Gateway, run: Run, node: Node) -> list[str]:
    """Return the last lines of a node's log; none where it cannot be read, for the run's end is what matters."""
    try:
        last = deque(log_events(gateway, run.id, node=node.id), maxlen=TOLD_LINES)
    except CliError:
        return []
    return [printable(str(event.get("message", "")).rstrip()) for event in last]


def error_lines(run: Run) -> list[str]:
    """Spell a run's own error: its message and its details, one a line."""
    from cli.client import detail_lines  # noqa: PLC0415 - httpx is slow to import, and models need none

    error = run.error or {}
    message = printable(str(error.get("message") or error.get("code") or "failed"))
    return [message, *(f"  - {printable(line)}" for line in detail_lines(error.get("details")))]
