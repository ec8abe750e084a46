"""ECS, ECR and Step Functions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from local.provider.model import Account, Made, ProviderError, Request, refuse
from local.provider.rows import ID, Call, Row, is_missing

if TYPE_CHECKING:
    from collections.abc import Mapping

CLUSTER = Row(
    token="aws:ecs/cluster:Cluster",  # noqa: S106 - a type token
    service="ecs",
    make=Call(
        operation="CreateCluster",
        takes={"name": "clusterName", "settings": "settings", "configuration": "configuration", "tags": "tags"},
    ),
    look=Call(operation="DescribeClusters", takes={ID: "clusters"}),
    remove=Call(operation="DeleteCluster", takes={ID: "cluster"}),
    named="name",
    id="{response[cluster][clusterArn]}",
    outputs={"arn": "{response[cluster][clusterArn]}"},
)
CAPACITY_PROVIDERS = Row(
    token="aws:ecs/clusterCapacityProviders:ClusterCapacityProviders",  # noqa: S106 - a type token
    service="ecs",
    make=Call(
        operation="PutClusterCapacityProviders",
        takes={
            "clusterName": "cluster",
            "capacityProviders": "capacityProviders",
            "defaultCapacityProviderStrategies": "defaultCapacityProviderStrategy",
        },
        # The operation wants it, if only empty.
        constants={"defaultCapacityProviderStrategy": []},
    ),
    id="{clusterName}",
)
REPOSITORY = Row(
    token="aws:ecr/repository:Repository",  # noqa: S106 - a type token
    service="ecr",
    make=Call(
        operation="CreateRepository",
        takes={
            "name": "repositoryName",
            "imageTagMutability": "imageTagMutability",
            "imageScanningConfiguration": "imageScanningConfiguration",
            "encryptionConfigurations": "encryptionConfiguration",
            "tags": "tags",
        },
    ),
    look=Call(operation="DescribeRepositories", takes={ID: "repositoryNames"}),
    change=(
        Call(
            operation="PutImageTagMutability",
            takes={ID: "repositoryName", "imageTagMutability": "imageTagMutability"},
            when="imageTagMutability",
        ),
    ),
    remove=Call(operation="DeleteRepository", takes={ID: "repositoryName"}, constants={"force": True}),
    named="name",
    id="{name}",
    outputs={
        "arn": "{response[repository][repositoryArn]}",
        "repositoryUrl": "{response[repository][repositoryUri]}",
        "registryId": "{account}",
    },
    recorded={"forceDelete": "decides what a removal does, and nothing before it"},
)
LIFECYCLE_POLICY = Row(
    token="aws:ecr/lifecyclePolicy:LifecyclePolicy",  # noqa: S106 - a type token
    service="ecr",
    make=Call(operation="PutLifecyclePolicy", takes={"repository": "repositoryName", "policy": "lifecyclePolicyText"}),
    look=Call(operation="GetLifecyclePolicy", takes={ID: "repositoryName"}),
    remove=Call(operation="DeleteLifecyclePolicy", takes={ID: "repositoryName"}),
    id="{repository}",
    outputs={"registryId": "{account}"},
)
REPOSITORY_POLICY = Row(
    token="aws:ecr/repositoryPolicy:RepositoryPolicy",  # noqa: S106 - a type token
    service="ecr",
    make=Call(operation="SetRepositoryPolicy", takes={"repository": "repositoryName", "policy": "policyText"}),
    look=Call(operation="GetRepositoryPolicy", takes={ID: "repositoryName"}),
    remove=Call(operation="DeleteRepositoryPolicy", takes={ID: "repositoryName"}),
    id="{repository}",
    outputs={"registryId": "{account}"},
)


class Image:
    """awsx's image: built from its context and pushed. Here the embedded node's builder does both."""

    token = "awsx:ecr:Image"  # noqa: S105 - a type token
    # Recorded only: processors run on this machine's own platform.
    _properties = frozenset({"repositoryUrl", "context", "platform"})

    def create(self, account: Account, request: Request) -> Made:
        """Build the image out of its context."""
        inputs = request.inputs
        if unknown := sorted(set(inputs) - self._properties):
            raise ProviderError(f"{self.token}: the embedded AWS has no place for {', '.join(unknown)}")
        uri = account.build_image(inputs["repositoryUrl"], account.program / inputs["context"])
        return Made(uri, {"imageUri": uri})

    def read(self, account: Account, made: Made, inputs: Mapping[str, Any]) -> Made | None:  # noqa: ARG002
        """The image as it was built."""
        return made

    def update(self, account: Account, made: Made, request: Request) -> Made:  # noqa: ARG002
        """Build the image anew."""
        return self.create(account, request)

    def delete(self, account: Account, made: Made, inputs: Mapping[str, Any]) -> None:
        """Leave the image where it is: it goes with its repository."""


def _machine_is_new(account: Account, request: Request) -> None:
    """AWS takes the same definition twice under one name, and refuses another one. moto keeps the first in silence."""
    arn = account.arn("states", f"stateMachine:{request.inputs['name']}")
    try:
        there = account.client("stepfunctions").describe_state_machine(stateMachineArn=arn)
    except ClientError as error:
        if is_missing(error):
            return
        raise
    if json.loads(there["definition"]) != json.loads(request.inputs["definition"]):
        raise refuse("CreateStateMachine", "StateMachineAlreadyExists", f"State Machine Already Exists: '{arn}'")


STATE_MACHINE = Row(
    token="aws:sfn/stateMachine:StateMachine",  # noqa: S106 - a type token
    service="stepfunctions",
    make=Call(
        operation="CreateStateMachine",
        takes={
            "name": "name",
            "definition": "definition",
            "roleArn": "roleArn",
            "type": "type",
            "loggingConfiguration": "loggingConfiguration",
            "tracingConfiguration": "tracingConfiguration",
            "encryptionConfiguration": "encryptionConfiguration",
            "tags": "tags",
        },
    ),
    look=Call(operation="DescribeStateMachine", takes={ID: "stateMachineArn"}),
    change=(
        Call(
            operation="UpdateStateMachine",
            takes={
                ID: "stateMachineArn",
                "definition": "definition",
                "roleArn": "roleArn",
                "loggingConfiguration": "loggingConfiguration",
            },
        ),
    ),
    remove=Call(operation="DeleteStateMachine", takes={ID: "stateMachineArn"}),
    named="name",
    # The API has a list of destinations, each a structure around the ARN.
    adapt={
        "loggingConfiguration": lambda given: {
            **{key: value for key, value in given.items() if key != "logDestination"},
            **(
                {"destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": given["logDestination"]}}]}
                if given.get("logDestination")
                else {}
            ),
        }
    },
    id="{response[stateMachineArn]}",
    outputs={"arn": "{response[stateMachineArn]}"},
    check=_machine_is_new,
)

KINDS: tuple[Any, ...] = (
    CLUSTER,
    CAPACITY_PROVIDERS,
    REPOSITORY,
    LIFECYCLE_POLICY,
    REPOSITORY_POLICY,
    Image(),
    STATE_MACHINE,
)
