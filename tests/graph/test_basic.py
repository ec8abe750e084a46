"""What mode basic creates: exact sets, so that nothing comes or goes unnoticed. Not that AWS accepts it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pulumi_aws as aws
import pytest
from recorder import PROGRAM, Graph, Resource, evaluate, stack_config

FUNCTIONS = {
    "initialize", "scope", "download", "prepare", "assess", "publish", "cleanup", "finalize", "dispatch", "complete",
    "close", "reaper", "revoke", "gateway",
}  # fmt: skip
MOUNTING = {
    "scope": "root",
    "download": "node",
    "prepare": "node",
    "assess": "node",
    "publish": "node",
    "cleanup": "node",
}
BARE = {
    "aws:cloudwatch/eventRule:EventRule": 3,
    "aws:cloudwatch/eventTarget:EventTarget": 3,
    "aws:cloudwatch/logGroup:LogGroup": 16,
    "aws:dynamodb/table:Table": 1,
    "aws:ec2/securityGroup:SecurityGroup": 3,
    "aws:ec2/vpcEndpoint:VpcEndpoint": 2,
    "aws:ecs/cluster:Cluster": 1,
    "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders": 1,
    "aws:efs/accessPoint:AccessPoint": 3,
    "aws:efs/fileSystem:FileSystem": 1,
    "aws:efs/fileSystemPolicy:FileSystemPolicy": 1,
    "aws:efs/mountTarget:MountTarget": 2,
    "aws:iam/role:Role": 17,
    "aws:iam/rolePolicy:RolePolicy": 17,
    "aws:lambda/function:Function": 14,
    "aws:lambda/functionUrl:FunctionUrl": 1,
    "aws:lambda/permission:Permission": 5,
    "aws:s3/bucket:Bucket": 2,
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": 2,
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": 2,
    "aws:s3/bucketPolicy:BucketPolicy": 2,
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": 2,
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": 2,
    "aws:s3/bucketVersioning:BucketVersioning": 1,
    "aws:sfn/stateMachine:StateMachine": 1,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": 5,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": 2,
    "awsx:ec2:DefaultVpc": 1,
}
# What the two processors of `basic` and a second allowed principal add.
ADDED = {
    "aws:cloudwatch/logGroup:LogGroup": 1,
    "aws:dynamodb/tableItem:TableItem": 2,
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": 1,
    "aws:ecr/repository:Repository": 1,
    "aws:ecr/repositoryPolicy:RepositoryPolicy": 1,
    "aws:iam/role:Role": 1,
    "aws:iam/rolePolicy:RolePolicy": 1,
    "aws:lambda/function:Function": 1,
    "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": 1,
    "aws:lambda/permission:Permission": 2,
    "awsx:ecr:Image": 1,
}
RUNS = {"compute-node-basic-runs"}


def taggable(resource: Resource) -> bool:
    """Whether AWS lets the resource have tags, as the provider's class tells."""
    module, _, kind = resource.token.removeprefix("aws:").partition("/")
    name = kind.partition(":")[2]
    package = getattr(aws, {"lambda": "lambda_"}.get(module, module))
    return hasattr(getattr(package, name), "tags")


def functions(graph: Graph) -> dict[str, Resource]:
    """The node's own functions by role."""
    prefix = "compute-node-basic-"
    found = {resource.inputs["name"]: resource for resource in graph.of("aws:lambda/function:Function")}
    return {name.removeprefix(prefix): item for name, item in found.items() if not name.startswith(f"{prefix}p-")}


def test_a_bare_node_is_exactly_this(bare: Graph) -> None:
    assert bare.counts() == BARE


def test_processors_and_principals_add_exactly_this(basic: Graph) -> None:
    assert basic.counts() == {key: BARE.get(key, 0) + ADDED.get(key, 0) for key in sorted({*BARE, *ADDED})}


def test_a_second_node_of_the_vpc_borrows_its_endpoints() -> None:
    borrowing = evaluate(stack_config("basic", processors=None, network={"borrowGatewayEndpoints": True}))
    assert borrowing.counts() == {key: n for key, n in BARE.items() if key != "aws:ec2/vpcEndpoint:VpcEndpoint"}


