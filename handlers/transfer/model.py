"""What a transfer is made of, as it lies in the plan: one JSON object a line, with short and stable keys."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypedDict


@dataclass(frozen=True, slots=True)
class InputFile:
    """One S3 object, pinned by its ETag, and the relative path that it gets. `sha256` is the requester's, if any."""

    path: str
    bucket: str
    key: str
    size: int
    etag: str
    sha256: str | None = None

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One file of a node's output. `source` is where it lies below the run's directory, every link resolved."""

    node: str
    path: str
    source: str
    size: int

    def key(self, run_id: str) -> str:
        return f"runs/{run_id}/{self.node}/{self.path}"


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes [start, end) of large file number `large`, moved by one invocation in chunks from `start` on."""

    large: int
    start: int
    end: int


class TransferPlan(TypedDict):
    """Counts of a plan: parts and large files are numbered from 0."""

    parts: int
    large: int
    files: int
    bytes: int


class FileSum(TypedDict):
    """One file that a run read: where from, and the SHA-256 of what lies under its path."""

    path: str
    uri: str
    etag: str
    sizeBytes: int
    sha256: str


class OutputSum(TypedDict):
    """One file of the manifest."""

    nodeId: str
    path: str
    key: str
    sizeBytes: int
    sha256: str


# Made once: `json.dumps` with separators makes an encoder a call.
encode = json.JSONEncoder(separators=(",", ":")).encode


def record(item: InputFile | OutputFile | Span) -> dict[str, Any]:
    """Render an item of a plan, leaving out what is not set."""
    # Not `dataclasses.asdict`, which copies deeply: a plan may have a million items.
    return {name: value for name in item.__slots__ if (value := getattr(item, name)) is not None}
