"""Which node is talked to, the state file, and the lock."""

from __future__ import annotations

import json
import multiprocessing
import os
from typing import TYPE_CHECKING

import pytest

from cli.errors import CliError, UsageError
from cli.state import STATE_DIRECTORY, NodeState, find_state, read_state, single_node, write_state
from cli.target import resolve_target, url_region

if TYPE_CHECKING:
    from pathlib import Path

STATE = NodeState("http://127.0.0.1:4000", "http://127.0.0.1:4001", "us-east-1", "AKIA", "secret", os.getpid())
DEPLOYED = "https://abc123.lambda-url.eu-central-1.on.aws"


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIACALLER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "callers")


@pytest.mark.usefixtures("keys")
def test_the_option_comes_before_the_variable_and_that_before_the_state_file(tmp_path: Path) -> None:
    write_state(tmp_path / STATE_DIRECTORY, STATE)
    variable = {"COMPUTE_NODE_GATEWAY": "https://other.lambda-url.us-west-2.on.aws/"}
    assert resolve_target(DEPLOYED, None, variable, tmp_path).url == DEPLOYED
    assert resolve_target(None, None, variable, tmp_path).region == "us-west-2"
    found = resolve_target(None, None, {}, tmp_path)
    assert (found.url, found.embedded) == (STATE.gatewayUrl, True)


@pytest.mark.usefixtures("keys")
def test_a_deployed_node_is_signed_for_by_the_caller_in_its_urls_region(tmp_path: Path) -> None:
    target = resolve_target(DEPLOYED + "/", None, {"AWS_REGION": "us-east-2"}, tmp_path)
    assert (target.region, target.embedded, target.credentials().access_key) == ("eu-central-1", False, "AKIACALLER")


def test_a_profile_is_used_or_named_when_it_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text("[lab]\naws_access_key_id = AKIALAB\naws_secret_access_key = s\n")
    assert resolve_target(DEPLOYED, "lab", {}, tmp_path).credentials().access_key == "AKIALAB"
    assert resolve_target(DEPLOYED, None, {"AWS_PROFILE": "lab"}, tmp_path).credentials().access_key == "AKIALAB"
    with pytest.raises(CliError, match="nowhere"):
        resolve_target(DEPLOYED, "nowhere", {}, tmp_path)


def test_without_credentials_nothing_is_sent(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="no AWS credentials") as caught:
        resolve_target(DEPLOYED, None, {}, tmp_path)
    assert "aws sso login" in str(caught.value.hint)


@pytest.mark.usefixtures("keys")
def test_a_url_without_a_region_needs_one_from_the_environment(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="does not tell its AWS region"):
        resolve_target("https://node.example.org", None, {}, tmp_path)
    assert resolve_target("https://node.example.org", None, {"AWS_REGION": "eu-west-1"}, tmp_path).region == "eu-west-1"


def test_the_embedded_nodes_url_given_by_hand_still_has_its_own_keys(tmp_path: Path) -> None:
    write_state(tmp_path / STATE_DIRECTORY, STATE)
    assert resolve_target("http://127.0.0.1:4000/", None, {}, tmp_path).credentials().access_key == "AKIA"


@pytest.mark.parametrize("url", ["ftp://x", "localhost:4000", "http://"])
def test_what_is_no_url_is_bad_usage(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not an http"):
        resolve_target(url, None, {}, tmp_path)


def test_no_node_anywhere_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="no node to talk to") as caught:
        resolve_target(None, None, {}, tmp_path)
    assert "compute-node up" in str(caught.value.hint)


def test_the_region_is_read_from_function_urls_only() -> None:
    assert url_region("https://x1.lambda-url.us-gov-west-1.on.aws/") == "us-gov-west-1"
    assert url_region("https://x1.lambda-url.us-east-1.on.aws.evil.example/") is None


def test_the_state_file_is_its_owners_alone_and_found_from_below(tmp_path: Path) -> None:
    path = write_state(tmp_path / STATE_DIRECTORY, STATE)
    assert path.stat().st_mode & 0o777 == 0o600
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_state(below) == path
    assert read_state(path) == STATE
    assert [entry.name for entry in path.parent.iterdir()] == ["node.json"]


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"gatewayUrl": "x"})])
def test_a_broken_state_file_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "node.json"
    path.write_text(content)
    with pytest.raises(CliError, match=r"node\.json is not the state file"):
        read_state(path)


def _hold(directory: Path, holding: multiprocessing.synchronize.Event, end: multiprocessing.synchronize.Event) -> None:
    with single_node(directory):
        write_state(directory, STATE)
        holding.set()
        end.wait(30)


def test_a_second_node_in_a_directory_is_told_of_the_first(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    holding, end = spawn.Event(), spawn.Event()
    process = spawn.Process(target=_hold, args=(tmp_path, holding, end))
    process.start()
    try:
        assert holding.wait(30)
        with pytest.raises(CliError, match="already running") as caught, single_node(tmp_path):
            pass
        assert STATE.gatewayUrl in caught.value.message
    finally:
        end.set()
        process.join()
    with single_node(tmp_path):  # the first is gone, and its state file alone hinders nobody
        pass
