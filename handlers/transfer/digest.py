"""Checksums of what passes by: SHA-256 for the record, and whichever one S3 declares for the whole object."""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

from handlers.transfer.pool import Ring, ordered, workers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Algorithm = Literal["SHA256", "SHA1", "CRC32"]
# CRC32C and CRC64NVME are not in the standard library; a Python loop would take hours for a large object.
VERIFIABLE: tuple[Algorithm, ...] = ("SHA256", "SHA1", "CRC32")
READ_BLOCK = 4 << 20
READ_AHEAD = 8
READERS = 4
CRC_POLYNOMIAL = 0xEDB88320
ONE = 1 << 31  # the polynomial 1, bits reflected


@dataclass(frozen=True, slots=True)
class Declared:
    """The checksum of a whole object that S3 keeps, in base64."""

    algorithm: Algorithm
    value: str


def declared(response: Mapping[str, Any]) -> Declared | None:
    """Find the strongest checksum of the whole object in an answer of S3; a checksum of part checksums is none."""
    kind = response.get("ChecksumType")
    for algorithm in VERIFIABLE:
        value = response.get(f"Checksum{algorithm}")
        composite = kind == "COMPOSITE" or (kind is None and "-" in f"{value}{response.get('ETag')}")
        if value and not composite:
            return Declared(algorithm, value)
    return None


class Hash(Protocol):
    """What `hashlib` gives, and its like."""

    def update(self, block: bytes | memoryview, /) -> None: ...
    def digest(self) -> bytes: ...


class Digest:
    """The checksums of a file whose bytes come in order.

    SHA-256 must see every byte in turn. CRC-32 need not: threads that bring the bytes compute it side by side.
    """

    def __init__(self, *, sha1: bool = False, sha256: Hash | None = None, crc32: int = 0) -> None:
        self._sha256: Hash = sha256 or hashlib.sha256()
        self._sha1 = hashlib.sha1(usedforsecurity=False) if sha1 else None
        self.crc32 = crc32

    def update(self, block: bytes | memoryview) -> None:
        """Take the next bytes, without their CRC-32."""
        self._sha256.update(block)
        if self._sha1:
            self._sha1.update(block)

    def fold(self, crc32: int, length: int) -> None:
        """Take the CRC-32 of the next `length` bytes."""
        self.crc32 = _multiply(_shift(length), self.crc32) ^ crc32

    @property
    def sha256(self) -> str:
        return self._sha256.digest().hex()

    def agrees(self, expected: Declared) -> bool:
        """Compare with what S3 declares; a SHA-1 must have been asked for, and CRC-32s folded in."""
        if expected.algorithm == "SHA256":
            return to_base64(self._sha256.digest()) == expected.value
        if expected.algorithm == "SHA1":
            return self._sha1 is not None and to_base64(self._sha1.digest()) == expected.value
        return crc_to_base64(self.crc32) == expected.value


def to_base64(digest: bytes) -> str:
    """Write a digest as S3 does."""
    return base64.b64encode(digest).decode()


def crc_to_base64(crc: int) -> str:
    """Write a CRC-32 as S3 does."""
    return to_base64(crc.to_bytes(4, "big"))


def read_exactly(fd: int, start: int, end: int) -> bytes:
    """Read the bytes [start, end) of an open file; EOFError where it ends before."""
    body = os.pread(fd, end - start, start)
    while len(body) < end - start and (more := os.pread(fd, end - start - len(body), start + len(body))):
        body += more
    if len(body) < end - start:
        raise EOFError(f"the file ends at byte {start + len(body)}")
    return body


def digest_file(fd: int, size: int, *, sha1: bool = False) -> Digest:
    """Digest an open file; EOFError where it is shorter than `size`."""
    digest = Digest(sha1=sha1)
    for _ in digesting(fd, 0, size, digest):
        pass
    return digest


def digesting(fd: int, start: int, size: int, digest: Digest) -> Iterator[int]:
    """Digest an open file block by block from `start` on, and yield how far that is.

    It is read several blocks ahead: one NFS stream alone is far below what its client can do.
    """
    ring = Ring(READ_BLOCK, READ_AHEAD)
    done = start

    def read(number: int) -> tuple[memoryview, int]:
        offset = start + number * READ_BLOCK
        block = ring.slot(number, min(READ_BLOCK, size - offset))
        filled = 0
        while filled < len(block):
            count = os.preadv(fd, [block[filled:]], offset + filled)
            if not count:
                raise EOFError(f"the file ends at byte {offset + filled}")
            filled += count
        return block, zlib.crc32(block)

    with workers(READERS) as pool:
        for block, crc in ordered(pool, read, range(-(-(size - start) // READ_BLOCK)), READ_AHEAD):
            digest.update(block)
            digest.fold(crc, len(block))
            done += len(block)
            yield done


def crc_of_parts(parts: Iterable[tuple[int, int]]) -> int:
    """Combine (CRC-32, length) of consecutive parts into the CRC-32 of the whole."""
    whole = Digest()
    for crc, length in parts:
        whole.fold(crc, length)
    return whole.crc32


def _multiply(a: int, b: int) -> int:
    """Multiply two polynomials over GF(2) modulo CRC-32's, bits reflected (zlib's `multmodp`)."""
    product = 0
    bit = ONE
    while a:
        if a & bit:
            product ^= b
            a ^= bit
        bit >>= 1
        b = (b >> 1) ^ CRC_POLYNOMIAL if b & 1 else b >> 1
    return product


@lru_cache(maxsize=64)
def _shift(length: int) -> int:
    """Compute x^(8 * length) modulo CRC-32's polynomial: what `length` bytes do to the CRC before them."""
    power, square, exponent = ONE, ONE >> 1, 8 * length
    while exponent:
        if exponent & 1:
            power = _multiply(square, power)
        square = _multiply(square, square)
        exponent >>= 1
    return power
