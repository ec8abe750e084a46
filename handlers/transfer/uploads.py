"""Multipart uploads: begun, fed in parts that S3 verifies by CRC-32, completed once, and never left behind."""

from __future__ import annotations

import hashlib
import mimetypes
import zlib
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, TypedDict

from botocore.exceptions import ClientError

from handlers.transfer.digest import Digest, crc_of_parts, crc_to_base64, to_base64
from handlers.transfer.pool import ordered, workers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

GONE = {"NoSuchUpload", "404"}
SENDERS = 6
CHUNKS_AHEAD = 6
DEFAULT_TYPE = "binary/octet-stream"  # S3's own


class Piece(TypedDict):
    """One part that S3 holds."""

    number: int
    etag: str
    crc32: int
    bytes: int


def crc_of_pieces(pieces: Iterable[Piece]) -> int:
    """Combine the CRC-32s of consecutive parts into that of the whole."""
    return crc_of_parts((piece["crc32"], piece["bytes"]) for piece in pieces)


def content_type(key: str) -> str:
    """Guess an object's type by its name, so that a browser shows a report and a picture as what they are."""
    kind, encoding = mimetypes.guess_type(key)
    return DEFAULT_TYPE if kind is None or encoding else kind


@dataclass(frozen=True, slots=True)
class Upload:
    """One multipart upload under way."""

    s3: S3Client
    bucket: str
    key: str
    upload_id: str

    def feed(self, number: int, body: bytes) -> Piece:
        """Upload part `number`, counted from 1; S3 verifies its CRC-32."""
        crc32 = zlib.crc32(body)
        answer = self.s3.upload_part(
            Bucket=self.bucket,
            Key=self.key,
            UploadId=self.upload_id,
            PartNumber=number,
            Body=body,
            ChecksumAlgorithm="CRC32",
            ChecksumCRC32=crc_to_base64(crc32),
        )
        return {"number": number, "etag": answer["ETag"], "crc32": crc32, "bytes": len(body)}

    def complete(self, pieces: Sequence[Piece]) -> None:
        """Make the object of its parts; S3 verifies the CRC-32 of the whole. What is done already is done."""
        crc32 = crc_of_pieces(pieces)
        parts: list[CompletedPartTypeDef] = [
            {"PartNumber": piece["number"], "ETag": piece["etag"], "ChecksumCRC32": crc_to_base64(piece["crc32"])}
            for piece in pieces
        ]
        try:
            self.s3.complete_multipart_upload(
                Bucket=self.bucket,
                Key=self.key,
                UploadId=self.upload_id,
                MultipartUpload={"Parts": parts},
                ChecksumType="FULL_OBJECT",
                ChecksumCRC32=crc_to_base64(crc32),
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in GONE or not self._done(crc32):
                raise

    def abort(self) -> None:
        """End the upload and free its parts; one that has ended already is no error."""
        try:
            self.s3.abort_multipart_upload(Bucket=self.bucket, Key=self.key, UploadId=self.upload_id)
        except ClientError as error:
            if error.response["Error"]["Code"] not in GONE:
                raise

    def _done(self, crc32: int) -> bool:
        """Tell whether the object is there, with that CRC-32."""
        try:
            head = self.s3.head_object(Bucket=self.bucket, Key=self.key, ChecksumMode="ENABLED")
        except ClientError:
            return False  # the caller raises the error that led here
        return head.get("ChecksumCRC32") == crc_to_base64(crc32)


def begin(s3: S3Client, bucket: str, key: str) -> Upload:
    """Begin an upload whose object will carry the CRC-32 of the whole."""
    answer = s3.create_multipart_upload(
        Bucket=bucket, Key=key, ContentType=content_type(key), ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT"
    )
    return Upload(s3, bucket, key, answer["UploadId"])


def abort_uploads(s3: S3Client, bucket: str, run_id: str) -> int:
    """Abort every unfinished upload of a run's results and return how many there were."""
    count = 0
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=f"runs/{run_id}/")
    for page in pages:
        for upload in page.get("Uploads", ()):
            Upload(s3, bucket, upload["Key"], upload["UploadId"]).abort()
            count += 1
    return count


def put(s3: S3Client, bucket: str, key: str, body: bytes) -> str:
    """Write a short object, whose SHA-256 S3 verifies, and return that in hexadecimal."""
    digest = hashlib.sha256(body)
    s3.put_object(
        Bucket=bucket,
        Key=key,
        Body=body,
        ContentType=content_type(key),
        ChecksumAlgorithm="SHA256",
        ChecksumSHA256=to_base64(digest.digest()),
    )
    return digest.hexdigest()


def put_stream(s3: S3Client, bucket: str, key: str, chunks: Iterable[bytes]) -> str:
    """Write an object from chunks, each at least 5 MiB but the last, and return its SHA-256 in hexadecimal.

    At most CHUNKS_AHEAD chunks are in memory. One chunk alone is one request.
    """
    chunks = iter(chunks)
    head = list(islice(chunks, 2))
    if len(head) < 2:  # noqa: PLR2004
        return put(s3, bucket, key, b"".join(head))
    upload = begin(s3, bucket, key)
    digest = Digest()

    def numbered() -> Iterator[tuple[int, bytes]]:
        for number, chunk in enumerate(chain(head, chunks), 1):
            digest.update(chunk)
            yield number, chunk

    try:
        with workers(SENDERS) as pool:
            pieces = list(ordered(pool, lambda item: upload.feed(*item), numbered(), CHUNKS_AHEAD))
        upload.complete(pieces)
    except BaseException:
        # No sender is at work any more: a part that arrives after the abort would stay, and cost.
        with suppress(ClientError):  # the first error is the one to tell; the run's cleanup aborts what is left
            upload.abort()
        raise
    return digest.sha256
