"""Maps and ends of executions in the embedded Step Functions: concurrency, children, stops, time limits, history."""

from __future__ import annotations

import json
import threading

import pytest
from aws_machines import BUCKET, TABLE
from botocore.exceptions import ClientError

pytest_plugins = ["aws_fixtures"]
PASS = {"Type": "Pass", "End": True}


def over(items, states, **more):
    """An inline map; with `Mode` a distributed one."""
    mode = more.pop("Mode", "INLINE")
    config = {"Mode": mode, **({"ExecutionType": "STANDARD"} if mode == "DISTRIBUTED" else {})}
    processor = {"ProcessorConfig": config, "StartAt": next(iter(states)), "States": states}
    return {"Map": {"Type": "Map", "ItemsPath": items, "ItemProcessor": processor, "End": True, **more}}


def put(pk):
    """A state that makes an item."""
    parameters = {"TableName": TABLE, "Item": {"pk": {"S.$": pk}}}
    return {"Type": "Task", "Resource": "arn:aws:states:::dynamodb:putItem", "Parameters": parameters}


def await_token(pk):
    """A state that stores its task token in an item and waits for the answer."""
    parameters = {
        "TableName": TABLE,
        "Key": {"pk": {"S.$": pk}},
        "UpdateExpression": "SET taskToken = :token",
        "ExpressionAttributeValues": {":token": {"S.$": "$$.Task.Token"}},
    }
    resource = "arn:aws:states:::aws-sdk:dynamodb:updateItem.waitForTaskToken"
    return {"Type": "Task", "Resource": resource, "Parameters": parameters, "TimeoutSeconds": 60, "End": True}


@pytest.fixture
def sfn(client):
    return client("stepfunctions")


@pytest.fixture
def tokens(client):
    """Give the tokens that items with a prefix hold."""

    def look(prefix):
        items = client("dynamodb").scan(TableName=TABLE, ConsistentRead=True)["Items"]
        return {
            item["pk"]["S"]: item["taskToken"]["S"]
            for item in items
            if item["pk"]["S"].startswith(prefix) and "taskToken" in item
        }

    return look


def test_an_inline_map_runs_forty_iterations_at_once_and_no_more(machines, sfn, tokens):
    # GIVEN 45 items, and as many iterations that wait
    items = [f"forty-{number}" for number in range(45)]
    execution = machines.start(over("$", {"Await": await_token("$")}), items)
    # WHEN forty of them wait THEN the others have not begun
    machines.wait_for(lambda: len(tokens("forty-")) >= 40, "not forty iterations wait")
    started = [event for event in machines.history(execution) if event["type"] == "MapIterationStarted"]
    assert (len(tokens("forty-")), len(started)) == (40, 40)
    # AND they begin as others end
    answered = set()
    while len(answered) < len(items):
        machines.wait_for(lambda: set(tokens("forty-")) - answered, "no further iteration begins")
        for name, token in tokens("forty-").items():
            if name not in answered:
                sfn.send_task_success(taskToken=token, output=json.dumps(name))
                answered.add(name)
    assert machines.wait(execution).output == items


def test_a_map_keeps_the_order_of_its_items_and_sees_each(machines):
    select = {"index.$": "$$.Map.Item.Index", "value.$": "$$.Map.Item.Value", "shared.$": "$.shared"}
    ended = machines.run(over("$.items", {"Pass": PASS}, ItemSelector=select), {"items": ["a", "b"], "shared": 1})
    assert ended.output == [{"index": 0, "value": "a", "shared": 1}, {"index": 1, "value": "b", "shared": 1}]


def test_a_map_over_many_items_in_one_place_needs_no_stack(machines):
    ended = machines.run(over("$", {"Pass": PASS}, MaxConcurrency=1), list(range(1100)))
    assert ended.output == list(range(1100))


def test_an_iterations_failure_has_its_own_name_in_the_map(machines):
    fail = {"Type": "Fail", "Error": "States.TaskFailed", "Cause": "on purpose"}
    catch = [{"ErrorEquals": ["States.TaskFailed"], "ResultPath": "$.caught", "Next": "Done"}]
    states = {**over("$.items", {"Fail": fail}, Catch=catch), "Done": PASS}
    ended = machines.run(states, {"items": [1]})
    assert ended.status == "SUCCEEDED", ended
    assert ended.output["caught"] == {"Error": "States.TaskFailed", "Cause": "on purpose"}


