"""The life of ECS tasks, seen through boto3: states, exit codes, stops, failures, and what RunTask accepts."""

from __future__ import annotations

import time
import uuid

import pytest
from ecs_cluster import Cluster
from embedded_account import TIMEOUT

from local.runtimes import EcsRuntime
from local.sandbox.memory import MemoryLimits

pytest_plugins = ["account_fixtures", "ecs_fixtures"]


def test_a_task_runs_through_its_states_with_times_in_order(cluster, plain):
    started = cluster.start(plain, "exit", "0", group="align/1", startedBy="tests")
    assert started["failures"] == []
    first = started["tasks"][0]
    assert (first["lastStatus"], first["desiredStatus"]) == ("PROVISIONING", "RUNNING")
    assert "stoppedAt" not in first
    task = cluster.wait(first)
    assert (task["lastStatus"], task["desiredStatus"]) == ("STOPPED", "STOPPED")
    names = ["createdAt", "pullStartedAt", "pullStoppedAt", "startedAt", "executionStoppedAt", "stoppedAt"]
    times = [task[name] for name in names]
    assert times == sorted(times)
    assert (task["stopCode"], task["stoppedReason"]) == (
        "EssentialContainerExited",
        "Essential container in task exited",
    )
    assert (task["group"], task["startedBy"], task["launchType"]) == ("align/1", "tests", "FARGATE")
    assert (task["cpu"], task["memory"], task["platformVersion"]) == ("256", "512", "1.4.0")
    container = task["containers"][0]
    assert (container["name"], container["exitCode"], container["lastStatus"]) == ("processor", 0, "STOPPED")
    assert container["imageDigest"] == cluster.image.partition("@")[2]
    assert container["taskArn"] == task["taskArn"]


@pytest.mark.parametrize(
    ("command", "code"), [(("exit", "0"), 0), (("exit", "3"), 3), (("kill", "9"), 137), (("kill", "11"), 139)]
)
def test_exit_codes_are_the_process_s_own(cluster, plain, command, code):
    task = cluster.run(plain, *command)
    assert task["containers"][0]["exitCode"] == code
    assert task["stopCode"] == "EssentialContainerExited"


def test_events_tell_every_change_of_state(cluster, plain, events):
    task = cluster.run(plain, "exit", "0")
    told = events.until_stopped(task)
    assert [event["detail"]["lastStatus"] for event in told] == ["PROVISIONING", "PENDING", "RUNNING", "STOPPED"]
    assert {(event["source"], event["detail-type"]) for event in told} == {("aws.ecs", "ECS Task State Change")}
    assert told[-1]["detail"]["containers"][0]["exitCode"] == 0
    assert told[-1]["detail"]["stoppedAt"].endswith("Z")


def test_a_task_that_heeds_sigterm_ends_at_once(cluster, plain, printed):
    task = cluster.start(plain, "wait")["tasks"][0]
    assert printed.wait(TIMEOUT)
    assert cluster.describe(task)["lastStatus"] == "RUNNING"
    answer = cluster.ecs.stop_task(cluster=cluster.name, task=task["taskArn"], reason="no longer wanted")["task"]
    assert (answer["desiredStatus"], answer["stoppedReason"]) == ("STOPPED", "no longer wanted")
    stopped = cluster.wait(task)
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("UserInitiated", "no longer wanted")
    assert stopped["containers"][0]["exitCode"] == 143


def test_a_task_may_clean_up_and_end_as_it_likes(cluster, plain, printed):
    task = cluster.start(plain, "wait", "(print('bye', flush=True), os._exit(7))")["tasks"][0]
    assert printed.wait(TIMEOUT)
    cluster.ecs.stop_task(cluster=cluster.name, task=task["taskArn"])
    stopped = cluster.wait(task)
    assert stopped["containers"][0]["exitCode"] == 7
    assert stopped["stopCode"] == "UserInitiated"
    assert cluster.log(task) == ["waiting", "bye"]


def test_a_task_that_ignores_sigterm_is_killed_after_its_stop_timeout(cluster, printed):
    definition = cluster.register(stopTimeout=1)
    task = cluster.start(definition, "wait", "None")["tasks"][0]
    assert printed.wait(TIMEOUT)
    begun = time.monotonic()
    cluster.ecs.stop_task(cluster=cluster.name, task=task["taskArn"])
    assert cluster.wait(task)["containers"][0]["exitCode"] == 137
    assert 0.9 < time.monotonic() - begun < 10


