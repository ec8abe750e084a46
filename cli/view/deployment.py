"""Progress of the embedded node's deployment: the step at hand on a terminal, one line when piped."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cli.view.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.view.screen import Screen


TOLD_WHEN_PIPED = ("installing ", "warning: ")  # what takes long, or should be known; not each resource


@contextmanager
def deployment_progress(screen: Screen, title: str) -> Iterator[Callable[[str], None]]:
    """Show what is being done; the function given takes each step's name."""
    console = screen.live
    if console is None:
        screen.say(title)
        yield lambda step: screen.say(printable(step)) if step.startswith(TOLD_WHEN_PIPED) else None
        return
    with console.status(title) as status:
        yield lambda step: status.update(f"{title}: {_escaped(step)}")


def _escaped(step: str) -> str:
    from rich.markup import escape  # noqa: PLC0415

    return escape(printable(step))
