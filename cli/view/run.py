"""The live picture of a run: one frame is a pure function of the run, the time and the room there is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from cli.view.table import STYLES
from cli.view.text import duration_text, printable, state_word

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rich.console import JustifyMethod, OverflowMethod, RenderableType

    from cli.models import Node, Run

SYMBOLS = {"SUCCEEDED": "✓", "RUNNING": "▸", "WAITING": "·", "FAILED": "✗", "SKIPPED": "-", "CANCELLED": "-"}
ASCII = {"·": ".", "▸": ">", "✓": "+", "✗": "x", "…": "..."}
WIDE_ENOUGH_FOR_DETAIL = 60
WIDE_ENOUGH_FOR_PROCESSOR = 100
FEWEST_ROWS = 3
NARROWEST_NAME = 8
NAMED_WAITED_FOR = 3
GAP = 2
NAME, STATE, TIME, PROCESSOR, DETAIL = range(5)
FRAME_ROWS = 5  # heading, blank line, the line for what is left out, summary, and the cursor's own
URGENCY = ("FAILED", "RUNNING", "CANCELLED", "SKIPPED", "SUCCEEDED", "WAITING")
SHORT_ID = 8


def run_frame(run: Run, now: datetime, *, width: int, height: int, unicode: bool = True) -> RenderableType:
    """Draw a run: its heading, a row a node as far as `height` allows, and a count by state."""
    parts: list[RenderableType] = [_heading(run, now, unicode=unicode)]
    shown, left_out = choose_rows(run.nodes, max(FEWEST_ROWS, height - FRAME_ROWS))
    if shown:
        parts += [Text(), _node_table(shown, now, width, unicode=unicode)]
    if left_out:
        parts.append(_line(f"… and {len(left_out)} more: {_counts(left_out)}", "dim", unicode=unicode))
    if run.nodes:
        parts.append(_line(_counts(run.nodes), "bold", unicode=unicode))
    return Group(*parts)


def _node_table(nodes: Sequence[Node], now: datetime, width: int, *, unicode: bool) -> Table:
    """Draw the nodes. Name, state and time get their room first; what is left is the detail's, cut where it is long."""
    rows = [_cells(node, now, unicode=unicode) for node in nodes]
    kept = [min(max(row[index].cell_len for row in rows), width) for index in range(len(rows[0]))]
    kept[NAME] = min(kept[NAME], max(NARROWEST_NAME, width // 3))
    kept[PROCESSOR] = min(kept[PROCESSOR], width // 4)
    shown = [NAME, STATE, TIME]
    shown += [PROCESSOR] if width >= WIDE_ENOUGH_FOR_PROCESSOR else []
    shown += [DETAIL] if width >= WIDE_ENOUGH_FOR_DETAIL else []
    room = width - sum(kept[index] + GAP for index in shown if index != DETAIL)
    kept[DETAIL] = min(kept[DETAIL], max(room, 0))
    table = Table.grid(padding=(0, GAP, 0, 0))
    for index in shown:
        justify: JustifyMethod = "right" if index == TIME else "left"
        cut: OverflowMethod = "ellipsis" if unicode else "crop"
        table.add_column(no_wrap=True, overflow=cut, justify=justify, width=kept[index])
    for row in rows:
        table.add_row(*(row[index] for index in shown))
    return table


def choose_rows(nodes: Sequence[Node], room: int) -> tuple[list[Node], list[Node]]:
    """Choose the nodes to show when they are more than the rows: the urgent ones, still in the workflow's order."""
    if len(nodes) <= room:
        return list(nodes), []
    order = {status: index for index, status in enumerate(URGENCY)}
    ranked = sorted(range(len(nodes)), key=lambda index: (order.get(nodes[index].status, 0), index))
    chosen = set(ranked[:room])
    return (
        [node for index, node in enumerate(nodes) if index in chosen],
        [node for index, node in enumerate(nodes) if index not in chosen],
    )


def node_detail(node: Node) -> str:
    """Say what there is to say about a node: its reason, what it waits for, which attempt it is at."""
    if node.reason:
        return printable(node.reason)
    if node.status == "WAITING" and node.waiting_for:
        named, more = node.waiting_for[:NAMED_WAITED_FOR], len(node.waiting_for) - NAMED_WAITED_FOR
        return f"for {', '.join(named)}" + (f" and {more} more" if more > 0 else "")
    attempt = max((attempt.number for attempt in node.attempts), default=1)
    return f"attempt {attempt}" if attempt > 1 else ""


def _cells(node: Node, now: datetime, *, unicode: bool) -> list[Text]:
    """Return a node's cells in the order NAME, STATE, TIME, PROCESSOR, DETAIL."""
    word = state_word(node.status)
    style = STYLES.get(word, "")
    return [
        Text(_spelled(f"{SYMBOLS.get(node.status, ' ')} {node.id}", unicode=unicode), style=style),
        Text(word, style=style),
        Text(duration_text(node.seconds(now))),
        Text(f"{node.processor} on {node.compute}" if node.compute else node.processor, style="dim"),
        Text(node_detail(node), style="dim" if node.status == "WAITING" else ""),
    ]


def _heading(run: Run, now: datetime, *, unicode: bool) -> Text:
    word = state_word(run.status)
    state = word if run.settled or not run.phase else f"{word} ({run.phase.lower()})"
    if run.final and not run.settled:
        state = f"{word} (finishing: {run.phase.lower()})" if run.phase else word
    return Text.assemble(
        (printable(run.workflow) or "run", "bold"),
        f" {run.id[:SHORT_ID]}  ",
        (state, STYLES.get(word, "")),
        f"  {duration_text(run.seconds(now))}",
        no_wrap=True,
        overflow="ellipsis" if unicode else "crop",
    )


def _counts(nodes: Sequence[Node]) -> str:
    counts = Counter(node.status for node in nodes)
    order = {status: index for index, status in enumerate(SYMBOLS)}
    return ", ".join(
        f"{counts[status]} {state_word(status)}" for status in sorted(counts, key=lambda item: order.get(item, -1))
    )


def _line(text: str, style: str, *, unicode: bool) -> Text:
    return Text(_spelled(text, unicode=unicode), style=style, no_wrap=True, overflow="ellipsis" if unicode else "crop")


def _spelled(text: str, *, unicode: bool) -> str:
    if unicode:
        return text
    for symbol, plain in ASCII.items():
        text = text.replace(symbol, plain)
    return text
