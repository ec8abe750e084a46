"""The gateway's client: signatures, retries, and errors put into words."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from cli_world import RUN, World, run, serve, state_for

from cli.client import Gateway, detail_lines
from cli.errors import CliError, GatewayError, UnreachableError
from cli.retry import Retries
from cli.state import NodeState
from cli.target import embedded_target

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world() -> Iterator[World]:
    with serve() as world:
        yield world


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def gateway(world: World, waits: list[float]) -> Iterator[Gateway]:
    client = Gateway(embedded_target(state_for(world), "test"), retries=Retries(sleep=waits.append, jitter=lambda: 1.0))
    yield client
    client.close()


def test_every_kind_of_request_is_signed_so_that_the_server_agrees(gateway: Gateway, world: World) -> None:
    world.answer("POST /runs", (202, {"executionRunId": RUN}))
    world.answer(f"GET /runs/{RUN}/logs", (200, {"events": [], "nextToken": None, "complete": True}))
    world.answer(f"DELETE /runs/{RUN}", (202, {}))
    gateway.start_run({"workflow": {"name": "ünïcode ✓"}}, {"x-session-token": "abc"})
    gateway.log_page(RUN, node="a.b c/d+e&f=ü", component=None, token="t/+=")
    gateway.cancel(RUN)
    assert world.unsigned == []
    assert [request.method for request in world.requests] == ["POST", "GET", "DELETE"]
    assert world.requests[0].headers["x-session-token"] == "abc"
    assert "x-session-token" in world.requests[0].headers["authorization"]


def test_an_interim_failure_is_retried_with_growing_waits(gateway: Gateway, world: World, waits: list[float]) -> None:
    broken = (503, {"error": "unavailable", "message": "later"})
    world.answer("GET /health", broken, broken, broken, (200, {"status": "HEALTHY"}))
    assert gateway.health() == {"status": "HEALTHY"}
    assert waits == [0.2, 0.4, 0.8]


def test_the_gateway_says_when_to_ask_again(gateway: Gateway, world: World, waits: list[float]) -> None:
    world.headers["retry-after"] = "7"
    world.answer("GET /health", (429, {"error": "throttled", "message": "slow down"}), (200, {"status": "HEALTHY"}))
    gateway.health()
    assert waits == [7.0]


def test_retries_end_with_the_gateways_own_error(gateway: Gateway, world: World, waits: list[float]) -> None:
    world.answer("GET /health", (500, {"error": "internal_error", "message": "it broke"}))
    with pytest.raises(GatewayError, match="it broke") as caught:
        gateway.health()
    assert caught.value.status == 500
    assert len(world.requests) == 5
    assert len(waits) == 4


def test_a_refusal_is_told_at_once_with_its_details(gateway: Gateway, world: World) -> None:
    details = ["cycle: a → b → a", {"loc": ["workflow", "processors", 0, "id"], "msg": "too long"}]
    world.answer("POST /runs", (400, {"error": "invalid_workflow", "message": "2 mistakes", "details": details}))
    with pytest.raises(GatewayError) as caught:
        gateway.start_run({}, {})
    assert caught.value.code == "invalid_workflow"
    assert caught.value.details == ("cycle: a → b → a", "workflow.processors.0.id: too long")
    assert len(world.requests) == 1


@pytest.mark.parametrize(
    ("details", "lines"),
    [
        (None, []),
        ("one", ["one"]),
        ({"name": "x", "sizes": [1, 2]}, ["name: x", "sizes: [1, 2]"]),
        ([{"node": "a", "size": 9000}], ["node: a, size: 9000"]),
        ([{"field": "inputs", "message": "empty"}], ["inputs: empty"]),
    ],
)
def test_details_of_any_shape_become_lines(details: object, lines: list[str]) -> None:
    assert detail_lines(details) == lines


def test_awss_own_refusal_names_the_credentials(world: World) -> None:
    state = state_for(world)
    stranger = NodeState(**{**vars(state), "secretAccessKey": "another"})
    client = Gateway(embedded_target(stranger, "test"))
    with pytest.raises(GatewayError, match="refuses these AWS credentials: Forbidden") as caught:
        client.health()
    assert "--profile" in str(caught.value.hint)
    client.close()


def test_nobody_listening_names_the_url_and_the_way_out(world: World) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening: connections are refused
        state = NodeState(**{**vars(state_for(world)), "gatewayUrl": f"http://127.0.0.1:{taken.getsockname()[1]}"})
        client = Gateway(embedded_target(state, "node.json"), retries=Retries(sleep=lambda _: None))
        with pytest.raises(UnreachableError, match=r"no node answers at http://127\.0\.0\.1:\d+ \(from node\.json\)"):
            client.health()
        client.close()


def test_a_foreign_server_is_not_taken_for_a_node(gateway: Gateway, world: World) -> None:
    world.answer("GET /health", (200, b"<html>hello</html>"))
    with pytest.raises(GatewayError, match="which no compute node does"):
        gateway.health()
    world.answer("GET /health", (200, ["a", "list"]))
    with pytest.raises(GatewayError, match="a JSON list"):
        gateway.health()


def test_a_run_of_another_shape_is_refused_by_name(gateway: Gateway, world: World) -> None:
    world.answer(f"GET /runs/{RUN}", (200, run(status=7)))
    with pytest.raises(CliError, match="status = 7, where a text belongs"):
        gateway.run(RUN)


def test_listings_are_read_page_by_page_as_far_as_asked(gateway: Gateway, world: World) -> None:
    world.answer(
        "GET /runs",
        (200, {"runs": [run()] * 2, "nextToken": "two"}),
        (200, {"runs": [run()] * 2, "nextToken": "three"}),
    )
    assert len(list(gateway.runs(limit=3))) == 3
    assert [request.query for request in world.requests] == ["limit=3", "limit=1&nextToken=two"]


def test_outputs_of_several_pages_are_one_document(gateway: Gateway, world: World) -> None:
    path = f"GET /runs/{RUN}/outputs"
    world.answer(path, (200, {"files": [1], "nextToken": "n"}), (200, {"files": [2], "manifestUrl": "m"}))
    assert gateway.output_document(RUN) == {"files": [1, 2], "manifestUrl": "m"}


def test_the_operators_secret_key_is_in_no_representation(world: World) -> None:
    assert "local-secret" not in repr(embedded_target(state_for(world), "test").state)
