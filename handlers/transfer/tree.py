"""A run's directory as the publisher sees it: a processor may have left anything in it, and nothing leads out of it.

Links are resolved here, name by name, never by the kernel, and what they resolve to is opened name by name without
following any: a link that is exchanged in between cannot lead elsewhere either.
"""

from __future__ import annotations

import os
import stat
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

MAX_LINKS = 40  # as Linux itself: more of them in one path are a loop
OUTSIDE = "leads outside the run's directory"
DIRECTORY = os.O_PATH | os.O_DIRECTORY
BENEATH = os.O_NOFOLLOW | os.O_CLOEXEC


class LinkRefusedError(Exception):
    """A link that cannot be published; the text says why."""


class RunTree:
    """The directory of one run; paths are relative to it."""

    def __init__(self, root: Path, mount_path: str) -> None:
        self.root = root
        # A processor on ECS sees its run's directory at the mount path, one on Lambda where this process does.
        self._roots = [PurePosixPath(root), PurePosixPath(os.path.realpath(root)), PurePosixPath(mount_path)]
        self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def open(self, path: str, flags: int = os.O_RDONLY) -> int:
        """Open what lies at a path without a link in it ("" is the directory itself); OSError where there is one."""
        names = path.split("/") if path else []
        if any(name in {"", ".", ".."} for name in names):
            raise ValueError(f"{path!r} is not a path below the run's directory")
        fd = os.open(".", flags if not names else DIRECTORY, dir_fd=self._fd)
        for number, name in enumerate(names, 1):
            try:
                inner = os.open(name, (flags if number == len(names) else DIRECTORY) | BENEATH, dir_fd=fd)
            finally:
                os.close(fd)
            fd = inner
        return fd

    def stat(self, path: str) -> os.stat_result:
        """Look at what lies at a path without a link before its last name; OSError where nothing does."""
        fd = self.open(path, os.O_PATH)
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def exists(self, path: str) -> bool:
        """Tell whether anything, a link included, lies at a path; OSError where a link stands before its last name."""
        try:
            self.stat(path)
        except FileNotFoundError:
            return False
        return True

    def resolve(self, path: str) -> str:
        """Follow every link in a path and return where it ends ("" is the directory itself); LinkRefusedError else."""
        done: list[str] = []
        ahead = list(reversed(path.split("/")))
        links = 0
        while ahead:
            name = ahead.pop()
            if name == "..":
                if not done:
                    raise LinkRefusedError(OUTSIDE)
                done.pop()
                continue
            target = self._target(done, name)
            if target is None:
                done.append(name)
                continue
            if (links := links + 1) > MAX_LINKS:
                raise LinkRefusedError("is a loop of links")
            done, ahead = self._follow(done, ahead, target)
        return "/".join(done)

    def _target(self, directory: list[str], name: str) -> str | None:
        """Return where a name points, or None for what is no link."""
        try:
            fd = self.open("/".join(directory), DIRECTORY)
            try:
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                return os.readlink(name, dir_fd=fd) if stat.S_ISLNK(found.st_mode) else None
            finally:
                os.close(fd)
        except OSError as error:
            raise LinkRefusedError(f"points at nothing ({'/'.join((*directory, name))!r}: {error.strerror})") from error

    def _follow(self, done: list[str], ahead: list[str], target: str) -> tuple[list[str], list[str]]:
        path = PurePosixPath(target)
        if path.is_absolute():
            root = next((root for root in self._roots if path.is_relative_to(root)), None)
            if root is None:
                raise LinkRefusedError(OUTSIDE)
            done, path = [], path.relative_to(root)
        return done, ahead + [name for name in reversed(path.parts) if name != "."]
