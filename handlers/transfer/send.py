"""Carries out one step of a publication: a batch of whole files, a range of a large file, or that file's completion."""

from __future__ import annotations

import os
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

from handlers.errors import Conflict
from handlers.transfer import uploads
from handlers.transfer.digest import read_exactly
from handlers.transfer.installments import digest_within
from handlers.transfer.model import OutputFile, OutputSum, Span
from handlers.transfer.pack import MIB, chunk_size
from handlers.transfer.pool import Allowance, ordered, workers
from handlers.transfer.uploads import Upload

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import ThreadPoolExecutor

    from handlers.transfer.installments import Expired
    from handlers.transfer.store import Documents
    from handlers.transfer.tree import RunTree
    from handlers.transfer.uploads import Piece

THREADS = 24
FILES_AHEAD = 4 * THREADS
# A file up to this size is read at once and is one request; a longer one is a multipart upload.
SINGLE_BYTES = 16 * MIB
WHOLE_CHUNK = 8 * MIB
CHUNK_THREADS = 8
READERS = 3
MEMORY = 128 * MIB


class Publication:
    """The publication of one run to the results bucket; `expired` tells when the invocation's time is nearly up."""

    def __init__(self, documents: Documents, tree: RunTree, run_id: str, expired: Expired) -> None:
        self.s3 = documents.s3
        self.bucket = documents.bucket
        self.documents = documents
        self.tree = tree
        self.run_id = run_id
        self.expired = expired
        self._memory = Allowance(MEMORY)

    def part(self, number: int) -> dict[str, int]:
        """Carry out part `number` and write its checksums or its receipt; a repeated call writes the same objects."""
        lines = self.documents.read_lines(f"part-{number}")
        first = next(lines)
        if "span" in first:
            return self._range(number, OutputFile(**first["file"]), Span(**first["span"]))
        sums = list(self._batch([OutputFile(**line) for line in chain((first,), lines)]))
        self.documents.write_lines(f"sums-{number}", sums)
        return {"files": len(sums), "bytes": sum(line["sizeBytes"] for line in sums)}

    def assemble(self, number: int) -> dict[str, int]:
        """Complete the upload of a large file whose ranges have all been sent."""
        entry = self.documents.read(f"large-{number}")
        file = OutputFile(**entry["file"])
        if not self.documents.exists(f"sums-large-{number}"):
            pieces: list[Piece] = []
            for part in entry["parts"]:
                pieces.extend(self.documents.read(f"range-{part}")["pieces"])
            with self._opened(file) as fd:
                digest = digest_within(self.documents, number, fd, file.size, self.expired)
            if digest.crc32 != uploads.crc_of_pieces(pieces):
                raise _changed(file, "its content differs from what its ranges sent")
            self._upload(file, entry["upload"]).complete(pieces)
            self.documents.write_lines(f"sums-large-{number}", [self._sum(file, digest.sha256)])
        return {"files": 1, "bytes": file.size}

    def _batch(self, files: list[OutputFile]) -> Iterator[OutputSum]:
        with workers(THREADS) as pool:
            yield from ordered(pool, self._single, (file for file in files if file.size <= SINGLE_BYTES), FILES_AHEAD)
        with workers(READERS) as pool:
            for file in files:
                if file.size > SINGLE_BYTES:
                    yield self._chunked(pool, file)

    def _single(self, file: OutputFile) -> OutputSum:
        with self._memory.hold(file.size), self._opened(file) as fd:
            body = read_exactly(fd, 0, file.size)
            return self._sum(file, uploads.put(self.s3, self.bucket, file.key(self.run_id), body))

    def _chunked(self, pool: ThreadPoolExecutor, file: OutputFile) -> OutputSum:
        """Send a file by many requests at once, digesting it in order on the way, so that it is read only once."""
        with self._opened(file) as fd:

            def read(start: int) -> bytes:
                return read_exactly(fd, start, min(file.size, start + WHOLE_CHUNK))

            chunks = ordered(pool, read, range(0, file.size, WHOLE_CHUNK), READERS)
            return self._sum(file, uploads.put_stream(self.s3, self.bucket, file.key(self.run_id), chunks))

    def _range(self, number: int, file: OutputFile, span: Span) -> dict[str, int]:
        moved = {"files": 0, "bytes": span.end - span.start}
        if self.documents.exists(f"sums-large-{span.large}"):
            return moved  # the upload is complete and takes no more parts
        upload = self._upload(file, self.documents.read(f"large-{span.large}")["upload"])
        chunk = chunk_size(file.size)

        def piece(start: int) -> Piece:
            body = read_exactly(fd, start, min(span.end, start + chunk))
            return upload.feed(start // chunk + 1, body)

        threads = max(1, min(CHUNK_THREADS, MEMORY // chunk))
        with self._opened(file) as fd, workers(threads) as pool:
            pieces = list(ordered(pool, piece, range(span.start, span.end, chunk), 2 * threads))
        self.documents.write(f"range-{number}", {"pieces": pieces})
        return moved

    def _upload(self, file: OutputFile, upload_id: str) -> Upload:
        return Upload(self.s3, self.bucket, file.key(self.run_id), upload_id)

    @contextmanager
    def _opened(self, file: OutputFile) -> Iterator[int]:
        try:
            # Where a pipe has taken the file's place, opening it must not wait for a writer.
            fd = self.tree.open(file.source, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise _changed(file, f"it cannot be opened any more ({error.strerror})") from error
        try:
            if os.fstat(fd).st_size != file.size:
                raise _changed(file, f"it had {file.size} bytes and has {os.fstat(fd).st_size}")
            yield fd
        except EOFError as error:
            raise _changed(file, str(error)) from error
        finally:
            os.close(fd)

    def _sum(self, file: OutputFile, sha256: str) -> OutputSum:
        return {
            "nodeId": file.node,
            "path": file.path,
            "key": file.key(self.run_id),
            "sizeBytes": file.size,
            "sha256": sha256,
        }


def _changed(file: OutputFile, how: str) -> Conflict:
    return Conflict(
        f"output {file.path!r} of node {file.node!r} changed while it was published: {how}",
        {"code": "OutputChanged", "nodeId": file.node, "path": file.path},
    )
