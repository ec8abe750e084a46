"""Cuts a transfer into parts of like weight: batches of whole files, and byte ranges of files too large for one batch.

Pure: what it decides depends on sizes alone. A part closes once it weighs `part_weight`, which is so chosen that no
transfer, however large, has more than `MAX_PARTS` parts: they are the iterations of one Map, and share its history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MIB = 1 << 20
MAX_PARTS = 400
MIN_PART_WEIGHT = 128 * MIB
# Below this size one invocation moves a file whole, over several connections, and digests it on the way. Ranges moved
# side by side are quicker in themselves, but SHA-256 then reads the whole file again, alone, and EFS bills the reading.
MIN_LARGE_BYTES = 4 << 30
# What a request costs beside its bytes, in bytes that a connection would have carried meanwhile.
FILE_WEIGHT = 64 << 10
MIN_CHUNK = 16 * MIB
# An S3 multipart upload has at most 10,000 parts; a tenth is left free.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
MAX_CHUNKS = 9_000
# One chunk of the largest file must fit into a function's memory.
MAX_FILE_BYTES = 1 << 40


class Sized(Protocol):
    """Whatever has a size in bytes."""

    @property
    def size(self) -> int: ...


F = TypeVar("F", bound=Sized)


@dataclass(frozen=True, slots=True)
class Batch(Generic[F]):
    """Files that one invocation moves whole."""

    files: list[F]


@dataclass(frozen=True, slots=True)
class Range(Generic[F]):
    """The bytes [start, end) of the large file number `large`."""

    file: F
    large: int
    start: int
    end: int


def part_weight(files: int, size: int) -> int:
    """Weigh a part of a transfer of that many files and bytes, in bytes."""
    total = size + files * FILE_WEIGHT
    return max(MIN_PART_WEIGHT, -(-total // (MAX_PARTS - 1)))


def chunk_size(size: int) -> int:
    """Bytes of one request for a file of that size: whole MiB, and few enough of them for a multipart upload."""
    return max(MIN_CHUNK, -(-size // (MAX_CHUNKS * MIB)) * MIB)


def is_large(size: int, weight: int) -> bool:
    """Tell whether a file is cut into ranges rather than moved whole."""
    return size >= max(2 * weight, MIN_LARGE_BYTES)


def cut(size: int, weight: int) -> list[tuple[int, int]]:
    """Cut a large file into ranges that begin at a chunk's boundary and hold about `weight` bytes, none much fewer."""
    chunk = chunk_size(size)
    chunks = -(-size // chunk)
    share, longer = divmod(chunks, size // weight)
    ranges: list[tuple[int, int]] = []
    start = 0
    for number in range(size // weight):
        end = min(size, start + (share + (number < longer)) * chunk)
        ranges.append((start, end))
        start = end
    return ranges


def pack(files: Iterable[F], weight: int) -> Iterator[Batch[F] | Range[F]]:
    """Yield the parts of a transfer in order, holding one batch at a time."""
    batch: list[F] = []
    load = large = 0
    for file in files:
        if is_large(file.size, weight):
            for start, end in cut(file.size, weight):
                yield Range(file, large, start, end)
            large += 1
            continue
        batch.append(file)
        load += file.size + FILE_WEIGHT
        if load >= weight:
            yield Batch(batch)
            batch, load = [], 0
    if batch:
        yield Batch(batch)
