"""The pure parts behind the components: statements that cannot be written, variables that must be filled."""

from __future__ import annotations

import json

import pytest

from components.naming import Names
from components.policies import Statement, document
from components.state_machine import DEFINITION, NODE_DEFINITION, definition, substitute, variables

NAMES = Names(node="lab", account="123456789012", region="us-east-1", partition="aws")


@pytest.mark.parametrize(
    ("actions", "resources", "reason", "message"),
    [
        (("*",), ("arn",), "", "name the actions"),
        (("s3:*",), ("arn",), "", "name the actions; s3:\\* covers"),
        (("s3:GetObject",), (), "", "give either resources or the reason"),
        (("s3:GetObject",), ("arn",), "because", "give either resources or the reason"),
        (("s3:GetObject",), ("*",), "", "the resource \\* needs its reason"),
    ],
)
def test_what_a_statement_may_not_say(
    actions: tuple[str, ...], resources: tuple[str, ...], reason: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Statement(sid="Any", actions=actions, resources=resources, any_resource=reason)


def test_statements_of_a_policy_have_names_that_differ() -> None:
    statement = Statement(sid="Same", actions=("s3:GetObject",), resources=("arn",))
    with pytest.raises(ValueError, match="Sids must differ in one policy: Same"):
        document([statement, statement])


def test_a_text_that_is_a_variable_takes_the_values_type() -> None:
    given = {"Subnets": "${SubnetIds}", "Text": "in ${Region}", "Timeout": "${Seconds}", "Path": "$.state", "Number": 1}
    assert substitute(given, {"SubnetIds": ["a", "b"], "Region": "us-east-1", "Seconds": 60}) == {
        "Subnets": ["a", "b"], "Text": "in us-east-1", "Timeout": 60, "Path": "$.state", "Number": 1,
    }  # fmt: skip


def test_a_variable_without_a_value_is_named() -> None:
    with pytest.raises(KeyError, match=r"\$\{Regoin\} has no value; there are Region"):
        substitute("${Regoin}", {"Region": "us-east-1"})


def test_the_node_is_the_same_in_every_map() -> None:
    names = variables(json.loads(DEFINITION.read_text())) | variables(json.loads(NODE_DEFINITION.read_text()))
    filled = json.loads(definition(dict.fromkeys(names, "x")))
    node = substitute(json.loads(NODE_DEFINITION.read_text()), dict.fromkeys(names, "x"))
    found = [item for item in processors(filled) if item.get("States") == node["States"]]  # type: ignore[index]
    assert len(found) == json.dumps(json.loads(DEFINITION.read_text())).count('"${NodeProcessor}"')
    assert found


def processors(value: object) -> list[dict[str, object]]:
    """Every object in a definition that has states."""
    if isinstance(value, list):
        return [found for item in value for found in processors(item)]
    if not isinstance(value, dict):
        return []
    inner = [found for item in value.values() for found in processors(item)]
    return [value, *inner] if "States" in value else inner


def test_physical_names_fit_into_awss_limits() -> None:
    longest = Names(node="n" * 27, account="123456789012", region="ap-southeast-1", partition="aws")
    assert len(longest.results_bucket) <= 63
    assert max(len(longest.role(purpose)) for purpose in ("state-machine", "initialize", "processor")) <= 64
    assert NAMES.task_definitions_arn.endswith("task-definition/lab-????????-????-????-????-????????????-*:*")
