"""What a Lambda function finds: environment, file systems, packages; and what it leaves: its log."""

from __future__ import annotations

import base64
import json
import os
import re

import pytest
from ecs_cluster import needs_namespaces
from embedded_account import archive
from lambda_functions import PROGRAM, Functions

from local.runtimes import LambdaRuntime
from local.sandbox.processes import Launcher

pytest_plugins = ["account_fixtures", "lambda_fixtures"]


def mounted(functions, path, **settings):
    """A function with an access point at /mnt/efs, and the access point's directory on the host."""
    made = functions.account.access_point(path)
    name = functions.create(
        FileSystemConfigs=[{"Arn": made["AccessPointArn"], "LocalMountPath": "/mnt/efs"}], **settings
    )
    return name, functions.account.file_systems.root(functions.account.file_system) / path.strip("/")


def test_environment_is_the_function_s_and_nothing_of_ours(functions, monkeypatch):
    monkeypatch.setenv("CANARY_OF_THE_PARENT", "canary")
    name = functions.create(Environment={"Variables": {"OWN": "1"}})
    environment = functions.value(name, "dict(os.environ)")
    assert environment["OWN"] == "1"
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == name
    assert environment["AWS_ENDPOINT_URL"] == functions.account.emulator.endpoint_url
    documented = re.compile(r"AWS_.*|_HANDLER|LAMBDA_.*|LANG|TZ|PATH|PYTHONPATH|_X_AMZN_TRACE_ID|LC_CTYPE|HOME|TMPDIR")
    assert [key for key in environment if not documented.fullmatch(key)] == ["OWN"]
    assert "canary" not in json.dumps(environment)


def test_boto3_reaches_the_embedded_account(functions, common):
    functions.account.client("s3").create_bucket(Bucket="seen-by-the-function")
    names = "[b['Name'] for b in __import__('boto3').client('s3').list_buckets()['Buckets']]"
    assert "seen-by-the-function" in functions.value(common, names)


def test_a_function_writes_into_its_file_system(functions):
    name, host = mounted(functions, "/functions/writes")
    assert functions.value(name, "open('/mnt/efs/out', 'w').write('result')") == 6
    assert (host / "out").read_text() == "result"
    if os.geteuid() == 0:
        assert (host / "out").stat().st_uid == 1000


@needs_namespaces
def test_a_function_can_enter_only_what_it_was_given(functions):
    name, host = mounted(functions, "/")
    runs = host / "runs"
    (runs / "unguessable").mkdir(parents=True)
    if os.geteuid() == 0:
        os.chown(runs / "unguessable", 1000, 1000)
        (runs / "unguessable").chmod(0o700)
        runs.chmod(0o711)
        assert functions.value(name, "os.access('/mnt/efs/runs', os.R_OK)") is False
    assert functions.value(name, "os.listdir('/mnt/efs/runs/unguessable')") == []
    assert functions.value(name, f"os.path.exists({str(host)!r})") is False