def test_a_failed_iteration_ends_its_siblings_and_stops_their_tasks(machines, client):
    # GIVEN an iteration that runs a task without end, and one that fails when the task runs
    choose = {
        "Type": "Choice",
        "Choices": [{"Variable": "$", "StringEquals": "run", "Next": "Run"}],
        "Default": "Wait",
    }
    wait = {**await_token("$"), "Next": "Fail"}
    del wait["End"]
    states = {
        "Choose": choose,
        "Run": {**machines.run_task(WAIT="1")},
        "Wait": wait,
        "Fail": {"Type": "Fail", "Error": "Own", "Cause": "on purpose"},
    }
    execution = machines.start(over("$", states), ["run", "sibling"])
    [task] = machines.wait_for(
        lambda: [t for t in machines.tasks("RUNNING") if t["lastStatus"] == "RUNNING"], "no task"
    )
    found = client("dynamodb").get_item(TableName=TABLE, Key={"pk": {"S": "sibling"}})["Item"]
    # WHEN it fails
    client("stepfunctions").send_task_success(taskToken=found["taskToken"]["S"], output="{}")
    ended = machines.wait(execution)
    # THEN the map fails at once, and the other's task is stopped
    assert (ended.status, ended.error, ended.cause) == ("FAILED", "Own", "on purpose")
    assert machines.aws.tasks.wait_stopped(task["taskArn"], 20)


def test_a_distributed_map_reads_its_items_and_answers_to_tokens(machines, client, sfn, tokens):
    items = [{"name": f"child-{number}"} for number in range(50)]
    client("s3").put_object(Bucket=BUCKET, Key="items.json", Body=json.dumps(items).encode())
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSON"},
        "Parameters": {"Bucket": BUCKET, "Key.$": "$.key"},
    }
    more = {"ItemReader": reader, "ItemSelector": {"run.$": "$.run", "name.$": "$$.Map.Item.Value.name"}}
    distributed = over("$", {"Await": await_token("$.name")}, Mode="DISTRIBUTED", MaxConcurrency=1000, **more)
    del distributed["Map"]["ItemsPath"]
    execution = machines.start(distributed, {"key": "items.json", "run": "one"})
    waiting = machines.wait_for(lambda: len(found := tokens("child-")) == 50 and found, "not all children wait at once")
    for name, token in waiting.items():
        sfn.send_task_success(taskToken=token, output=json.dumps(name))
    assert machines.wait(execution).output == [item["name"] for item in items]


def test_a_child_is_an_execution_of_its_own(machines):
    tell = {
        "Type": "Pass",
        "Parameters": {"id.$": "$$.Execution.Id", "name.$": "$$.Execution.Name", "input.$": "$$.Execution.Input"},
        "End": True,
    }
    distributed = over("$.items", {"Tell": tell}, Mode="DISTRIBUTED", Label="Children")
    ended = machines.run(distributed, {"items": ["a", "b"], "secret": "parent's"})
    first, second = ended.output
    assert (first["input"], second["input"]) == ("a", "b")
    assert first["name"] != second["name"]
    assert f"/Children:{first['name']}" in first["id"]
    assert first["id"] != ended.arn


@pytest.mark.parametrize(
    ("tolerance", "failing", "status"),
    [
        ({}, 1, "FAILED"),
        ({"ToleratedFailureCount": 1}, 1, "SUCCEEDED"),
        ({"ToleratedFailureCount": 1}, 2, "FAILED"),
        ({"ToleratedFailurePercentage": 50.0}, 2, "SUCCEEDED"),
        ({"ToleratedFailurePercentage": 50.0}, 3, "FAILED"),
    ],
)
def test_a_distributed_map_fails_when_too_many_children_do(machines, tolerance, failing, status):
    choose = {"Type": "Choice", "Choices": [{"Variable": "$", "NumericLessThan": failing, "Next": "Fail"}]}
    states = {"Choose": {**choose, "Default": "Pass"}, "Fail": {"Type": "Fail", "Error": "Own"}, "Pass": PASS}
    ended = machines.run(over("$", states, Mode="DISTRIBUTED", MaxConcurrency=1, **tolerance), [0, 1, 2, 3])
    assert ended.status == status
    if status == "FAILED":
        assert ended.error == "States.ExceedToleratedFailureThreshold"
    else:
        assert ended.output[failing:] == list(range(failing, 4))


