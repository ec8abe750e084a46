"""The download handler, called as Lambda calls it, against moto's HTTP server and a real directory."""

from __future__ import annotations

import io
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from botocore.response import StreamingBody
from moto.s3.models import s3_backends
from transfer_calls import MIB, RUN, Faulty, call, content, cut_short, digest

from handlers import download, publish
from handlers.errors import BadRequest, Conflict, NotFound, Retryable
from handlers.transfer import fetch, landing
from handlers.transfer.digest import crc_to_base64
from handlers.transfer.plan import TransferPlan, iter_sums, list_inputs, write_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

pytest_plugins = ["transfer_fixtures"]


def put(s3: S3Client, objects: dict[str, bytes]) -> None:
    for key, body in objects.items():
        s3.put_object(Bucket="lab", Key=key, Body=body)


def plan(s3: S3Client, *inputs: dict[str, Any]) -> TransferPlan:
    return write_plan(s3, "results", RUN, list_inputs(s3, inputs, {"lab"}))


def download_all(made: TransferPlan) -> None:
    for part in range(made["parts"]):
        call(download.handler, "part", part=part)
    for large in range(made["large"]):
        call(download.handler, "assemble", large=large)


def names(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}


def hidden(directory: Path) -> set[str]:
    return {name for name in names(directory) if name.rpartition("/")[2].startswith(".")}


def through(monkeypatch: pytest.MonkeyPatch, faulty: Faulty) -> Faulty:
    monkeypatch.setattr(download, "bulk_client", lambda: faulty)
    return faulty


def test_small_files_arrive_under_their_names_with_their_checksums_recorded(s3: S3Client, run: Path) -> None:
    objects = {f"set/d{number % 7}/f{number:03d}": content(number * 37, number % 251) for number in range(300)}
    put(s3, objects)
    download_all(plan(s3, {"uri": "s3://lab/set/"}))
    assert {f"set/{name}" for name in names(run / "input")} == set(objects)
    for key, body in objects.items():
        assert (run / "input" / key[4:]).read_bytes() == body
    sums = {line["path"]: line for line in iter_sums(s3, "results", RUN)}
    assert {f"set/{path}": line["sha256"] for path, line in sums.items()} == {
        key: digest(body) for key, body in objects.items()
    }
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
def test_a_truncated_answer_is_read_again(s3: S3Client, run: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_an_interrupted_part_is_finished_by_its_retry(s3: S3Client, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
