"""What every command is given: its arguments, the screen, and the world outside it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cli.client import Gateway
from cli.retry import Retries
from cli.target import resolve_target

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from cli.target import Target
    from cli.view.screen import Screen


@dataclass(frozen=True)
class Context:
    """Arguments and surroundings of one call of `compute-node`."""

    args: argparse.Namespace
    screen: Screen
    environ: Mapping[str, str]
    cwd: Path = field(default_factory=Path.cwd)
    retries: Retries = field(default_factory=Retries)

    def near(self, path: Path) -> str:
        """Spell a path from here, where it lies below."""
        return str(path.relative_to(self.cwd)) if path.is_relative_to(self.cwd) else str(path)

    def target(self) -> Target:
        """Find the node that the command talks to."""
        return resolve_target(self.args.gateway, self.args.profile, self.environ, self.cwd)

    @contextmanager
    def gateway(self, target: Target | None = None) -> Iterator[Gateway]:
        """Open a client of the node's gateway."""
        client = Gateway(target or self.target(), retries=self.retries)
        try:
            yield client
        finally:
            client.close()
