"""A minimal S3 endpoint on loopback, so that a transfer benchmark measures the client and not the double.

It speaks the path-style subset that both sides of the benchmark use (GET with ranges, HEAD, PUT, ListObjectsV2,
multipart uploads), keeps objects as files below a directory and sends them with `sendfile`. Signatures and checksums
are not verified here, for neither side; the handlers' tests do that against moto.
"""

from __future__ import annotations

import bisect
import io
import os
import re
import shutil
import socket
import sys
import threading
import urllib.parse
from email.utils import formatdate
from pathlib import Path
from xml.sax.saxutils import escape

XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
BLOCK = 1 << 20
REASONS = {200: "OK", 206: "Partial Content", 404: "Not Found"}


class Store:
    """Objects below a directory: `objects/{bucket}/{key}`, parts of uploads under `uploads/{id}/`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._uploads = 0
        self._lock = threading.Lock()
        self._listings: dict[str, list[str]] = {}

    def path(self, name: str) -> Path:
        return self.root / "objects" / name

    def part(self, upload: str, number: str) -> Path:
        return self.root / "uploads" / upload / number

    def open_upload(self) -> str:
        with self._lock:
            self._uploads += 1
            upload = f"upload-{os.getpid()}-{self._uploads}"
        (self.root / "uploads" / upload).mkdir(parents=True)
        return upload

    def keys(self, bucket: str) -> list[str]:
        """List a bucket's keys in order, from memory where nothing was written since."""
        if bucket not in self._listings:
            base = self.path(bucket)
            self._listings[bucket] = sorted(str(path.relative_to(base)) for path in base.rglob("*") if path.is_file())
        return self._listings[bucket]

    def written(self) -> None:
        """Forget the listings."""
        self._listings = {}

    def complete(self, upload: str, name: str) -> None:
        """Keep the parts as they lie: joining them would cost both sides the same copy and blur the ratio."""
        target = self.path(name + ".parts")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        (self.root / "uploads" / upload).rename(target)


class Connection:
    """One client connection, served until it closes."""

    def __init__(self, sock: socket.socket, store: Store) -> None:
        self.sock = sock
        self.file = io.BufferedReader(socket.SocketIO(sock, "r"), 65536)
        self.store = store

    def serve(self) -> None:
        with self.sock, self.file:
            while line := self.file.readline():
                method, target, _ = line.decode("latin-1").split(" ", 2)
                self._request(method, target, self._headers())

    def _headers(self) -> dict[str, str]:
        headers = {}
        while (line := self.file.readline()) not in {b"\r\n", b"\n", b""}:
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return headers

    def _request(self, method: str, target: str, headers: dict[str, str]) -> None:
        path, _, raw_query = target.partition("?")
        name = urllib.parse.unquote(path).strip("/")
        query = dict(urllib.parse.parse_qsl(raw_query, keep_blank_values=True))
        if headers.get("expect", "").lower() == "100-continue":
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if method in {"GET", "HEAD"}:
            self._read(method, name, query, headers)
        elif method == "PUT":
            self._put(name, query, int(headers.get("content-length", "0")))
        elif method == "POST":
            self._post(name, query, int(headers.get("content-length", "0")))
        else:
            raise ValueError(f"{method} is not spoken here")

    def _read(self, method: str, name: str, query: dict[str, str], headers: dict[str, str]) -> None:
        if "list-type" in query:
            self._list(name, query)
            return
        if "uploads" in query:
            self._answer(200, f"<ListMultipartUploadsResult {XMLNS}/>".encode())
            return
        try:
            body = self.store.path(name).open("rb")
        except (FileNotFoundError, IsADirectoryError):
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>" if method == "GET" else b"")
            return
        with body:
            size = os.fstat(body.fileno()).st_size
            start, end, status = 0, size, 200
            extra = ""
            if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("range", "")):
                start, end, status = int(wanted[1]), min(size, int(wanted[2] or size - 1) + 1), 206
                extra = f"Content-Range: bytes {start}-{end - 1}/{size}\r\n"
            self._head(status, end - start, f'ETag: "{size:x}"\r\nAccept-Ranges: bytes\r\n{extra}')
            if method == "GET":
                self.sock.sendfile(body, start, end - start)

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        prefix, limit = query.get("prefix", ""), int(query.get("max-keys", "1000"))
        keys = self.store.keys(bucket)
        start = bisect.bisect_right(keys, query.get("continuation-token") or prefix[:-1])
        page = [key for key in keys[start : start + limit + 1] if key.startswith(prefix)]
        more = len(page) > limit
        token = f"<NextContinuationToken>{escape(page[limit - 1])}</NextContinuationToken>" if more else ""
        rows = "".join(self._row(self.store.path(bucket), key) for key in page[:limit])
        self._answer(
            200,
            (
                f"<ListBucketResult {XMLNS}><Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><EncodingType>url"
                f"</EncodingType><KeyCount>{len(page[:limit])}</KeyCount><IsTruncated>{str(more).lower()}</IsTruncated>"
                f"{token}{rows}</ListBucketResult>"
            ).encode(),
        )

    @staticmethod
    def _row(base: Path, key: str) -> str:
        size = (base / key).stat().st_size
        return (
            f"<Contents><Key>{urllib.parse.quote(key)}</Key><Size>{size}</Size><ETag>&quot;{size:x}&quot;</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified><StorageClass>STANDARD</StorageClass></Contents>"
        )

    def _put(self, name: str, query: dict[str, str], length: int) -> None:
        upload = query.get("uploadId")
        target = self.store.part(upload, query["partNumber"]) if upload else self.store.path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as out:
            early = self.file.read(min(length, len(self.file.peek()))) if length else b""
            out.write(early)
            length -= len(early)
            buffer = memoryview(bytearray(min(BLOCK, max(length, 1))))
            while length and (count := self.sock.recv_into(buffer, min(length, len(buffer)), socket.MSG_WAITALL)):
                out.write(buffer[:count])
                length -= count
        if not upload:
            self.store.written()
        self._answer(200, extra='ETag: "0"\r\n')

    def _post(self, name: str, query: dict[str, str], length: int) -> None:
        self.file.read(length)
        if "delete" in query:
            text = f"<DeleteResult {XMLNS}/>"
        elif "uploads" in query:
            text = (
                f"<InitiateMultipartUploadResult {XMLNS}><UploadId>{self.store.open_upload()}</UploadId>"
                "</InitiateMultipartUploadResult>"
            )
        else:
            self.store.complete(query["uploadId"], name)
            text = f'<CompleteMultipartUploadResult {XMLNS}><ETag>"0"</ETag></CompleteMultipartUploadResult>'
        self._answer(200, text.encode())

    def _head(self, status: int, length: int, extra: str = "") -> None:
        self.sock.sendall(
            (
                f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Length: {length}\r\n"
                f"Date: {formatdate(usegmt=True)}\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n{extra}\r\n"
            ).encode()
        )

    def _answer(self, status: int, body: bytes = b"", extra: str = "") -> None:
        self._head(status, len(body), extra + ("Content-Type: application/xml\r\n" if body else ""))
        self.sock.sendall(body)


def serve(root: Path) -> None:
    """Serve on a free loopback port, printed on the first line of stdout, until the process is ended."""
    store = Store(root)
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        sys.stdout.write(f"{server.getsockname()[1]}\n")
        sys.stdout.flush()
        while True:
            sock, _ = server.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=Connection(sock, store).serve, daemon=True).start()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
