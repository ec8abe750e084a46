"""What ECS tasks print, in CloudWatch: complete, in order, in time, and within its limits."""

from __future__ import annotations

from embedded_account import TIMEOUT

from local.runtimes.logs import MESSAGE_BYTES, LogTarget

pytest_plugins = ["account_fixtures", "ecs_fixtures"]


def test_lines_keep_their_order_and_the_last_one_needs_no_end(cluster, plain):
    text = "b''.join(b'line %d\\n' % n for n in range(20000)) + b'last'"
    task = cluster.run(plain, "print", text)
    assert cluster.log(task) == [f"line {number}" for number in range(20000)] + ["last"]


def test_long_lines_are_cut_as_cloudwatch_needs_and_nothing_is_lost(cluster, plain):
    task = cluster.run(plain, "print", "'ä'.encode() * 400000 + b'\\n' + b'x' * 10")
    *parts, last = cluster.log(task)
    assert last == "x" * 10
    assert "".join(parts) == "ä" * 400000
    assert max(len(part.encode()) for part in parts) <= MESSAGE_BYTES


def test_what_is_no_text_is_replaced(cluster, plain):
    assert cluster.log(cluster.run(plain, "print", "b'a\\xff\\xfeb\\n\\n\\xc3'")) == ["a\ufffd\ufffdb", "\ufffd"]


def test_output_arrives_while_the_task_runs(cluster, plain, printed):
    task = cluster.start(plain, "wait")["tasks"][0]
    assert printed.wait(TIMEOUT)
    assert cluster.log(task) == ["waiting"]
    assert cluster.describe(task)["lastStatus"] == "RUNNING"
    cluster.ecs.stop_task(cluster=cluster.name, task=task["taskArn"])
    cluster.wait(task)


def test_batches_keep_to_the_limits_of_put_log_events(cluster, plain, monkeypatch):
    sizes = []
    put = LogTarget.put

    def measuring(self, batch):
        sizes.append((len(batch), sum(len(event["message"].encode()) + 26 for event in batch)))
        put(self, batch)

    monkeypatch.setattr(LogTarget, "put", measuring)
    cluster.run(plain, "print", "b'y' * 3000000 + b'\\n' + b'z\\n' * 25000")
    assert sum(count for count, _ in sizes) >= 25000
    assert all(count <= 10000 and size <= 1048576 for count, size in sizes)


def test_a_container_without_log_configuration_may_print(cluster):
    definition = cluster.register(logConfiguration={"logDriver": "awslogs", "options": {"awslogs-group": "x"}})
    task = cluster.run(definition, "print", "b'x' * 100000")
    assert task["stopCode"] == "TaskFailedToStart"  # such a group does not exist
    silent = cluster.ecs.register_task_definition(
        family="silent",
        containerDefinitions=[{"name": "processor", "image": cluster.image, "memory": 128}],
    )["taskDefinition"]["taskDefinitionArn"]
    assert cluster.run(silent, "print", "b'x' * 1000000")["containers"][0]["exitCode"] == 0
