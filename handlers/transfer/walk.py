"""Walks what a run's nodes have written, and says of everything that is not published why it is not."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal

from handlers.transfer.model import OutputFile
from handlers.transfer.pack import MAX_FILE_BYTES
from handlers.transfer.tree import LinkRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from handlers.transfer.tree import RunTree

ATTEMPT = re.compile(r"[1-9][0-9]*")
MAX_KEY_BYTES = 1_024  # of S3
# A directory up to this many entries is walked in order of names; beyond it, as the file system lists it.
SORTED_ENTRIES = 50_000
READABLE = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


@dataclass(frozen=True, slots=True)
class Unpublished:
    """Something in an output that is left out: refused (it should not be there), or skipped (it has no content)."""

    node: str
    path: str
    kind: Literal["refused", "skipped"]
    reason: str

    def __str__(self) -> str:
        return f"{self.node}: {self.kind} {self.path or 'output'!r}: {self.reason}"


@dataclass
class Directory:
    """A directory being walked: `path` is what it is called in the output, `real` where it lies."""

    path: str
    real: str
    linked: bool
    fd: int
    names: Iterator[str]


class Walk:
    """The output of one node; `report` is called for everything left out."""

    def __init__(self, tree: RunTree, run_id: str, node: str, report: Callable[[Unpublished], None]) -> None:
        self.tree = tree
        self.run_id = run_id
        self.node = node
        self._report = report
        self._prefix = len(f"runs/{run_id}/{node}/")
        self._stack: list[Directory] = []

    def __iter__(self) -> Iterator[OutputFile]:
        """Yield the files to publish."""
        try:
            self._start()
            while self._stack:
                name = next(self._stack[-1].names, None)
                if name is None:
                    os.close(self._stack.pop().fd)
                elif file := self._entry(self._stack[-1], name):
                    yield file
        finally:
            while self._stack:
                os.close(self._stack.pop().fd)

    def _start(self) -> None:
        base = f"work/{self.node}"
        try:
            attempt = self._attempt(base)
            output = f"{base}/{attempt}/output"
            if self.tree.exists(output):
                self._enter("", self.tree.resolve(output), linked=False)
        except LinkRefusedError as error:
            self._leave("", "refused", f"the link {error}")
        except FileNotFoundError:
            return  # nothing was written
        except OSError as error:
            self._leave("", "refused", f"it cannot be opened ({error.strerror})")

    def _attempt(self, base: str) -> str:
        fd = self.tree.open(base, os.O_RDONLY | os.O_DIRECTORY)
        try:
            attempt = os.readlink("current", dir_fd=fd)
        finally:
            os.close(fd)
        if not ATTEMPT.fullmatch(attempt):
            raise LinkRefusedError(f"{base}/current leads to {attempt!r}, which is not an attempt")
        return attempt

    def _entry(self, directory: Directory, name: str) -> OutputFile | None:
        """Enter a directory, or return what a file is published as."""
        path, real = _join(directory.path, name), _join(directory.real, name)
        linked = directory.linked
        try:
            found = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                real, found = self._resolved(real, in_linked=linked)
                linked = True
            if stat.S_ISDIR(found.st_mode):
                self._enter(path, real, linked=linked)
                return None
        except LinkRefusedError as error:
            self._leave(path, "refused", f"the link {error}")
            return None
        except OSError as error:
            self._leave(path, "refused", f"it cannot be opened ({error.strerror})")
            return None
        return self._file(path, real, found)

    def _resolved(self, link: str, *, in_linked: bool) -> tuple[str, os.stat_result]:
        """Find what a link stands for. No directory is entered by a second link: they could multiply without end."""
        real = self.tree.resolve(link)
        found = self.tree.stat(real)
        if in_linked and stat.S_ISDIR(found.st_mode):
            raise LinkRefusedError("leads to a directory, in a directory that was reached by a link itself")
        return real, found

    def _enter(self, path: str, real: str, *, linked: bool) -> None:
        # A path too long for a key ends the descent: so the stack, and the descriptors on it, stay few.
        if reason := self._name_fault(path, real):
            self._leave(path, "refused", reason)
            return
        fd = self.tree.open(real, os.O_RDONLY | os.O_DIRECTORY)
        self._stack.append(Directory(path, real, linked, fd, _names(fd)))

    def _file(self, path: str, real: str, found: os.stat_result) -> OutputFile | None:
        if not stat.S_ISREG(found.st_mode):
            self._leave(path, "skipped", "it is neither a file nor a directory")
            return None
        reason = self._name_fault(path, real)
        if found.st_size > MAX_FILE_BYTES:
            reason = f"it has {found.st_size} bytes; at most {MAX_FILE_BYTES} are published"
        if not found.st_mode & READABLE:
            reason = f"its mode, {stat.filemode(found.st_mode)}, lets nobody read it"
        if reason:
            self._leave(path, "refused", reason)
            return None
        return OutputFile(self.node, path, real, found.st_size)

    def _name_fault(self, path: str, real: str) -> str | None:
        try:
            real.encode()
            length = self._prefix + len(path.encode())
        except UnicodeEncodeError:
            return "its name is not valid UTF-8, which S3 requires"
        if length > MAX_KEY_BYTES:
            return f"its key would be {length} bytes long; S3 allows {MAX_KEY_BYTES}"
        return None

    def _leave(self, path: str, kind: Literal["refused", "skipped"], reason: str) -> None:
        self._report(Unpublished(self.node, path.encode(errors="backslashreplace").decode(), kind, reason))


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def _names(fd: int) -> Iterator[str]:
    """Yield the names in a directory, sorted where they are few enough to hold."""
    with os.scandir(fd) as entries:
        names = (entry.name for entry in entries)
        first = list(islice(names, SORTED_ENTRIES + 1))
        yield from sorted(first) if len(first) <= SORTED_ENTRIES else first
        yield from names
