"""Two nodes of one account, one's name the beginning of the other's: nothing of one is in reach of the other."""

from __future__ import annotations

import fnmatch
import json
from typing import Any

import pytest
from recorder import ARNS, Graph, evaluate, stack_config

RUN = "00000000-0000-4000-8000-000000000000"
NAMES = ("name", "bucket")
# Held apart by what the statement asks of the resource, which a pattern of ARNs cannot: EFS names access points itself,
# and Lambda must be free to touch interfaces that have no name yet (its condition keeps the function's code out).
FENCED_OTHERWISE = {
    "TagAccessPoints",
    "WaitForAccessPoints",
    "FindAccessPoints",
    "DeleteAccessPoints",
    "AttachToVpc",
    "LearnOfTaskEnds",
}


@pytest.fixture(scope="module")
def nodes(context_dir: str) -> dict[str, Graph]:
    """`lab` and `lab-two`, both with a processor on Lambda; the second borrows the endpoints."""
    listed = [{"name": "mask", "build": context_dir, "computeTypes": ["ecs", "lambda"]}]
    lab = evaluate(stack_config("basic", name="lab", processors=listed))
    two = evaluate(stack_config("basic", name="lab-two", processors=listed, network={"borrowGatewayEndpoints": True}))
    return {"lab": lab, "lab-two": two}


def physical_names(graph: Graph) -> set[tuple[str, str]]:
    """What AWS would refuse to make twice: type and name. Names inside a role or an index are not among them."""
    inner = {"aws:iam/rolePolicy:RolePolicy"}
    return {
        (item.token, str(item.inputs[key]))
        for item in graph.resources
        for key in NAMES
        if item.custom and key in item.inputs and item.token not in inner
    }


def arns(graph: Graph, node: str) -> set[str]:
    """The ARNs of what a node has, and of what its runs will make."""
    at = "us-east-1:123456789012"
    made = set()
    for item in graph.resources:
        kind = item.token.partition(":")[2].partition(":")[0]
        if kind in ARNS and not kind.startswith("efs/"):
            name = str(item.inputs.get("name") or item.inputs.get("bucket"))
            made.add(ARNS[kind].format(at=at, account="123456789012", name=name, id=name))
    made |= {f"{arn}:1" for arn in made if ":function:" in arn} | {f"{arn}/any" for arn in made if ":s3:::" in arn}
    return made | {
        f"arn:aws:ecs:{at}:task-definition/{node}-{RUN}-mask:1",
        f"arn:aws:ecs:{at}:task/{node}/0123",
        f"arn:aws:secretsmanager:{at}:secret:{node}/runs/{RUN}-AbCdEf",
        f"arn:aws:secretsmanager:{at}:secret:{node}/secrets/shared-AbCdEf",
        f"arn:aws:states:{at}:execution:{node}-runs:{RUN}",
        f"arn:aws:states:{at}:execution:{node}-runs/Nodes:{RUN}",
        f"arn:aws:logs:{at}:log-group:/compute-node/{node}/processors:log-stream:{RUN}/processor/0123",
    }


def allowed(graph: Graph) -> list[dict[str, Any]]:
    """The statements that allow something."""
    bodies = [json.loads(item.inputs["policy"]) for item in graph.of("aws:iam/rolePolicy:RolePolicy")]
    return [item for body in bodies for item in body["Statement"] if item["Effect"] == "Allow"]


def test_they_share_no_physical_name(nodes: dict[str, Graph]) -> None:
    first, second = (physical_names(graph) for graph in nodes.values())
    assert first
    assert first & second == set()


@pytest.mark.parametrize(("one", "other"), [("lab", "lab-two"), ("lab-two", "lab")])
def test_no_policy_of_one_reaches_what_is_the_others(nodes: dict[str, Graph], one: str, other: str) -> None:
    foreign = arns(nodes[other], other)
    reached = {
        (statement["Sid"], pattern, arn)
        for statement in allowed(nodes[one])
        if statement["Resource"] != "*" and statement["Sid"] not in FENCED_OTHERWISE
        for pattern in statement["Resource"]
        for arn in foreign
        if fnmatch.fnmatchcase(arn, pattern)
    }
    assert reached == set()


@pytest.mark.parametrize("node", ["lab", "lab-two"])
def test_a_nodes_own_policies_reach_what_is_its_own(nodes: dict[str, Graph], node: str) -> None:
    """The check above would pass for patterns that match nothing."""
    patterns = [pattern for item in allowed(nodes[node]) if item["Resource"] != "*" for pattern in item["Resource"]]
    runtime = {arn for arn in arns(nodes[node], node) if RUN in arn}
    assert {arn for arn in runtime if not any(fnmatch.fnmatchcase(arn, pattern) for pattern in patterns)} == set()


def test_access_points_are_told_apart_by_tag(nodes: dict[str, Graph]) -> None:
    for node, graph in nodes.items():
        by_sid = {item["Sid"]: item for item in allowed(graph)}
        assert by_sid["DeleteAccessPoints"]["Condition"]["StringEquals"]["aws:ResourceTag/node"] == node
        assert by_sid["CreateAccessPoints"]["Condition"]["StringEquals"]["aws:RequestTag/node"] == node
