"""EventBridge's rules and schedules, the events of executions, and Lambda's destinations, in the embedded AWS."""

from __future__ import annotations

import json
import re
import time

import pytest
from aws_machines import BUCKET, MINUTE
from botocore.exceptions import ClientError

pytest_plugins = ["aws_fixtures"]
PASS = {"Type": "Pass", "End": True}
# Puts whatever it is called with into the bucket.
RECORDER = f"""
import json, os, uuid
import boto3

def handler(event, context):
    key = os.environ["AWS_LAMBDA_FUNCTION_NAME"] + "/" + uuid.uuid4().hex
    boto3.client("s3").put_object(Bucket="{BUCKET}", Key=key, Body=json.dumps(event).encode())
"""


@pytest.fixture
def events(client):
    return client("events")


@pytest.fixture
def recorder(machines, request):
    """A function that keeps its events; gives its ARN and what it was called with, once there are so many."""
    name = re.sub(r"\W+", "-", request.node.name)[:60].strip("-")
    arn = machines.function(name, RECORDER)

    def calls(count):
        return machines.wait_for(lambda: len(found := machines.objects(f"{name}/")) >= count and found, "no call")

    return arn, calls


def admit(client, function, rule_arn, statement="rule"):
    client("lambda").add_permission(
        FunctionName=function,
        StatementId=statement,
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=rule_arn,
    )


def send(client, name, target, **rule):
    """A rule that sends to a target it may invoke."""
    arn = client("events").put_rule(Name=name, **rule)["RuleArn"]
    admit(client, target["Arn"], arn, name)
    client("events").put_targets(Rule=name, Targets=[{"Id": "one", **target}])
    return arn


def remove(client, name):
    client("events").remove_targets(Rule=name, Ids=["one"])
    client("events").delete_rule(Name=name)


def own_event(source, detail=None):
    return {"Source": source, "DetailType": "Own", "Detail": json.dumps(detail or {}), "Resources": ["arn:own"]}


def test_an_event_reaches_the_function_of_each_rule_that_matches(client, events, recorder):
    arn, calls = recorder
    send(client, "matching", {"Arn": arn}, EventPattern='{"source": ["own.app"], "detail": {"kind": ["a"]}}')
    send(client, "other", {"Arn": arn}, EventPattern='{"source": ["own.other"]}')
    events.put_events(Entries=[own_event("own.app", {"kind": "b"}), own_event("own.app", {"kind": "a"})])
    [event] = calls(1)
    assert event["detail"] == {"kind": "a"}
    assert (event["source"], event["detail-type"], event["resources"]) == ("own.app", "Own", ["arn:own"])
    assert (event["account"], event["region"], event["version"]) == ("123456789012", "us-east-1", "0")
    assert time.strptime(event["time"], "%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({"Input": '{"sweep": "starts"}'}, {"sweep": "starts"}),
        ({"InputPath": "$.detail"}, {"name": "x", "count": 2}),
        (
            {
                "InputTransformer": {
                    "InputPathsMap": {"name": "$.detail.name", "count": "$.detail.count", "detail": "$.detail"},
                    "InputTemplate": '{"text": "it is <name>", "count": <count>, "all": <detail>, "name": <name>}',
                }
            },
            {"text": "it is x", "count": 2, "all": {"name": "x", "count": 2}, "name": "x"},
        ),
    ],
    ids=["constant", "part", "template"],
)
def test_a_target_gets_the_input_that_its_rule_shapes(client, events, recorder, target, expected):
    arn, calls = recorder
    name = next(iter(target))
    send(client, name, {"Arn": arn, **target}, EventPattern=json.dumps({"source": [f"own.{name}"]}))
    events.put_events(Entries=[own_event(f"own.{name}", {"name": "x", "count": 2})])
    assert calls(1) == [expected]


def test_a_rule_that_the_function_does_not_admit_does_not_reach_it(client, events, recorder):
    # GIVEN a rule that the function's policy lets in, and another, which it does not know
    arn, calls = recorder
    pattern = '{"source": ["own.admitted"]}'
    send(client, "admitted", {"Arn": arn, "Input": '"admitted"'}, EventPattern=pattern)
    events.put_rule(Name="stranger", EventPattern=pattern)
    events.put_targets(Rule="stranger", Targets=[{"Id": "one", "Arn": arn, "Input": '"stranger"'}])
    # WHEN two events come, the second for the first to have been dealt with
    events.put_events(Entries=[own_event("own.admitted"), own_event("own.admitted")])
    # THEN only the admitted rule's calls arrive
    assert calls(2) == ["admitted", "admitted"]


def test_a_disabled_rule_sends_nothing(client, events, recorder):
    arn, calls = recorder
    pattern = '{"source": ["own.disabled"]}'
    send(client, "disabled", {"Arn": arn, "Input": '"disabled"'}, EventPattern=pattern, State="DISABLED")
    send(client, "enabled", {"Arn": arn, "Input": '"enabled"'}, EventPattern=pattern)
    events.put_events(Entries=[own_event("own.disabled"), own_event("own.disabled")])
    assert calls(2) == ["enabled", "enabled"]