def test_a_task_stopped_before_it_started_never_runs_or_ends(cluster, plain):
    task = cluster.start(plain, "wait")["tasks"][0]
    cluster.ecs.stop_task(cluster=cluster.name, task=task["taskArn"], reason="at once")
    stopped = cluster.wait(task)
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("UserInitiated", "at once")
    assert stopped["containers"][0].get("exitCode") in {None, 143}


def test_a_second_stop_changes_nothing(cluster, plain):
    task = cluster.run(plain, "exit", "4")
    cluster.ecs.stop_task(cluster=cluster.name, task=task["taskArn"], reason="late")
    again = cluster.describe(task)
    assert again["stopCode"] == "EssentialContainerExited"
    assert again["containers"][0]["exitCode"] == 4


def test_an_unknown_task_is_an_error(cluster):
    with pytest.raises(cluster.ecs.exceptions.InvalidParameterException, match="task was not found"):
        cluster.ecs.stop_task(cluster=cluster.name, task="0" * 32)


def test_an_unknown_image(cluster):
    task = cluster.run(cluster.register(image="docker.io/library/none:1"))
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotPullContainerError: ")
    assert "docker.io/library/none:1" in task["stoppedReason"]
    assert "pullStoppedAt" not in task


def test_a_missing_program(cluster):
    task = cluster.run(cluster.register(entryPoint=["no-such-program"]))
    assert task["stopCode"] == "TaskFailedToStart"
    assert "CannotStartContainerError" in task["stoppedReason"]
    assert "no-such-program" in task["containers"][0]["reason"]


def test_a_missing_log_group(cluster):
    options = {"awslogs-group": "/absent", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "run"}
    task = cluster.run(cluster.register(logConfiguration={"logDriver": "awslogs", "options": options}))
    assert task["stopCode"] == "TaskFailedToStart"
    assert "The specified log group does not exist" in task["stoppedReason"]


def test_a_missing_root_directory(cluster):
    access_point = cluster.account.access_point("/absent", create=False)["AccessPointId"]
    task = cluster.run(cluster.register(mounts=[(access_point, "/mnt/efs", False)]))
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("ResourceInitializationError: failed to invoke EFS utils")
    assert "No such file or directory" in task["stoppedReason"]


@pytest.mark.skipif(not MemoryLimits().available, reason="this machine lets nobody limit memory")
def test_too_much_memory(cluster, plain):
    task = cluster.run(plain, "fill", str(700 * 1024 * 1024))
    assert task["containers"][0]["exitCode"] == 137
    assert task["containers"][0]["reason"].startswith("OutOfMemoryError")
    assert cluster.log(cluster.run(plain, "fill", str(300 * 1024 * 1024))) == [str(300 * 1024 * 1024)]


def test_tags_come_from_the_definition_and_the_request(cluster, plain):
    asked = [{"key": "run", "value": "r"}]
    task = cluster.run(plain, "exit", "0", propagateTags="TASK_DEFINITION", enableECSManagedTags=True, tags=asked)
    tags = {tag["key"]: tag["value"] for tag in task["tags"]}
    assert tags == {"node": "n", "run": "r", "aws:ecs:clusterName": cluster.name}
    assert cluster.run(plain, "exit", "0")["tags"] == []


def test_size_can_be_overridden(cluster, plain):
    overrides = {
        "cpu": "512",
        "memory": "1024",
        "containerOverrides": [{"name": "processor", "command": ["exit", "0"]}],
    }
    task = cluster.run(plain, overrides=overrides)
    assert (task["cpu"], task["memory"]) == ("512", "1024")
    assert task["overrides"]["containerOverrides"][0]["command"] == ["exit", "0"]


def test_an_override_of_an_unknown_container_is_refused(cluster, plain):
    overrides = {"containerOverrides": [{"name": "other"}]}
    with pytest.raises(cluster.ecs.exceptions.InvalidParameterException, match="container named other"):
        cluster.start(plain, overrides=overrides)


def test_overrides_beyond_the_limit_are_refused(cluster, plain):
    with pytest.raises(cluster.ecs.exceptions.InvalidParameterException, match="at most 8192"):
        cluster.start(plain, environment={"A": "x" * 8200})


def test_a_deregistered_definition_cannot_run(cluster):
    definition = cluster.register()
    cluster.ecs.deregister_task_definition(taskDefinition=definition)
    with pytest.raises(cluster.ecs.exceptions.ClientException, match="inactive"):
        cluster.start(definition)


def test_an_awsvpc_task_needs_a_network(cluster, plain):
    with pytest.raises(cluster.ecs.exceptions.InvalidParameterException, match="Network Configuration"):
        cluster.ecs.run_task(cluster=cluster.name, taskDefinition=plain)


