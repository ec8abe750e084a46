"""Resolves a run's inputs: which objects they are, and under which relative path each one lands.

Every input is checked before S3 is asked anything. Prefixes are listed page by page and merged by path, so that a
million objects pass through in bounded memory and two inputs for one path still meet.
"""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from handlers.errors import BadRequest, NodeError
from handlers.transfer.model import InputFile
from handlers.transfer.pack import MAX_FILE_BYTES
from handlers.transfer.paths import Taken, path_fault
from handlers.transfer.pool import ordered, workers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

BUCKETS_KEY = "storage.inputBuckets"
URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.*)", re.DOTALL)
SHA256 = re.compile(r"[0-9a-fA-F]{64}")
ARCHIVED = {"GLACIER", "DEEP_ARCHIVE"}
MISSING = {"404", "NoSuchKey", "NoSuchBucket"}
DENIED = {"403", "AccessDenied", "AllAccessDisabled"}
FIELDS = {"uri", "path", "sha256"}
LOOKUPS = 10  # as many connections as a client has unless told otherwise
PAGE = 1_000
# Objects that the first pages of all prefixes may hold together, whatever the number of prefixes.
PAGED = 50_000


@dataclass(frozen=True, slots=True)
class Source:
    """One input of a request, checked as far as that goes without S3."""

    uri: str
    bucket: str
    key: str
    path: str
    sha256: str | None

    @property
    def is_prefix(self) -> bool:
        return not self.key or self.key.endswith("/")


def bad_input(code: str, message: str, **values: object) -> BadRequest:
    """Make the error of a bad input; `values` name what is at fault."""
    return BadRequest(message, {"code": code, **values})


