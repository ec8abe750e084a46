"""Where a run's time went, processor by processor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.view.table import Table
from cli.view.text import duration_text

if TYPE_CHECKING:
    from datetime import datetime

    from cli.models import Node, Run


@dataclass(frozen=True)
class Timing:
    """Seconds of one node. `waiting` is from the run's acceptance to the node's start (preparing, its dependencies),
    `provisioning` until its code runs and between attempts, `running` the sum of its attempts; None where unknown.
    """

    waiting: float | None
    provisioning: float | None
    running: float | None


def node_timing(run: Run, node: Node) -> Timing:
    """Split a node's time; the three add up to its end, counted from the run's acceptance."""
    if run.created_at is None or node.started_at is None:
        return Timing(None, None, None)
    waiting = _between(run.created_at, node.started_at)
    if node.ended_at is None:
        return Timing(waiting, None, None)
    whole = _between(node.started_at, node.ended_at)
    spans = [
        _between(attempt.started_at, attempt.stopped_at)
        for attempt in node.attempts
        if attempt.started_at and attempt.stopped_at
    ]
    if not spans:
        return Timing(waiting, None, whole)
    running = min(sum(spans), whole)
    return Timing(waiting, whole - running, running)


def timing_table(run: Run, now: datetime) -> Table:
    """Make the table of all nodes, and the whole run's time as its last row."""
    rows = []
    for node in run.nodes:
        timing = node_timing(run, node)
        parts = (duration_text(part) for part in (timing.waiting, timing.provisioning, timing.running))
        rows.append((node.id, node.processor, node.compute, *parts))
    columns = ("node", "processor", "compute", "waiting", "provisioning", "running")
    total = ("total", "", "", "", "", duration_text(run.seconds(now)))
    return Table(columns, rows, right=frozenset({"waiting", "provisioning", "running"}), total=total)


def _between(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())
