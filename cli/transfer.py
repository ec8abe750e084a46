"""Moving files by presigned URLs, streamed and several at once, with their checksums taken on the way."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, TypeVar

import httpx

from cli.errors import CliError
from cli.retry import RETRIED_STATUSES, Retries, Transient, retry_after_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

Item = TypeVar("Item")
Result = TypeVar("Result")

WORKERS = 4
CHUNK = 1024 * 1024
TIMEOUT = httpx.Timeout(120.0, connect=10.0)
FORBIDDEN = 403
WRITE_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW


class ExpiredError(CliError):
    """The presigned URL is refused: most likely it has expired."""


@dataclass(frozen=True)
class Mover:
    """One transfer of many files. `on_bytes` is told the bytes as they go, negative where they must go again."""

    http: httpx.Client
    on_bytes: Callable[[int], None]
    retries: Retries
    _stop: Event = field(default_factory=Event)

    def each(self, items: Sequence[Item], action: Callable[[Item], Result]) -> list[Result]:
        """Do `action` for every item, several at once; return the results in order. A failure stops the rest."""
        with ThreadPoolExecutor(max_workers=WORKERS) as pool:
            futures = [pool.submit(action, item) for item in items]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
            except BaseException:
                self._stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            return [future.result() for future in futures]

    def send(self, url: str, source: Path, size: int) -> str:
        """PUT a file and return the SHA-256 of what was sent; raise CliError."""
        return self.retries.run(lambda: self._send(url, source, size))

    def fetch(self, url: str, target: Path) -> str:
        """GET an object, byte for byte, into `target` and return its SHA-256; raise CliError."""
        return self.retries.run(lambda: self._fetch(url, target))

    def _send(self, url: str, source: Path, size: int) -> str:
        digest = hashlib.sha256()
        with self._counting(f"uploading {source}") as count:
            content = self._content(source, size, digest.update, count)
            response = self.http.put(url, content=content, headers={"content-length": str(size)})
            _check(response, f"uploading {source}")
        return digest.hexdigest()

    def _fetch(self, url: str, target: Path) -> str:
        digest = hashlib.sha256()
        doing = f"downloading {target.name}"
        identity = {"accept-encoding": "identity"}
        with self._counting(doing) as count, self.http.stream("GET", url, headers=identity) as response:
            _check(response, doing)
            with os.fdopen(os.open(target, WRITE_NEW, 0o666), "wb") as file:
                for chunk in response.iter_raw(CHUNK):
                    count(len(chunk))
                    digest.update(chunk)
                    file.write(chunk)
        return digest.hexdigest()

    def _content(
        self, source: Path, size: int, digest: Callable[[bytes], None], count: Callable[[int], None]
    ) -> Iterator[bytes]:
        left = size
        with source.open("rb") as file:
            while chunk := file.read(CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise CliError(f"{source} grew while it was uploaded", hint="try again when nothing writes to it")
                digest(chunk)
                count(len(chunk))
                yield chunk
        if left:
            raise CliError(f"{source} shrank while it was uploaded", hint="try again when nothing writes to it")

    @contextmanager
    def _counting(self, doing: str) -> Iterator[Callable[[int], None]]:
        """Tell bytes on, take them back if the try fails, and say what may be tried again."""
        counted = 0

        def count(size: int) -> None:
            nonlocal counted
            if self._stop.is_set():
                raise CliError(f"{doing} was stopped")
            counted += size
            self.on_bytes(size)

        try:
            yield count
        except Transient:
            self.on_bytes(-counted)
            raise
        except httpx.TransportError as error:
            self.on_bytes(-counted)
            raise Transient(CliError(f"{doing} broke off: {error}", hint="try again")) from error


@contextmanager
def mover(on_bytes: Callable[[int], None], retries: Retries, *, embedded: bool) -> Iterator[Mover]:
    """Open a connection pool to the object store; the URLs carry their own authorization."""
    limits = httpx.Limits(max_connections=WORKERS)
    with httpx.Client(timeout=TIMEOUT, trust_env=not embedded, limits=limits) as http:
        yield Mover(http, on_bytes, retries)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file of this machine."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(response: httpx.Response, doing: str) -> None:
    if response.is_success:
        return
    message = f"{doing}: the object store answered {response.status_code} {response.reason_phrase}"
    if response.status_code in RETRIED_STATUSES:
        raise Transient(CliError(message), retry_after=retry_after_seconds(response.headers.get("retry-after")))
    if response.status_code == FORBIDDEN:
        raise ExpiredError(message, hint="the URL may have expired: try again")
    raise CliError(message)
