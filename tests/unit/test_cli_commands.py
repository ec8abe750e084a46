"""The other commands against recorded answers: RUN's spellings, tables, logs, outputs, cancel, health."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from cli_world import RUN, Cli, World, at, install_state, node, run, serve

from cli.logs import COMPONENTS
from handlers import archive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OTHER = "6f0c0b5e-9999-4222-8333-444455556666"
OLDER = "aa0c0b5e-9999-4222-8333-444455556666"


@pytest.fixture
def world() -> Iterator[World]:
    with serve() as world:
        world.answer(
            "GET /runs",
            (200, {"runs": [run(nodes=None), run(executionRunId=OTHER), run(executionRunId=OLDER)], "nextToken": None}),
        )
        for run_id in (RUN, OTHER, OLDER):
            world.answer(f"GET /runs/{run_id}", (200, run("SUCCEEDED", "DONE", executionRunId=run_id, endedAt=at(9))))
        yield world


@pytest.fixture
def cli(world: World, tmp_path: Path) -> Cli:
    install_state(world, tmp_path)
    return Cli(world, tmp_path)


def output(world: World, name: str, content: bytes, **more: Any) -> dict[str, Any]:
    """Store an object and describe it as the gateway does."""
    world.objects[f"/store/{name}"] = content
    return {
        "nodeId": "mask",
        "path": name,
        "sizeBytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "url": f"{world.url}/store/{name}",
    } | more


def outputs(world: World, *files: dict[str, Any]) -> None:
    world.answer(f"GET /runs/{RUN}/outputs", (200, {"files": list(files), "manifestUrl": "https://m"}))


class TestWhichRun:
    @pytest.mark.parametrize(
        ("given", "meant"), [("latest", RUN), (RUN, RUN), (RUN.upper(), RUN), ("aa", OLDER), (OTHER[:10], OTHER)]
    )
    def test_a_run_is_found_by_id_beginning_or_latest(self, cli: Cli, given: str, meant: str) -> None:
        assert cli("status", given, "--json").json["executionRunId"] == meant

    def test_by_default_it_is_the_latest(self, cli: Cli) -> None:
        assert cli("status", "--json").json["executionRunId"] == RUN

    def test_an_ambiguous_beginning_lists_what_it_could_mean(self, cli: Cli) -> None:
        outcome = cli("status", "6f0c")
        assert outcome.code == 1
        assert outcome.err.splitlines() == [
            "compute-node: '6f0c' is the beginning of 2 runs",
            f"  - {RUN}  2026-11-24 10:00:00Z  running  neuroimaging",
            f"  - {OTHER}  2026-11-24 10:00:00Z  running  neuroimaging",
            "  say more",
        ]

    def test_an_unknown_beginning_and_a_word_are_told_apart(self, cli: Cli) -> None:
        assert "no run's id begins with 'bb'" in cli("logs", "bb").err
        outcome = cli("cancel", "newest")
        assert (outcome.code, "is not a run" in outcome.err) == (2, True)

    def test_a_node_without_runs_says_so(self, cli: Cli, world: World) -> None:
        world.answer("GET /runs", (200, {"runs": [], "nextToken": None}))
        assert "has had no runs yet" in cli("status").err
        assert cli("runs").out == "no runs\n"


class TestStatusAndRuns:
    def test_status_is_aligned_and_whole_when_piped(self, cli: Cli, world: World) -> None:
        nodes = [
            node("align", "FAILED", startedAt=at(1), endedAt=at(3.5), reason="exit code 1: " + "long " * 30),
            node("mask", "SKIPPED", reason="align failed", computeType="lambda"),
        ]
        error = {"code": "processor_failed", "message": "1 processor failed", "details": ["align"]}
        failed = run("FAILED", "DONE", endedAt=at(9), nodes=nodes, error=error)
        world.answer(f"GET /runs/{RUN}", (200, failed))
        outcome = cli("status", RUN)
        assert outcome.out.splitlines() == [
            f"run       {RUN}",
            "workflow  neuroimaging",
            "instance  wf-1",
            "status    failed",
            "created   2026-11-24 10:00:00Z",
            "elapsed   9.0s",
            "error     1 processor failed",
            "            - align",
            "",
            "NODE   PROCESSOR        COMPUTE  STATE    TIME  DETAIL",
            "align  align-processor  ecs      failed   2.5s  exit code 1: " + ("long " * 30).rstrip(),
            "mask   mask-processor   lambda   skipped        align failed",
        ]

    def test_runs_are_listed_newest_first_with_their_filter(self, cli: Cli, world: World) -> None:
        world.answer("GET /runs", (200, {"runs": [run("FAILED", "DONE", endedAt=at(9))], "nextToken": None}))
        outcome = cli("runs", "--status", "timed-out", "--limit", "5")
        assert outcome.out.splitlines() == [
            "RUN                                   WORKFLOW      STATUS  CREATED               ELAPSED",
            f"{RUN}  neuroimaging  failed  2026-11-24 10:00:00Z     9.0s",
        ]
        assert world.requests[0].query == "status=TIMED_OUT&limit=5"

    def test_listings_as_json(self, cli: Cli) -> None:
        assert [entry["executionRunId"] for entry in cli("runs", "--json").json["runs"]] == [RUN, OTHER, OLDER]

    @pytest.mark.parametrize("argv", [["--limit", "0"], ["--limit", "x"], ["--status", "lost"]])
    def test_a_filter_that_cannot_be_is_bad_usage(self, cli: Cli, argv: list[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            cli("runs", *argv)
        assert caught.value.code == 2


FIRST = {"time": "2026-11-24T10:00:01.000Z", "component": "download", "message": "2 files\n"}
SECOND = {"time": "2026-11-24T10:00:02.000Z", "node": "mask", "attempt": 2, "message": "\x1b]0;title\x07done"}


class TestLogs:
    def test_events_are_lines_without_anything_that_could_steer_the_terminal(self, cli: Cli, world: World) -> None:
        page = {"events": [FIRST, SECOND], "nextToken": None, "complete": True}
        world.answer(f"GET /runs/{RUN}/logs", (200, page))
        assert cli("logs", RUN, "--node", "mask").out.splitlines() == [
            "2026-11-24T10:00:01.000Z  download  2 files",
            r"2026-11-24T10:00:02.000Z  mask#2  \x1b]0;title\x07done",
        ]
        assert world.requests[0].query == "node=mask"

    def test_without_follow_it_reads_what_is_there(self, cli: Cli, world: World) -> None:
        world.answer(
            f"GET /runs/{RUN}/logs",
            (200, {"events": [FIRST], "nextToken": "t1", "complete": False}),
            (200, {"events": [SECOND], "nextToken": "t2", "complete": False}),
            (200, {"events": [], "nextToken": "t2", "complete": False}),
        )
        outcome = cli("logs", RUN, "--json")
        assert outcome.json == {"executionRunId": RUN, "events": [FIRST, SECOND]}
        assert [request.query for request in world.requests] == ["", "nextToken=t1", "nextToken=t2"]
        assert cli.waits == []

    def test_followed_it_goes_on_until_the_log_is_complete(self, cli: Cli, world: World) -> None:
        world.answer(
            f"GET /runs/{RUN}/logs",
            (200, {"events": [], "nextToken": None, "complete": False}),
            (200, {"events": [FIRST], "nextToken": "t1", "complete": False}),
            (200, {"events": [], "nextToken": "t1", "complete": False}),
            (200, {"events": [SECOND], "nextToken": None, "complete": True}),
        )
        outcome = cli("logs", RUN, "--follow", "--json")
        assert [json.loads(line) for line in outcome.out.splitlines()] == [FIRST, SECOND]
        assert len(cli.waits) >= 2

    def test_the_nodes_own_steps_are_those_of_its_archive(self) -> None:
        assert set(COMPONENTS) == set(archive.COMPONENTS)

    def test_an_empty_log_is_an_empty_document(self, cli: Cli, world: World) -> None:
        world.answer(f"GET /runs/{RUN}/logs", (200, {"events": [], "nextToken": None, "complete": True}))
        assert cli("logs", RUN, "--json").json == {"executionRunId": RUN, "events": []}


class TestOutputs:
    def test_they_are_listed(self, cli: Cli, world: World) -> None:
        outputs(world, output(world, "a/b.nii", b"x" * 2048))
        digest = hashlib.sha256(b"x" * 2048).hexdigest()
        assert cli("outputs", RUN).out.splitlines() == [
            "NODE  PATH        SIZE  SHA256",
            f"mask  a/b.nii  2.0 KiB  {digest[:12]}",
        ]
        assert cli("outputs", RUN, "--json").json["files"][0]["sha256"] == digest

    def test_downloaded_they_are_whole_and_nothing_else_is_left(self, cli: Cli, world: World, tmp_path: Path) -> None:
        contents = {"a/b.nii": b"x" * 3_000_000, "empty": b"", "c": b"3"}
        outputs(world, *(output(world, name, content) for name, content in contents.items()))
        outcome = cli("outputs", RUN, "--download", str(tmp_path / "d"))
        found = {path.relative_to(tmp_path / "d" / "mask").as_posix(): path for path in (tmp_path / "d").rglob("*")}
        assert {name: path.read_bytes() for name, path in found.items() if path.is_file()} == contents
        assert outcome.out.splitlines() == [
            "downloading 3 files, 2.9 MiB",
            "3 files, 2.9 MiB, verified, in d",
        ]

    @pytest.mark.parametrize(
        ("more", "message"),
        [({"sha256": "0" * 64}, "came damaged"), ({"sizeBytes": 8}, "came with 7 bytes; the manifest says 8")],
    )
    def test_a_damaged_file_never_appears_under_its_name(
        self, cli: Cli, world: World, tmp_path: Path, more: dict[str, Any], message: str
    ) -> None:
        outputs(world, output(world, "x", b"content", **more))
        outcome = cli("outputs", RUN, "--download", str(tmp_path / "d"))
        assert (outcome.code, message in outcome.err) == (1, True)
        assert [path for path in (tmp_path / "d").rglob("*") if path.is_file()] == []

    def test_what_is_there_and_whole_is_not_fetched_again(self, cli: Cli, world: World, tmp_path: Path) -> None:
        outputs(world, output(world, "x", b"content"))
        cli("outputs", RUN, "--download", str(tmp_path))
        world.objects.clear()
        assert cli("outputs", RUN, "--download", str(tmp_path)).code == 0

    @pytest.mark.parametrize(
        "more", [{"path": "../../up"}, {"path": "/etc/x"}, {"nodeId": ".."}, {"path": ""}, {"path": "a/../../../b"}]
    )
    def test_a_name_that_leads_outside_downloads_nothing(
        self, cli: Cli, world: World, tmp_path: Path, more: dict[str, Any]
    ) -> None:
        outputs(world, output(world, "good", b"1"), output(world, "x", b"2", **more))
        outcome = cli("outputs", RUN, "--download", str(tmp_path / "d"))
        assert (outcome.code, "would lie outside" in outcome.err) == (1, True)
        assert not (tmp_path / "d").exists()

    def test_a_link_that_leads_outside_is_not_followed(self, cli: Cli, world: World, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "d").mkdir()
        (tmp_path / "d" / "mask").symlink_to(tmp_path / "elsewhere")
        outputs(world, output(world, "x", b"2"))
        assert "would lie outside" in cli("outputs", RUN, "--download", str(tmp_path / "d")).err
        (tmp_path / "d" / "mask").unlink()
        (tmp_path / "d" / "mask").mkdir()
        (tmp_path / "d" / "mask" / "x").symlink_to(tmp_path / "elsewhere" / "victim")
        assert cli("outputs", RUN, "--download", str(tmp_path / "d")).code == 0
        assert list((tmp_path / "elsewhere").iterdir()) == []
        assert (tmp_path / "d" / "mask" / "x").read_bytes() == b"2"

    def test_an_expired_url_is_renewed(self, cli: Cli, world: World, tmp_path: Path) -> None:
        stale = output(world, "x", b"content", url=f"{world.url}/store/stale")
        world.refused_urls.add("/store/stale")
        world.answer(
            f"GET /runs/{RUN}/outputs", (200, {"files": [stale]}), (200, {"files": [output(world, "x", b"content")]})
        )
        assert cli("outputs", RUN, "--download", str(tmp_path)).code == 0
        assert (tmp_path / "mask" / "x").read_bytes() == b"content"

    def test_a_run_without_outputs_says_so(self, cli: Cli, world: World, tmp_path: Path) -> None:
        outputs(world)
        assert cli("outputs", RUN).out == f"run {RUN} has no outputs\n"
        assert cli("outputs", RUN, "--download", str(tmp_path)).out == f"run {RUN} has no outputs\n"

    def test_a_target_that_cannot_be_written_is_named(self, cli: Cli, world: World, tmp_path: Path) -> None:
        (tmp_path / "d").write_text("a file")
        outputs(world, output(world, "x", b"1"))
        assert "cannot be written" in cli("outputs", RUN, "--download", str(tmp_path / "d")).err


class TestTheOthers:
    def test_cancel(self, cli: Cli, world: World) -> None:
        world.answer(f"DELETE /runs/{RUN}", (202, {"executionRunId": RUN, "status": "RUNNING"}))
        outcome = cli("cancel", "latest")
        assert outcome.out == f"run {RUN} is being cancelled\n"
        assert f"compute-node status {RUN} --follow" in outcome.err
        assert cli("cancel", RUN, "--json").json["status"] == "RUNNING"

    def test_cancelling_what_has_ended_is_the_gateways_error(self, cli: Cli, world: World) -> None:
        world.answer(f"DELETE /runs/{RUN}", (409, {"error": "conflict", "message": "the run has ended: SUCCEEDED"}))
        outcome = cli("cancel", RUN)
        assert (outcome.code, outcome.err) == (1, "compute-node: the run has ended: SUCCEEDED\n")

    def test_processors_with_their_parameters(self, cli: Cli, world: World) -> None:
        parameters = {
            "threshold": {"type": "number", "default": 0.5, "description": "share of the peak"},
            "label": {"type": "string"},
        }
        entry = {
            "name": "brain-mask",
            "description": "Finds the brain",
            "computeTypes": ["ecs", "lambda"],
            "cpu": 1024,
            "memory": 2048,
            "parameters": parameters,
        }
        world.answer("GET /processors", (200, {"processors": [entry]}))
        assert cli("processors").out.splitlines() == [
            "brain-mask",
            "  Finds the brain",
            "  on ecs, lambda; cpu 1024, memory 2048 MiB",
            "    threshold: number = 0.5   share of the peak",
            "    label: string (required)",
        ]
        assert cli("processors", "--json").json == {"processors": [entry]}

    def test_health_is_zero_only_where_all_is_well(self, cli: Cli, world: World) -> None:
        layers = [{"name": "atlas", "sizeBytes": 2048, "fileCount": 2}]
        well = {"status": "HEALTHY", "issues": [], "resources": {"efsLayers": layers, "sfnActiveExecutions": 1}}
        world.answer("GET /health", (200, well))
        outcome = cli("health")
        assert outcome.code == 0
        assert outcome.out.splitlines() == [
            f"{world.url} is healthy",
            "1 active run",
            "layer atlas: 2 files, 2.0 KiB",
        ]
        ill = {"status": "WARNING", "issues": [{"component": "efs", "status": "WARNING", "message": "no mount target"}]}
        world.answer("GET /health", (200, ill))
        outcome = cli("health")
        assert (outcome.code, "no mount target" in outcome.out) == (1, True)

    def test_options_stand_before_or_after_the_command(self, cli: Cli, world: World) -> None:
        world.answer("GET /health", (200, {"status": "HEALTHY"}))
        assert cli("--json", "health").json == cli("health", "--json").json
        assert cli("--gateway", world.url, "health", "--json").code == 0

    def test_no_node_is_one_message(self, cli: Cli, tmp_path: Path) -> None:
        cli.cwd = tmp_path.parent
        outcome = cli("status")
        assert (outcome.code, outcome.out) == (1, "")
        assert "compute-node up" in outcome.err

    def test_a_reader_that_went_away_is_no_error(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        def closed(*_: Any, **__: Any) -> None:
            raise BrokenPipeError

        monkeypatch.setattr("cli.commands.runs.Table", closed)
        monkeypatch.setattr("cli.main.silence_stdout", lambda: None)
        assert cli("runs").code == 0

    @pytest.mark.parametrize("command", ["status", "runs", "outputs"])
    def test_tables_are_drawn_on_a_terminal(self, cli: Cli, world: World, command: str) -> None:
        world.answer(f"GET /runs/{RUN}", (200, run(nodes=[node("align")])))
        outputs(world, output(world, "align", b"1"))
        argv = [command, RUN] if command in {"status", "outputs"} else [command]
        outcome = cli(*argv, terminal=True, width=120)
        assert outcome.code == 0
        assert "─" in outcome.out

    def test_a_narrow_terminal_gets_the_beginnings_of_ids(self, cli: Cli) -> None:
        lines = cli("runs", terminal=True, width=80).out.splitlines()
        assert len(lines) == 5
        assert [line[:10] for line in lines[2:]] == ["6f0c0b5e  ", "6f0c0b5e  ", "aa0c0b5e  "]
