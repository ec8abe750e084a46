"""Progress of uploads and downloads: a bar on a terminal, a line before and after when piped."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from cli.view.text import count_text, size_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.view.screen import Screen


@contextmanager
def transfer_progress(screen: Screen, verb: str, files: int, size: int) -> Iterator[Callable[[int], None]]:
    """Show the transfer of `size` bytes; the function given takes the bytes that went."""
    title = f"{verb} {count_text(files, 'file')}"
    console = screen.live
    if console is None:
        screen.say(f"{title}, {size_text(size)}")
        yield lambda _: None
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None if console.width < 80 else 40),  # noqa: PLR2004 - a common terminal's width
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        console=console,
    )
    with bar:
        task = bar.add_task(title, total=size)
        yield lambda count: bar.advance(task, count)
