"""Evaluates the program under Pulumi's mocks and records what it registers.

It invents what AWS would compute (ids, ARNs, digests of images). It proves nothing about what AWS would accept.
"""

from __future__ import annotations

import hashlib
import json
import runpy
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi
import yaml
from pulumi.runtime import rpc
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks
from pulumi.runtime.settings import SETTINGS, get_root_resource, set_root_resource
from pulumi.runtime.stack import run_pulumi_func
from pulumi.runtime.sync_await import _sync_await

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = Path(__file__).resolve().parents[2]
ACCOUNT, REGION = "123456789012", "us-east-1"
PREFIXES = {
    "ec2/securityGroup": "sg", "ec2/vpcEndpoint": "vpce", "efs/fileSystem": "fs", "efs/accessPoint": "fsap",
    "efs/mountTarget": "fsmt", "vpc/securityGroupIngressRule": "sgr", "vpc/securityGroupEgressRule": "sgr",
}  # fmt: skip
ARNS = {
    "cloudwatch/eventRule": "arn:aws:events:{at}:rule/{name}",
    "cloudwatch/logGroup": "arn:aws:logs:{at}:log-group:{name}",
    "dynamodb/table": "arn:aws:dynamodb:{at}:table/{name}",
    "ecr/repository": "arn:aws:ecr:{at}:repository/{name}",
    "ecs/cluster": "arn:aws:ecs:{at}:cluster/{name}",
    "efs/accessPoint": "arn:aws:elasticfilesystem:{at}:access-point/{id}",
    "efs/fileSystem": "arn:aws:elasticfilesystem:{at}:file-system/{id}",
    "iam/role": "arn:aws:iam::{account}:role/{name}",
    "lambda/function": "arn:aws:lambda:{at}:function:{name}",
    "s3/bucket": "arn:aws:s3:::{name}",
    "sfn/stateMachine": "arn:aws:states:{at}:stateMachine:{name}",
}


@dataclass(frozen=True)
class Resource:
    """One registered resource with its inputs as the engine would see them."""

    urn: str
    token: str
    name: str
    inputs: Mapping[str, Any]
    custom: bool

    @property
    def parents(self) -> list[str]:
        """The type tokens above the resource, the outermost first."""
        return self.urn.split("::")[2].split("$")[:-1]


@dataclass
class Graph:
    """What one evaluation registered and exported."""

    resources: list[Resource] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    def of(self, token: str) -> list[Resource]:
        """All resources of one type."""
        return [resource for resource in self.resources if resource.token == token]

    def one(self, token: str, name: str) -> Resource:
        """The resource of that type and name."""
        [found] = [resource for resource in self.of(token) if resource.name == name]
        return found

    def counts(self) -> dict[str, int]:
        """How many resources there are of each type, without components and the stack."""
        tokens = [
            resource.token for resource in self.resources if not resource.token.startswith(("computenode:", "pulumi:"))
        ]
        return {token: tokens.count(token) for token in sorted(set(tokens))}


class Recorder(Mocks):
    """Answers as AWS would, with names that follow from the inputs."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if args.typ == "awsx:ec2:DefaultVpc":
            return None, {
                "vpcId": "vpc-0123456789abcdef0",
                "publicSubnetIds": ["subnet-0b", "subnet-0a"],
                "privateSubnetIds": [],
            }
        if args.typ == "awsx:ecr:Image":
            digest = hashlib.sha256(args.name.encode()).hexdigest()
            return None, {"imageUri": f"{args.inputs['repositoryUrl']}@sha256:{digest}"}
        return self.computed(args) if args.custom else (None, {})

    def computed(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        """The id and the properties of a resource of AWS."""
        kind, inputs = args.typ.split(":")[1], args.inputs
        name = str(inputs.get("name") or inputs.get("bucket") or args.name)
        identity = name
        if kind in PREFIXES:
            identity = f"{PREFIXES[kind]}-0{hashlib.sha256(args.name.encode()).hexdigest()[:16]}"
        at = f"{REGION}:{ACCOUNT}"
        state = {**inputs, "name": name}
        if kind in ARNS:
            state["arn"] = ARNS[kind].format(at=at, account=ACCOUNT, name=name, id=identity)
        if kind == "lambda/function":
            state |= {"version": "1", "qualifiedArn": f"{state['arn']}:1"}
        if kind == "lambda/functionUrl":
            state["functionUrl"] = "https://abc.lambda-url.us-east-1.on.aws/"
        if kind == "ecr/repository":
            state["repositoryUrl"] = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{name}"
        return identity, state

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        answers: dict[str, dict[str, Any]] = {
            "getCallerIdentity": {"accountId": ACCOUNT, "arn": f"arn:aws:iam::{ACCOUNT}:root", "userId": ACCOUNT},
            "getPartition": {"partition": "aws", "dnsSuffix": "amazonaws.com"},
            "getRouteTables": {"ids": ["rtb-0123456789abcdef0"]},
            "getManagedPrefixList": {"id": f"pl-{hashlib.sha256(str(args.args.get('name')).encode()).hexdigest()[:8]}"},
        }
        name = args.token.rpartition(":")[2]
        if name not in answers:
            raise LookupError(f"the program calls {args.token}, which the recorder has no answer for")
        return {**args.args, **answers[name]}, []


class RecordingMonitor(MockMonitor):
    """Notes every registration, with its URN and hence its parents."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(Recorder(graph))
        self.graph = graph

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802
        response = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        inputs = rpc.deserialize_properties(request.object)
        self.graph.resources.append(Resource(response.urn, request.type, request.name, inputs, bool(request.custom)))
        return response


def stack_config(stack: str, **overrides: Any) -> dict[str, str]:
    """The configuration of a stack file, with keys of `compute-node:` put over it; None removes one."""
    stored = yaml.safe_load((PROGRAM / f"Pulumi.{stack}.yaml").read_text())["config"]
    values = stored | {f"compute-node:{key}": value for key, value in overrides.items()}
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in values.items()
        if value is not None
    }


def evaluate(config: Mapping[str, str], stack: str = "basic") -> Graph:
    """Run the program and wait until everything it registers is known. Raises what the program raises."""
    graph = Graph()
    set_root_resource(None)  # type: ignore[arg-type]  # set_mocks makes a new one
    pulumi.runtime.set_mocks(Recorder(graph), project="compute-node", stack=stack, monitor=RecordingMonitor(graph))
    pulumi.runtime.set_all_config(dict(config))
    SETTINGS.outputs.clear()
    if str(PROGRAM) not in sys.path:
        sys.path.insert(0, str(PROGRAM))

    async def run() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of the SDK's own modules, as they are imported
            runpy.run_path(str(PROGRAM / "__main__.py"), run_name="__main__")
        exported = get_root_resource().outputs  # type: ignore[union-attr]
        graph.outputs |= await pulumi.Output.all(**exported).future() or {}

    _sync_await(run_pulumi_func(run))
    return graph
