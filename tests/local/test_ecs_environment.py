"""What an ECS task finds: its environment, its secrets, its files, and nothing of anybody else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ecs_cluster import Cluster, needs_namespaces
from embedded_account import TIMEOUT, everything

from local.runtimes import EcsRuntime
from local.sandbox.processes import Launcher

pytest_plugins = ["account_fixtures", "ecs_fixtures"]


def test_environment_is_what_ecs_gives_and_nothing_of_ours(cluster, monkeypatch):
    monkeypatch.setenv("CANARY_OF_THE_PARENT", "canary")
    definition = cluster.register(
        environment=[{"name": "OVERRIDDEN", "value": "definition"}, {"name": "DEFINED", "value": "1"}]
    )
    task = cluster.run(definition, environment={"OVERRIDDEN": "override", "ASKED": "2"})
    environment = json.loads(cluster.log(task)[0])
    expected = {"FROM_IMAGE": "image", "DEFINED": "1", "OVERRIDDEN": "override", "ASKED": "2"}
    assert {name: environment[name] for name in expected} == expected
    assert environment["AWS_ENDPOINT_URL"] == cluster.account.emulator.endpoint_url
    assert set(environment) - set(expected) == {
        "PATH",
        "HOME",
        "AWS_EXECUTION_ENV",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "LC_CTYPE",  # set by Python itself
    }


def test_overridden_command_and_definition_s_entry_point(cluster):
    definition = cluster.register(entryPoint=["python", "-S", "-c"], command=["print('defined')"])
    assert cluster.log(cluster.run(definition)) == ["defined"]
    assert cluster.log(cluster.run(definition, "print('overridden')")) == ["overridden"]


@pytest.fixture(scope="module")
def secret(cluster):
    manager = cluster.account.client("secretsmanager")
    made = manager.create_secret(Name="node/runs/x", SecretString=json.dumps({"TOKEN": "old-canary", "N": 5}))
    new = manager.put_secret_value(SecretId=made["ARN"], SecretString=json.dumps({"TOKEN": "new-canary"}))
    return {"arn": made["ARN"], "old": made["VersionId"], "new": new["VersionId"]}


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [
        ("", '{"TOKEN": "new-canary"}'),
        (":TOKEN::", "new-canary"),
        (":TOKEN:AWSCURRENT:", "new-canary"),
        (":TOKEN:AWSPREVIOUS:", "old-canary"),
        (":TOKEN::{old}", "old-canary"),
        (":N::{old}", "5"),
    ],
)
def test_every_form_of_value_from(cluster, secret, suffix, expected):
    reference = secret["arn"] + suffix.format(**secret)
    definition = cluster.register(secrets=[{"name": "TOKEN", "valueFrom": reference}])
    assert cluster.value(definition, "os.environ['TOKEN']") == expected


def test_values_are_shown_nowhere(cluster, secret, events):
    definition = cluster.register(secrets=[{"name": "TOKEN", "valueFrom": f"{secret['arn']}:TOKEN::"}])
    task = cluster.run(definition, "eval", "len(os.environ['TOKEN'])")
    assert cluster.log(task) == ["10"]
    shown = [
        task,
        events.until_stopped(task),
        cluster.ecs.describe_task_definition(taskDefinition=definition),
        cluster.log(task),
    ]
    assert "canary" not in everything(shown)


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("arn:aws:secretsmanager:us-east-1:123456789012:secret:absent-AbCdEf", "failed to fetch secret arn:"),
        ("{arn}:ABSENT::", "did not contain json key ABSENT"),
        ("{arn}:TOKEN::00000000-0000-0000-0000-000000000000", "failed to fetch secret"),
        ("arn:aws:ssm:us-east-1:123456789012:parameter/p", "only full Secrets Manager ARNs"),
    ],
)
def test_what_cannot_be_read_fails_the_start(cluster, secret, reference, reason):
    definition = cluster.register(secrets=[{"name": "TOKEN", "valueFrom": reference.format(**secret)}])
    task = cluster.run(definition)
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("ResourceInitializationError: unable to pull secrets")
    assert reason in task["stoppedReason"]
    assert "canary" not in everything(task)
    assert "exitCode" not in task["containers"][0]
    assert "startedAt" not in task


def test_a_task_sees_its_access_point_at_the_container_path(cluster):
    made = cluster.account.access_point("/runs/one")
    definition = cluster.register(mounts=[(made["AccessPointId"], "/mnt/efs", False)])
    expression = "[open('/mnt/efs/out.txt', 'w').write('result'), os.listdir('/mnt/efs')]"
    assert cluster.value(definition, expression) == [6, ["out.txt"]]
    host = cluster.account.file_systems.root(cluster.account.file_system) / "runs/one"
    assert (host / "out.txt").read_text() == "result"
    if os.geteuid() == 0:
        assert (host / "out.txt").stat().st_uid == 1000


@needs_namespaces
def test_two_tasks_cannot_see_each_other_s_files(cluster, printed):
    secret = cluster.account.access_point("/runs/secret")
    other = cluster.account.access_point("/runs/other")
    first = cluster.register(mounts=[(secret["AccessPointId"], "/mnt/efs", False)])
    second = cluster.register(mounts=[(other["AccessPointId"], "/mnt/efs", False)])
    waiting = cluster.start(first, "wait")["tasks"][0]
    assert printed.wait(TIMEOUT)
    host = cluster.account.file_systems.root(cluster.account.file_system) / "runs/secret/canary-file"
    host.write_text("canary")
    expression = (
        "[sorted(os.listdir('/mnt')), os.listdir('/mnt/efs'), os.path.exists('/mnt/efs/../secret'),"
        f" os.path.exists({str(host)!r}), [name for name in os.listdir('/proc') if name.isdigit()],"
        f" os.path.exists({str(cluster.account.directory)!r})]"
    )
    seen = cluster.value(second, expression)
    assert seen[:4] == [["efs"], [], False, False]
    assert len(seen[4]) == 2  # the first process of its namespace, and itself
    assert seen[5] is False
    cluster.ecs.stop_task(cluster=cluster.name, task=waiting["taskArn"])
    cluster.wait(waiting)


@needs_namespaces
def test_a_read_only_volume_cannot_be_written(cluster):
    made = cluster.account.access_point("/layers")
    cluster.account.file_systems.mount_access_point(made["AccessPointId"], account="123456789012", region="us-east-1")
    host = cluster.account.file_systems.root(cluster.account.file_system) / "layers"
    (host / "atlas.txt").write_text("atlas")
    definition = cluster.register(mounts=[(made["AccessPointId"], "/mnt/layers", True)])
    assert cluster.value(definition, "open('/mnt/layers/atlas.txt').read()") == "atlas"
    task = cluster.run(definition, "eval", "open('/mnt/layers/new', 'w')")
    assert task["containers"][0]["exitCode"] == 1
    assert "Read-only file system" in cluster.log(task)[-1]


@needs_namespaces
def test_a_task_may_change_its_image_s_files_for_itself_only(cluster, plain):
    expression = "[os.getcwd(), sorted(os.listdir('.')), open('main.py', 'a').write('#'), open('new', 'w').write('x')]"
    before = cluster.value(plain, expression)
    assert before == ["/app", ["Dockerfile", "main.py"], 1, 1]
    assert cluster.value(plain, expression) == before


@needs_namespaces
def test_home_and_temporary_directories_are_a_task_s_own_and_go_with_it(cluster, plain):
    expression = (
        "['a' in os.listdir('/tmp'), open('/tmp/a', 'w').write('x'),"
        " 'b' in os.listdir(os.environ['HOME']), open(os.environ['HOME'] + '/b', 'w').write('x')]"
    )
    for _ in range(2):
        assert cluster.value(plain, expression) == [False, 1, False, 1]
    assert len(list((cluster.account.images.cache / "scratch").iterdir())) <= 1  # of the last, about to go


@needs_namespaces
def test_a_task_reaches_neither_our_processes_nor_our_environment(cluster, plain, monkeypatch):
    monkeypatch.setenv("CANARY_OF_THE_PARENT", "canary")
    expression = "[read('/proc/1/environ') + read('/proc/1/cmdline'), os.getppid()]"
    environment, parent = cluster.value(plain, expression)
    assert "canary" not in environment
    assert parent == 1


@needs_namespaces
def test_what_a_task_leaves_running_ends_with_it(cluster, plain):
    cluster.run(plain, "orphan")
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if os.access(path, os.R_OK)]
    assert not any(b"time.sleep(600)" in words for words in running)


@pytest.fixture(scope="module")
def rewriting(account):
    runtime = EcsRuntime(account.emulator.endpoint_url, account.file_systems, account.images)
    runtime.processes = Launcher(isolate=False)
    runtime.install()
    yield Cluster(account, runtime)
    runtime.stop()
    runtime.processes.close()


def test_paths_in_the_environment_and_the_command_lead_to_the_host(rewriting):
    assert not rewriting.runtime.processes.isolation.namespaces
    made = rewriting.account.access_point("/runs/rewritten")
    definition = rewriting.register(mounts=[(made["AccessPointId"], "/mnt/efs", False)])
    environment = {"OUTPUT_DIR": "/mnt/efs", "INPUT_DIR": "/mnt/efs/input", "OTHER": "/mnt/efsx", "N": "5"}
    expression = "[dict(os.environ), open(os.environ['OUTPUT_DIR'] + '/out', 'w').write('x')]"
    seen, _ = rewriting.value(definition, expression, environment=environment)
    host = rewriting.account.file_systems.root(rewriting.account.file_system) / "runs/rewritten"
    assert (seen["OUTPUT_DIR"], seen["INPUT_DIR"]) == (str(host), str(host / "input"))
    assert (seen["OTHER"], seen["N"]) == ("/mnt/efsx", "5")
    assert (host / "out").read_text() == "x"


def test_stop_and_exit_codes_are_the_same(rewriting, printed):
    definition = rewriting.register()
    assert rewriting.run(definition, "exit", "3")["containers"][0]["exitCode"] == 3
    task = rewriting.start(definition, "wait")["tasks"][0]
    assert printed.wait(TIMEOUT)
    rewriting.ecs.stop_task(cluster=rewriting.name, task=task["taskArn"])
    assert rewriting.wait(task)["containers"][0]["exitCode"] == 143
