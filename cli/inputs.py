"""`--input PATH_OR_S3[=relative/path]`: what is to be uploaded, and what lies in S3 already."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.errors import CliError, UsageError
from cli.view.text import size_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cli.models import Json

S3 = "s3://"
# Of one presigned PUT: https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html
LARGEST_UPLOAD = 5 * 1024**3


@dataclass(frozen=True)
class LocalFile:
    """A file to upload; `path` is its name among the run's inputs."""

    source: Path
    path: str
    size: int


@dataclass(frozen=True)
class Inputs:
    """A run's inputs: files of this machine, and entries of the request that need no upload."""

    local: tuple[LocalFile, ...]
    remote: tuple[Json, ...]


def parse_inputs(given: Iterable[str]) -> Inputs:
    """Read every `--input`; raise for what does not exist, cannot be named so, or takes another's name."""
    local: dict[str, LocalFile] = {}
    remote: list[Json] = []
    for argument in given:
        where, path = split_input(argument)
        if where.startswith(S3):
            remote.append(_remote(where, path, argument))
            continue
        for file in _local_files(Path(where), path, argument):
            other = local.setdefault(file.path, file)
            if other is not file:
                raise UsageError(
                    f"two inputs would be {file.path!r} in the run: {other.source} and {file.source}",
                    hint="give one of them another name: --input PATH=other/name",
                )
    return Inputs(tuple(local.values()), tuple(remote))


def split_input(argument: str) -> tuple[str, str | None]:
    """Split at the last `=`, except where the whole names a file that exists; `A=b=` is the path or URI `A=b`."""
    if not argument:
        raise UsageError("--input is empty: give a file, a directory or an s3:// URI")
    if not argument.startswith(S3) and Path(argument).exists():
        return argument, None
    where, equals, path = argument.rpartition("=")
    if not equals or not where:
        return argument, None
    return where, path or None


def _remote(uri: str, path: str | None, argument: str) -> Json:
    if path is None:
        return {"uri": uri}
    _check_relative(path, argument)
    if path.endswith("/"):
        path = path.rstrip("/") if uri.endswith("/") else path + uri.rpartition("/")[2]
    return {"uri": uri, "path": path}


def _local_files(source: Path, path: str | None, argument: str) -> Iterator[LocalFile]:
    if path is not None:
        _check_relative(path, argument)
    if source.is_dir():
        yield from _directory_files(source, (path or "").rstrip("/"))
        return
    if not source.exists():
        raise CliError(
            f"there is no file or directory {source} (--input {argument})",
            hint="a URI begins with s3://; for a path or a key with `=` in it, end it with one more `=`",
        )
    if not source.is_file():
        raise CliError(f"{source} is neither a file nor a directory (--input {argument})")
    name = source.name if path is None else path + source.name if path.endswith("/") else path
    yield _local_file(source, name)


def _directory_files(source: Path, prefix: str) -> Iterator[LocalFile]:
    found = False
    for file in _walk(source, ()):
        found = True
        relative = file.relative_to(source).as_posix()
        yield _local_file(file, f"{prefix}/{relative}" if prefix else relative)
    if not found:
        raise CliError(f"the directory {source} has no files")


def _walk(directory: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """List the files below, through links too, in order of name; a link back to a directory above is refused."""
    real = directory.resolve()
    if real in above:
        raise CliError(f"{directory} is a link to a directory above it: its files would never end")
    for entry in sorted(directory.iterdir()):
        if entry.is_dir():
            yield from _walk(entry, (*above, real))
        elif entry.is_file():
            yield entry
        else:
            raise CliError(f"{entry} is not a regular file: it cannot be an input")


def _local_file(source: Path, path: str) -> LocalFile:
    size = source.stat().st_size
    if not os.access(source, os.R_OK):
        raise CliError(f"{source} may not be read by this user")
    if size > LARGEST_UPLOAD:
        raise CliError(
            f"{source} is {size_text(size)}: an upload can be at most {size_text(LARGEST_UPLOAD)}",
            hint=f"put it into S3 (`aws s3 cp {source} s3://BUCKET/…`, a bucket that the node may read) "
            f"and pass --input s3://BUCKET/…={path}",
        )
    return LocalFile(source, path, size)


def _check_relative(path: str, argument: str) -> None:
    parts = path.rstrip("/").split("/")
    if path.startswith("/") or any(part in {"", ".", ".."} for part in parts):
        raise UsageError(f"--input {argument}: {path!r} is not a relative path below the run's inputs (no `..`)")
