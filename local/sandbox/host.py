"""Directories of this machine: those of the interpreter, and those that processes had for themselves."""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from local.sandbox.alive import is_alive
from local.sandbox.launcher.root import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Iterable


def remove(directory: Path) -> None:
    """Delete a process's own storage, also where it has closed directories to itself (as overlayfs does)."""

    def reopen(_function: object, path: str, _error: object) -> None:
        with contextlib.suppress(OSError):
            Path(path).chmod(0o700)
            shutil.rmtree(path, ignore_errors=True)

    shutil.rmtree(directory, onerror=reopen)
    if directory.exists():
        shutil.rmtree(directory, ignore_errors=True)


def remove_orphans(scratch_root: Path) -> None:
    """Delete what processes of ours left that were killed themselves: directories named by their ids."""
    for directory in scratch_root.glob("[0-9]*"):
        if not is_alive(int(directory.name)):
            remove(directory)


def interpreter_paths() -> list[Path]:
    """The directories of the running interpreter and its packages."""
    packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    found = {Path(path).resolve() for path in (sys.prefix, sys.base_prefix, sys.exec_prefix, *packages)}
    # A venv is found by its own path, not by what it resolves to.
    return outermost({Path(sys.prefix), *found})


def outermost(paths: Iterable[Path]) -> list[Path]:
    """Without what the sandbox shows already: system directories, and what lies within another."""
    kept: list[Path] = []
    for path in sorted({path for path in paths if path.exists()}, key=lambda path: len(path.parts)):
        inside = any(path.is_relative_to(other) for other in kept)
        if not inside and len(path.parts) > 1 and path.parts[1] not in SYSTEM:
            kept.append(path)
    return kept
