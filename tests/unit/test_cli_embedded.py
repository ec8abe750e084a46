"""`up` and `demo` around a node that is only told of: state file, announcement, what is left behind."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from cli_world import KEYS, RUN, Cli, Request, World, at, node, run, serve

from cli.commands import demo, up
from cli.embedded import find_program, start_node
from cli.errors import CliError
from cli.state import read_state

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
EVENTS = [
    {"time": at(1), "component": "download", "message": "2 files"},
    {"time": at(2), "node": "report", "message": "done"},
]


@dataclass
class ToldNode:
    """Has the attributes of an embedded node, and the world for its gateway."""

    world: World
    ended: bool = False

    def __enter__(self) -> ToldNode:
        return self

    def __exit__(self, *_: object) -> None:
        self.ended = True

    @property
    def gateway_url(self) -> str:
        return self.world.url

    endpoint_url = gateway_url
    region = "us-east-1"
    credentials = SimpleNamespace(access_key_id=KEYS.access_key, secret_access_key=KEYS.secret_key)
    outputs = {"nodeName": "compute-node-basic"}  # noqa: RUF012


@pytest.fixture
def world() -> Iterator[World]:
    with serve() as world:
        yield world


@pytest.fixture
def cli(world: World, tmp_path: Path) -> Cli:
    return Cli(world, tmp_path)


@pytest.fixture
def told(world: World, monkeypatch: pytest.MonkeyPatch) -> ToldNode:
    told = ToldNode(world)

    def start(*given: Any) -> ToldNode:
        given[-1]("a step [of it]")
        return told

    monkeypatch.setattr(up, "start_node", start)
    monkeypatch.setattr(demo, "start_node", start)
    return told


class TestUp:
    def interrupted_when_up(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> list[Any]:
        """End `up` by Ctrl-C once it is up; return what the state file held then."""
        seen: list[Any] = []

        def interrupt() -> None:
            seen.extend((read_state(path), path.stat().st_mode & 0o777))
            raise KeyboardInterrupt

        monkeypatch.setattr(up, "wait_for_end", interrupt)
        return seen

    @pytest.mark.parametrize("terminal", [False, True])
    def test_it_says_where_the_node_is_and_cleans_up(
        self, cli: Cli, told: ToldNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, terminal: bool
    ) -> None:
        path = tmp_path / ".compute-node" / "node.json"
        seen = self.interrupted_when_up(monkeypatch, path)
        outcome = cli("up", terminal=terminal)
        assert outcome.code == 0
        assert f"gateway       {told.gateway_url}" in outcome.out
        assert "compute-node-basic is up after" in outcome.out
        assert KEYS.secret_key not in outcome.out + outcome.err
        assert (seen[0].gatewayUrl, seen[0].accessKeyId, seen[1]) == (told.gateway_url, KEYS.access_key, 0o600)
        assert not path.exists()
        assert told.ended

    def test_json_tells_where_and_not_the_keys(
        self, cli: Cli, told: ToldNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        self.interrupted_when_up(monkeypatch, tmp_path / ".compute-node" / "node.json")
        outcome = cli("up", "--json")
        assert outcome.json["gatewayUrl"] == told.gateway_url
        assert KEYS.secret_key not in outcome.out

    def test_a_stack_that_is_not_there_names_those_that_are(self, tmp_path: Path) -> None:
        with pytest.raises(CliError, match="no stack 'bsic'") as caught:
            start_node(ROOT, tmp_path, "bsic", 0, print)
        assert "basic" in caught.value.details[0]

    def test_the_program_is_found_from_below(self) -> None:
        assert find_program(ROOT / "examples" / "workflows") == ROOT
        assert find_program(Path("/")) == ROOT

    def test_another_pulumi_project_is_not_taken_for_it(self, tmp_path: Path) -> None:
        (tmp_path / "Pulumi.yaml").write_text("name: somebody-elses\n")
        assert find_program(tmp_path) == ROOT


@pytest.mark.usefixtures("told")
class TestDemo:
    @pytest.fixture(autouse=True)
    def _recorded(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        page = b"<html>report</html>"
        world.objects["/store/report"] = page
        file = {
            "nodeId": "report",
            "path": "report.html",
            "sizeBytes": len(page),
            "sha256": hashlib.sha256(page).hexdigest(),
            "url": f"{world.url}/store/report",
        }
        attempts = [{"attempt": 1, "startedAt": at(3), "stoppedAt": at(7)}]
        nodes = [node("report", "SUCCEEDED", startedAt=at(2), endedAt=at(7.5), attempts=attempts)]
        monkeypatch.setattr(demo.uuid, "uuid4", lambda: RUN)
        monkeypatch.setattr(demo, "copy_data", self.copy)
        world.answer("POST /uploads", lambda request: (201, {"files": [self.place(world, request.json)]}))
        world.answer("POST /runs", (202, {"executionRunId": RUN, "status": "QUEUED"}))
        world.answer(f"GET /runs/{RUN}", (200, run("SUCCEEDED", "DONE", endedAt=at(9), nodes=nodes)))
        world.answer(f"GET /runs/{RUN}/outputs", (200, {"files": [file]}))
        world.answer(f"GET /runs/{RUN}/logs", self.log)

    @staticmethod
    def copy(_program: Path, target: Path) -> None:
        target.mkdir(parents=True)
        (target / "scan.nii").write_bytes(b"scan")

    @staticmethod
    def log(request: Request) -> tuple[int, Any]:
        asked = request.query.removeprefix("component=")
        events = [event for event in EVENTS if event.get("component", "") == asked]
        return 200, {"events": events, "nextToken": None, "complete": True}

    @staticmethod
    def place(world: World, asked: Any) -> dict[str, str]:
        path = asked["files"][0]["path"]
        return {"path": path, "uri": f"s3://r/{path}", "putUrl": f"{world.url}/store/{path}"}

    def test_it_ends_with_where_things_lie_and_how_long_they_took(
        self, cli: Cli, told: ToldNode, tmp_path: Path
    ) -> None:
        outcome = cli("demo")
        directory = f".compute-node/demo/{RUN}"
        lines = outcome.out.splitlines()
        assert (outcome.code, outcome.err) == (0, "")
        assert lines[-8:-1] == [
            "NODE    PROCESSOR         COMPUTE  WAITING  PROVISIONING  RUNNING",
            "report  report-processor  ecs         2.0s          1.5s     4.0s",
            "total                                                        9.0s",
            "",
            f"outputs  {directory}/outputs  (1 file)",
            f"logs     {directory}/logs  (2 files)",
            f"picture  {directory}/outputs/report/report.html",
        ]
        assert lines[-1].startswith("all of it took ")
        assert told.ended
        logs = {path.name: path.read_text() for path in (tmp_path / directory / "logs").iterdir()}
        assert logs == {
            "download.log": f"{at(1)}  download  2 files\n",
            "report.log": f"{at(2)}  report  done\n",
        }

    def test_json_has_it_all_in_one_document(self, cli: Cli, tmp_path: Path) -> None:
        document = cli("demo", "--json").json
        assert document["run"]["status"] == "SUCCEEDED"
        assert document["timings"] == {"report": {"waiting": 2.0, "provisioning": 1.5, "running": 4.0}}
        assert document["pictures"] == document["outputs"]
        assert Path(document["pictures"][0]).read_text() == "<html>report</html>"
        assert json.dumps(document)
        assert len(list((tmp_path / ".compute-node" / "demo" / RUN / "inputs").iterdir())) == 1

    def test_a_failed_run_is_told_by_the_exit_code_with_its_logs_saved(self, cli: Cli, world: World) -> None:
        failed = run("FAILED", "DONE", endedAt=at(9), nodes=[node("report", "FAILED", reason="exit code 1")])
        world.answer(f"GET /runs/{RUN}", (200, failed))
        outcome = cli("demo")
        assert outcome.code == 3
        assert "report failed: exit code 1" in outcome.out
        assert "(2 files)" in outcome.out


def test_without_the_example_data_demo_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CliError, match=r"examples/data\.py"):
        demo.copy_data(tmp_path, tmp_path / "x")
