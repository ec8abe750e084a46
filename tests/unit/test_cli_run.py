"""`run` and `status --follow` against recorded answers: what is sent, what is shown, how it ends."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from cli_world import RUN, Cli, Request, World, at, install_state, node, run, serve

from cli.commands import following
from cli.models import run_from

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORKFLOW = """\
name: neuroimaging
processors:
  - {id: align, processor: realign}
  - {id: mask, processor: brain-mask, dependsOn: [align]}
"""
ACCEPTED = (202, {"executionRunId": RUN, "status": "QUEUED", "links": {}})


@pytest.fixture
def world() -> Iterator[World]:
    with serve() as world:
        world.answer("GET /processors", (200, {"processors": [{"name": "realign", "parameters": {}}]}))
        world.answer("POST /runs", ACCEPTED)
        yield world


@pytest.fixture
def cli(world: World, tmp_path: Path) -> Cli:
    install_state(world, tmp_path)
    (tmp_path / "w.yaml").write_text(WORKFLOW)
    return Cli(world, tmp_path)


@pytest.fixture
def workflow(tmp_path: Path) -> str:
    return str(tmp_path / "w.yaml")


def story(world: World, *runs: dict[str, Any]) -> None:
    world.answer(f"GET /runs/{RUN}", *((200, entry) for entry in runs))


def succeeding(world: World) -> None:
    story(
        world,
        run("QUEUED", "INITIALIZE"),
        run("RUNNING", "DOWNLOAD", nodes=[node("align"), node("mask", waitingFor=["align"])]),
        run(
            nodes=[
                node("align", "SUCCEEDED", startedAt=at(1), endedAt=at(3.1)),
                node("mask", "RUNNING", startedAt=at(3.1), attempts=[{"attempt": 1}]),
            ]
        ),
        run(
            nodes=[
                node("align", "SUCCEEDED", startedAt=at(1), endedAt=at(3.1)),
                node("mask", "RUNNING", startedAt=at(3.1), attempts=[{"attempt": 1}, {"attempt": 2}]),
            ]
        ),
        finished(),
    )


def finished(status: str = "SUCCEEDED", **more: Any) -> dict[str, Any]:
    nodes = [
        node("align", "SUCCEEDED", startedAt=at(1), endedAt=at(3.1)),
        node("mask", "SUCCEEDED", startedAt=at(3.1), endedAt=at(15.6)),
    ]
    return run(status, "DONE", endedAt=at(20), **({"nodes": nodes} | more))


def test_piped_output_is_one_line_a_change(cli: Cli, world: World, workflow: str) -> None:
    succeeding(world)
    outcome = cli("run", workflow)
    assert outcome.out.splitlines() == [
        f"run {RUN} queued: neuroimaging",
        "phase download",
        "phase run",
        "align succeeded after 2.1s",
        "mask running",
        "mask running (attempt 2)",
        "mask succeeded after 12s",
        f"run {RUN} succeeded after 20s",
    ]
    assert (outcome.code, outcome.err) == (0, "")


def test_json_is_one_document_and_nothing_else(cli: Cli, world: World, workflow: str) -> None:
    succeeding(world)
    outcome = cli("run", workflow, "--json")
    assert (outcome.code, outcome.json, outcome.err) == (0, finished(), "")


def test_the_request_holds_workflow_inputs_and_parameters(cli: Cli, world: World, workflow: str) -> None:
    story(world, finished())
    wanted = "AAAAAAAA-1111-4222-8333-444455556666"
    options = ["--param", "threshold=0.5", "--param", "mask.fill=true", "--compute", "mask=lambda"]
    outcome = cli("run", workflow, "--run-id", wanted, "--instance", "study-7", "--input", "s3://b/k/=in", *options)
    assert outcome.code == 0
    assert world.asked("POST /runs")[0].json == {
        "executionRunId": wanted.lower(),
        "workflowInstanceId": "study-7",
        "workflow": {
            "name": "neuroimaging",
            "processors": [
                {"id": "align", "processor": "realign"},
                {"id": "mask", "processor": "brain-mask", "dependsOn": ["align"]},
            ],
        },
        "inputs": [{"uri": "s3://b/k/", "path": "in"}],
        "parameters": {"threshold": 0.5, "mask.fill": True},
        "computeTypeOverrides": {"mask": "lambda"},
    }


def test_a_repeated_start_after_a_broken_answer_is_the_same_run(cli: Cli, world: World, workflow: str) -> None:
    world.answer("POST /runs", (502, b""), ACCEPTED)
    story(world, finished())
    assert cli("run", workflow).code == 0
    first, second = (request.json["executionRunId"] for request in world.asked("POST /runs"))
    assert first == second


def test_tokens_go_as_headers_from_environment_and_file_never_in_the_body(
    cli: Cli, world: World, workflow: str, tmp_path: Path
) -> None:
    story(world, finished())
    (tmp_path / "refresh").write_text("refresh-canary\n")
    cli.environ |= {"COMPUTE_NODE_SESSION_TOKEN": "session-canary", "COMPUTE_NODE_REFRESH_TOKEN": "other"}
    outcome = cli("run", workflow, "--refresh-token-file", str(tmp_path / "refresh"))
    start = world.asked("POST /runs")[0]
    assert (start.headers["x-session-token"], start.headers["x-refresh-token"]) == ("session-canary", "refresh-canary")
    assert b"canary" not in start.body
    assert "canary" not in outcome.out + outcome.err
    assert all("x-session-token" not in request.headers for request in world.requests if request is not start)


@pytest.mark.parametrize(("content", "message"), [(None, "cannot be read"), (" \n", "is empty"), ("a\nb", "a header")])
def test_a_token_file_without_a_token_is_named(
    cli: Cli, workflow: str, tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "token").write_text(content)
    outcome = cli("run", workflow, "--session-token-file", str(tmp_path / "token"))
    assert (outcome.code, message in outcome.err) == (1, True)


def uploads(world: World) -> None:
    def answer(request: Request) -> tuple[int, Any]:
        files = [
            {"path": file["path"], "uri": f"s3://r/uploads/u/{file['path']}", "putUrl": f"{world.url}/store/{index}"}
            for index, file in enumerate(request.json["files"])
        ]
        return 201, {"uploadId": "u", "files": files}

    world.answer("POST /uploads", answer)


def test_local_inputs_are_uploaded_whole_and_named_with_their_checksums(
    cli: Cli, world: World, workflow: str, tmp_path: Path
) -> None:
    contents = {"a.nii": b"x" * 3_000_000, "b/c.txt": b"", "b/d.txt": "ü".encode()}
    for name, content in contents.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(content)
    uploads(world)
    story(world, finished())
    outcome = cli("run", workflow, "--input", f"{tmp_path}/in", "--input", "s3://b/k")
    assert outcome.out.startswith("uploading 3 files, 2.9 MiB\n")
    assert [world.objects[f"/store/{index}"] for index in range(3)] == list(contents.values())
    assert world.asked("POST /runs")[0].json["inputs"] == [
        *(
            {"uri": f"s3://r/uploads/u/{name}", "path": name, "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in contents.items()
        ),
        {"uri": "s3://b/k"},
    ]


def test_an_id_that_the_node_knows_is_not_given_other_inputs(
    cli: Cli, world: World, workflow: str, tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("x")
    uploads(world)
    argv = ("run", workflow, "--run-id", RUN, "--detach", "--input", f"{tmp_path}/f")
    assert cli(*argv).code == 0
    story(world, run())
    outcome = cli(*argv)
    assert (outcome.code, "exists already (running)" in outcome.err) == (1, True)
    assert len(world.asked("POST /runs")) == 1


def test_an_upload_that_is_refused_starts_no_run(cli: Cli, world: World, workflow: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    uploads(world)
    world.refused_urls.add("/store/0")
    outcome = cli("run", workflow, "--input", f"{tmp_path}/f")
    assert outcome.code == 1
    assert "the object store answered 403" in outcome.err
    assert world.asked("POST /runs") == []


@pytest.mark.parametrize(("status", "code"), [("FAILED", 3), ("CANCELLED", 4), ("TIMED_OUT", 5)])
def test_a_run_that_did_not_succeed_has_its_own_exit_code(
    cli: Cli, world: World, workflow: str, status: str, code: int
) -> None:
    story(world, finished(status, error={"code": "X", "message": "why it ended", "details": ["detail one"]}, nodes=[]))
    outcome = cli("run", workflow)
    assert outcome.code == code
    assert "why it ended" in outcome.out
    assert outcome.err == "  - detail one\n"


def test_a_failed_processor_is_told_with_its_reason_and_its_log(cli: Cli, world: World, workflow: str) -> None:
    nodes = [
        node("align", "FAILED", startedAt=at(1), endedAt=at(2), reason="exit code 2\x1b[31m"),
        node("mask", "SKIPPED", reason="align failed"),
    ]
    story(world, finished("FAILED", nodes=nodes))
    said = [{"time": at(1), "node": "align", "message": f"line {number}"} for number in range(12)]
    world.answer(f"GET /runs/{RUN}/logs", (200, {"events": said, "nextToken": None, "complete": True}))
    outcome = cli("run", workflow)
    assert outcome.out.splitlines() == [
        f"run {RUN} failed: neuroimaging",
        r"align failed after 1.0s: exit code 2\x1b[31m",
        "mask skipped: align failed",
        f"run {RUN} failed after 20s: 1 of 2 nodes failed",
    ]
    assert outcome.err.splitlines() == [
        *(f"  line {number}" for number in range(2, 12)),
        f"log of align: compute-node logs {RUN} --node align",
    ]
    assert outcome.code == 3


def test_a_log_that_cannot_be_read_does_not_hide_how_the_run_ended(cli: Cli, world: World, workflow: str) -> None:
    nodes = [node(f"n{number}", "FAILED", reason="exit code 1") for number in range(5)]
    story(world, finished("FAILED", nodes=nodes))
    outcome = cli("run", workflow)
    assert outcome.code == 3
    assert outcome.err.splitlines() == [
        *(f"log of n{number}: compute-node logs {RUN} --node n{number}" for number in range(3)),
        f"and 2 more: compute-node status {RUN}",
    ]


def test_detached_the_run_is_only_started(cli: Cli, world: World, workflow: str) -> None:
    outcome = cli("run", workflow, "--detach")
    assert (outcome.code, outcome.out) == (0, f"{RUN}\n")
    assert f"compute-node status {RUN} --follow" in outcome.err
    assert cli("run", workflow, "--detach", "--json").json == ACCEPTED[1]
    assert world.asked(f"GET /runs/{RUN}") == []


def test_ctrl_c_leaves_the_run_and_says_how_to_go_on(
    cli: Cli, world: World, workflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> Iterator[Any]:
        yield run_from(run())
        raise KeyboardInterrupt

    monkeypatch.setattr(following, "snapshots", interrupted)
    outcome = cli("run", workflow)
    assert outcome.code == 130
    assert "which goes on" in outcome.err
    assert f"compute-node status {RUN} --follow" in outcome.err
    assert f"compute-node cancel {RUN}" in outcome.err
    assert world.asked(f"DELETE /runs/{RUN}") == []


def test_a_node_that_vanishes_meanwhile_is_told_as_such(cli: Cli, world: World, workflow: str) -> None:
    story(world, run())
    world.routes[f"GET /runs/{RUN}"].append((503, {"error": "gone", "message": "gone"}))
    outcome = cli("run", workflow)
    assert outcome.code == 1
    assert "gone" in outcome.err


def test_the_gateways_refusal_is_printed_one_detail_a_line(cli: Cli, world: World, workflow: str) -> None:
    body = {"error": "invalid_workflow", "message": "the workflow has 2 mistakes", "details": ["cycle: a → b", "b: no"]}
    world.answer("POST /runs", (400, body))
    outcome = cli("run", workflow)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.splitlines() == ["compute-node: the workflow has 2 mistakes", "  - cycle: a → b", "  - b: no"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--run-id", "7"], "'7' is not a UUID"),
        (["--detach", "--outputs", "d"], "--detach does not wait"),
        (["--compute", "nothing=ecs"], "no node 'nothing'"),
    ],
)
def test_bad_usage_ends_with_2_before_anything_is_sent(
    cli: Cli, world: World, workflow: str, argv: list[str], message: str
) -> None:
    outcome = cli("run", workflow, *argv)
    assert (outcome.code, message in outcome.err) == (2, True)
    assert world.requests == []


def test_argparse_ends_with_2(cli: Cli) -> None:
    with pytest.raises(SystemExit) as caught:
        cli("run")
    assert caught.value.code == 2


def test_outputs_are_downloaded_at_the_end(cli: Cli, world: World, workflow: str, tmp_path: Path) -> None:
    story(world, finished())
    world.objects["/store/out"] = b"result"
    file = {
        "nodeId": "mask",
        "path": "m.nii",
        "sizeBytes": 6,
        "sha256": hashlib.sha256(b"result").hexdigest(),
        "url": f"{world.url}/store/out",
    }
    world.answer(f"GET /runs/{RUN}/outputs", (200, {"files": [file], "manifestUrl": "m"}))
    outcome = cli("run", workflow, "--outputs", str(tmp_path / "out"), "--json")
    path = tmp_path / "out" / "mask" / "m.nii"
    assert path.read_bytes() == b"result"
    assert outcome.json == finished() | {"downloaded": [str(path)]}


def test_a_final_run_is_waited_for_until_it_is_cleaned_up(cli: Cli, world: World, workflow: str) -> None:
    story(world, run("CANCELLED", "CLEANUP"), run("CANCELLED", "FINALIZE"), finished("CANCELLED", nodes=[]))
    outcome = cli("run", workflow)
    assert outcome.code == 4
    assert len(world.asked(f"GET /runs/{RUN}")) == 3
    assert outcome.out.count("cancelled") == 2


def test_the_longer_nothing_changes_the_less_often_it_asks(cli: Cli, world: World, workflow: str) -> None:
    story(world, *[run()] * 12, finished())
    cli("run", workflow)
    assert cli.waits[0] == 0.2
    assert cli.waits == sorted(cli.waits)
    assert cli.waits[-1] == 2.0


def test_following_an_earlier_run_has_the_same_end(cli: Cli, world: World) -> None:
    story(world, finished("FAILED", nodes=[]))
    assert cli("status", RUN, "--follow").code == 3
    assert cli("status", RUN).code == 0


def test_on_a_terminal_the_picture_is_drawn_and_the_end_told(cli: Cli, world: World, workflow: str) -> None:
    succeeding(world)
    outcome = cli("run", workflow, terminal=True)
    assert outcome.code == 0
    assert "✓ align" in outcome.out
    assert f"run {RUN} succeeded after 20s" in outcome.out.splitlines()[-1]


def test_json_on_a_terminal_draws_on_stderr(cli: Cli, world: World, workflow: str) -> None:
    succeeding(world)
    outcome = cli("run", workflow, "--json", terminal=True)
    assert outcome.json["status"] == "SUCCEEDED"
    assert "✓ align" in outcome.err
