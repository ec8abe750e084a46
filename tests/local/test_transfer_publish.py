"""The publish handler, called as Lambda calls it, against moto's HTTP server and a real directory."""

from __future__ import annotations

import base64
import json
import os
import zlib
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from transfer_calls import MIB, RUN, call, content, digest

from handlers import publish
from handlers.errors import BadRequest, Conflict, NotFound
from handlers.transfer import manifest as manifest_module
from handlers.transfer import uploads
from handlers.transfer.digest import crc_to_base64
from handlers.transfer.store import Documents

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

pytest_plugins = ["transfer_fixtures"]


def write_output(run: Path, files: dict[str, bytes], attempt: int = 1) -> None:
    """Write the output of nodes, by `{node}/{path}`, as a processor's attempt does."""
    for name, body in files.items():
        node, _, path = name.partition("/")
        target = run / "work" / node / str(attempt) / "output" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)
        current = run / "work" / node / "current"
        if not current.is_symlink():
            current.symlink_to(str(attempt))


def record_nodes(statuses: dict[str, str]) -> None:
    table = boto3.resource("dynamodb").Table("runs")
    for node, status in statuses.items():
        table.put_item(Item={"pk": f"RUN#{RUN}", "sk": f"NODE#{node}", "nodeId": node, "status": status})


def publish_all(**values: object) -> dict[str, Any]:
    made: dict[str, Any] = call(publish.handler, "plan", **values)
    for part in range(made["parts"]):
        call(publish.handler, "part", part=part)
    for large in range(made["multipart"]):
        call(publish.handler, "assemble", large=large)
    assert call(publish.handler, "manifest") == {"key": f"runs/{RUN}/manifest.json"}
    return made


