"""A followed run as plain lines, one a change of state, for a pipe or a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.view.run import node_detail
from cli.view.text import count_text, duration_text, printable, state_word

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from cli.models import Node, Run


def change_lines(before: Run | None, after: Run, now: datetime) -> Iterator[str]:
    """Tell what has changed since the snapshot before; everything but waiting, where there is none."""
    if before is None:
        workflow = f": {printable(after.workflow)}" if after.workflow else ""
        yield f"run {after.id} {state_word(after.status)}{workflow}"
    elif before.phase != after.phase and not after.final:
        yield f"phase {after.phase.lower()}"
    known = {node.id: node for node in before.nodes} if before else {}
    for node in after.nodes:
        if _state(node) != (_state(known[node.id]) if node.id in known else ("WAITING", 0)):
            yield _node_line(node, now)
    if after.final and (before is None or not before.final):
        yield outcome_line(after, now)


def outcome_line(run: Run, now: datetime) -> str:
    """Say in one line how a run ended."""
    text = f"run {run.id} {state_word(run.status)} after {duration_text(run.seconds(now))}"
    if run.error and run.error.get("message"):
        return f"{text}: {printable(str(run.error['message']))}"
    failed = sum(node.status == "FAILED" for node in run.nodes)
    return f"{text}: {failed} of {count_text(len(run.nodes), 'node')} failed" if failed else text


def _state(node: Node) -> tuple[str, int]:
    running = max((attempt.number for attempt in node.attempts), default=1) if node.status == "RUNNING" else 0
    return node.status, running


def _node_line(node: Node, now: datetime) -> str:
    word = state_word(node.status)
    took = f" after {duration_text(node.seconds(now))}" if node.ended_at and node.started_at else ""
    detail = node_detail(node) if node.status != "WAITING" else ""
    if word == "running":
        return f"{node.id} running" + (f" ({detail})" if detail else "")
    return f"{node.id} {word}{took}" + (f": {detail}" if node.reason else "")
