"""The documents of a transfer in S3, below `plans/{runId}/{direction}/`: plan parts, receipts, checksums.

Lists are gzip NDJSON, one object a line. All are written with fixed timestamps, so the same content is the same object.
"""

from __future__ import annotations

import gzip
import io
import json
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from handlers.errors import NodeError, NotFound
from handlers.transfer.model import encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

Direction = Literal["download", "publish"]
MISSING = {"404", "NoSuchKey"}


class Documents:
    """Reads and writes the documents of one transfer of one run."""

    def __init__(self, s3: S3Client, bucket: str, run_id: str, direction: Direction) -> None:
        self.s3 = s3
        self.bucket = bucket
        self.prefix = f"plans/{run_id}/{direction}/"

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Write one JSON document."""
        self._put(f"{name}.json", encode(value).encode(), "application/json")

    def read(self, name: str) -> dict[str, Any]:
        """Read one JSON document, or raise NotFound."""
        document: dict[str, Any] = json.loads(self._get(f"{name}.json"))
        return document

    def exists(self, name: str) -> bool:
        """Tell whether a list has been written."""
        try:
            self.s3.head_object(Bucket=self.bucket, Key=f"{self.prefix}{name}.json.gz")
        except ClientError as error:
            if error.response["Error"]["Code"] in MISSING:
                return False
            raise
        return True

    def write_lines(self, name: str, lines: Iterable[Mapping[str, Any]]) -> None:
        """Write a list; it is held in memory compressed."""
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=3, mtime=0) as out:
            for line in lines:
                out.write(encode(line).encode() + b"\n")
        self._put(f"{name}.json.gz", buffer.getvalue(), "application/gzip")

    def read_lines(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the lines of a list, or raise NotFound."""
        body = io.BytesIO(self._get(f"{name}.json.gz"))
        with gzip.GzipFile(fileobj=body) as text:
            yield from map(json.loads, text)

    def clear(self) -> None:
        """Remove every document, so that nothing of an earlier plan is taken for this one's."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
        for page in pages:
            if entries := page.get("Contents"):
                keys: list[ObjectIdentifierTypeDef] = [{"Key": entry["Key"]} for entry in entries]
                answer = self.s3.delete_objects(Bucket=self.bucket, Delete={"Objects": keys, "Quiet": True})
                if errors := answer.get("Errors"):
                    raise NodeError(f"{len(errors)} documents of an earlier plan cannot be removed: {errors[0]}")

    def _put(self, name: str, body: bytes, content_type: str) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=self.prefix + name, Body=body, ContentType=content_type)

    def _get(self, name: str) -> bytes:
        try:
            return self.s3.get_object(Bucket=self.bucket, Key=self.prefix + name)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in MISSING:
                raise NotFound(
                    f"there is no s3://{self.bucket}/{self.prefix}{name}: the step that writes it has not "
                    "run, or the run was cleaned up"
                ) from error
            raise