def test_a_repeated_request_starts_no_second_task(cluster, plain):
    token = uuid.uuid4().hex
    first, again = (cluster.start(plain, "exit", "0", clientToken=token)["tasks"] for _ in range(2))
    assert [task["taskArn"] for task in first] == [task["taskArn"] for task in again]
    assert cluster.start(plain, "exit", "0")["tasks"][0]["taskArn"] != first[0]["taskArn"]
    cluster.wait(first[0])


def test_unknown_tasks_are_reported_missing(cluster, plain):
    task = cluster.run(plain, "exit", "0")
    absent = task["taskArn"][:-4] + "none"
    found = cluster.ecs.describe_tasks(cluster=cluster.name, tasks=[task["taskArn"], absent])
    assert [item["taskArn"] for item in found["tasks"]] == [task["taskArn"]]
    assert found["failures"] == [{"arn": absent, "reason": "MISSING"}]


def test_list_tasks_shows_running_ones_unless_asked(cluster, plain, printed):
    running = cluster.start(plain, "wait", startedBy="lister")["tasks"][0]
    stopped = cluster.run(plain, "exit", "0", startedBy="lister")
    assert printed.wait(TIMEOUT)
    listed = {
        status: cluster.ecs.list_tasks(cluster=cluster.name, startedBy="lister", **status_filter)["taskArns"]
        for status, status_filter in {"": {}, "STOPPED": {"desiredStatus": "STOPPED"}}.items()
    }
    assert listed == {"": [running["taskArn"]], "STOPPED": [stopped["taskArn"]]}
    counts = cluster.ecs.describe_clusters(clusters=[cluster.name])["clusters"][0]
    assert (counts["runningTasksCount"], counts["pendingTasksCount"]) == (1, 0)
    cluster.ecs.stop_task(cluster=cluster.name, task=running["taskArn"])
    cluster.wait(running)
    counts = cluster.ecs.describe_clusters(clusters=[cluster.name])["clusters"][0]
    assert (counts["runningTasksCount"], counts["pendingTasksCount"]) == (0, 0)


def test_list_tasks_pages(cluster, plain):
    tasks = [cluster.start(plain, "exit", "0", startedBy="pager")["tasks"][0]["taskArn"] for _ in range(5)]
    for arn in tasks:
        assert cluster.runtime.wait_stopped(arn, TIMEOUT)
    pages = cluster.ecs.get_paginator("list_tasks").paginate(
        cluster=cluster.name, startedBy="pager", desiredStatus="STOPPED", PaginationConfig={"PageSize": 2}
    )
    sizes = [page["taskArns"] for page in pages]
    assert [len(size) for size in sizes] == [2, 2, 1]
    assert sorted(arn for size in sizes for arn in size) == sorted(tasks)


def test_no_wait_is_longer_than_asked(cluster, plain):
    task = cluster.start(plain, "wait")["tasks"][0]
    assert not cluster.runtime.wait_stopped(task["taskArn"], 0.05)
    cluster.ecs.stop_task(cluster=cluster.name, task=task["taskArn"])
    cluster.wait(task)


def test_many_tasks_at_once(cluster, plain):
    tasks = [cluster.start(plain, "exit", str(number % 3))["tasks"][0] for number in range(60)]
    codes = [cluster.wait(task)["containers"][0]["exitCode"] for task in tasks]
    assert codes == [number % 3 for number in range(60)]


def test_capacity_is_refused_as_fargate_refuses_it(account, printed):
    runtime = EcsRuntime(account.emulator.endpoint_url, account.file_systems, account.images, capacity=1)
    runtime.install()
    try:
        small = Cluster(account, runtime)
        definition = small.register()
        running = small.start(definition, "wait")["tasks"][0]
        assert printed.wait(TIMEOUT)
        refused = small.start(definition, "exit", "0")
        assert refused["tasks"] == []
        assert "Capacity is unavailable at this time" in refused["failures"][0]["reason"]
        small.ecs.stop_task(cluster=small.name, task=running["taskArn"])
        small.wait(running)
        assert small.run(definition, "exit", "0")["containers"][0]["exitCode"] == 0
    finally:
        runtime.stop()


def test_stopping_the_runtime_ends_its_tasks(account, printed):
    runtime = EcsRuntime(account.emulator.endpoint_url, account.file_systems, account.images)
    runtime.install()
    short = Cluster(account, runtime)
    task = short.start(short.register(), "wait", "None")["tasks"][0]
    assert printed.wait(TIMEOUT)
    runtime.stop()
    assert short.wait(task)["containers"][0]["exitCode"] == 137