def test_a_schedule_calls_each_period_until_it_is_disabled(client, events, recorder):
    arn, calls = recorder
    begun = time.monotonic()
    rule = send(client, "schedule", {"Arn": arn}, ScheduleExpression="rate(1 minute)")
    times = calls(3)
    assert time.monotonic() - begun >= 3 * MINUTE
    assert {(event["source"], event["detail-type"]) for event in times} == {("aws.events", "Scheduled Event")}
    assert times[0]["resources"] == [rule]
    events.disable_rule(Name="schedule")


def test_a_schedules_target_gets_its_constant_input_and_no_other_event(client, events, recorder):
    arn, calls = recorder
    send(client, "sweep", {"Arn": arn, "Input": '{"sweep": "orphans"}'}, ScheduleExpression="rate(2 minutes)")
    # An event that a rule without a pattern must not match.
    events.put_events(Entries=[own_event("own.anything")])
    assert calls(2) == [{"sweep": "orphans"}] * 2
    remove(client, "sweep")


@pytest.mark.parametrize("expression", ["rate(1 minutes)", "rate(0 minutes)", "rate(2 weeks)", "every day"])
def test_a_schedule_that_there_is_not_is_refused(events, expression):
    with pytest.raises(ClientError) as refused:
        events.put_rule(Name="wrong", ScheduleExpression=expression)
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_what_is_not_imitated_says_so(events):
    with pytest.raises(
        ClientError, match=r"cron\(0 12 \* \* \? \*\): the embedded AWS knows schedules of the form rate"
    ):
        events.put_rule(Name="cron", ScheduleExpression="cron(0 12 * * ? *)")


def test_an_execution_tells_of_its_start_and_its_end(client, machines, recorder):
    arn, calls = recorder
    pattern = {"source": ["aws.states"], "detail-type": ["Step Functions Execution Status Change"]}
    send(client, "states", {"Arn": arn}, EventPattern=json.dumps(pattern))
    succeeded = machines.run({"Pass": PASS}, {"input": 1}).arn
    failed = machines.run({"Fail": {"Type": "Fail", "Error": "Own", "Cause": "on purpose"}}).arn
    stopped = machines.start({"Wait": {"Type": "Wait", "Seconds": 3600, "End": True}})
    client("stepfunctions").stop_execution(executionArn=stopped, error="E", cause="C")
    told = calls(6)
    remove(client, "states")
    by_end = {(event["detail"]["executionArn"], event["detail"]["status"]): event["detail"] for event in told}
    assert set(by_end) == {
        (succeeded, "RUNNING"),
        (succeeded, "SUCCEEDED"),
        (failed, "RUNNING"),
        (failed, "FAILED"),
        (stopped, "RUNNING"),
        (stopped, "ABORTED"),
    }
    success = by_end[succeeded, "SUCCEEDED"]
    assert (json.loads(success["input"]), json.loads(success["output"])) == ({"input": 1}, {"input": 1})
    assert success["stateMachineArn"].endswith(":stateMachine:" + success["executionArn"].split(":")[-2])
    assert success["stopDate"] >= success["startDate"] > 10**12
    assert by_end[succeeded, "RUNNING"]["stopDate"] is None
    assert (by_end[failed, "FAILED"]["error"], by_end[failed, "FAILED"]["cause"]) == ("Own", "on purpose")
    assert by_end[stopped, "ABORTED"]["error"] == "E"


def test_an_ecs_task_tells_of_its_states(client, machines, recorder):
    arn, calls = recorder
    send(client, "tasks", {"Arn": arn}, EventPattern='{"source": ["aws.ecs"], "detail": {"lastStatus": ["STOPPED"]}}')
    ended = machines.run({"Run": machines.run_task()})
    [event] = calls(1)
    remove(client, "tasks")
    assert event["detail-type"] == "ECS Task State Change"
    assert event["detail"]["taskArn"] == ended.output["TaskArn"]


def test_an_asynchronous_invocation_ends_at_its_destination(client, machines, recorder):
    # GIVEN a function with destinations for both ends
    arn, calls = recorder
    worker = machines.function("worker", Publish=True)
    client("lambda").put_function_event_invoke_config(
        FunctionName="worker",
        MaximumRetryAttempts=0,
        DestinationConfig={"OnSuccess": {"Destination": arn}, "OnFailure": {"Destination": arn}},
    )
    # WHEN it is invoked asynchronously, once well, once failing, and once synchronously
    for payload in ({"number": 1}, {"fail": "on purpose"}):
        client("lambda").invoke(FunctionName=f"{worker}:1", InvocationType="Event", Payload=json.dumps(payload))
    client("lambda").invoke(FunctionName=worker, Payload=b'{"number": 2}')
    # THEN the destination gets AWS's record of the first two
    records = {record["requestContext"]["condition"]: record for record in calls(2)}
    assert set(records) == {"Success", "RetriesExhausted"}
    success, failure = records["Success"], records["RetriesExhausted"]
    assert success["requestPayload"] == {"number": 1}
    assert success["responsePayload"]["got"] == {"number": 1}
    assert success["requestContext"]["functionArn"] == f"{worker}:1"
    assert success["responseContext"] == {"statusCode": 200, "executedVersion": "1"}
    assert failure["requestPayload"] == {"fail": "on purpose"}
    assert failure["responseContext"]["functionError"] == "Unhandled"
    assert failure["responsePayload"]["errorMessage"] == "on purpose"
    assert len(calls(2)) == 2
