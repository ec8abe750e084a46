"""Service integrations of the embedded Step Functions: spelling, errors, ECS tasks, task tokens.

What AWS does is taken from its documentation (and the facts that were looked up); nothing here proves it.
"""

from __future__ import annotations

import json

import pytest
from aws_machines import CLUSTER, TABLE
from botocore.exceptions import ClientError

pytest_plugins = ["aws_fixtures"]
TOKEN = {"S.$": "$$.Task.Token"}
UPDATE = "arn:aws:states:::aws-sdk:dynamodb:updateItem"


def await_token(pk, **more):
    """A state that stores its task token in an item and waits for the answer."""
    parameters = {
        "TableName": TABLE,
        "Key": {"pk": {"S": pk}},
        "UpdateExpression": "SET taskToken = :token",
        "ExpressionAttributeValues": {":token": TOKEN},
    }
    state = {"Type": "Task", "Resource": f"{UPDATE}.waitForTaskToken", "Parameters": parameters, "End": True}
    return {**state, "TimeoutSeconds": 30, **more}


def stored_token(machines, pk, other_than=""):
    def look():
        found = machines.client("dynamodb").get_item(TableName=TABLE, Key={"pk": {"S": pk}}, ConsistentRead=True)
        token = found.get("Item", {}).get("taskToken", {}).get("S", "")
        return token if token != other_than else ""

    return machines.wait_for(look, f"{pk} has no new token")


@pytest.fixture
def sfn(client):
    return client("stepfunctions")


def test_an_sdk_integration_takes_and_gives_pascal_case(machines, client):
    # GIVEN a file system
    file_system = client("efs").create_file_system()["FileSystemId"]
    make = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:efs:createAccessPoint",
        "Parameters": {
            "ClientToken": "token",
            "FileSystemId": file_system,
            "PosixUser": {"Uid": 1000, "Gid": 1000},
            "RootDirectory": {"Path": "/runs/one"},
            "Tags": [{"Key": "run", "Value": "one"}],
        },
        "ResultSelector": {"id.$": "$.AccessPointId", "state.$": "$.LifeCycleState", "tags.$": "$.Tags"},
        "End": True,
    }
    # WHEN a state creates an access point on it
    ended = machines.run({"Make": make})
    # THEN it is there, and the state's result is spelled in PascalCase
    assert ended.status == "SUCCEEDED", ended
    [there] = client("efs").describe_access_points(FileSystemId=file_system)["AccessPoints"]
    assert there["RootDirectory"] == {"Path": "/runs/one"}
    assert ended.output == {
        "id": there["AccessPointId"],
        "state": "available",
        "tags": [{"Key": "run", "Value": "one"}],
    }


def test_nested_names_are_recased_to_the_services_own(machines, client):
    register = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:ecs:registerTaskDefinition",
        "Parameters": {
            "Family": "recased",
            "RequiresCompatibilities": ["FARGATE"],
            "NetworkMode": "awsvpc",
            "Cpu": "256",
            "Memory": "512",
            "EphemeralStorage": {"SizeInGiB": 30},
            "ContainerDefinitions": [
                {
                    "Name": "main",
                    "Image": "image",
                    "Secrets": [{"Name": "TOKEN", "ValueFrom": "arn"}],
                    "LogConfiguration": {"LogDriver": "awslogs", "Options": {"awslogs-group": "group"}},
                }
            ],
            "Volumes": [
                {
                    "Name": "files",
                    "EfsVolumeConfiguration": {
                        "FileSystemId": "fs-12345678",
                        "AuthorizationConfig": {"AccessPointId": "fsap-1", "Iam": "ENABLED"},
                    },
                }
            ],
        },
        "End": True,
    }
    ended = machines.run({"Register": register})
    assert ended.status == "SUCCEEDED", ended
    made = client("ecs").describe_task_definition(taskDefinition="recased")["taskDefinition"]
    [volume] = made["volumes"]
    assert volume["efsVolumeConfiguration"]["authorizationConfig"] == {"accessPointId": "fsap-1", "iam": "ENABLED"}
    assert made["containerDefinitions"][0]["logConfiguration"]["options"] == {"awslogs-group": "group"}
    assert ended.output["TaskDefinition"]["TaskDefinitionArn"] == made["taskDefinitionArn"]