@pytest.mark.parametrize("mode", ["INLINE", "DISTRIBUTED"])
def test_a_stop_ends_an_execution_at_once_with_all_that_it_waits_for(machines, client, sfn, mode):
    # GIVEN iterations that wait for a task, for a token and for a time
    choose = {
        "Type": "Choice",
        "Choices": [
            {"Variable": "$", "StringEquals": "task", "Next": "Run"},
            {"Variable": "$", "StringEquals": f"stop-{mode}", "Next": "Await"},
        ],
        "Default": "Wait",
    }
    states = {
        "Choose": choose,
        "Run": machines.run_task(WAIT="1"),
        "Await": await_token("$"),
        "Wait": {"Type": "Wait", "Seconds": 3600, "End": True},
    }
    before = set(threading.enumerate())
    execution = machines.start(over("$", states, Mode=mode), ["task", f"stop-{mode}", "time"])
    [task] = machines.wait_for(
        lambda: [t for t in machines.tasks("RUNNING") if t["lastStatus"] == "RUNNING"], "no task"
    )
    key = {"pk": {"S": f"stop-{mode}"}}
    machines.wait_for(lambda: client("dynamodb").get_item(TableName=TABLE, Key=key).get("Item"), "no token")
    # WHEN it is stopped
    sfn.stop_execution(executionArn=execution, error="Cancelled", cause="by the user")
    # THEN it is aborted by the time of the answer, its task is stopped, and no thread of it is left
    told = sfn.describe_execution(executionArn=execution)
    assert (told["status"], told["error"], told["cause"]) == ("ABORTED", "Cancelled", "by the user")
    assert "stopDate" in told
    assert machines.aws.tasks.wait_stopped(task["taskArn"], 20)
    ours = {thread for thread in threading.enumerate() if "(run)" in thread.name or "(eval)" in thread.name} - before
    for thread in ours:
        thread.join(10)
    assert not [thread for thread in ours if thread.is_alive()]
    assert machines.history(execution)[-1]["type"] == "ExecutionAborted"


def test_stopping_what_has_ended_changes_nothing(machines, sfn):
    ended = machines.run({"Pass": PASS})
    sfn.stop_execution(executionArn=ended.arn, error="Late")
    told = sfn.describe_execution(executionArn=ended.arn)
    assert (told["status"], "error" in told) == ("SUCCEEDED", False)


def test_an_executions_own_time_limit_ends_it(machines, sfn):
    ended = machines.run({"Wait": {"Type": "Wait", "Seconds": 3600, "End": True}}, TimeoutSeconds=1)
    assert ended.status == "TIMED_OUT"
    assert 1 <= ended.seconds < 3
    assert sfn.describe_execution(executionArn=ended.arn)["stopDate"]


def test_a_wait_takes_its_time_and_not_a_second_more(machines):
    ended = machines.run({"Wait": {"Type": "Wait", "Seconds": 1, "End": True}})
    assert 1 <= ended.seconds < 1.8


def test_an_execution_without_a_name_gets_one(machines, sfn):
    machine = sfn.create_state_machine(
        name="nameless", definition=json.dumps({"StartAt": "Pass", "States": {"Pass": PASS}}), roleArn=machines.role
    )["stateMachineArn"]
    arns = {sfn.start_execution(stateMachineArn=machine)["executionArn"] for _ in range(2)}
    assert len(arns) == 2
    assert all(machines.wait(arn).status == "SUCCEEDED" for arn in arns)


def test_a_name_is_used_once(machines, sfn):
    machine = sfn.create_state_machine(
        name="once", definition=json.dumps({"StartAt": "Pass", "States": {"Pass": PASS}}), roleArn=machines.role
    )["stateMachineArn"]
    arn = sfn.start_execution(stateMachineArn=machine, name="one", input='{"a": 1}')["executionArn"]
    machines.wait(arn)
    with pytest.raises(ClientError) as refused:
        sfn.start_execution(stateMachineArn=machine, name="one", input='{"a": 2}')
    assert refused.value.response["Error"]["Code"] == "ExecutionAlreadyExists"