def test_each_zone_has_a_mount_target() -> None:
    one = evaluate(stack_config("basic", processors=None, network={"zones": 1}))
    assert [target.inputs["subnetId"] for target in one.of("aws:efs/mountTarget:MountTarget")] == ["subnet-0a"]


def test_more_zones_than_subnets_are_refused_by_name() -> None:
    with pytest.raises(Exception, match=r"compute-node:network.zones: 3, but the default VPC has 2 public subnets"):
        evaluate(stack_config("basic", processors=None, network={"zones": 3}))


def test_outputs_are_exactly_these(basic: Graph) -> None:
    assert set(basic.outputs) == {
        "bundleSha256", "clusterArn", "definitionSha256", "fileSystemId", "gatewayUrl", "logBucket", "mode", "nodeName",
        "resultsBucket", "runTable", "stateMachineArn",
    }  # fmt: skip


def test_whatever_can_have_tags_has_the_nodes(basic: Graph) -> None:
    wanted = {("node", "compute-node-basic"), ("environment", "development")}
    resources = [item for item in basic.resources if item.token.startswith("aws:") and taggable(item)]
    assert len(resources) > 50
    assert [item.urn for item in resources if not wanted <= set(item.inputs.get("tags", {}).items())] == []


def test_every_resource_is_part_of_a_component(basic: Graph) -> None:
    custom = [item for item in basic.resources if not item.token.startswith(("computenode:", "pulumi:"))]
    assert [item.urn for item in custom if not any(parent.startswith("computenode:") for parent in item.parents)] == []


def test_every_role_has_the_boundary(basic: Graph, bare: Graph) -> None:
    boundaries = {role.inputs.get("permissionsBoundary") for role in basic.of("aws:iam/role:Role")}
    assert boundaries == {"arn:aws:iam::123456789012:policy/lab-boundary"}
    assert {role.inputs.get("permissionsBoundary") for role in bare.of("aws:iam/role:Role")} == {None}


