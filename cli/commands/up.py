"""`compute-node up`: the embedded node, deployed and kept running until Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cli.embedded import find_program, node_state, start_node
from cli.errors import ExitCode
from cli.state import STATE_DIRECTORY, single_node, write_state
from cli.view.deployment import deployment_progress
from cli.view.text import duration_text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from cli.context import Context
    from cli.parsers import Subparsers
    from cli.state import NodeState
    from cli.view.screen import Screen


def add_parser(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "up",
        parents=[common],
        help="start an embedded node and keep it running",
        description="Deploy the node into an AWS embedded in this process, and keep it running until Ctrl-C.",
    )
    parser.add_argument("--stack", default="basic", metavar="NAME", help="the stack to deploy (basic)")
    parser.add_argument("--port", type=int, default=0, metavar="P", help="the gateway's port (any free one)")
    parser.set_defaults(execute=execute)


def execute(context: Context) -> ExitCode:
    """Deploy, tell how to use it, wait, clean up."""
    args, screen = context.args, context.screen
    program = find_program(context.cwd)
    directory = context.cwd / STATE_DIRECTORY
    with single_node(directory), _terminated_like_interrupt():
        began = time.monotonic()
        with deployment_progress(screen, f"deploying stack {args.stack}") as progress:
            node = start_node(program, directory, args.stack, args.port, progress)
        with node:
            path = write_state(directory, state := node_state(node))
            try:
                _announce(screen, state, time.monotonic() - began)
                wait_for_end()
            except KeyboardInterrupt:
                screen.note("stopping")
            finally:
                path.unlink(missing_ok=True)
    return ExitCode.OK


def wait_for_end() -> None:
    """Wait until a signal raises KeyboardInterrupt."""
    threading.Event().wait()


def _announce(screen: Screen, state: NodeState, seconds: float) -> None:
    if screen.json_mode:
        public = {"gatewayUrl": state.gatewayUrl, "endpointUrl": state.endpointUrl, "region": state.region}
        screen.document({**public, "nodeName": state.nodeName, "pid": state.pid})
        screen.stdout.file.flush()
        return
    screen.say(f"{state.nodeName} is up after {duration_text(seconds)}", style="bold green")
    screen.say(f"  gateway       {state.gatewayUrl}")
    screen.say(f"  AWS endpoint  {state.endpointUrl}")
    screen.say("In this directory or below it:")
    screen.say("  compute-node processors")
    screen.say("  compute-node run WORKFLOW.yaml --input FILE_OR_DIRECTORY")
    screen.say("Ctrl-C stops it; what it holds is gone then.")


@contextmanager
def _terminated_like_interrupt() -> Iterator[None]:
    """Let SIGTERM (`kill`, a service manager) end the node as orderly as Ctrl-C does."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