def test_history_comes_by_pages_from_either_end_with_or_without_data(machines, sfn):
    ended = machines.run({"First": {"Type": "Pass", "Next": "Second"}, "Second": PASS}, {"canary": "data"})
    page = sfn.get_execution_history(executionArn=ended.arn, maxResults=2)
    assert [event["id"] for event in page["events"]] == [1, 2]
    rest = sfn.get_execution_history(executionArn=ended.arn, nextToken=page["nextToken"])
    assert [event["id"] for event in rest["events"]] == [3, 4, 5, 6]
    assert "nextToken" not in rest
    backwards = sfn.get_execution_history(executionArn=ended.arn, reverseOrder=True)
    assert [event["id"] for event in backwards["events"]] == [6, 5, 4, 3, 2, 1]
    hidden = sfn.get_execution_history(executionArn=ended.arn, includeExecutionData=False)
    assert "canary" in json.dumps(page["events"], default=str)
    assert "canary" not in json.dumps(hidden["events"], default=str)
    with pytest.raises(ClientError):
        sfn.get_execution_history(executionArn=ended.arn, nextToken="nonsense")


def test_times_in_the_context_are_iso_8601_with_milliseconds(machines):
    parameters = {"entered.$": "$$.State.EnteredTime", "started.$": "$$.Execution.StartTime"}
    ended = machines.run({"Tell": {"Type": "Pass", "Parameters": parameters, "End": True}})
    for time in ended.output.values():
        assert len(time) == len("2026-01-01T00:00:00.000Z")
        assert time.endswith("Z")


def test_concurrent_conditional_writes_let_one_through(machines):
    # GIVEN iterations that all want to be the one that makes an item
    first = {
        **put("$$.Execution.Name"),
        "Catch": [{"ErrorEquals": ["DynamoDB.ConditionalCheckFailedException"], "Next": "Late"}],
        "Next": "First",
    }
    first["Parameters"]["ConditionExpression"] = "attribute_not_exists(pk)"
    # The wait keeps the map from being worked off by one thread.
    wait = {"Type": "Wait", "Seconds": 1, "Next": "Put"}
    answers = {"First": {**PASS, "Result": "first"}, "Late": {**PASS, "Result": "late"}}
    ended = machines.run(over("$", {"Wait": wait, "Put": first, **answers}), list(range(30)))
    assert sorted(ended.output) == ["first", *["late"] * 29]


def test_releases_that_race_with_a_wait_lose_nothing(machines, client, sfn):
    """The dataflow step: store the token while something is waited for, take oneself off, answer the last time."""
    for number in range(30):
        pk = f"race-{number}"
        client("dynamodb").put_item(TableName=TABLE, Item={"pk": {"S": pk}, "waitingFor": {"SS": ["a", "b"]}})
        wait = await_token("$")
        wait["Parameters"]["ConditionExpression"] = "attribute_exists(waitingFor)"
        wait |= {"Catch": [{"ErrorEquals": ["DynamoDb.ConditionalCheckFailedException"], "Next": "Ready"}]}
        execution = machines.start({"Await": wait, "Ready": PASS}, pk)
        answers = [threading.Thread(target=_release, args=(client, sfn, pk, name)) for name in ("a", "b")]
        for thread in answers:
            thread.start()
        for thread in answers:
            thread.join()
        assert machines.wait(execution).status == "SUCCEEDED"


def _release(client, sfn, pk, name):
    updated = client("dynamodb").update_item(
        TableName=TABLE,
        Key={"pk": {"S": pk}},
        UpdateExpression="DELETE waitingFor :me",
        ExpressionAttributeValues={":me": {"SS": [name]}},
        ReturnValues="ALL_NEW",
    )["Attributes"]
    if "waitingFor" not in updated and "taskToken" in updated:
        sfn.send_task_success(taskToken=updated["taskToken"]["S"], output="{}")


def test_no_task_is_left_running_in_the_end(machines):
    assert machines.tasks("RUNNING") == []
