"""Downloading a run's outputs: whole, verified, under their names at once, and never outside the directory given."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from uuid import uuid4

from cli.errors import CliError
from cli.transfer import ExpiredError, Mover, file_sha256, mover

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cli.client import Gateway
    from cli.models import OutputFile

PART = ".part"


def download(
    gateway: Gateway,
    run_id: str,
    files: Sequence[OutputFile],
    directory: Path,
    on_bytes: Callable[[int], None],
) -> list[Path]:
    """Download the files into `directory`/{node}/{path} and return where they lie.

    A file that is there already with the right size and checksum is not fetched again, so a broken download goes on.
    """
    targets = {file.name: safe_target(directory, file) for file in files}
    with mover(on_bytes, gateway.retries, embedded=gateway.target.embedded) as move:

        def fetch(file: OutputFile) -> Path:
            target = targets[file.name]
            try:
                _fetch(move, file, target)
            except ExpiredError:
                # A long download outlives its URLs: ask once for a fresh one.
                fresh = {other.name: other for other in gateway.outputs(run_id)}
                _fetch(move, fresh.get(file.name, file), target)
            return target

        return move.each(files, fetch)


def safe_target(directory: Path, file: OutputFile) -> Path:
    """Return where a file goes; raise CliError for a name that would leave the directory, by `..` or by a link."""
    parts = PurePosixPath(file.name).parts
    unsafe = file.path.startswith("/") or any(part in {"..", "/"} or "\0" in part for part in parts)
    root = directory.resolve()
    target = root.joinpath(*parts)
    if unsafe or not file.path or not target.parent.resolve().is_relative_to(root):
        raise CliError(f"the output {file.name!r} would lie outside {directory}: nothing was downloaded")
    return target


def _fetch(move: Mover, file: OutputFile, target: Path) -> None:
    part = target.with_name(f".{uuid4().hex}{PART}")  # a name that no output has
    try:
        if _is_there(target, file):
            move.on_bytes(file.size)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        _verify(file, part, move.fetch(file.url, part))
        part.replace(target)
    except OSError as error:
        raise CliError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        if part.is_file():
            part.unlink()


def _is_there(target: Path, file: OutputFile) -> bool:
    return (
        target.is_file()
        and not target.is_symlink()
        and target.stat().st_size == file.size
        and file_sha256(target) == file.sha256
    )


def _verify(file: OutputFile, part: Path, checksum: str) -> None:
    size = part.stat().st_size
    if size != file.size:
        raise CliError(f"{file.name} came with {size} bytes; the manifest says {file.size}")
    if checksum != file.sha256:
        raise CliError(
            f"{file.name} came damaged: its SHA-256 is {checksum}, the manifest says {file.sha256}",
            hint="try again; if it stays so, the object was changed after the run",
        )
