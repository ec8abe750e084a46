"""Showing a run while it goes: a live picture on a terminal, lines when piped, nothing in JSON mode."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.live import Live

from cli.errors import CliError
from cli.view.lines import change_lines
from cli.view.run import run_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rich.console import Console, RenderableType

    from cli.models import Run
    from cli.view.screen import Screen

FRAMES_A_SECOND = 8


def now_utc() -> datetime:
    """Return the present moment."""
    return datetime.now(UTC)


def show_run(screen: Screen, snapshots: Iterable[Run], now: Callable[[], datetime] = now_utc) -> Run:
    """Show a run's snapshots as they come and return the last."""
    console = screen.live
    if console is not None:
        return _show_live(console, snapshots, now)
    before: Run | None = None
    for run in snapshots:
        for line in change_lines(before, run, now()):
            screen.say(line)
        before = run
    return _last(before)


class _Picture:
    """What the live display asks, several times a second, so that the seconds go on between two snapshots."""

    def __init__(self, console: Console, now: Callable[[], datetime]) -> None:
        self.run: Run | None = None
        self._console = console
        self._now = now

    def __call__(self) -> RenderableType:
        if self.run is None:
            return ""
        size = self._console.size
        unicode = self._console.encoding.lower().startswith("utf")
        return run_frame(self.run, self._now(), width=size.width, height=size.height, unicode=unicode)


def _show_live(console: Console, snapshots: Iterable[Run], now: Callable[[], datetime]) -> Run:
    picture = _Picture(console, now)
    with Live(console=console, get_renderable=picture, refresh_per_second=FRAMES_A_SECOND) as live:
        for run in snapshots:
            picture.run = run
            live.refresh()
    return _last(picture.run)


def _last(run: Run | None) -> Run:
    if run is None:
        raise CliError("the run was not seen even once")
    return run