def list_inputs(
    s3: S3Client, inputs: Iterable[Mapping[str, Any]], allowed_buckets: Collection[str]
) -> Iterator[InputFile]:
    """Yield the objects that the inputs name, ordered by path, or raise BadRequest for the first fault found."""
    sources = [_source(entry, allowed_buckets) for entry in inputs]
    prefixes = [source for source in sources if source.is_prefix]
    limit = max(10, min(PAGE, PAGED // max(1, len(prefixes))))
    with workers(LOOKUPS) as pool:
        singles = [source for source in sources if not source.is_prefix]
        objects = sorted(ordered(pool, lambda source: _head(s3, source), singles, PAGE), key=attrgetter("path"))
        pages = list(ordered(pool, lambda source: _page(s3, source, limit, None), prefixes, PAGE))
    listings = [_listing(s3, source, limit, page) for source, page in zip(prefixes, pages, strict=True)]
    return _without_conflicts(heapq.merge(objects, *listings, key=attrgetter("path")))


def _source(entry: Mapping[str, Any], allowed: Collection[str]) -> Source:
    uri = entry.get("uri")
    match = URI.fullmatch(uri) if isinstance(uri, str) else None
    if not isinstance(uri, str) or match is None:
        raise bad_input(
            "InputUriInvalid", f"input {uri!r} is not an S3 URI: s3://bucket/key or s3://bucket/prefix/", uri=uri
        )
    if unknown := sorted(entry.keys() - FIELDS):
        raise bad_input("InputInvalid", f"input {uri}: unknown {unknown}; allowed are {sorted(FIELDS)}", uri=uri)
    bucket, key = match.groups()
    if not any(fnmatchcase(bucket, pattern) for pattern in allowed):
        raise bad_input(
            "InputBucketNotAllowed",
            f"input {uri}: bucket {bucket!r} is not among those that "
            f"configuration key {BUCKETS_KEY} allows: {', '.join(sorted(allowed)) or 'none'}",
            uri=uri,
            bucket=bucket,
        )
    source = Source(uri, bucket, key, _target(uri, key, entry.get("path")), _digest(uri, key, entry.get("sha256")))
    if source.path and (fault := path_fault(source.path)):
        raise bad_input("InputPathInvalid", f"input {uri}: path {source.path!r} {fault}", uri=uri, path=source.path)
    return source


def _target(uri: str, key: str, path: object) -> str:
    """Settle an object's path, or the directory of a prefix, which may be the input directory itself ("")."""
    is_prefix = not key or key.endswith("/")
    if path is None:
        return "" if is_prefix else key.rpartition("/")[2]
    if not isinstance(path, str) or not path:
        raise bad_input(
            "InputPathInvalid",
            f"input {uri}: path {path!r} is empty or not a string; leave it out for the default",
            uri=uri,
            path=path,
        )
    return path.removesuffix("/") if is_prefix and path != "/" else path


def _digest(uri: str, key: str, sha256: object) -> str | None:
    if sha256 is None:
        return None
    if not isinstance(sha256, str) or not SHA256.fullmatch(sha256):
        raise bad_input(
            "InputSha256Invalid", f"input {uri}: sha256 {sha256!r} is not 64 hexadecimal digits", uri=uri, sha256=sha256
        )
    if not key or key.endswith("/"):
        raise bad_input(
            "InputSha256Invalid",
            f"input {uri}: a prefix has no sha256; give it with single objects",
            uri=uri,
            sha256=sha256,
        )
    return sha256.lower()


def _head(s3: S3Client, source: Source) -> InputFile:
    try:
        head = s3.head_object(Bucket=source.bucket, Key=source.key)
    except ClientError as error:
        raise _refused(error, source) from error
    if head.get("StorageClass") in ARCHIVED and 'ongoing-request="false"' not in head.get("Restore", ""):
        raise _archived(source.uri, str(head.get("StorageClass")))
    return _file(source, source.path, source.key, head["ContentLength"], head["ETag"])


def _page(s3: S3Client, source: Source, limit: int, token: str | None) -> ListObjectsV2OutputTypeDef:
    more: dict[str, Any] = {"ContinuationToken": token} if token else {}
    try:
        return s3.list_objects_v2(
            Bucket=source.bucket, Prefix=source.key, MaxKeys=limit, OptionalObjectAttributes=["RestoreStatus"], **more
        )
    except ClientError as error:
        raise _refused(error, source) from error


def _listing(s3: S3Client, source: Source, limit: int, page: ListObjectsV2OutputTypeDef) -> Iterator[InputFile]:
    found, last = False, ""
    while True:
        for entry in page.get("Contents", ()):
            key = entry["Key"]
            if key <= last:
                raise NodeError(
                    f"bucket {source.bucket!r} does not list its keys in order ({last!r} before {key!r}): "
                    "directory buckets cannot be inputs"
                )
            last = key
            if key.endswith("/") and not entry["Size"]:
                continue  # what consoles write as a folder
            found = True
            yield _listed(source, entry)
        if not page.get("IsTruncated"):
            break
        page = _page(s3, source, limit, page["NextContinuationToken"])
    if not found:
        raise bad_input("InputPrefixEmpty", f"input {source.uri}: there is no object under this prefix", uri=source.uri)


def _listed(source: Source, entry: Any) -> InputFile:
    key = entry["Key"]
    if entry.get("StorageClass") in ARCHIVED and "RestoreExpiryDate" not in entry.get("RestoreStatus", {}):
        raise _archived(f"s3://{source.bucket}/{key}", entry["StorageClass"])
    relative = key[len(source.key) :]
    path = f"{source.path}/{relative}" if source.path else relative
    if fault := path_fault(path):
        uri = f"s3://{source.bucket}/{key}"
        raise bad_input(
            "InputPathInvalid",
            f"input {source.uri}: object {uri} would land at {path!r}, which {fault}",
            uri=uri,
            path=path,
        )
    return _file(source, path, key, entry["Size"], entry["ETag"])


def _file(source: Source, path: str, key: str, size: int, etag: str) -> InputFile:
    if size > MAX_FILE_BYTES:
        uri = f"s3://{source.bucket}/{key}"
        raise bad_input(
            "InputTooLarge",
            f"input {uri} has {size} bytes; at most {MAX_FILE_BYTES} are allowed",
            uri=uri,
            sizeBytes=size,
        )
    return InputFile(path, source.bucket, key, size, etag, source.sha256)


def _without_conflicts(files: Iterator[InputFile]) -> Iterator[InputFile]:
    """Pass the files on, which come ordered by path, until two of them cannot both exist."""
    taken = Taken()
    for file in files:
        if (other := taken.take(file.path)) is not None:
            raise _conflict(other, file)
        yield file


def _conflict(other: str, file: InputFile) -> BadRequest:
    same = other == file.path
    what = "is the path of two inputs" if same else f"needs {other!r} as a directory, which is an input's path"
    return bad_input(
        "InputPathConflict", f"{file.path!r} (of {file.uri}) {what}", path=file.path, other=other, uri=file.uri
    )


def _archived(uri: str, storage_class: str) -> BadRequest:
    return bad_input("InputArchived", f"input {uri} is archived in {storage_class}; restore it first", uri=uri)


def _refused(error: ClientError, source: Source) -> Exception:
    """Turn S3's answer into the input's error; what is not the input's fault stays as it is."""
    code = error.response["Error"]["Code"]
    if code in DENIED:
        return bad_input(
            "InputAccessDenied",
            f"input {source.uri}: S3 denies access to it; the bucket must be among "
            f"those of configuration key {BUCKETS_KEY}, and its own policy must allow this node",
            uri=source.uri,
            bucket=source.bucket,
        )
    if code == "NoSuchBucket":
        return bad_input(
            "InputNotFound", f"input {source.uri}: bucket {source.bucket!r} does not exist", uri=source.uri
        )
    if code in MISSING:
        return bad_input(
            "InputNotFound", f"input {source.uri}: the object does not exist (a prefix ends in '/')", uri=source.uri
        )
    return error
