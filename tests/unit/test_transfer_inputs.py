"""Resolving inputs against moto's S3: what lands where, and one clear error for each mistake."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from handlers.errors import BadRequest, NodeError
from handlers.transfer import inputs as module
from handlers.transfer.plan import InputFile, list_inputs, write_plan
from handlers.transfer.store import Documents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

ALLOWED = {"lab", "results"}


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="lab")
        client.create_bucket(Bucket="results")
        for key in ("scan.nii", "set/a.nii", "set/sub/b.nii", "set/sub-2/c.nii", "other/a.nii"):
            client.put_object(Bucket="lab", Key=key, Body=key.encode())
        yield client


def paths(s3: S3Client, *inputs: dict[str, Any]) -> dict[str, str]:
    return {file.path: file.key for file in list_inputs(s3, inputs, ALLOWED)}


def refusal(s3: S3Client, *inputs: dict[str, Any]) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        list(list_inputs(s3, inputs, ALLOWED))
    return caught.value


def test_a_single_object_goes_to_its_base_name_or_to_its_path(s3: S3Client) -> None:
    assert paths(s3, {"uri": "s3://lab/set/a.nii"}) == {"a.nii": "set/a.nii"}
    assert paths(s3, {"uri": "s3://lab/set/a.nii", "path": "deep/x.nii"}) == {"deep/x.nii": "set/a.nii"}


def test_a_prefix_keeps_its_relative_keys_below_its_path(s3: S3Client) -> None:
    keys = {"a.nii": "set/a.nii", "sub/b.nii": "set/sub/b.nii", "sub-2/c.nii": "set/sub-2/c.nii"}
    assert paths(s3, {"uri": "s3://lab/set/"}) == keys
    for path in ("in", "in/"):
        assert paths(s3, {"uri": "s3://lab/set/", "path": path}) == {f"in/{name}": key for name, key in keys.items()}


def test_a_whole_bucket_is_a_prefix(s3: S3Client) -> None:
    assert len(paths(s3, {"uri": "s3://lab/"})) == 5


def test_what_is_found_is_pinned_and_carries_the_requested_digest(s3: S3Client) -> None:
    digest = hashlib.sha256(b"scan.nii").hexdigest()
    (file,) = list_inputs(s3, [{"uri": "s3://lab/scan.nii", "sha256": digest.upper()}], ALLOWED)
    etag = s3.head_object(Bucket="lab", Key="scan.nii")["ETag"]
    assert file == InputFile("scan.nii", "lab", "scan.nii", 8, etag, digest)


def test_all_inputs_come_ordered_by_path_across_pages(s3: S3Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 10)
    for number in range(35):
        s3.put_object(Bucket="lab", Key=f"many/{number:03d}", Body=b"")
    found = list(
        paths(
            s3,
            {"uri": "s3://lab/many/", "path": "b"},
            {"uri": "s3://lab/set/", "path": "c"},
            {"uri": "s3://lab/scan.nii", "path": "a"},
        )
    )
    assert len(found) == 39
    assert found == sorted(found)


def test_what_a_console_writes_as_a_folder_is_no_file(s3: S3Client) -> None:
    s3.put_object(Bucket="lab", Key="set/empty/", Body=b"")
    assert "empty/" not in paths(s3, {"uri": "s3://lab/set/"})


def test_a_bucket_is_allowed_by_pattern_too(s3: S3Client) -> None:
    assert list(list_inputs(s3, [{"uri": "s3://lab/scan.nii"}], {"la*"}))


@pytest.mark.parametrize(
    ("entry", "code", "offending"),
    [
        ({"uri": "s3://lab/absent"}, "InputNotFound", "s3://lab/absent"),
        ({"uri": "s3://lab/absent/"}, "InputPrefixEmpty", "s3://lab/absent/"),
        ({"uri": "https://lab/x"}, "InputUriInvalid", "https://lab/x"),
        ({"uri": "s3://lab"}, "InputUriInvalid", "s3://lab"),
        ({"uri": "s3://L/x"}, "InputUriInvalid", "s3://L/x"),
        ({"uri": 7}, "InputUriInvalid", "7"),
        ({}, "InputUriInvalid", "None"),
        ({"uri": "s3://lab/scan.nii", "pth": "x"}, "InputInvalid", "pth"),
        ({"uri": "s3://lab/scan.nii", "path": ""}, "InputPathInvalid", "''"),
        ({"uri": "s3://lab/scan.nii", "path": 3}, "InputPathInvalid", "3"),
        ({"uri": "s3://lab/scan.nii", "path": "../x"}, "InputPathInvalid", "../x"),
        ({"uri": "s3://lab/scan.nii", "path": "a/../../x"}, "InputPathInvalid", "a/../../x"),
        ({"uri": "s3://lab/scan.nii", "path": "/etc/x"}, "InputPathInvalid", "/etc/x"),
        ({"uri": "s3://lab/scan.nii", "path": "a\0b"}, "InputPathInvalid", "a\\x00b"),
        ({"uri": "s3://lab/scan.nii", "path": "x" * 256}, "InputPathInvalid", "256 bytes"),
        ({"uri": "s3://lab/set/", "path": "/"}, "InputPathInvalid", "'/'"),
        ({"uri": "s3://lab/set/", "path": ".."}, "InputPathInvalid", "'..'"),
        ({"uri": "s3://lab/scan.nii", "sha256": "abc"}, "InputSha256Invalid", "abc"),
        ({"uri": "s3://lab/set/", "sha256": "a" * 64}, "InputSha256Invalid", "s3://lab/set/"),
        ({"uri": "s3://other/x"}, "InputBucketNotAllowed", "other"),
    ],
)
def test_a_bad_input_is_refused_with_its_code_and_value(
    s3: S3Client, entry: dict[str, Any], code: str, offending: str
) -> None:
    error = refusal(s3, entry)
    assert f"code: {code}" in error.details
    assert offending in str(error)


def test_a_bucket_that_is_not_allowed_names_the_configuration_key(s3: S3Client) -> None:
    assert "storage.inputBuckets" in str(refusal(s3, {"uri": "s3://other/x"}))


def test_nothing_is_asked_of_s3_before_every_input_is_checked(s3: S3Client) -> None:
    error = refusal(s3, {"uri": "s3://lab/absent"}, {"uri": "s3://lab/scan.nii", "path": "../x"})
    assert "code: InputPathInvalid" in error.details


@pytest.mark.parametrize(
    ("first", "second", "path"),
    [
        ({"uri": "s3://lab/set/a.nii"}, {"uri": "s3://lab/other/a.nii"}, "a.nii"),
        ({"uri": "s3://lab/set/"}, {"uri": "s3://lab/other/"}, "a.nii"),
        ({"uri": "s3://lab/set/"}, {"uri": "s3://lab/scan.nii", "path": "sub"}, "sub/b.nii"),
        ({"uri": "s3://lab/scan.nii", "path": "x/y"}, {"uri": "s3://lab/scan.nii", "path": "x"}, "x/y"),
    ],
)
def test_two_inputs_for_one_path_are_refused(
    s3: S3Client, first: dict[str, Any], second: dict[str, Any], path: str
) -> None:
    for inputs in ((first, second), (second, first)):
        error = refusal(s3, *inputs)
        assert "code: InputPathConflict" in error.details
        assert f"path: {path}" in error.details


def test_keys_of_one_prefix_that_cannot_be_files_together_are_refused(s3: S3Client) -> None:
    s3.put_object(Bucket="lab", Key="set/sub", Body=b"")
    assert "code: InputPathConflict" in refusal(s3, {"uri": "s3://lab/set/"}).details


@pytest.mark.parametrize("key", ["bad/../up", "bad//x", "bad/folder/"])
def test_a_key_that_is_no_path_is_refused_by_name(s3: S3Client, key: str) -> None:
    s3.put_object(Bucket="lab", Key=key, Body=b"content")
    error = refusal(s3, {"uri": "s3://lab/bad/"})
    assert "code: InputPathInvalid" in error.details
    assert key in str(error)


def test_an_archived_object_is_refused(s3: S3Client) -> None:
    s3.put_object(Bucket="lab", Key="cold/x", Body=b"", StorageClass="GLACIER")
    for uri in ("s3://lab/cold/x", "s3://lab/cold/"):
        error = refusal(s3, {"uri": uri})
        assert "code: InputArchived" in error.details
        assert "s3://lab/cold/x" in str(error)


class Answers:
    """An S3 client whose every call gives the same error, or the pages it was made with."""

    def __init__(self, error: str = "", pages: list[dict[str, Any]] | None = None) -> None:
        self.error = error
        self.pages = pages or []

    def head_object(self, **_: object) -> dict[str, Any]:
        raise ClientError({"Error": {"Code": self.error}}, "HeadObject")

    def list_objects_v2(self, **_: object) -> dict[str, Any]:
        if self.error:
            raise ClientError({"Error": {"Code": self.error}}, "ListObjectsV2")
        return self.pages.pop(0)


@pytest.mark.parametrize("uri", ["s3://lab/x", "s3://lab/x/"])
def test_denied_access_names_the_configuration_key(uri: str) -> None:
    for answer in ("403", "AccessDenied"):
        with pytest.raises(BadRequest, match=r"storage\.inputBuckets") as caught:
            list(list_inputs(Answers(answer), [{"uri": uri}], ALLOWED))  # type: ignore[arg-type]
        assert "code: InputAccessDenied" in caught.value.details


def test_a_fault_of_s3_itself_stays_what_it_is() -> None:
    with pytest.raises(ClientError, match="SlowDown"):
        list(list_inputs(Answers("SlowDown"), [{"uri": "s3://lab/x"}], ALLOWED))  # type: ignore[arg-type]


def test_a_bucket_that_lists_out_of_order_is_refused() -> None:
    entry = {"Size": 1, "ETag": '"e"'}
    page = {"Contents": [{"Key": "p/b", **entry}, {"Key": "p/a", **entry}], "IsTruncated": False}
    with pytest.raises(NodeError, match="does not list its keys in order"):
        list(list_inputs(Answers(pages=[page]), [{"uri": "s3://lab/p/"}], ALLOWED))  # type: ignore[arg-type]


def test_an_object_over_the_limit_is_refused() -> None:
    page = {"Contents": [{"Key": "p/b", "Size": (1 << 40) + 1, "ETag": '"e"'}], "IsTruncated": False}
    with pytest.raises(BadRequest, match=str(1 << 40)) as caught:
        list(list_inputs(Answers(pages=[page]), [{"uri": "s3://lab/p/"}], ALLOWED))  # type: ignore[arg-type]
    assert "code: InputTooLarge" in caught.value.details


def test_a_plan_is_written_in_parts_and_read_back(s3: S3Client) -> None:
    files = [InputFile(f"{number:03d}", "lab", f"k/{number:03d}", 1 << 20, '"e"') for number in range(300)]
    large = InputFile("large", "lab", "k/large", 4 << 30, '"e"', "a" * 64)
    plan = write_plan(s3, "results", "run", [*files, large])
    assert plan == {"parts": 3 + 32, "large": 1, "files": 301, "bytes": (300 << 20) + (4 << 30)}
    documents = Documents(s3, "results", "run", "download")
    lines = [line for number in range(plan["parts"]) for line in documents.read_lines(f"part-{number}")]
    assert [InputFile(**line) for line in lines if "span" not in line] == files
    assert {InputFile(**line["file"]) for line in lines if "span" in line} == {large}
    spans = [(line["span"]["start"], line["span"]["end"]) for line in lines if "span" in line]
    assert spans == [(number << 27, (number + 1) << 27) for number in range(32)]
    assert len(documents.read("large-0")["parts"]) == 32


def test_no_inputs_are_no_parts(s3: S3Client) -> None:
    assert write_plan(s3, "results", "run", list_inputs(s3, [], ALLOWED)) == {
        "parts": 0,
        "large": 0,
        "files": 0,
        "bytes": 0,
    }


LISTING = """
import json, resource, sys
from handlers.transfer.plan import list_inputs, write_plan

