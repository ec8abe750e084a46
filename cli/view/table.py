"""Tables as data, drawn for a terminal or written plainly for a pipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from cli.view.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

GAP = "  "
STYLES = {
    "succeeded": "green",
    "healthy": "green",
    "running": "cyan",
    "queued": "cyan",
    "failed": "bold red",
    "timed out": "bold red",
    "cancelled": "yellow",
    "warning": "yellow",
    "skipped": "yellow",
    "waiting": "dim",
}


@dataclass(frozen=True)
class Table:
    """Columns and rows of texts; `right` names the columns of numbers, `total` is a last row set apart."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    right: frozenset[str] = field(default=frozenset())
    total: tuple[str, ...] | None = None


def rich_table(table: Table) -> RichTable:
    """Draw a table for a terminal; long cells fold rather than vanish."""
    drawn = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, show_footer=table.total is not None)
    footers = table.total or ("",) * len(table.columns)
    for column, footer in zip(table.columns, footers, strict=True):
        justify = "right" if column in table.right else "left"
        drawn.add_column(column, footer=Text(footer), justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in table.rows:
        drawn.add_row(*(Text(printable(cell), style=STYLES.get(cell, "")) for cell in row))
    return drawn


def plain_table(table: Table) -> Iterator[str]:
    """Write a table as aligned lines, no cell cut, for a pipe."""
    rows = [tuple(printable(cell) for cell in row) for row in (*table.rows, *([table.total] if table.total else []))]
    lines = [tuple(column.upper() for column in table.columns), *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(table.columns))]
    for line in lines:
        cells = (
            cell.rjust(width) if column in table.right else cell.ljust(width)
            for cell, width, column in zip(line, widths, table.columns, strict=True)
        )
        yield GAP.join(cells).rstrip()
