"""Reads S3 objects that a plan has pinned, and says what became of them where they are not the same any more."""

from __future__ import annotations

import random
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError, FlexibleChecksumError, HTTPClientError, IncompleteReadError

from handlers.errors import BadRequest, Retryable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_s3 import S3Client

    from handlers.transfer.model import InputFile

T = TypeVar("T")
BLOCK = 256 << 10
# The client retries requests; these attempts are for bodies that break off, and take about 3 s in all.
ATTEMPTS = 4
FIRST_DELAY = 0.4
BROKEN_OFF = (HTTPClientError, IncompleteReadError, FlexibleChecksumError)
FAULTS = {
    "PreconditionFailed": ("InputChanged", "has changed since the run began"),
    "412": ("InputChanged", "has changed since the run began"),
    "NoSuchKey": ("InputChanged", "was deleted after the run began"),
    "404": ("InputChanged", "was deleted after the run began"),
    "AccessDenied": ("InputAccessDenied", "may be listed but not read by this node"),
    "403": ("InputAccessDenied", "may be listed but not read by this node"),
    "InvalidObjectState": ("InputArchived", "is archived; restore it first"),
}


def blocks(s3: S3Client, file: InputFile, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    """Yield the bytes [start, end) of the pinned version, or all, whose own checksum the client then verifies.

    Raise one of BROKEN_OFF where the body is not whole, BadRequest where the object is not the planned one any more.
    """
    # A range carries no checksum of the whole, and an empty object has no range.
    more: dict[str, Any] = {"ChecksumMode": "ENABLED"} if end is None else {"Range": f"bytes={start}-{end - 1}"}
    left = (file.size if end is None else end) - start
    try:
        answer = s3.get_object(Bucket=file.bucket, Key=file.key, IfMatch=file.etag, **more)
    except ClientError as error:
        raise fault(error, file) from error
    # Not `with answer["Body"]`: that yields the raw stream, past the verification of length and checksum.
    with closing(answer["Body"]) as body:
        while block := body.read(BLOCK):
            left -= len(block)
            yield block
    if left:
        raise IncompleteReadError(actual_bytes=file.size - left, expected_bytes=file.size)


def head(s3: S3Client, file: InputFile) -> dict[str, Any]:
    """Get what S3 knows of the pinned version, with its checksums."""
    try:
        return dict(s3.head_object(Bucket=file.bucket, Key=file.key, IfMatch=file.etag, ChecksumMode="ENABLED"))
    except ClientError as error:
        raise fault(error, file) from error


def fault(error: ClientError, file: InputFile) -> Exception:
    """Turn S3's answer into the input's error; what is not the input's fault stays as it is."""
    known = FAULTS.get(error.response["Error"]["Code"])
    if known is None:
        return error
    code, what = known
    return BadRequest(f"input {file.uri} {what}", {"code": code, "uri": file.uri, "path": file.path})


def persist(work: Callable[[], T], file: InputFile, sleep: Callable[[float], None] = time.sleep) -> T:
    """Do the work, again where a body broke off; raise Retryable where it keeps breaking off."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return work()
        except BROKEN_OFF:
            sleep(FIRST_DELAY * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311 (jitter)
    try:
        return work()
    except BROKEN_OFF as error:
        raise Retryable(
            f"input {file.uri} did not arrive whole in {ATTEMPTS} attempts: {error}",
            {"code": "InputTruncated", "uri": file.uri, "path": file.path},
        ) from error
