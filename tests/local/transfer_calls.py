"""Calls of the transfer handlers as Lambda makes them, and an S3 client that goes wrong on purpose."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

from botocore.response import StreamingBody

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

RUN = "3f0e9d1c-0000-4000-8000-000000000001"
MIB = 1 << 20


def content(size: int, seed: int = 0) -> bytes:
    """Make bytes that differ everywhere and are the same in every run."""
    return hashlib.shake_128(bytes([seed])).digest(size)


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def call(handler: Callable[..., Any], action: str, **values: object) -> Any:
    return handler({"action": action, "runId": RUN, "runDir": "token", **values}, None)


class Faulty:
    """The handlers' client, except that `get_object` goes through `fault`, with the number of the call."""

    def __init__(self, s3: S3Client, fault: Callable[[int, dict[str, Any]], dict[str, Any]]) -> None:
        self._s3 = s3
        self._fault = fault
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._s3, name)

    def get_object(self, **request: Any) -> dict[str, Any]:
        answer: Any = self._s3.get_object(**request)
        if request["Bucket"] != "lab":
            return dict(answer)
        self.calls += 1
        return self._fault(self.calls, dict(answer))


def cut_short(answer: dict[str, Any]) -> dict[str, Any]:
    """Answer with a connection that closes half-way."""
    body = answer["Body"].read()
    return {**answer, "Body": StreamingBody(io.BytesIO(body[: len(body) // 2]), len(body))}