@pytest.mark.parametrize(
    ("value", "refused"),
    [({"BOOL": True}, "BOOL"), ({"SS": ["a"]}, "SS"), ({"Nonsense": "x"}, "Nonsense")],
)
def test_a_name_that_the_operation_does_not_have_fails_the_state(machines, value, refused):
    put = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:dynamodb:putItem",
        "Parameters": {"TableName": TABLE, "Item": {"pk": {"S": "refused"}, "value": value}},
        "End": True,
    }
    ended = machines.run({"Put": put})
    assert (ended.status, ended.error) == ("FAILED", "States.Runtime")
    assert f"'Item.value.{refused}' is not supported" in ended.cause


def test_attribute_types_of_the_sdk_integration_are_pascal_case_too(machines, client):
    item = {"pk": {"S": "cased"}, "flag": {"Bool": True}, "names": {"Ss": ["a", "b"]}, "map": {"M": {"n": {"N": "1"}}}}
    put = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:dynamodb:putItem",
        "Parameters": {"TableName": TABLE, "Item": item},
        "ResultPath": None,
        "Next": "Get",
    }
    get = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:dynamodb:getItem",
        "Parameters": {"TableName": TABLE, "Key": {"pk": {"S": "cased"}}},
        "End": True,
    }
    ended = machines.run({"Put": put, "Get": get})
    stored = client("dynamodb").get_item(TableName=TABLE, Key={"pk": {"S": "cased"}})["Item"]
    assert stored["flag"] == {"BOOL": True}
    assert sorted(stored["names"]["SS"]) == ["a", "b"]
    assert ended.output["Item"]["flag"] == {"Bool": True}
    assert ended.output["Item"]["map"] == {"M": {"n": {"N": "1"}}}


@pytest.mark.parametrize(
    ("resource", "error"),
    [
        ("arn:aws:states:::dynamodb:updateItem", "DynamoDB.ConditionalCheckFailedException"),
        (UPDATE, "DynamoDb.ConditionalCheckFailedException"),
        (f"{UPDATE}.waitForTaskToken", "DynamoDb.ConditionalCheckFailedException"),
    ],
)
def test_a_failed_condition_has_each_integrations_own_name(machines, resource, error):
    update = await_token("absent", Resource=resource)
    update["Parameters"]["ConditionExpression"] = "attribute_exists(pk)"
    if not resource.endswith("Token"):
        update["Parameters"]["ExpressionAttributeValues"] = {":token": {"S": "none"}}
    caught = {"Catch": [{"ErrorEquals": [error], "ResultPath": "$.caught", "Next": "Done"}]}
    ended = machines.run({"Update": {**update, **caught}, "Done": {"Type": "Pass", "End": True}})
    assert ended.status == "SUCCEEDED", ended
    assert ended.output["caught"]["Error"] == error


def test_errors_of_other_services_carry_the_services_name(machines):
    describe = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:efs:describeAccessPoints",
        "Parameters": {"AccessPointId": "fsap-00000000"},
        "End": True,
    }
    ended = machines.run({"Describe": describe})
    assert (ended.status, ended.error) == ("FAILED", "Efs.AccessPointNotFoundException")
    assert "Service: Efs, Status Code: 404" in ended.cause


def test_run_task_sync_gives_the_stopped_task(machines):
    ended = machines.run({"Run": machines.run_task(CODE="0")})
    assert ended.status == "SUCCEEDED", ended
    [container] = ended.output["Containers"]
    assert (ended.output["LastStatus"], container["ExitCode"]) == ("STOPPED", 0)
    assert ended.output["StartedBy"] == "AWS Step Functions"
    assert isinstance(ended.output["StoppedAt"], int)  # milliseconds, in this integration only


