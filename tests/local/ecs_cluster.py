"""A cluster of the embedded ECS, a program for its tasks, and the fixtures of the tests on them."""

from __future__ import annotations

import json
import sys
import threading
import uuid

import pytest
from embedded_account import REPOSITORY, TIMEOUT

from local.runtimes import isolation

DOCKERFILE = """FROM python:3.12-slim
WORKDIR /app
COPY . .
ENV FROM_IMAGE=image OVERRIDDEN=image
ENTRYPOINT ["python", "-S", "main.py"]
CMD ["environment"]
"""
# One program for all tests: the first argument says what it does.
PROGRAM = """
import json, os, signal, subprocess, sys, time
do, *words = sys.argv[1:]
def read(path):
    try:
        return open(path).read()
    except OSError:
        return ""
if do == "environment":
    print(json.dumps(dict(os.environ)))
elif do == "exit":
    sys.exit(int(words[0]))
elif do == "kill":
    os.kill(os.getpid(), int(words[0]))
elif do == "print":
    sys.stdout.buffer.write(eval(words[0]))
elif do == "wait":
    if words: signal.signal(signal.SIGTERM, lambda *_: eval(words[0]))
    print("waiting", flush=True)
    while True: time.sleep(60)
elif do == "eval":
    print(json.dumps(eval(words[0])))
elif do == "orphan":
    subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=True)
elif do == "fill":
    print(len(bytearray(int(words[0]))))
"""


class Events:
    """The EventBridge events of a runtime."""

    def __init__(self):
        self.all = []
        self._arrived = threading.Condition()

    def add(self, event):
        """Take one, as the runtime sends it."""
        with self._arrived:
            self.all.append(event)
            self._arrived.notify_all()

    def until_stopped(self, task):
        """All of a task, once the last has come."""

        def of_task():
            return [event for event in self.all if event["resources"] == [task["taskArn"]]]

        with self._arrived:
            assert self._arrived.wait_for(
                lambda: any(event["detail"]["lastStatus"] == "STOPPED" for event in of_task()), TIMEOUT
            )
            return of_task()


class Cluster:
    """A runtime on an account, and short ways to run tasks in it."""

    def __init__(self, account, runtime):
        self.account, self.runtime = account, runtime
        self.ecs = account.client("ecs")
        self.name = f"cluster-{uuid.uuid4().hex[:8]}"
        self.ecs.create_cluster(clusterName=self.name)
        self.group = f"/logs/{self.name}"
        account.client("logs").create_log_group(logGroupName=self.group)
        self.image = account.images.build(
            REPOSITORY, account.context("program", {"Dockerfile": DOCKERFILE, "main.py": PROGRAM})
        )

    def register(self, *, mounts=(), **container):
        """A task definition; `mounts` are access point id, container path and whether it is read-only."""
        volumes = [
            {
                "name": f"v{number}",
                "efsVolumeConfiguration": {
                    "fileSystemId": self.account.file_system,
                    "transitEncryption": "ENABLED",
                    "authorizationConfig": {"accessPointId": access_point, "iam": "ENABLED"},
                },
            }
            for number, (access_point, _, _) in enumerate(mounts)
        ]
        points = [
            {"sourceVolume": f"v{number}", "containerPath": path, "readOnly": read_only}
            for number, (_, path, read_only) in enumerate(mounts)
        ]
        options = {"awslogs-group": self.group, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "run"}
        definition = {
            "name": "processor",
            "image": self.image,
            "mountPoints": points,
            "logConfiguration": {"logDriver": "awslogs", "options": options},
        } | container
        return self.ecs.register_task_definition(
            family=f"family-{uuid.uuid4().hex[:8]}",
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            volumes=volumes,
            containerDefinitions=[definition],
            tags=[{"key": "node", "value": "n"}],
        )["taskDefinition"]["taskDefinitionArn"]

    def start(self, definition, *command, environment=None, **request):
        """RunTask, and the whole answer."""
        override = {"name": "processor"}
        if command:
            override["command"] = list(command)
        if environment:
            override["environment"] = [{"name": name, "value": value} for name, value in environment.items()]
        network = {"awsvpcConfiguration": {"subnets": [self.account.subnet], "securityGroups": []}}
        defaults = {"launchType": "FARGATE", "overrides": {"containerOverrides": [override]}}
        return self.ecs.run_task(
            cluster=self.name, taskDefinition=definition, networkConfiguration=network, **(defaults | request)
        )

    def run(self, definition, *command, **request):
        """Run one task to its end; its last description."""
        return self.wait(self.start(definition, *command, **request)["tasks"][0])

    def wait(self, task):
        """The description of a task once it is stopped."""
        assert self.runtime.wait_stopped(task["taskArn"], TIMEOUT)
        return self.describe(task)

    def describe(self, task):
        """The present description of a task."""
        found = self.ecs.describe_tasks(cluster=self.name, tasks=[task["taskArn"]], include=["TAGS"])
        assert found["failures"] == []
        return found["tasks"][0]

    def log(self, task):
        """What the task has printed."""
        return self.account.messages(self.group, f"run/processor/{task['taskArn'].split('/')[-1]}")

    def value(self, definition, expression, **request):
        """What an expression is inside a task."""
        task = self.run(definition, "eval", expression, **request)
        assert task["containers"][0].get("exitCode") == 0, (self.log(task), task.get("stoppedReason"))
        return json.loads(self.log(task)[-1])


needs_namespaces = pytest.mark.skipif(
    sys.platform != "linux" or not isolation().namespaces, reason="this machine does not allow namespaces"
)