class Bucket:
    parts = 0
    def list_objects_v2(self, MaxKeys, ContinuationToken="0", **_):
        start = int(ContinuationToken)
        keys = range(start, min(start + MaxKeys, COUNT))
        entries = [{"Key": f"p/{key:09d}", "Size": 10240, "ETag": '"0123456789abcdef0123456789abcdef"'} for key in keys]
        return {"Contents": entries, "IsTruncated": keys.stop < COUNT, "NextContinuationToken": str(keys.stop)}
    def get_paginator(self, _):
        return self
    def paginate(self, **_):
        return []
    def put_object(self, **_):
        self.parts += 1

COUNT = int(sys.argv[1])
bucket = Bucket()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
plan = write_plan(bucket, "results", "run", list_inputs(bucket, [{"uri": "s3://lab/p/"}], {"lab"}))
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps({**plan, "written": bucket.parts, "grownKiB": grown}))
"""


def test_a_long_listing_is_planned_in_bounded_memory() -> None:
    """In a process of its own, whose peak of resident memory counts; held as objects, the files would take 100 MiB."""
    count = 200_000
    answer = subprocess.run([sys.executable, "-c", LISTING, str(count)], capture_output=True, text=True, check=True)
    plan = json.loads(answer.stdout)
    assert plan["files"] == count
    assert plan["parts"] <= 400
    assert plan["written"] == plan["parts"] + 1  # the report
    assert plan["grownKiB"] < 16 << 10