def test_run_task_sync_fails_with_the_tasks_description_on_any_other_exit_code(machines):
    ended = machines.run({"Run": machines.run_task(CODE="7")})
    assert (ended.status, ended.error) == ("FAILED", "States.TaskFailed")
    cause = json.loads(ended.cause)
    assert cause["Containers"][0]["ExitCode"] == 7
    assert cause["StopCode"] == "EssentialContainerExited"
    assert cause["Overrides"]["ContainerOverrides"][0]["Environment"] == [{"Name": "CODE", "Value": "7"}]


def test_run_task_keeps_all_its_parameters(machines, client):
    state = machines.run_task()
    state["Parameters"] |= {
        "Group": "node/1",
        "EnableECSManagedTags": True,
        "PropagateTags": "TASK_DEFINITION",
        "Tags": [{"Key": "run", "Value": "one"}],
    }
    ended = machines.run({"Run": state})
    assert ended.status == "SUCCEEDED", ended
    [task] = client("ecs").describe_tasks(cluster=CLUSTER, tasks=[ended.output["TaskArn"]], include=["TAGS"])["tasks"]
    assert task["group"] == "node/1"
    tags = {tag["key"]: tag["value"] for tag in task["tags"]}
    assert tags == {"run": "one", "from": "definition", "aws:ecs:clusterName": CLUSTER}


def test_run_task_refuses_a_parameter_that_there_is_not(machines):
    state = machines.run_task()
    state["Parameters"]["Clutser"] = "misspelt"
    ended = machines.run({"Run": state})
    assert (ended.status, ended.error) == ("FAILED", "States.Runtime")
    assert "'Clutser' is not supported" in ended.cause


def test_no_capacity_is_an_unknown_ecs_error_with_the_failures(machines, monkeypatch):
    monkeypatch.setattr(machines.aws.tasks, "_capacity", 0)
    ended = machines.run({"Run": machines.run_task()})
    assert (ended.status, ended.error) == ("FAILED", "AmazonECS.Unknown")
    [failure] = json.loads(ended.cause)["Failures"]
    assert failure["Reason"].startswith("Capacity is unavailable")


def test_a_task_past_its_time_is_stopped(machines):
    state = {**machines.run_task(WAIT="1"), "TimeoutSecondsPath": "$.limit"}
    ended = machines.run({"Run": state}, {"limit": 1})
    assert (ended.status, ended.error) == ("FAILED", "States.Timeout")
    assert 1 <= ended.seconds < 3
    arn = ended.details("TaskSubmitted")[0]["output"]
    task = json.loads(arn)["Tasks"][0]["TaskArn"]
    assert machines.aws.tasks.wait_stopped(task, 20)
    [stopped] = [found for found in machines.tasks("STOPPED") if found["taskArn"] == task]
    assert (stopped["containers"][0]["exitCode"], stopped["stopCode"]) == (143, "UserInitiated")


def test_a_token_brings_its_tasks_result(machines, sfn):
    execution = machines.start({"Await": await_token("answered")})
    sfn.send_task_success(taskToken=stored_token(machines, "answered"), output='{"answer": 42}')
    assert machines.wait(execution).output == {"answer": 42}


def test_a_token_brings_a_failure_with_its_cause(machines, sfn):
    execution = machines.start({"Await": await_token("failed")})
    sfn.send_task_failure(taskToken=stored_token(machines, "failed"), error="Own.Error", cause="the cause")
    ended = machines.wait(execution)
    assert (ended.status, ended.error, ended.cause) == ("FAILED", "Own.Error", "the cause")