def results(s3: S3Client) -> dict[str, bytes]:
    """Read every object of the run but its manifest."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="results", Prefix=f"runs/{RUN}/")
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
    return {
        key.removeprefix(f"runs/{RUN}/"): s3.get_object(Bucket="results", Key=key)["Body"].read()
        for key in keys
        if not key.endswith("/manifest.json")
    }


def manifest(s3: S3Client) -> dict[str, Any]:
    document: dict[str, Any] = json.load(s3.get_object(Bucket="results", Key=f"runs/{RUN}/manifest.json")["Body"])
    return document


def unfinished(s3: S3Client) -> list[str]:
    return [upload["Key"] for upload in s3.list_multipart_uploads(Bucket="results").get("Uploads", ())]


@pytest.mark.usefixtures("small_pieces")
def test_outputs_of_succeeded_nodes_are_published_with_a_manifest_that_holds(s3: S3Client, run: Path) -> None:
    files = {
        "a/report.html": b"<html>",
        "a/sub/tiny.bin": content(10),
        "b/empty": b"",
        "b/one request": content(2 * MIB),
        "b/pieces": content(12 * MIB + 1),
        "c/ranges": content(33 * MIB + 5),
    }
    write_output(run, files | {"failed/x": b"x", "running/y": b"y"})
    record_nodes(dict.fromkeys("abc", "SUCCEEDED") | {"failed": "FAILED", "running": "RUNNING"})
    made = publish_all()
    assert results(s3) == files
    assert made["multipart"] == 1
    assert made["parts"] == 1 + 3
    assert (made["files"], made["bytes"]) == (len(files), sum(map(len, files.values())))
    assert (made["emptyNodes"], made["refused"], made["skipped"], made["warnings"]) == ([], 0, 0, [])
    document = manifest(s3)
    assert document.keys() == {"executionRunId", "workflowInstanceId", "createdAt", "files"}
    assert (document["executionRunId"], document["workflowInstanceId"]) == (RUN, "instance-7")
    expected = [
        {
            "nodeId": name.partition("/")[0],
            "path": name.partition("/")[2],
            "key": f"runs/{RUN}/{name}",
            "sizeBytes": len(body),
            "sha256": digest(body),
        }
        for name, body in files.items()
    ]
    assert {line["key"]: line for line in document["files"]} == {line["key"]: line for line in expected}
    assert len(document["files"]) == len(expected)
    assert unfinished(s3) == []


@pytest.mark.usefixtures("small_pieces")
def test_published_objects_carry_checksums_and_types(s3: S3Client, run: Path) -> None:
    write_output(run, {"a/report.html": b"<html>", "a/p.png": content(12 * MIB), "a/data.tsv.gz": content(20 * MIB)})
    publish_all(nodes=["a"])
    head = s3.head_object(Bucket="results", Key=f"runs/{RUN}/a/report.html", ChecksumMode="ENABLED")
    assert head["ContentType"] == "text/html"
    assert bytes.fromhex(digest(b"<html>")) == base64.b64decode(head["ChecksumSHA256"])
    picture = s3.get_object(Bucket="results", Key=f"runs/{RUN}/a/p.png", ChecksumMode="ENABLED")
    assert (picture["ContentType"], picture["ChecksumType"]) == ("image/png", "FULL_OBJECT")
    table = s3.get_object(Bucket="results", Key=f"runs/{RUN}/a/data.tsv.gz", ChecksumMode="ENABLED")
    assert (table["ContentType"], table["ChecksumType"]) == ("binary/octet-stream", "FULL_OBJECT")
    assert table["ChecksumCRC32"] == crc_to_base64(zlib.crc32(content(20 * MIB)))


@pytest.mark.usefixtures("small_pieces")
def test_publishing_again_gives_the_same_objects(s3: S3Client, run: Path) -> None:
    write_output(run, {"a/x": content(100), "a/pieces": content(7 * MIB), "b/ranges": content(23 * MIB)})
    made = publish_all(nodes=["a", "b"])
    before, files = results(s3), manifest(s3)["files"]
    for part in range(made["parts"]):
        call(publish.handler, "part", part=part)
    call(publish.handler, "assemble", large=0)
    call(publish.handler, "manifest")
    assert results(s3) == before
    publish_all(nodes=["a", "b"])
    assert results(s3) == before
    assert manifest(s3)["files"] == files
    assert unfinished(s3) == []


@pytest.mark.usefixtures("small_pieces")
def test_an_assembly_interrupted_after_its_completion_is_finished_by_its_retry(s3: S3Client, run: Path) -> None:
    write_output(run, {"a/ranges": content(23 * MIB)})
    made = call(publish.handler, "plan", nodes=["a"])
    for part in range(made["parts"]):
        call(publish.handler, "part", part=part)
    call(publish.handler, "assemble", large=0)
    s3.delete_object(Bucket="results", Key=f"plans/{RUN}/publish/sums-large-0.json.gz")
    assert call(publish.handler, "assemble", large=0) == {"files": 1, "bytes": 23 * MIB}
    call(publish.handler, "manifest")
    assert manifest(s3)["files"][0]["sha256"] == digest(content(23 * MIB))


@pytest.mark.usefixtures("small_pieces")
def test_leftover_uploads_are_aborted_by_the_plan_and_on_demand(s3: S3Client, run: Path) -> None:
    write_output(run, {"a/ranges": content(23 * MIB)})
    s3.create_multipart_upload(Bucket="results", Key="runs/another/x")
    for _ in range(2):
        call(publish.handler, "plan", nodes=["a"])
        call(publish.handler, "part", part=0)
    assert sorted(unfinished(s3)) == [f"runs/{RUN}/a/ranges", "runs/another/x"]
    assert uploads.abort_uploads(s3, "results", RUN) == 1
    assert uploads.abort_uploads(s3, "results", RUN) == 0
    assert unfinished(s3) == ["runs/another/x"]


@pytest.mark.usefixtures("small_pieces")
def test_an_upload_that_fails_half_way_is_aborted(s3: S3Client, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_output(run, {"a/pieces": content(12 * MIB)})
    made = call(publish.handler, "plan", nodes=["a"])
    feed = uploads.Upload.feed

    def fail(upload: uploads.Upload, number: int, body: bytes) -> uploads.Piece:
        if number == 2:
            raise OSError("the connection is gone")
        return feed(upload, number, body)

    monkeypatch.setattr(uploads.Upload, "feed", fail)
    with pytest.raises(OSError, match="gone"):
        call(publish.handler, "part", part=0)
    assert unfinished(s3) == []
    monkeypatch.setattr(uploads.Upload, "feed", feed)
    for part in range(made["parts"]):
        call(publish.handler, "part", part=part)
    assert results(s3) == {"a/pieces": content(12 * MIB)}


@pytest.mark.usefixtures("s3")
def test_what_is_left_out_is_told_by_name(run: Path) -> None:
    write_output(run, {"a/x": b"x"})
    output = run / "work" / "a" / "1" / "output"
    (output / "inside").symlink_to("x")
    (output / "out").symlink_to("/etc/passwd")
    os.mkfifo(output / "fifo")
    (run / "work" / "quiet" / "1" / "output").mkdir(parents=True)
    (run / "work" / "quiet" / "current").symlink_to("1")
    made = publish_all(nodes=["a", "quiet", "absent"])
    assert (made["files"], made["refused"], made["skipped"]) == (2, 1, 1)
    assert made["warnings"] == [
        "a: skipped 'fifo': it is neither a file nor a directory",
        "a: refused 'out': the link leads outside the run's directory",
    ]
    assert (made["emptyNodes"], made["emptyNodeCount"]) == (["quiet", "absent"], 2)


def test_a_plan_with_nothing_to_publish_has_an_empty_manifest(s3: S3Client, run: Path) -> None:
    assert run.is_dir()
    assert publish_all()["parts"] == 0
    assert manifest(s3)["files"] == []


def test_the_answer_stays_small_however_much_is_left_out(s3: S3Client, run: Path) -> None:
    write_output(run, {"a/x": b"x"})
    for number in range(1_200):
        (run / "work" / "a" / "1" / "output" / f"{'long' * 40}{number}").symlink_to("/etc/passwd")
    made = call(publish.handler, "plan", nodes=["a", *(f"n{number}" for number in range(9_999))])
    assert (made["refused"], made["emptyNodeCount"]) == (1_200, 9_999)
    assert len(json.dumps(made)) < 32_000
    report = json.load(s3.get_object(Bucket="results", Key=f"plans/{RUN}/publish/report.json")["Body"])
    assert len(report["unpublished"]) == 1_000
    assert len(report["emptyNodes"]) == 9_999


@pytest.mark.usefixtures("s3", "run")
@pytest.mark.parametrize("node", ["../x", "", "a/b", "a..b", "x" * 65])
def test_a_bad_node_id_is_refused(node: str) -> None:
    with pytest.raises(BadRequest, match="not a node id"):
        call(publish.handler, "plan", nodes=[node])


@pytest.mark.usefixtures("s3", "small_pieces")
@pytest.mark.parametrize("size", [100, 12 * MIB, 23 * MIB])
@pytest.mark.parametrize("change", ["grown", "removed", "linked"])
def test_an_output_that_changes_while_it_is_published_is_an_error(run: Path, size: int, change: str) -> None:
    write_output(run, {"a/x": content(size)})
    call(publish.handler, "plan", nodes=["a"])
    file = run / "work" / "a" / "1" / "output" / "x"
    if change == "grown":
        with file.open("ab") as out:
            out.write(b"more")
    else:
        file.unlink()
    if change == "linked":
        file.symlink_to("/etc/passwd")
    with pytest.raises(Conflict, match="output 'x' of node 'a' changed") as caught:
        call(publish.handler, "part", part=0)
    assert "code: OutputChanged" in caught.value.details


@pytest.mark.usefixtures("s3", "small_pieces")
def test_an_output_rewritten_between_ranges_and_assembly_is_an_error(run: Path) -> None:
    write_output(run, {"a/x": content(23 * MIB)})
    made = call(publish.handler, "plan", nodes=["a"])
    for part in range(made["parts"]):
        call(publish.handler, "part", part=part)
    write_output(run, {"a/x": content(23 * MIB, 1)})
    with pytest.raises(Conflict, match="differs from what its ranges sent"):
        call(publish.handler, "assemble", large=0)


@pytest.mark.usefixtures("s3", "small_pieces")
def test_a_manifest_is_not_written_before_every_part_has_run(s3: S3Client, run: Path) -> None:
    write_output(run, {"a/x": content(100), "b/y": content(23 * MIB)})
    made = call(publish.handler, "plan", nodes=["a", "b"])
    with pytest.raises(NotFound, match=r"sums-\d+\.json\.gz"):
        call(publish.handler, "manifest")
    for part in range(made["parts"]):
        call(publish.handler, "part", part=part)
    with pytest.raises(NotFound, match="sums-large-0"):
        call(publish.handler, "manifest")
    assert unfinished(s3) == [f"runs/{RUN}/b/y"]


def test_a_long_manifest_is_written_in_pieces(s3: S3Client, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_module, "CHUNK_BYTES", 5 * MIB)
    write_output(run, {"a/x": b"x"})
    publish_all(nodes=["a"])
    line = manifest(s3)["files"][0]
    Documents(s3, "results", RUN, "publish").write_lines("sums-0", [line | {"path": f"{n}"} for n in range(60_000)])
    call(publish.handler, "manifest")
    assert s3.head_object(Bucket="results", Key=f"runs/{RUN}/manifest.json")["ContentLength"] > 10 * MIB
    assert [file["path"] for file in manifest(s3)["files"]] == [str(number) for number in range(60_000)]
