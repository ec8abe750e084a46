"""Carries out one step of a download: a batch of whole files, a range of a large file, or a large file's completion."""

from __future__ import annotations

import hashlib
import os
import zlib
from itertools import chain
from typing import TYPE_CHECKING

from handlers.errors import BadRequest, Conflict
from handlers.transfer import source
from handlers.transfer.digest import Declared, Digest, crc_of_parts, declared, digest_file
from handlers.transfer.installments import digest_within
from handlers.transfer.landing import Landing
from handlers.transfer.model import FileSum, InputFile, Span
from handlers.transfer.pack import chunk_size
from handlers.transfer.pool import Ring, ordered, workers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    from handlers.transfer.installments import Expired
    from handlers.transfer.store import Documents

THREADS = 24
FILES_AHEAD = 4 * THREADS
# A file up to this size is one request; a longer one is read in chunks over several connections.
SINGLE_BYTES = 16 << 20
CHUNK_THREADS = 4
# Chunks of a whole file wait in memory for their turn at the checksum.
WHOLE_CHUNK = 8 << 20
CHUNKS_AHEAD = 6


class Download:
    """The download of one run, into its `input` directory; `expired` tells when the invocation's time is nearly up."""

    def __init__(self, documents: Documents, directory: Path, run_id: str, expired: Expired) -> None:
        self.s3 = documents.s3
        self.documents = documents
        self.directory = directory
        self.run_id = run_id
        self.expired = expired
        self._made: set[Path] = set()

    def part(self, number: int) -> dict[str, int]:
        """Carry out part `number` and write its checksums or its receipt; a repeated call changes nothing."""
        lines = self.documents.read_lines(f"part-{number}")
        first = next(lines)
        if "span" in first:
            return self._range(number, InputFile(**first["file"]), Span(**first["span"]))
        sums = list(self._batch([InputFile(**line) for line in chain((first,), lines)]))
        self.documents.write_lines(f"sums-{number}", sums)
        return {"files": len(sums), "bytes": sum(line["sizeBytes"] for line in sums)}

    def assemble(self, number: int) -> dict[str, int]:
        """Verify a large file whose ranges have all been written, and give it its name."""
        entry = self.documents.read(f"large-{number}")
        file = InputFile(**entry["file"])
        if not self.documents.exists(f"sums-large-{number}"):
            place = Landing(self.directory, self.run_id, file)
            if place.done:
                digest = self._digest_large(number, place)
            else:
                digest = self._complete(number, file, place, entry["parts"])
            self.documents.write_lines(f"sums-large-{number}", [_sum(file, digest.sha256)])
        return {"files": 1, "bytes": file.size}

    def _batch(self, files: list[InputFile]) -> Iterator[FileSum]:
        with workers(THREADS) as pool:
            yield from ordered(pool, self._single, (file for file in files if file.size <= SINGLE_BYTES), FILES_AHEAD)
        with workers(CHUNK_THREADS) as pool:
            for file in files:
                if file.size > SINGLE_BYTES:
                    yield self._chunked(pool, file)

    def _single(self, file: InputFile) -> FileSum:
        """Read a file by one request, whose answer carries the checksum that S3 has."""
        place = self._place(file)
        if place.done:
            with place.final.open("rb") as content:
                return _sum(file, hashlib.file_digest(content, "sha256").hexdigest())
        sha256 = source.persist(lambda: self._receive(file, place), file)
        _verify(file, place, sha256)
        place.show()
        return _sum(file, sha256)

    def _receive(self, file: InputFile, place: Landing) -> str:
        digest, offset = hashlib.sha256(), 0
        with place.writing() as fd:
            for block in source.blocks(self.s3, file):
                _write(fd, block, offset)
                offset += len(block)
                digest.update(block)
        return digest.hexdigest()

    def _chunked(self, pool: ThreadPoolExecutor, file: InputFile) -> FileSum:
        """Read a file by many requests at once, and digest what they bring in order, so that it is read only once."""
        place = self._place(file)
        if place.done:
            return _sum(file, self._digest_on_disk(place).sha256)
        expected = declared(source.head(self.s3, file))
        digest = Digest(sha1=_needs_sha1(expected))
        ring = Ring(WHOLE_CHUNK, CHUNKS_AHEAD)
        with place.writing() as fd:

            def chunk(start: int) -> tuple[memoryview, int]:
                kept = ring.slot(start // WHOLE_CHUNK, min(WHOLE_CHUNK, file.size - start))
                source.persist(lambda: self._keep(fd, file, start, kept), file)
                return kept, zlib.crc32(kept) if expected and expected.algorithm == "CRC32" else 0

            for kept, crc in ordered(pool, chunk, range(0, file.size, WHOLE_CHUNK), CHUNKS_AHEAD):
                digest.update(kept)
                digest.fold(crc, len(kept))
        _verify(file, place, digest.sha256)
        _verify_declared(file, place, digest, expected)
        place.show()
        return _sum(file, digest.sha256)

    def _keep(self, fd: int, file: InputFile, start: int, kept: memoryview) -> None:
        """Write the bytes from `start` on to the file and to `kept`."""
        filled = 0
        for block in source.blocks(self.s3, file, start, start + len(kept)):
            _write(fd, block, start + filled)
            kept[filled : filled + len(block)] = block
            filled += len(block)

    def _range(self, number: int, file: InputFile, span: Span) -> dict[str, int]:
        place, size = self._place(file), chunk_size(file.size)
        if not place.done:
            with place.writing() as fd, workers(CHUNK_THREADS) as pool:
                if os.fstat(fd).st_size != file.size:
                    os.ftruncate(fd, file.size)

                def chunk(start: int) -> tuple[int, int]:
                    end = min(span.end, start + size)
                    return source.persist(lambda: self._write_through(fd, file, start, end), file), end - start

                crc = crc_of_parts(ordered(pool, chunk, range(span.start, span.end, size), 2 * CHUNK_THREADS))
            # Written last, once every byte has left for the disk: without it the file is not assembled.
            receipt = {"etag": file.etag, "start": span.start, "end": span.end, "crc32": crc}
            self.documents.write(f"range-{number}", receipt)
        return {"files": 0, "bytes": span.end - span.start}

    def _write_through(self, fd: int, file: InputFile, start: int, end: int) -> int:
        """Write the bytes [start, end) to the file and return their CRC-32."""
        crc = 0
        for block in source.blocks(self.s3, file, start, end):
            _write(fd, block, start)
            start += len(block)
            crc = zlib.crc32(block, crc)
        return crc

    def _complete(self, number: int, file: InputFile, place: Landing, parts: list[int]) -> Digest:
        """Hold what lies on disk against what the ranges have received and what was promised, then show it."""
        receipts = [self.documents.read(f"range-{part}") for part in parts]
        expected = declared(source.head(self.s3, file))
        sha1 = _needs_sha1(expected)  # only of objects up to 5 GiB, the limit of a single PUT
        digest = self._digest_on_disk(place, sha1=True) if sha1 else self._digest_large(number, place)
        received = crc_of_parts((receipt["crc32"], receipt["end"] - receipt["start"]) for receipt in receipts)
        if received != digest.crc32 or any(receipt["etag"] != file.etag for receipt in receipts):
            raise Conflict(
                f"input {file.uri}: the file on disk differs from what its {len(receipts)} ranges received",
                {"code": "InputCorrupt", "uri": file.uri, "path": file.path},
            )
        _verify(file, place, digest.sha256)
        _verify_declared(file, place, digest, expected)
        place.show()
        return digest

    def _digest_large(self, number: int, place: Landing) -> Digest:
        with place.reading() as fd:
            return digest_within(self.documents, number, fd, place.size, self.expired)

    @staticmethod
    def _digest_on_disk(place: Landing, *, sha1: bool = False) -> Digest:
        with place.reading() as fd:
            return digest_file(fd, place.size, sha1=sha1)

    def _place(self, file: InputFile) -> Landing:
        place = Landing(self.directory, self.run_id, file)
        if place.final.parent not in self._made:
            place.final.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(place.final.parent)
        return place


def _needs_sha1(expected: Declared | None) -> bool:
    return expected is not None and expected.algorithm == "SHA1"


def _verify(file: InputFile, place: Landing, sha256: str) -> None:
    """Compare with the requester's SHA-256, if any; a file that is not what it should be is removed."""
    if file.sha256 is not None and sha256 != file.sha256:
        place.discard()
        raise BadRequest(
            f"input {file.uri} has SHA-256 {sha256}, the request says {file.sha256}",
            {
                "code": "InputSha256Mismatch",
                "expected": file.sha256,
                "actual": sha256,
                "uri": file.uri,
                "path": file.path,
            },
        )


def _verify_declared(file: InputFile, place: Landing, digest: Digest, expected: Declared | None) -> None:
    """Compare with S3's own checksum, if it has one of the whole."""
    if expected is not None and not digest.agrees(expected):
        place.discard()
        raise Conflict(
            f"input {file.uri} does not have the {expected.algorithm} that S3 declares, {expected.value}",
            {"code": "InputCorrupt", "algorithm": expected.algorithm, "uri": file.uri, "path": file.path},
        )


def _sum(file: InputFile, sha256: str) -> FileSum:
    return {"path": file.path, "uri": file.uri, "etag": file.etag, "sizeBytes": file.size, "sha256": sha256}


def _write(fd: int, block: bytes, offset: int) -> None:
    """Write a whole block at an offset: one call may write less."""
    view = memoryview(block)
    while view:
        count = os.pwrite(fd, view, offset)
        view, offset = view[count:], offset + count