@pytest.mark.parametrize("bucket", ["results", "logs"])
def test_buckets_are_private_encrypted_and_reached_over_tls_only(basic: Graph, bucket: str) -> None:
    name = f"compute-node-basic-{bucket}-123456789012-us-east-1"

    def settings(kind: str) -> dict[str, Any]:
        token = f"aws:s3/bucket{kind}:Bucket{kind}"
        [found] = [item.inputs for item in basic.of(token) if item.inputs["bucket"] == name]
        return dict(found)

    block = settings("PublicAccessBlock")
    assert {key: block[key] for key in block if key != "bucket"} == dict.fromkeys(
        ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), True
    )
    assert settings("OwnershipControls")["rule"] == {"objectOwnership": "BucketOwnerEnforced"}
    [rule] = settings("ServerSideEncryptionConfiguration")["rules"]
    assert rule["applyServerSideEncryptionByDefault"] == {"sseAlgorithm": "AES256"}
    [statement] = json.loads(settings("Policy")["policy"])["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Deny", ["s3:*"])
    assert statement["Resource"] == [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_archive_moves_even_small_logs_to_glacier_and_then_deletes_them(basic: Graph) -> None:
    lifecycle = basic.one("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", "logs-archive-lifecycle")
    assert lifecycle.inputs["transitionDefaultMinimumObjectSize"] == "varies_by_storage_class"
    archive = next(rule for rule in lifecycle.inputs["rules"] if rule["id"] == "archive")
    assert archive["transitions"] == [{"days": 90, "storageClass": "GLACIER"}]
    assert archive["expiration"] == {"days": 2555}
    assert archive["noncurrentVersionExpiration"] == {"noncurrentDays": 30}


def test_nothing_is_reachable_from_addresses(basic: Graph) -> None:
    rules = basic.of("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    assert [rule.urn for rule in rules if "cidrIpv4" in rule.inputs or "cidrIpv6" in rule.inputs] == []
    assert {(rule.inputs["fromPort"], rule.inputs["toPort"], rule.inputs["ipProtocol"]) for rule in rules} == {
        (2049, 2049, "tcp")
    }


def test_functions_are_exactly_these_and_only_those_that_mount_are_in_the_vpc(basic: Graph) -> None:
    found = functions(basic)
    assert set(found) == FUNCTIONS
    assert {role for role, item in found.items() if item.inputs.get("vpcConfig")} == set(MOUNTING)
    access_points = {item.name.removeprefix("storage-"): item for item in basic.of("aws:efs/accessPoint:AccessPoint")}
    assert {name: item.inputs["posixUser"]["uid"] for name, item in access_points.items()} == {
        "root": 0,
        "node": 1000,
        "layers": 1000,
    }
    for role, access_point in MOUNTING.items():
        environment = found[role].inputs["environment"]["variables"]
        assert environment["MOUNTED"] == "true"
        assert found[role].inputs["fileSystemConfig"]["localMountPath"] == environment["MOUNT_PATH"] == "/mnt/efs"
        role_policy = policy(basic, role)
        mounts = next(item for item in role_policy if item["Sid"] == "MountFiles")
        condition = mounts["Condition"]["ArnEquals"]["elasticfilesystem:AccessPointArn"]
        assert condition == found[role].inputs["fileSystemConfig"]["arn"]
        assert ("elasticfilesystem:ClientRootAccess" in mounts["Action"]) is (access_point == "root")


def policy(graph: Graph, purpose: str) -> list[dict[str, Any]]:
    """The statements of the role of a function or of the purpose."""
    [found] = [item for item in graph.of("aws:iam/rolePolicy:RolePolicy") if item.inputs["name"] == f"{purpose}-access"]
    return list(json.loads(found.inputs["policy"])["Statement"])


def test_the_bundle_that_is_uploaded_is_the_one_that_is_told_of(basic: Graph) -> None:
    packed = (PROGRAM / ".build" / "handlers.zip").read_bytes()
    assert basic.outputs["bundleSha256"] == hashlib.sha256(packed).hexdigest()
    assert {item.inputs["code"].path for item in functions(basic).values()} == {
        str(PROGRAM / ".build" / "handlers.zip")
    }
    assert {item.inputs["handler"] for item in functions(basic).values()} == {
        f"handlers.{role}.handler" for role in FUNCTIONS
    }


def test_every_function_writes_to_a_log_group_of_its_own_that_ends(basic: Graph) -> None:
    groups = {
        item.inputs["name"]: item.inputs["retentionInDays"] for item in basic.of("aws:cloudwatch/logGroup:LogGroup")
    }
    assert set(groups.values()) == {30}
    used = [item.inputs["loggingConfig"]["logGroup"] for item in basic.of("aws:lambda/function:Function")]
    assert sorted(used) == sorted(set(used))
    assert set(groups) - set(used) == {
        "/compute-node/compute-node-basic/processors",
        "/compute-node/compute-node-basic/state-machine",
    }


def test_the_state_machine_is_standard_logs_no_data_and_has_every_variable_filled(basic: Graph) -> None:
    [machine] = basic.of("aws:sfn/stateMachine:StateMachine")
    assert machine.inputs["type"] == "STANDARD"
    assert machine.inputs["loggingConfiguration"]["includeExecutionData"] is False
    assert machine.inputs["loggingConfiguration"]["logDestination"].endswith(":*")
    assert "${" not in machine.inputs["definition"]
    assert hashlib.sha256(machine.inputs["definition"].encode()).hexdigest() == basic.outputs["definitionSha256"]


def test_what_stops_is_closed_and_the_reaper_comes_by(basic: Graph) -> None:
    rules = {item.name: item.inputs for item in basic.of("aws:cloudwatch/eventRule:EventRule")}
    pattern = json.loads(rules["orchestrator-stopped"]["eventPattern"])
    assert pattern["detail"]["status"] == ["ABORTED", "TIMED_OUT", "FAILED"]
    assert pattern["detail"]["stateMachineArn"] == [basic.outputs["stateMachineArn"]]
    schedules = {name: inputs["scheduleExpression"] for name, inputs in rules.items() if "scheduleExpression" in inputs}
    assert schedules == {
        "orchestrator-sweep-starts": "rate(1 minute)",
        "orchestrator-sweep-orphans": "rate(15 minutes)",
    }
    targets = {
        item.name: (item.inputs["arn"].rpartition("-")[2], item.inputs.get("input"))
        for item in basic.of("aws:cloudwatch/eventTarget:EventTarget")
    }
    assert targets == {
        "orchestrator-stopped-target": ("close", None),
        "orchestrator-sweep-starts-target": ("reaper", '{"sweep": "starts"}'),
        "orchestrator-sweep-orphans-target": ("reaper", '{"sweep": "orphans"}'),
    }


def test_callers_get_both_permissions_and_never_a_direct_invocation(basic: Graph) -> None:
    [url] = basic.of("aws:lambda/functionUrl:FunctionUrl")
    assert url.inputs["authorizationType"] == "AWS_IAM"
    granted: dict[str, set[str]] = {}
    for item in basic.of("aws:lambda/permission:Permission"):
        if item.name.startswith("gateway-"):
            granted.setdefault(item.inputs["principal"], set()).add(item.inputs["action"])
            by_url = item.inputs.get("invokedViaFunctionUrl") or item.inputs.get("functionUrlAuthType") == "AWS_IAM"
            assert by_url, item.urn
    both = {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
    assert granted == {"111111111111": both, "arn:aws:iam::222222222222:role/platform": both}


def test_a_lambda_processor_is_never_repeated_and_reports_both_ends(basic: Graph) -> None:
    [settings] = basic.of("aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig")
    complete = functions(basic)["complete"]
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{complete.inputs['name']}"
    assert settings.inputs["maximumRetryAttempts"] == 0
    assert settings.inputs["qualifier"] == "1"
    assert settings.inputs["destinationConfig"] == {
        "onSuccess": {"destination": arn},
        "onFailure": {"destination": arn},
    }
    function = basic.one("aws:lambda/function:Function", "processors-both-function").inputs
    assert function["imageConfig"] == {
        "entryPoints": ["python", "-m", "awslambdaric"],
        "commands": ["processor.handler"],
    }
    assert function["publish"] is True


def test_a_processors_entry_says_what_a_run_needs(basic: Graph) -> None:
    items = {item.name: json.loads(item.inputs["item"]) for item in basic.of("aws:dynamodb/tableItem:TableItem")}
    both = items["processors-both-entry"]
    assert (both["pk"], both["sk"]) == ({"S": "NODE"}, {"S": "PROCESSOR#both"})
    definition = json.loads(both["definition"]["S"])
    digest = hashlib.sha256(b"processors-both-image").hexdigest()
    assert definition == {
        "name": "both",
        "description": "",
        "computeTypes": ["ecs", "lambda"],
        "cpu": 1024,
        "memory": 2048,
        "ephemeralStorageGiB": 20,
        "timeoutSeconds": 900,
        "startDeadlineSeconds": 600,
        "retries": 0,
        "parameters": {
            "threshold": {"type": "number", "description": "of the mask", "default": 0.5},
            "label": {"type": "string", "description": ""},
        },
        "environment": {"OMP_NUM_THREADS": "1"},
        "image": f"123456789012.dkr.ecr.us-east-1.amazonaws.com/compute-node-basic/both@sha256:{digest}",
        "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:compute-node-basic-p-both:1",
    }
    foreign = json.loads(items["processors-foreign-entry"]["definition"]["S"])
    assert (foreign["functionArn"], foreign["retries"]) == ("", 2)


def test_removal_protection_covers_all_that_holds_data() -> None:
    kept = evaluate(stack_config("basic", processors=None, storage={"removalProtection": True}))
    assert [bucket.inputs["forceDestroy"] for bucket in kept.of("aws:s3/bucket:Bucket")] == [False, False]
    assert [table.inputs["deletionProtectionEnabled"] for table in kept.of("aws:dynamodb/table:Table")] == [True]


def test_the_graph_grows_by_the_same_for_every_processor(context_dir: str) -> None:
    def size(count: int) -> int:
        listed = [{"name": f"p{i}", "build": context_dir, "computeTypes": ["ecs", "lambda"]} for i in range(count)]
        return len(evaluate(stack_config("basic", processors=listed)).resources)

    one, ten, hundred = size(1), size(10), size(100)
    assert (ten - one, hundred - one) == (9 * 9, 99 * 9)
