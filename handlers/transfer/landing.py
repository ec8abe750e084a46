"""Where a file lands: a hidden name while it is written, its own name once it is whole."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from handlers.errors import BadRequest, NotFound
from handlers.transfer.paths import MAX_NAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.transfer.model import InputFile

SUFFIX = ".part"
DIRECTORY_NAME = re.compile(r"[A-Za-z0-9_-]+")


class Landing:
    """The place of one input of one run.

    The hidden name is the same for every attempt, and nothing written is ever truncated: where a time-out left an
    earlier attempt alive, both write the same bytes to the same places, and whoever comes second finds the work done.
    """

    def __init__(self, directory: Path, run_id: str, file: InputFile) -> None:
        self.final = directory / file.path
        self.hidden = self.final.with_name(_hidden_name(self.final.name, run_id, file.path))
        self.size = file.size

    @property
    def done(self) -> bool:
        """Tell whether the whole file lies under its name."""
        try:
            return self.final.stat().st_size == self.size
        except FileNotFoundError:
            return False

    @contextmanager
    def writing(self) -> Iterator[int]:
        """Give a descriptor of the hidden file, which may hold what an earlier attempt wrote."""
        fd = os.open(self.hidden, os.O_CREAT | os.O_WRONLY, 0o644)
        try:
            yield fd
        finally:
            os.close(fd)  # on NFS the point where writes have reached the server, or an error tells that they have not

    @contextmanager
    def reading(self) -> Iterator[int]:
        """Give a descriptor of the file, under whichever name it lies."""
        fd = os.open(self.final if self.done else self.hidden, os.O_RDONLY)
        try:
            yield fd
        finally:
            os.close(fd)

    def show(self) -> None:
        """Give the hidden file its name."""
        try:
            self.hidden.rename(self.final)
        except FileNotFoundError:
            if not self.done:
                raise

    def discard(self) -> None:
        """Remove the hidden file."""
        self.hidden.unlink(missing_ok=True)


def _hidden_name(name: str, run_id: str, path: str) -> str:
    token = hashlib.sha256(f"{run_id}/{path}".encode()).hexdigest()[:16]
    room = MAX_NAME_BYTES - len(token) - len(SUFFIX) - 2
    return f".{name.encode()[:room].decode(errors='ignore')}.{token}{SUFFIX}"


def run_directory(mount_path: str, run_dir: str) -> Path:
    """Return where a run's directory lies on this function's mount; NotFound once it is removed."""
    if not DIRECTORY_NAME.fullmatch(run_dir):
        raise BadRequest(f"run directory {run_dir!r} is not a single name of letters, digits, '-' and '_'")
    path = Path(mount_path) / "runs" / run_dir
    if not path.is_dir():
        raise NotFound("the run's directory does not exist: the run has not begun, or was cleaned up")
    return path
