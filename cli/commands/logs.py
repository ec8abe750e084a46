"""`compute-node logs`: what a run's processors and the node's own steps have written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cli.errors import ExitCode
from cli.logs import COMPONENTS, log_events, log_source
from cli.lookup import find_run
from cli.view.text import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from cli.context import Context
    from cli.models import Json
    from cli.parsers import Subparsers
    from cli.view.screen import Screen


SHOWN_OTHERWISE = frozenset({"time", "level", "message", "component", "runId"})


def add_parser(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "logs",
        parents=[common],
        help="show a run's log",
        description="Show a run's log. --json prints one document; with --follow, one a line as they come.",
    )
    parser.add_argument("run", metavar="RUN", help="the run's id, its beginning, or `latest`")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--node", metavar="N", help="only this processor's")
    source.add_argument("--component", metavar="C", help=f"one of the node's own steps: {', '.join(COMPONENTS)}")
    parser.add_argument("--follow", action="store_true", help="go on until the run has ended and its log is complete")
    parser.set_defaults(execute=execute)


def execute(context: Context) -> ExitCode:
    """Print the log."""
    args, screen = context.args, context.screen
    with context.gateway() as gateway:
        run_id = find_run(gateway, args.run)
        events = log_events(
            gateway,
            run_id,
            node=args.node,
            component=args.component,
            follow=args.follow,
            sleep=context.retries.sleep,
        )
        if screen.json_mode and not args.follow:
            _document(screen, run_id, events)
            return ExitCode.OK
        for event in events:
            if screen.json_mode:
                screen.stdout.file.write(json.dumps(event, ensure_ascii=False) + "\n")
                screen.stdout.file.flush()
            else:
                screen.say(log_line(event))
    return ExitCode.OK


def log_line(event: Json) -> str:
    """Spell one event: time, where it is from, message."""
    attempt = event.get("attempt") or 1
    source = log_source(event) + (f"#{attempt}" if attempt > 1 else "")
    return f"{event.get('time', '')}  {source}  {printable(message_text(event))}"


def message_text(event: Json) -> str:
    """Return an event's message; the node's own steps write JSON, of which the fields follow the message."""
    text = str(event.get("message", "")).rstrip()
    if "component" not in event or not text.startswith("{"):
        return text
    try:
        fields = json.loads(text)
    except ValueError:
        return text
    if not isinstance(fields.get("message"), str):
        return text
    level = fields.get("level")
    said = fields["message"] if level == "INFO" else f"{level}: {fields['message']}"
    rest = (f"{name}={_flat(value)}" for name, value in fields.items() if name not in SHOWN_OTHERWISE)
    return "  ".join([said, *rest])


def _flat(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _document(screen: Screen, run_id: str, events: Iterable[Json]) -> None:
    """Write the one document event by event: a log may be larger than memory."""
    file = screen.stdout.file
    file.write(f'{{"executionRunId": {json.dumps(run_id)}, "events": [')
    for index, event in enumerate(events):
        file.write((",\n" if index else "\n") + json.dumps(event, ensure_ascii=False))
    file.write("\n]}\n")
