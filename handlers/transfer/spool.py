"""Files of a transfer on their way from listing to plan: counted first, packed then, never all in memory."""

from __future__ import annotations

import gzip
import json
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Generic, TypeVar

from handlers.transfer.model import InputFile, OutputFile, Span, encode, record
from handlers.transfer.pack import Range, pack, part_weight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from handlers.transfer.store import Documents

F = TypeVar("F", InputFile, OutputFile)


@dataclass
class Spool(Generic[F]):
    """A list of files, written once to a temporary file (about 30 bytes each) and read back once."""

    make: Callable[..., F]
    store: IO[bytes]
    files: int = 0
    bytes: int = 0

    def fill(self, files: Iterable[F]) -> None:
        """Write the files down and count them."""
        with gzip.GzipFile(fileobj=self.store, mode="wb", compresslevel=1, mtime=0) as out:
            for file in files:
                self.files += 1
                self.bytes += file.size
                out.write(encode(record(file)).encode() + b"\n")

    def __iter__(self) -> Iterator[F]:
        self.store.seek(0)
        with gzip.GzipFile(fileobj=self.store) as lines:
            for line in lines:
                yield self.make(**json.loads(line))

    @property
    def weight(self) -> int:
        """The weight of one part of this transfer."""
        return part_weight(self.files, self.bytes)


@contextmanager
def spooled(make: Callable[..., F], files: Iterable[F]) -> Iterator[Spool[F]]:
    """Give the filled spool of the files; it is gone after the block."""
    with tempfile.TemporaryFile() as store:
        spool = Spool(make, store)
        spool.fill(files)
        yield spool


@dataclass(frozen=True, slots=True)
class Written:
    """Numbers of a written plan: of all parts, of those that are batches of whole files, and of large files."""

    parts: int
    batches: list[int]
    large: int


def write_parts(documents: Documents, spool: Spool[F], prepare: Callable[[F], Mapping[str, Any]]) -> Written:
    """Write a plan's parts and its large files; `prepare` is called once a large file, and what it returns is noted."""
    documents.clear()
    number = -1
    batches: list[int] = []
    large: list[dict[str, Any]] = []
    for number, part in enumerate(pack(spool, spool.weight)):
        if isinstance(part, Range):
            if part.large == len(large):
                large.append({"file": record(part.file), "parts": [], **prepare(part.file)})
            large[part.large]["parts"].append(number)
            span = Span(part.large, part.start, part.end)
            documents.write_lines(f"part-{number}", [{"file": record(part.file), "span": record(span)}])
        else:
            batches.append(number)
            documents.write_lines(f"part-{number}", map(record, part.files))
    for index, entry in enumerate(large):
        documents.write(f"large-{index}", entry)
    return Written(number + 1, batches, len(large))


def sum_names(batches: Iterable[int], large: int) -> list[str]:
    """Name the lists of checksums that the parts of a plan write."""
    return [f"sums-{number}" for number in batches] + [f"sums-large-{number}" for number in range(large)]