@needs_namespaces
def test_the_bundle_cannot_be_changed(functions, common):
    answer = functions.invoke(common, {"do": "eval", "expression": "open('/var/task/program.py', 'a')"})
    assert answer["Payload"]["errorType"] in {"OSError", "PermissionError"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another user")
def test_an_access_point_of_root_may_give_files_away(functions):
    made = functions.account.access_point("/", uid=0)
    name = functions.create(FileSystemConfigs=[{"Arn": made["AccessPointArn"], "LocalMountPath": "/mnt/efs"}])
    functions.value(name, "[os.getuid(), os.mkdir('/mnt/efs/given', 0o700), os.chown('/mnt/efs/given', 1000, 1000)]")
    host = functions.account.file_systems.root(functions.account.file_system) / "given"
    assert host.stat().st_uid == 1000


def test_an_access_point_without_root_directory_refuses_the_invocation(functions):
    made = functions.account.access_point("/absent-lambda", create=False)
    name = functions.create(FileSystemConfigs=[{"Arn": made["AccessPointArn"], "LocalMountPath": "/mnt/efs"}])
    with pytest.raises(functions.client.exceptions.EFSMountFailureException, match="couldn't mount"):
        functions.invoke(name, {})


def test_configuration_shows_file_systems_and_logging(functions):
    made = functions.account.access_point("/shown")
    file_systems = [{"Arn": made["AccessPointArn"], "LocalMountPath": "/mnt/efs"}]
    name = functions.create(FileSystemConfigs=file_systems, LoggingConfig={"LogGroup": "/own/group"})
    shown = functions.client.get_function_configuration(FunctionName=name)
    assert shown["FileSystemConfigs"] == file_systems
    assert shown["LoggingConfig"]["LogGroup"] == "/own/group"
    functions.client.update_function_configuration(FunctionName=name, LoggingConfig={"LogGroup": "/other/group"})
    changed = functions.client.get_function(FunctionName=name)["Configuration"]
    assert changed["LoggingConfig"]["LogGroup"] == "/other/group"
    assert changed["FileSystemConfigs"] == file_systems


class TestLog:
    def test_each_invocation_stands_between_its_start_and_its_report(self, functions):
        name = functions.create()
        functions.invoke(name, {"do": "print", "text": "one\ntwo"})
        functions.invoke(name, {"do": "raise", "message": "bad"})
        ((stream, lines),) = functions.log(name).items()
        assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream)
        shapes = [
            r"INIT_START Runtime Version: python3\.12",
            r"START RequestId: [0-9a-f-]{36} Version: \$LATEST",
            r"one",
            r"two",
            r"END RequestId: [0-9a-f-]{36}",
            (
                r"REPORT RequestId: [0-9a-f-]{36}\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\t"
                r"Memory Size: 256 MB\tMax Memory Used: [1-9]\d* MB\tInit Duration: [\d.]+ ms\t"
            ),
            r"START RequestId: .*",
            r"\[ERROR\] ValueError: bad\nTraceback \(most recent call last\):\n(?s:.*)program\.py(?s:.*)",
            r"END RequestId: .*",
            r"REPORT RequestId: .*Status: error\t",
        ]
        assert len(lines) == len(shapes), lines
        for line, shape in zip(lines, shapes, strict=True):
            assert re.fullmatch(shape, line), line

    def test_a_message_of_many_lines_is_one_event_among_what_is_printed(self, functions):
        name = functions.create()
        text = "first\nsecond\n" + "ä" * 100_000
        event = {
            "do": "eval",
            "expression": "[print('before', end=''), logging.getLogger().warning(event['text']), print('after')]",
        }
        functions.invoke(name, event | {"text": text})
        ((_, lines),) = functions.log(name).items()
        printed = lines[2:-2]
        assert [printed[0], printed[-1]] == ["before", "after"]
        assert re.fullmatch(rf"\[WARNING\]\t[^\t]+\t[^\t]+\t{text}", printed[1])

    def test_the_configured_group_is_used(self, functions):
        name = functions.create(LoggingConfig={"LogGroup": "/node/functions/role"})
        functions.invoke(name, {"do": "print", "text": "here"})
        assert "here" in [line for lines in functions.log(name, "/node/functions/role").values() for line in lines]

    def test_a_time_out_is_logged(self, functions):
        name = functions.create(Timeout=1)
        functions.invoke(name, {"do": "sleep", "seconds": 60})
        ((_, lines),) = functions.log(name).items()
        assert any("Task timed out after 1.00 seconds" in line for line in lines)
        assert lines[-1].endswith("Status: timeout\t")

    def test_the_caller_may_have_the_tail(self, functions, common):
        answer = functions.invoke(common, {"do": "print", "text": "tail of the log"}, LogType="Tail")
        tail = base64.b64decode(answer["LogResult"]).decode()
        assert tail.startswith("START RequestId")
        assert "tail of the log\n" in tail
        assert "REPORT RequestId" in tail
        long = functions.invoke(common, {"do": "print", "text": "x" * 10000}, LogType="Tail")
        assert len(base64.b64decode(long["LogResult"])) <= 4096

    def test_json_logging_is_json_throughout(self, functions):
        name = functions.create(LoggingConfig={"LogFormat": "JSON"})
        functions.invoke(name, {"do": "log", "text": "two\nlines"})
        ((_, lines),) = functions.log(name).items()
        records = [json.loads(line) for line in lines]
        kinds = [record.get("type") for record in records]
        assert kinds == ["platform.initStart", "platform.start", None, "platform.report"]
        assert records[2]["message"] == "two\nlines"
        assert records[3]["record"]["metrics"]["memorySizeMB"] == 256


class TestWithoutNamespaces:
    @pytest.fixture
    def rewriting(self, functions):
        account = functions.account
        runtime = LambdaRuntime(account.emulator.endpoint_url, account.file_systems, account.images)
        runtime.processes = Launcher(isolate=False)
        runtime.install()
        yield Functions(account, runtime)
        runtime.stop()
        runtime.processes.close()

    def test_paths_lead_to_the_host_and_back(self, rewriting):
        name, host = mounted(rewriting, "/rewritten", Environment={"Variables": {"MOUNT_PATH": "/mnt/efs"}})
        event = {"do": "eval", "expression": "[event['path'], os.environ['MOUNT_PATH'], open(event['path'], 'w').name]"}
        answer = rewriting.invoke(name, event | {"path": "/mnt/efs/out"})["Payload"]
        # The function saw the host's path, wrote there, and its answer is the container's again.
        assert answer == ["/mnt/efs/out", "/mnt/efs", "/mnt/efs/out"]
        assert (host / "out").exists()

    def test_the_bundle_is_found(self, rewriting):
        name = rewriting.create(Code={"ZipFile": archive({"program.py": PROGRAM, "beside.py": "WORD = 'beside'"})})
        assert rewriting.value(name, "__import__('beside').WORD") == "beside"
