"""A wrong configuration ends the preview with a line a mistake, before anything is registered."""

from __future__ import annotations

import pulumi
import pytest
import recorder
from recorder import Graph, stack_config

RETENTION = (
    "compute-node:logs.retentionDays: 'month' is refused: input should be 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, "
    "365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653"
)


def refused(monkeypatch: pytest.MonkeyPatch, config: dict[str, str], stack: str = "basic") -> list[str]:
    """The lines that the program ends with. Fails if it registered or looked up anything."""
    graph = Graph()
    monkeypatch.setattr(recorder, "Graph", lambda: graph)
    with pytest.raises(pulumi.RunError) as caught:
        recorder.evaluate(config, stack)
    assert [item.urn for item in graph.resources if item.token != "pulumi:pulumi:Stack"] == []
    return str(caught.value).splitlines()


def test_all_mistakes_come_at_once_each_with_its_key(monkeypatch: pytest.MonkeyPatch, context_dir: str) -> None:
    processors = [
        {"name": "mask", "build": context_dir, "cpu": 300, "memory": 512},
        {"name": "mask", "build": context_dir, "computeTypes": ["gpu"], "enviroment": {}},
        {"name": "align", "build": context_dir, "environment": {"INPUT_DIR": "elsewhere"}, "timeoutSeconds": "long"},
    ]
    config = stack_config(
        "basic", processors=processors, enableLLMAccess="perhaps", netwrok={"zones": 2}, logs={"retentionDays": "month"}
    )
    assert refused(monkeypatch, config) == [
        "compute-node:enableLLMAccess: 'perhaps' is refused: input should be a valid boolean",
        RETENTION,
        "compute-node:processors[0].cpu: 300 with 512 MB is not a Fargate size; nearest valid: cpu 256, memory 512",
        "compute-node:processors[1].computeTypes[0]: 'gpu' is refused: input should be 'ecs' or 'lambda'",
        "compute-node:processors[1].enviroment: unknown key, did you mean environment?",
        "compute-node:processors[2].timeoutSeconds: 'long' is refused: input should be a valid integer",
        "compute-node:processors[2].environment.INPUT_DIR: INPUT_DIR is reserved: the node or AWS sets it",
        "compute-node:netwrok: unknown key, did you mean network?",
        "compute-node:processors[1].name: 'mask' is already the name of processors[0]",
    ]


@pytest.mark.parametrize("mode", ["secure", "compliant"])
def test_a_mode_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    assert refused(monkeypatch, stack_config(mode), mode) == [
        f"compute-node:mode: {mode} is not available in this version; available: basic"
    ]


def test_llm_access_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(monkeypatch, stack_config("basic", processors=None, enableLLMAccess="true")) == [
        "compute-node:enableLLMAccess: true is not available in this version"
    ]


def test_the_region_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    config = stack_config("basic", processors=None)
    del config["aws:region"]
    assert refused(monkeypatch, config) == ["aws:region: is required"]
