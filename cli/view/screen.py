"""Where output goes: results on stdout, errors on stderr, progress wherever a person may be looking."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from cli.view.table import Table, plain_table, rich_table
from cli.view.text import printable

if TYPE_CHECKING:
    from cli.errors import CliError


@dataclass(frozen=True)
class Screen:
    """The two streams of a command, and whether its stdout is promised to be one JSON document."""

    stdout: Console
    stderr: Console
    json_mode: bool

    @property
    def live(self) -> Console | None:
        """The console for live displays: stdout on a terminal, else stderr in JSON mode, else none."""
        console = self.stderr if self.json_mode else self.stdout
        return console if console.is_terminal else None

    def say(self, text: str = "", style: str | None = None) -> None:
        """Print a line for the reader; nothing in JSON mode."""
        if not self.json_mode:
            _write(self.stdout, text, style)

    def document(self, value: Any) -> None:
        """Print the one JSON document."""
        self.stdout.file.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def table(self, table: Table) -> None:
        """Print a table: drawn to the terminal's width, or whole and aligned when piped."""
        if self.json_mode:
            return
        if self.stdout.is_terminal:
            self.stdout.print(rich_table(table))
            return
        for line in plain_table(table):
            _write(self.stdout, line, None)

    def note(self, text: str) -> None:
        """Print a remark on stderr."""
        _write(self.stderr, text, "dim")

    def error(self, error: CliError) -> None:
        """Print an error: what was wrong, each particular on its own line, what to do."""
        _write(self.stderr, f"compute-node: {printable(error.message)}", "bold red")
        for detail in error.details:
            _write(self.stderr, f"  - {printable(detail)}", None)
        if error.hint:
            _write(self.stderr, f"  {printable(error.hint)}", "yellow")


def system_screen(*, json_mode: bool) -> Screen:
    """Make the screen of this process's own streams."""
    return Screen(
        Console(file=sys.stdout, highlight=False),
        Console(file=sys.stderr, highlight=False),
        json_mode,
    )


def _write(console: Console, text: str, style: str | None) -> None:
    if console.is_terminal:
        console.print(Text(text, style=style or ""), soft_wrap=True)
        return
    # Not through rich, which would wrap the line at 80 columns that a pipe does not have.
    console.file.write(text + "\n")
    console.file.flush()


def silence_stdout() -> None:
    """Point stdout nowhere after its reader went away (`| head`), so that nothing fails at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