def test_a_token_whose_task_is_over_has_timed_out(machines, sfn):
    # GIVEN the token of a task that was answered, of one that timed out, and of one whose execution was stopped
    answered = machines.start({"Await": await_token("over-answered")})
    tokens = [stored_token(machines, "over-answered")]
    sfn.send_task_success(taskToken=tokens[0], output="{}")
    machines.wait(answered)
    assert machines.run({"Await": await_token("over-late", TimeoutSeconds=1)}).error == "States.Timeout"
    tokens.append(stored_token(machines, "over-late"))
    stopped = machines.start({"Await": await_token("over-stopped")})
    tokens.append(stored_token(machines, "over-stopped"))
    sfn.stop_execution(executionArn=stopped)
    # WHEN somebody answers it THEN the task has timed out
    for token in tokens:
        for send in (
            lambda token: sfn.send_task_success(taskToken=token, output="{}"),
            lambda token: sfn.send_task_failure(taskToken=token),
            lambda token: sfn.send_task_heartbeat(taskToken=token),
        ):
            with pytest.raises(ClientError) as refused:
                send(token)
            assert refused.value.response["Error"]["Code"] == "TaskTimedOut"


@pytest.mark.parametrize("token", ["nonsense", "QUJD", "é"])
def test_what_was_never_given_out_is_an_invalid_token(sfn, token):
    with pytest.raises(ClientError) as refused:
        sfn.send_task_success(taskToken=token, output="{}")
    assert refused.value.response["Error"]["Code"] == "InvalidToken"


def test_an_output_that_is_no_json_is_refused_and_the_task_waits_on(machines, sfn):
    execution = machines.start({"Await": await_token("no-json")})
    token = stored_token(machines, "no-json")
    with pytest.raises(ClientError) as refused:
        sfn.send_task_success(taskToken=token, output="no json")
    assert refused.value.response["Error"]["Code"] == "InvalidOutput"
    sfn.send_task_success(taskToken=token, output="1")
    assert machines.wait(execution).output == 1


def test_each_try_has_a_token_of_its_own(machines, sfn):
    retry = {"Retry": [{"ErrorEquals": ["Again"], "IntervalSeconds": 1, "MaxAttempts": 1}]}
    execution = machines.start({"Await": await_token("retried", **retry)})
    first = stored_token(machines, "retried")
    sfn.send_task_failure(taskToken=first, error="Again")
    second = stored_token(machines, "retried", other_than=first)
    sfn.send_task_success(taskToken=second, output='"second"')
    assert machines.wait(execution).output == "second"


def test_the_interpreters_own_answer_to_a_token_fails_as_the_api_does(machines):
    execution = machines.start({"Await": await_token("answered-twice")})
    token = stored_token(machines, "answered-twice")
    answer = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:sfn:sendTaskSuccess",
        "Parameters": {"TaskToken.$": "$.token", "Output": '"woken"'},
        "End": True,
    }
    assert machines.run({"Answer": answer}, {"token": token}).status == "SUCCEEDED"
    assert machines.wait(execution).output == "woken"
    again = machines.run({"Answer": answer}, {"token": token})
    assert (again.status, again.error) == ("FAILED", "Sfn.TaskTimedOutException")
    unknown = machines.run({"Answer": answer}, {"token": "nonsense"})
    assert (unknown.status, unknown.error) == ("FAILED", "Sfn.InvalidTokenException")


def test_a_functions_error_is_its_type_and_its_cause_the_payload(machines):
    arn = machines.function("failing")
    for state in (
        {"Type": "Task", "Resource": arn, "Parameters": {"fail": "on purpose"}, "End": True},
        {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": arn, "Payload": {"fail": "on purpose"}},
            "End": True,
        },
    ):
        ended = machines.run({"Invoke": state})
        assert (ended.status, ended.error) == ("FAILED", "ValueError")
        assert json.loads(ended.cause)["errorMessage"] == "on purpose"


def test_an_error_of_lambda_itself_has_its_name(machines):
    missing = "arn:aws:lambda:us-east-1:123456789012:function:missing"
    ended = machines.run({"Invoke": {"Type": "Task", "Resource": missing, "End": True}})
    assert (ended.status, ended.error) == ("FAILED", "Lambda.ResourceNotFoundException")
