"""The download and publish handlers, called as Lambda calls them, against moto's HTTP server and a real directory."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import threading
import urllib.request
import zlib
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.response import StreamingBody
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

from handlers import aws, download, publish
from handlers.errors import BadRequest, Conflict, NotFound, Retryable
from handlers.transfer import client, fetch, landing, pack, send, source, uploads
from handlers.transfer import manifest as manifest_module
from handlers.transfer.digest import crc_to_base64
from handlers.transfer.plan import TransferPlan, iter_sums, list_inputs, write_plan
from handlers.transfer.store import Documents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

RUN = "3f0e9d1c-0000-4000-8000-000000000001"
MIB = 1 << 20
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1",
    "RESULTS_BUCKET": "results", "RUN_TABLE": "runs", "NODE_NAME": "node", "DEPLOYMENT_MODE": "basic"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3Client:
    """Give the handlers' own client on a fresh account, in the handlers' environment."""
    reset = urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")  # noqa: S310
    urllib.request.urlopen(reset).close()  # noqa: S310
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": endpoint, "MOUNT_PATH": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(source, "FIRST_DELAY", 0.0)
    client.bulk_client.cache_clear()
    aws.client.cache_clear()
    s3 = client.bulk_client()
    for bucket in ("lab", "results"):
        s3.create_bucket(Bucket=bucket)
    boto3.client("dynamodb").create_table(
        TableName="runs", BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")])
    boto3.resource("dynamodb").Table("runs").put_item(
        Item={"pk": f"RUN#{RUN}", "sk": "RUN", "runId": RUN, "workflowInstanceId": "instance-7", "status": "RUNNING"})
    return s3


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Make the directory of the run, as Scope does."""
    root = tmp_path / "runs" / "token"
    root.mkdir(parents=True)
    return root


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the sizes at which files are cut, so that a few MiB go through every way of the code."""
    monkeypatch.setattr(pack, "MIN_PART_WEIGHT", 10 * MIB)
    monkeypatch.setattr(pack, "MIN_LARGE_BYTES", 20 * MIB)
    monkeypatch.setattr(pack, "MIN_CHUNK", 5 * MIB)
    for module in (fetch, send):
        monkeypatch.setattr(module, "SINGLE_BYTES", 2 * MIB)
        monkeypatch.setattr(module, "WHOLE_CHUNK", 5 * MIB)


def content(size: int, seed: int = 0) -> bytes:
    """Make bytes that differ everywhere and are the same in every run."""
    return hashlib.shake_128(bytes([seed])).digest(size)


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def put(s3: S3Client, objects: dict[str, bytes]) -> None:
    for key, body in objects.items():
        s3.put_object(Bucket="lab", Key=key, Body=body)


def plan(s3: S3Client, *inputs: dict[str, Any]) -> TransferPlan:
    return write_plan(s3, "results", RUN, list_inputs(s3, inputs, {"lab"}))


def call(handler: Callable[..., Any], action: str, **values: object) -> Any:
    return handler({"action": action, "runId": RUN, "runDir": "token", **values}, None)


def download_all(made: TransferPlan) -> None:
    for part in range(made["parts"]):
        call(download.handler, "part", part=part)
    for large in range(made["large"]):
        call(download.handler, "assemble", large=large)


def names(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}


def hidden(directory: Path) -> set[str]:
    return {name for name in names(directory) if name.rpartition("/")[2].startswith(".")}


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


def through(monkeypatch: pytest.MonkeyPatch, faulty: Faulty) -> Faulty:
    monkeypatch.setattr(download, "bulk_client", lambda: faulty)
    return faulty


def cut_short(answer: dict[str, Any]) -> dict[str, Any]:
    """Answer with a connection that closes half-way."""
    body = answer["Body"].read()
    return {**answer, "Body": StreamingBody(io.BytesIO(body[: len(body) // 2]), len(body))}


# --- Download


def test_small_files_arrive_under_their_names_with_their_checksums_recorded(s3: S3Client, run: Path) -> None:
    objects = {f"set/d{number % 7}/f{number:03d}": content(number * 37, number % 251) for number in range(300)}
    put(s3, objects)
    download_all(plan(s3, {"uri": "s3://lab/set/"}))
    assert {f"set/{name}" for name in names(run / "input")} == set(objects)
    for key, body in objects.items():
        assert (run / "input" / key[4:]).read_bytes() == body
    sums = {line["path"]: line for line in iter_sums(s3, "results", RUN)}
    assert {f"set/{path}": line["sha256"] for path, line in sums.items()} == {
        key: digest(body) for key, body in objects.items()}
    assert sums["d1/f001"]["uri"] == "s3://lab/set/d1/f001"
    assert sums["d1/f001"]["sizeBytes"] == 37


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("size", [2 * MIB + 1, 19 * MIB, 20 * MIB, 31 * MIB + 7])
def test_files_of_every_size_arrive_whole(s3: S3Client, run: Path, size: int) -> None:
    body = content(size)
    put(s3, {"big": body})
    made = plan(s3, {"uri": "s3://lab/big", "sha256": digest(body)})
    assert made["large"] == (size >= 20 * MIB)
    download_all(made)
    assert names(run / "input") == {"big"}
    assert (run / "input" / "big").read_bytes() == body
    (line,) = iter_sums(s3, "results", RUN)
    assert (line["sha256"], line["sizeBytes"]) == (digest(body), size)


@pytest.mark.usefixtures("small_pieces")
def test_a_repeated_call_changes_nothing(s3: S3Client, run: Path) -> None:
    objects = {"a": b"", "b": content(100), "c": content(6 * MIB), "d": content(21 * MIB)}
    put(s3, objects)
    made = plan(s3, {"uri": "s3://lab/"})
    download_all(made)
    before = {name: (run / "input" / name).stat() for name in names(run / "input")}
    sums = list(iter_sums(s3, "results", RUN))
    download_all(made)
    after = {name: (run / "input" / name).stat() for name in names(run / "input")}
    assert {name: stat.st_ino for name, stat in after.items()} == {name: stat.st_ino for name, stat in before.items()}
    assert [stat.st_mtime_ns for stat in after.values()] == [stat.st_mtime_ns for stat in before.values()]
    assert list(iter_sums(s3, "results", RUN)) == sums


@pytest.mark.usefixtures("small_pieces")
def test_parts_may_run_side_by_side_and_twice_at_once(s3: S3Client, run: Path) -> None:
    objects = {f"f{number}": content(number * MIB // 2, number) for number in range(12)} | {"big": content(33 * MIB)}
    put(s3, objects)
    made = plan(s3, {"uri": "s3://lab/"})
    parts = [*range(made["parts"])] * 2
    threads = [threading.Thread(target=call, args=(download.handler, "part"), kwargs={"part": part}) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    call(download.handler, "assemble", large=0)
    assert names(run / "input") == set(objects)
    assert all((run / "input" / key).read_bytes() == body for key, body in objects.items())


@pytest.mark.usefixtures("small_pieces")
def test_a_file_appears_under_its_name_only_when_it_is_whole(
    s3: S3Client, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = {"a": content(MIB), "b": content(6 * MIB), "c": content(20 * MIB)}
    put(s3, objects)
    made = plan(s3, {"uri": "s3://lab/"})
    shown: list[str] = []
    show, pwrite = landing.Landing.show, os.pwrite

    def checked_show(place: landing.Landing) -> None:
        assert place.hidden.read_bytes() == objects[place.final.name]
        shown.append(place.final.name)
        show(place)

    def checked_write(fd: int, body: bytes, offset: int) -> int:
        assert names(run / "input") - hidden(run / "input") == set(shown)
        return pwrite(fd, body, offset)

    monkeypatch.setattr(landing.Landing, "show", checked_show)
    monkeypatch.setattr(os, "pwrite", checked_write)
    download_all(made)
    assert sorted(shown) == ["a", "b", "c"]


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("size", [100, 6 * MIB, 20 * MIB])
def test_a_wrong_sha256_is_told_with_both_values_and_leaves_no_file(s3: S3Client, run: Path, size: int) -> None:
    put(s3, {"x": content(size)})
    made = plan(s3, {"uri": "s3://lab/x", "sha256": "0" * 64})
    with pytest.raises(BadRequest, match=digest(content(size))) as caught:
        download_all(made)
    assert "code: InputSha256Mismatch" in caught.value.details
    assert f"expected: {'0' * 64}" in caught.value.details
    assert "uri: s3://lab/x" in caught.value.details
    assert names(run / "input") == set()
    assert list(iter_sums(s3, "results", RUN)) == []


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("size", [100, 6 * MIB, 20 * MIB])
@pytest.mark.parametrize("change", ["replaced", "deleted"])
def test_a_source_that_changes_under_way_is_an_error(s3: S3Client, run: Path, size: int, change: str) -> None:
    put(s3, {"x": content(size)})
    made = plan(s3, {"uri": "s3://lab/x"})
    if change == "replaced":
        put(s3, {"x": content(size, 1)})
    else:
        s3.delete_object(Bucket="lab", Key="x")
    with pytest.raises(BadRequest, match="s3://lab/x") as caught:
        download_all(made)
    assert "code: InputChanged" in caught.value.details
    assert "x" not in names(run / "input")


@pytest.mark.usefixtures("small_pieces")
def test_a_source_that_changes_between_ranges_and_assembly_is_an_error(s3: S3Client, run: Path) -> None:
    put(s3, {"x": content(20 * MIB)})
    made = plan(s3, {"uri": "s3://lab/x"})
    for part in range(made["parts"]):
        call(download.handler, "part", part=part)
    put(s3, {"x": content(20 * MIB, 1)})
    with pytest.raises(BadRequest, match="has changed"):
        call(download.handler, "assemble", large=0)
    assert "x" not in names(run / "input")


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("size", [1_000, 6 * MIB, 20 * MIB])
def test_a_truncated_answer_is_read_again(
    s3: S3Client, run: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(s3, {"x": content(size)})
    made = plan(s3, {"uri": "s3://lab/x"})
    faulty = through(monkeypatch, Faulty(s3, lambda call, answer: cut_short(answer) if call in {1, 2} else answer))
    download_all(made)
    assert faulty.calls > 2
    assert (run / "input" / "x").read_bytes() == content(size)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("size", [1_000, 6 * MIB, 20 * MIB])
def test_answers_that_stay_truncated_are_a_retryable_error(
    s3: S3Client, run: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(s3, {"x": content(size)})
    made = plan(s3, {"uri": "s3://lab/x"})
    through(monkeypatch, Faulty(s3, lambda _, answer: cut_short(answer)))
    with pytest.raises(Retryable, match="s3://lab/x did not arrive whole in 4 attempts"):
        download_all(made)
    assert "x" not in names(run / "input")


class InvocationEndedError(BaseException):
    """The end of an invocation by its time limit."""


@pytest.mark.usefixtures("small_pieces")
def test_an_interrupted_part_is_finished_by_its_retry(
    s3: S3Client, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = {f"f{number:02d}": content(10_000, number) for number in range(40)} | {"g": content(12 * MIB)}
    put(s3, objects)
    made = plan(s3, {"uri": "s3://lab/"})
    monkeypatch.setattr(fetch, "THREADS", 2)

    def interrupt(call: int, answer: dict[str, Any]) -> dict[str, Any]:
        if call > 20:
            raise InvocationEndedError
        return answer

    through(monkeypatch, Faulty(s3, interrupt))
    with pytest.raises(InvocationEndedError):
        download_all(made)
    arrived = names(run / "input") - hidden(run / "input")
    assert 0 < len(arrived) < len(objects)
    retry = through(monkeypatch, Faulty(s3, lambda _, answer: answer))
    download_all(made)
    assert names(run / "input") == set(objects)
    assert all((run / "input" / key).read_bytes() == body for key, body in objects.items())
    assert retry.calls == len(objects) - len(arrived) + 2  # three chunks of the last
    assert len(list(iter_sums(s3, "results", RUN))) == len(objects)


def test_a_leftover_of_an_earlier_attempt_is_overwritten(s3: S3Client, run: Path) -> None:
    put(s3, {"x": content(1_000)})
    made = plan(s3, {"uri": "s3://lab/x"})
    (file,) = list_inputs(s3, [{"uri": "s3://lab/x"}], {"lab"})
    (run / "input").mkdir()
    landing.Landing(run / "input", RUN, file).hidden.write_bytes(b"?" * 400)
    download_all(made)
    assert (run / "input" / "x").read_bytes() == content(1_000)
    assert names(run / "input") == {"x"}


def test_the_longest_name_has_room_for_its_hidden_one(s3: S3Client, run: Path) -> None:
    put(s3, {"x": b"content"})
    download_all(plan(s3, {"uri": "s3://lab/x", "path": "ä" * 127}))
    assert names(run / "input") == {"ä" * 127}


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("size", [6 * MIB, 20 * MIB])
def test_the_checksum_that_s3_declares_is_verified_across_ranges(
    s3: S3Client, run: Path, algorithm: Any, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put_object(Bucket="lab", Key="x", Body=content(size), ChecksumAlgorithm=algorithm)
    made = plan(s3, {"uri": "s3://lab/x"})

    def corrupt(_: int, answer: dict[str, Any]) -> dict[str, Any]:
        body = bytearray(answer["Body"].read())
        body[5] ^= 1
        return {**answer, "Body": StreamingBody(io.BytesIO(body), len(body))}

    through(monkeypatch, Faulty(s3, corrupt))
    with pytest.raises(Conflict, match=algorithm) as caught:
        download_all(made)
    assert "code: InputCorrupt" in caught.value.details
    assert names(run / "input") == set()
    through(monkeypatch, Faulty(s3, lambda _, answer: answer))
    download_all(made)
    assert names(run / "input") == {"x"}


def test_the_client_verifies_the_declared_checksum_of_a_whole_object(s3: S3Client, run: Path) -> None:
    s3.put_object(Bucket="lab", Key="x", Body=b"content", ChecksumAlgorithm="CRC32")
    made = plan(s3, {"uri": "s3://lab/x"})

    s3_backends["123456789012"]["aws"].buckets["lab"].keys["x"].checksum_value = crc_to_base64(1)
    with pytest.raises(Retryable, match="did not match calculated checksum"):
        download_all(made)
    assert "x" not in names(run / "input")


@pytest.mark.usefixtures("small_pieces")
def test_bytes_lost_on_the_way_to_the_disk_are_found(s3: S3Client, run: Path) -> None:
    put(s3, {"x": content(20 * MIB)})
    made = plan(s3, {"uri": "s3://lab/x"})
    for part in range(made["parts"]):
        call(download.handler, "part", part=part)
    (name,) = hidden(run / "input")
    with (run / "input" / name).open("r+b") as file:
        file.seek(7 * MIB)
        file.write(b"\0" * 4096)
    with pytest.raises(Conflict, match="differs from what its 2 ranges received"):
        call(download.handler, "assemble", large=0)
    assert "x" not in names(run / "input")


@pytest.mark.usefixtures("small_pieces")
def test_a_large_file_is_not_assembled_before_all_its_ranges_have_run(s3: S3Client, run: Path) -> None:
    put(s3, {"x": content(20 * MIB)})
    plan(s3, {"uri": "s3://lab/x"})
    call(download.handler, "part", part=0)
    with pytest.raises(NotFound, match=r"range-1\.json"):
        call(download.handler, "assemble", large=0)
    assert "x" not in names(run / "input")


@pytest.mark.parametrize("handler", [download.handler, publish.handler])
@pytest.mark.usefixtures("s3", "run")
def test_an_unknown_action_is_refused(handler: Callable[..., Any]) -> None:
    with pytest.raises(BadRequest, match="unknown action 'remove'"):
        call(handler, "remove")


@pytest.mark.parametrize("handler", [download.handler, publish.handler])
@pytest.mark.usefixtures("s3", "run")
def test_a_run_directory_is_one_name_that_exists(handler: Callable[..., Any]) -> None:
    for bad in ("../token", "", "a/b", "."):
        with pytest.raises(BadRequest, match="single name"):
            call(handler, "part", part=0, runDir=bad)
    with pytest.raises(NotFound, match="cleaned up"):
        call(handler, "part", part=0, runDir="gone")


# --- Publish


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
    return {key.removeprefix(f"runs/{RUN}/"): s3.get_object(Bucket="results", Key=key)["Body"].read()
            for key in keys if not key.endswith("/manifest.json")}


def manifest(s3: S3Client) -> dict[str, Any]:
    document: dict[str, Any] = json.load(s3.get_object(Bucket="results", Key=f"runs/{RUN}/manifest.json")["Body"])
    return document


def unfinished(s3: S3Client) -> list[str]:
    return [upload["Key"] for upload in s3.list_multipart_uploads(Bucket="results").get("Uploads", ())]


@pytest.mark.usefixtures("small_pieces")
def test_outputs_of_succeeded_nodes_are_published_with_a_manifest_that_holds(s3: S3Client, run: Path) -> None:
    files = {"a/report.html": b"<html>", "a/sub/tiny.bin": content(10), "b/empty": b"",
             "b/one request": content(2 * MIB), "b/pieces": content(12 * MIB + 1), "c/ranges": content(33 * MIB + 5)}
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
    expected = [{"nodeId": name.partition("/")[0], "path": name.partition("/")[2], "key": f"runs/{RUN}/{name}",
                 "sizeBytes": len(body), "sha256": digest(body)} for name, body in files.items()]
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
    assert made["warnings"] == ["a: skipped 'fifo': it is neither a file nor a directory",
                                "a: refused 'out': the link leads outside the run's directory"]
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
