"""Digests a large file in as many invocations as it takes: SHA-256 has no short cut, an invocation has 15 minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handlers.errors import NotFound, Retryable
from handlers.transfer.digest import Digest, digest_file, digesting
from handlers.transfer.resumable import ResumableSha256, available

if TYPE_CHECKING:
    from collections.abc import Callable

    from handlers.transfer.store import Documents

    Expired = Callable[[], bool]

# Left of the invocation when it puts its state away: a block more, and one request.
RESERVE_MILLISECONDS = 30_000


def expiry(context: object) -> Expired:
    """Make the question whether a Lambda invocation's time is nearly up; without Lambda it never is."""
    left = getattr(context, "get_remaining_time_in_millis", None)
    return (lambda: False) if left is None else (lambda: left() < RESERVE_MILLISECONDS)


def digest_within(documents: Documents, number: int, fd: int, size: int, expired: Expired) -> Digest:
    """Digest large file `number` from where the last call came to.

    Raise Retryable where time is up before the end: the next attempt goes on from there.
    """
    if not available():
        return digest_file(fd, size)
    name = f"progress-{number}"
    try:
        progress = documents.read(name)
    except NotFound:
        progress = {"offset": 0, "sha256": ResumableSha256().state.hex(), "crc32": 0}
    sha256 = ResumableSha256(bytes.fromhex(progress["sha256"]))
    digest = Digest(sha256=sha256, crc32=progress["crc32"])
    for offset in digesting(fd, progress["offset"], size, digest):
        if offset < size and expired():
            documents.write(name, {"offset": offset, "sha256": sha256.state.hex(), "crc32": digest.crc32})
            raise Retryable(
                f"digested {offset} of {size} bytes in time; the next attempt goes on from there",
                {"code": "Unfinished", "offset": offset, "sizeBytes": size},
            )
    return digest
