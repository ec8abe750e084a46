"""State machines for the tests, with what they call: a table, a bucket, a cluster, a processor, functions."""

from __future__ import annotations

import io
import json
import time
import uuid
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from local.account import EmbeddedAws

TIMEOUT = 60.0
MINUTE = 0.2  # seconds of a schedule's minute
TABLE, BUCKET, CLUSTER, FAMILY = "items", "machines-bucket", "machines", "processor"
DOCKERFILE = """FROM alpine
WORKDIR /app
COPY run.sh ./
ENTRYPOINT ["sh", "run.sh"]
"""
# Does what its variables say: waits for a signal, or ends with a code.
SCRIPT = """
if [ -n "$WAIT" ]; then
  trap 'exit 143' TERM
  while true; do sleep 0.05; done
fi
exit ${CODE:-0}
"""
FUNCTION = """
import json, os
import boto3

def handler(event, context):
    if event.get("fail"):
        raise ValueError(event["fail"])
    if event.get("put"):
        boto3.client("s3").put_object(Bucket=event["bucket"], Key=event["put"], Body=json.dumps(event).encode())
    return {"got": event, "region": os.environ["AWS_REGION"]}
"""


@dataclass(frozen=True)
class Ended:
    """An execution's end and its history."""

    status: str
    output: Any
    error: str | None
    cause: str | None
    events: list[dict[str, Any]]
    seconds: float
    arn: str

    def details(self, kind: str) -> list[dict[str, Any]]:
        """The details of the events of one type."""
        found = (event for event in self.events if event["type"] == kind)
        return [value for event in found for key, value in event.items() if key.endswith("Details")]


class Machines:
    """Runs definitions, and the states of one."""

    def __init__(self, aws: EmbeddedAws, contexts: Path) -> None:
        self.aws, self.client = aws, aws.emulator.client
        self._contexts = contexts
        self.role = self.client("iam").create_role(RoleName="machines", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        self.client("s3").create_bucket(Bucket=BUCKET)
        self._table()
        self.task_definition, self.network = self._cluster()

    def run(self, states: dict[str, Any], value: Any = None, **more: Any) -> Ended:
        """Run a machine of these states, the first one first, to its end."""
        return self.wait(self.start(states, value, **more))

    def start(self, states: dict[str, Any], value: Any = None, **more: Any) -> str:
        """Start a machine of these states; returns the execution's ARN."""
        sfn = self.client("stepfunctions")
        definition = {"StartAt": next(iter(states)), "States": states, **more}
        machine = sfn.create_state_machine(name=uuid.uuid4().hex, definition=json.dumps(definition), roleArn=self.role)
        started = sfn.start_execution(
            stateMachineArn=machine["stateMachineArn"], name=uuid.uuid4().hex, input=json.dumps(value or {})
        )
        arn: str = started["executionArn"]
        return arn

    def wait(self, arn: str) -> Ended:
        """Wait for an execution's end."""
        sfn, deadline = self.client("stepfunctions"), time.monotonic() + TIMEOUT
        while (told := sfn.describe_execution(executionArn=arn))["status"] == "RUNNING":
            assert time.monotonic() < deadline, f"{arn} still runs: {self.history(arn)[-3:]}"
            time.sleep(0.02)
        return Ended(
            told["status"],
            json.loads(told.get("output", "null")),
            told.get("error"),
            told.get("cause"),
            self.history(arn),
            (told["stopDate"] - told["startDate"]).total_seconds(),
            arn,
        )

    def history(self, arn: str) -> list[dict[str, Any]]:
        """All events of an execution."""
        pages = self.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
        return [event for page in pages for event in page["events"]]

    def wait_for(self, what: Any, reason: str) -> Any:
        """Wait until `what` gives something that is true, and return that."""
        deadline = time.monotonic() + TIMEOUT
        while not (found := what()):
            assert time.monotonic() < deadline, reason
            time.sleep(0.02)
        return found

    def run_task(self, **environment: str) -> dict[str, Any]:
        """A state that runs the processor to its end."""
        override = {"Name": "processor", "Environment": [{"Name": k, "Value": v} for k, v in environment.items()]}
        parameters = {
            "Cluster": CLUSTER,
            "TaskDefinition": self.task_definition,
            "LaunchType": "FARGATE",
            "NetworkConfiguration": {"AwsvpcConfiguration": {"Subnets": self.network}},
            "Overrides": {"ContainerOverrides": [override]},
        }
        return {"Type": "Task", "Resource": "arn:aws:states:::ecs:runTask.sync", "Parameters": parameters, "End": True}

    def function(self, name: str, code: str = FUNCTION, **settings: Any) -> str:
        """A Lambda function; returns its ARN."""
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("main.py", code)
        made = self.client("lambda").create_function(
            FunctionName=name,
            Runtime="python3.12",
            Handler="main.handler",
            Role=self.role,
            Timeout=30,
            Code={"ZipFile": package.getvalue()},
            **settings,
        )
        arn: str = made["FunctionArn"]
        return arn

    def tasks(self, status: str) -> list[dict[str, Any]]:
        """The cluster's tasks of a desired status."""
        ecs = self.client("ecs")
        arns = ecs.list_tasks(cluster=CLUSTER, desiredStatus=status)["taskArns"]
        described: list[dict[str, Any]] = ecs.describe_tasks(cluster=CLUSTER, tasks=arns)["tasks"] if arns else []
        return described

    def objects(self, prefix: str) -> list[Any]:
        """The JSON objects of the bucket below a prefix."""
        s3 = self.client("s3")
        listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [json.loads(s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read()) for entry in listed]

    def _table(self) -> None:
        self.client("dynamodb").create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def _cluster(self) -> tuple[str, list[str]]:
        for name, text in {"Dockerfile": DOCKERFILE, "run.sh": SCRIPT}.items():
            (self._contexts / name).write_text(text)
        image = self.aws.images.build("123456789012.dkr.ecr.us-east-1.amazonaws.com/machines", self._contexts)
        self.client("ecs").create_cluster(clusterName=CLUSTER)
        self.client("ecs").register_task_definition(
            family=FAMILY,
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            containerDefinitions=[{"name": "processor", "image": image, "stopTimeout": 5}],
            tags=[{"key": "from", "value": "definition"}],
        )
        subnets = self.client("ec2").describe_subnets()["Subnets"]
        return FAMILY, [subnets[0]["SubnetId"]]
