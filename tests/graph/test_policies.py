"""Every policy that the program writes, held against IAM's own definitions, and who may do what is dangerous."""

from __future__ import annotations

import fnmatch
import json
import warnings
from typing import TYPE_CHECKING, Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the way in which it finds its data
    import parliament
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recorder import Graph, Resource

# Statements whose actions AWS authorises for all resources only; the reason stands beside each in the program.
ANY_RESOURCE = {
    "CompleteTasks", "DeliverLogs", "ListSecrets", "LogInToEcr", "LookAtVpc", "RetireTaskDefinitions",
}  # fmt: skip
RESOURCE_POLICIES = (
    "aws:s3/bucketPolicy:BucketPolicy",
    "aws:efs/fileSystemPolicy:FileSystemPolicy",
    "aws:ecr/repositoryPolicy:RepositoryPolicy",
)


def documents(graph: Graph) -> Iterator[tuple[Resource, dict[str, Any]]]:
    """Each policy with what it is attached to. Trust policies are not among them."""
    for token in ("aws:iam/rolePolicy:RolePolicy", *RESOURCE_POLICIES):
        for resource in graph.of(token):
            yield resource, json.loads(resource.inputs["policy"])


def statements(graph: Graph) -> Iterator[tuple[Resource, dict[str, Any]]]:
    """Each statement of each policy."""
    for resource, body in documents(graph):
        for statement in body["Statement"]:
            yield resource, statement


def purposes(graph: Graph, action: str, resource: str) -> set[str]:
    """The roles that are allowed an action on a resource, whatever the conditions."""
    found = set()
    for owner, statement in statements(graph):
        listed = statement.get("Resource", [])
        patterns = [listed] if isinstance(listed, str) else listed
        matches = action in statement["Action"] and any(fnmatch.fnmatchcase(resource, pattern) for pattern in patterns)
        if owner.token == "aws:iam/rolePolicy:RolePolicy" and statement["Effect"] == "Allow" and matches:
            found.add(owner.inputs["name"].removesuffix("-access"))
    return found


def test_parliament_finds_nothing(basic: Graph) -> None:
    found = []
    for resource, body in documents(basic):
        for statement in body["Statement"]:
            statement.pop("Principal", None)  # parliament reads identity policies only
            statement.setdefault("Resource", "arn:aws:ecr:us-east-1:123456789012:repository/any")
        policy = parliament.analyze_policy_string(json.dumps(body))
        found += [(resource.name, finding.issue, finding.detail, finding.location) for finding in policy.findings]
    assert found == []


def test_parliament_would_find_a_wrong_action() -> None:
    wrong = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "ecs:RunTasks", "Resource": "*"}}
    assert parliament.analyze_policy_string(json.dumps(wrong)).findings


def test_no_action_is_all_actions(basic: Graph) -> None:
    wild = [
        (resource.name, action)
        for resource, statement in statements(basic)
        for action in statement["Action"]
        if action == "*" or (statement["Effect"] == "Allow" and "*" in action)
    ]
    assert wild == []


def test_all_resources_only_where_aws_offers_nothing_else(basic: Graph) -> None:
    assert {item["Sid"] for _, item in statements(basic) if "*" in item.get("Resource", ())} == ANY_RESOURCE


def test_policies_fit_into_iams_limit(basic: Graph) -> None:
    too_long = [
        (resource.name, len(json.dumps(body, separators=(",", ":"))))
        for resource, body in documents(basic)
        if len(json.dumps(body, separators=(",", ":"))) > 10_240
    ]
    assert too_long == []


def test_a_task_can_mount_its_run_and_nothing_else(basic: Graph) -> None:
    [task] = [item for item in basic.of("aws:iam/rolePolicy:RolePolicy") if item.inputs["name"] == "task-access"]
    allowed = json.loads(task.inputs["policy"])["Statement"]
    assert sorted(action for item in allowed for action in item["Action"]) == [
        "elasticfilesystem:ClientMount",
        "elasticfilesystem:ClientWrite",
    ]
    access_points = {item.name: item for item in basic.of("aws:efs/accessPoint:AccessPoint")}
    by_action = {item["Action"][0]: item["Condition"] for item in allowed}
    assert all(condition["Null"] == {"elasticfilesystem:AccessPointArn": "false"} for condition in by_action.values())
    kept_out = by_action["elasticfilesystem:ClientWrite"]["ArnNotEquals"]["elasticfilesystem:AccessPointArn"]
    assert len(kept_out) == len(access_points)


def test_only_these_roles_read_the_secrets_of_runs(basic: Graph) -> None:
    secret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:compute-node-basic/runs/0a-AbCdEf"
    readers = purposes(basic, "secretsmanager:GetSecretValue", secret)
    assert readers == {"dispatch", "execution", "finalize", "initialize"}


def test_only_these_roles_run_tasks_pass_roles_or_invoke_processors(basic: Graph) -> None:
    at = "us-east-1:123456789012"
    definition = f"arn:aws:ecs:{at}:task-definition/compute-node-basic-00000000-0000-4000-8000-000000000000-both:1"
    assert purposes(basic, "ecs:RunTask", definition) == {"state-machine"}
    assert purposes(basic, "iam:PassRole", "arn:aws:iam::123456789012:role/compute-node-basic-us-east-1-task") == {
        "state-machine"
    }
    processor = f"arn:aws:lambda:{at}:function:compute-node-basic-p-both:1"
    assert purposes(basic, "lambda:InvokeFunction", processor) == {"dispatch"}


def test_only_root_access_is_scopes(basic: Graph) -> None:
    [file_system] = basic.of("aws:efs/fileSystemPolicy:FileSystemPolicy")
    denials = {item["Sid"]: item for item in json.loads(file_system.inputs["policy"])["Statement"]}
    assert {item["Effect"] for item in denials.values()} == {"Deny"}
    assert set(denials) == {"TlsOnly", "ThroughAccessPointsOnly", "RootForScopeOnly"}
    condition = denials["RootForScopeOnly"]["Condition"]["ArnNotEquals"]["aws:PrincipalArn"]
    assert condition == "arn:aws:iam::123456789012:role/compute-node-basic-us-east-1-scope"


@pytest.mark.parametrize("role", ["task", "execution", "state-machine"])
def test_services_may_act_only_for_this_account(basic: Graph, role: str) -> None:
    [found] = [
        item for item in basic.of("aws:iam/role:Role") if item.inputs["name"] == f"compute-node-basic-us-east-1-{role}"
    ]
    [statement] = json.loads(found.inputs["assumeRolePolicy"])["Statement"]
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}
