"""Lambda functions as local processes, seen through boto3: invocations, errors, retries, concurrency and versions."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError
from embedded_account import REPOSITORY, TIMEOUT, archive
from lambda_functions import PROGRAM, Functions
from moto.awslambda.utils import get_backend

from local.runtimes import FunctionError, LambdaRuntime
from local.sandbox.memory import MemoryLimits

pytest_plugins = ["account_fixtures", "lambda_fixtures"]


def test_an_invocation_runs_the_uploaded_bundle(functions):
    package = archive({"program.py": PROGRAM, "beside.txt": "data"})
    name = functions.create(Code={"ZipFile": package})
    uploaded = base64.b64encode(hashlib.sha256(package).digest()).decode()
    assert functions.client.get_function_configuration(FunctionName=name)["CodeSha256"] == uploaded
    answer = functions.invoke(name, {"word": "äö"})
    assert (answer["StatusCode"], answer["ExecutedVersion"], answer["Payload"]) == (200, "$LATEST", {"word": "äö"})
    assert "FunctionError" not in answer
    assert functions.value(name, "sorted(os.listdir(os.environ['LAMBDA_TASK_ROOT']))") == ["beside.txt", "program.py"]
    unpacked = functions.account.images.cache / "functions" / hashlib.sha256(package).hexdigest()
    assert (unpacked / "program.py").read_text() == PROGRAM


def test_a_bundle_that_is_not_the_uploaded_one_is_not_run(functions):
    name = functions.create()
    stored = get_backend("123456789012", "us-east-1").get_function(name)
    stored.code_bytes = archive({"program.py": "handler = lambda *_: 'something else'"})
    with pytest.raises(ClientError, match="the deployment package's SHA-256 is not"):
        functions.invoke(name, {})


def test_workers_stay_warm(functions):
    name = functions.create()
    assert [functions.value(name, "calls") for _ in range(4)] == [1, 2, 3, 4]


def test_the_context_tells_about_the_invocation(functions, common):
    expression = (
        "[context.aws_request_id, context.invoked_function_arn, context.function_name, context.function_version,"
        " context.memory_limit_in_mb, context.get_remaining_time_in_millis(), context.log_group_name]"
    )
    answer = functions.invoke(common, {"do": "eval", "expression": expression})
    request, arn, name, version, memory, remaining, group = answer["Payload"]
    assert len(request) == 36
    assert arn == f"arn:aws:lambda:us-east-1:123456789012:function:{common}"
    assert (name, version, memory, group) == (common, "$LATEST", "256", f"/aws/lambda/{common}")
    assert 9000 < remaining <= 10000


def test_client_context_reaches_the_function(functions, common):
    context = base64.b64encode(json.dumps({"custom": {"a": "b"}}).encode()).decode()
    event = {"do": "eval", "expression": "context.client_context.custom"}
    assert functions.invoke(common, event, ClientContext=context)["Payload"] == {"a": "b"}


def test_a_function_may_be_invoked_without_a_payload_or_tried_dry(functions, common):
    assert functions.invoke(common)["Payload"] == {}
    assert functions.invoke(common, {"do": "exit", "code": 1}, InvocationType="DryRun")["StatusCode"] == 204


class TestErrors:
    def test_an_exception_comes_back_with_its_trace(self, functions, common):
        answer = functions.invoke(common, {"do": "raise", "message": "bad thing"})
        assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
        error = answer["Payload"]
        assert (error["errorType"], error["errorMessage"]) == ("ValueError", "bad thing")
        assert "program.py" in error["stackTrace"][-1]

    @pytest.mark.parametrize(
        ("event", "message"),
        [
            ({"do": "exit", "code": 3}, "Error: Runtime exited with error: exit status 3"),
            ({"do": "exit", "code": 0}, "Error: Runtime exited without providing a reason"),
            ({"do": "kill"}, "Error: Runtime exited with error: signal: killed"),
        ],
    )
    def test_a_dead_process_is_an_exit_error_and_the_next_call_gets_another(self, functions, common, event, message):
        answer = functions.invoke(common, event)
        assert answer["FunctionError"] == "Unhandled"
        assert answer["Payload"]["errorType"] == "Runtime.ExitError"
        assert answer["Payload"]["errorMessage"].endswith(message)
        assert functions.value(common, "calls") == 1

    def test_a_function_that_takes_too_long_is_ended(self, functions):
        name = functions.create(Timeout=1)
        begun = time.monotonic()
        answer = functions.invoke(name, {"do": "sleep", "seconds": 60})
        assert 0.9 < time.monotonic() - begun < 10
        assert answer["FunctionError"] == "Unhandled"
        assert "Task timed out after 1.00 seconds" in answer["Payload"]["errorMessage"]
        assert functions.value(name, "calls") == 1

    @pytest.mark.skipif(not MemoryLimits().available, reason="this machine lets nobody limit memory")
    def test_a_function_that_takes_too_much_memory_is_ended(self, functions, common):
        answer = functions.invoke(common, {"do": "fill", "bytes": 400 * 1024 * 1024})
        assert answer["Payload"]["errorType"] == "Runtime.OutOfMemory"

    @pytest.mark.parametrize(
        ("program", "kind", "message"),
        [
            ("import no_such_module", "Runtime.ImportModuleError", "No module named 'no_such_module'"),
            ("def handler(", "Runtime.UserCodeSyntaxError", "Syntax error in module 'program'"),
            ("other = 1", "Runtime.HandlerNotFound", "Handler 'handler' missing"),
            ("import os; os._exit(4)", "Runtime.ExitError", "exit status 4"),
            ("1 / 0", "ZeroDivisionError", "division by zero"),
        ],
    )
    def test_a_function_that_does_not_load(self, functions, program, kind, message):
        answer = functions.invoke(functions.create(program), {})
        assert answer["FunctionError"] == "Unhandled"
        assert answer["Payload"]["errorType"] == kind
        assert message in answer["Payload"]["errorMessage"]

    def test_an_answer_that_is_no_json_is_an_error(self, functions, common):
        answer = functions.invoke(common, {"do": "eval", "expression": "{1, 2}"})
        assert answer["Payload"]["errorType"] == "Runtime.MarshalError"

    def test_an_answer_beyond_the_limit_is_an_error(self, functions, common):
        answer = functions.invoke(common, {"do": "eval", "expression": "'x' * 6400000"})
        assert answer["Payload"]["errorType"] == "Function.ResponseSizeTooLarge"

    def test_requests_that_lambda_refuses(self, functions, common):
        errors = functions.client.exceptions
        with pytest.raises(errors.InvalidRequestContentException):
            functions.client.invoke(FunctionName=common, Payload=b"{no json")
        with pytest.raises(errors.RequestTooLargeException, match="6291456"):
            functions.invoke(common, "x" * 6291456)
        with pytest.raises(errors.RequestTooLargeException, match="1048576"):
            functions.invoke(common, "x" * 1048576, InvocationType="Event")
        with pytest.raises(errors.ResourceNotFoundException):
            functions.invoke("no-such-function", {})


class TestAsynchronous:
    def test_success_is_reported_once(self, functions, outcomes):
        name = functions.create()
        assert functions.invoke(name, {"n": 1}, InvocationType="Event")["StatusCode"] == 202
        configuration, record = outcomes.wait(name)
        assert configuration["FunctionName"] == name
        assert record["requestContext"]["condition"] == "Success"
        assert record["requestContext"]["approximateInvokeCount"] == 1
        assert record["requestContext"]["functionArn"].endswith(f":function:{name}:$LATEST")
        assert (record["requestPayload"], record["responsePayload"]) == ({"n": 1}, {"n": 1})
        assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST"}

    @pytest.mark.parametrize(("retries", "attempts"), [(None, 3), (0, 1), (1, 2)])
    def test_failure_is_reported_after_the_retries(self, functions, outcomes, retries, attempts):
        name = functions.create()
        if retries is not None:
            functions.client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=2)
            functions.client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=retries)
        functions.invoke(name, {"do": "raise", "message": "always"}, InvocationType="Event")
        configuration, record = outcomes.wait(name)
        assert configuration["EventInvokeConfig"] == ({} if retries is None else {"MaximumRetryAttempts": retries})
        assert record["requestContext"]["condition"] == "RetriesExhausted"
        assert record["requestContext"]["approximateInvokeCount"] == attempts
        assert record["responseContext"]["functionError"] == "Unhandled"
        assert record["responsePayload"]["errorMessage"] == "always"
        starts = [line for lines in functions.log(name).values() for line in lines if line.startswith("START")]
        assert len(starts) == attempts

    def test_a_crash_is_a_failure_too(self, functions, outcomes):
        name = functions.create()
        functions.client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
        functions.invoke(name, {"do": "exit", "code": 9}, InvocationType="Event")
        _, record = outcomes.wait(name)
        assert record["responsePayload"]["errorType"] == "Runtime.ExitError"

    def test_a_function_that_cannot_mount_is_a_failure(self, functions, outcomes):
        missing = functions.account.access_point("/absent-async", create=False)["AccessPointArn"]
        name = functions.create(FileSystemConfigs=[{"Arn": missing, "LocalMountPath": "/mnt/efs"}])
        functions.client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
        functions.invoke(name, {}, InvocationType="Event")
        _, record = outcomes.wait(name)
        assert record["responsePayload"]["errorType"] == "EFSMountFailureException"


class TestConcurrency:
    def test_invocations_at_once_have_workers_of_their_own(self, functions):
        name = functions.create()
        begun = time.monotonic()
        with ThreadPoolExecutor(8) as callers:
            event = {"do": "sleep", "seconds": 1}
            answers = list(callers.map(lambda _: functions.invoke(name, event), range(8)))
        assert all("FunctionError" not in answer for answer in answers)
        assert time.monotonic() - begun < 6  # one after another would take 8
        assert len(functions.log(name)) > 1

    def test_short_invocations_share_few_workers(self, functions):
        name = functions.create()
        with ThreadPoolExecutor(32) as callers:
            list(callers.map(lambda n: functions.invoke(name, {"n": n}), range(64)))
        assert len(functions.log(name)) < 16

    def test_a_cap_makes_callers_wait(self, functions):
        account = functions.account
        runtime = LambdaRuntime(account.emulator.endpoint_url, account.file_systems, account.images, most_workers=1)
        runtime.install()
        try:
            capped = Functions(account, runtime)
            name = capped.create()
            with ThreadPoolExecutor(4) as callers:
                calls = sorted(callers.map(lambda _: capped.value(name, "calls"), range(4)))
            assert calls == [1, 2, 3, 4]
        finally:
            runtime.stop()

    def test_reserved_concurrency_throttles(self, functions):
        name = functions.create()
        functions.client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        client = functions.client
        with pytest.raises(client.exceptions.TooManyRequestsException, match="Rate Exceeded"):
            functions.invoke(name, {})
        client.delete_function_concurrency(FunctionName=name)
        assert functions.invoke(name, {"n": 1})["Payload"] == {"n": 1}

    def test_idle_workers_beyond_the_limit_are_ended(self, functions, monkeypatch):
        pool = functions.runtime._pool
        monkeypatch.setattr(pool, "_max_idle", 1)
        names = [functions.create() for _ in range(3)]
        for name in names:
            functions.invoke(name, {})
        with pool._changed:
            assert pool._changed.wait_for(lambda: sum(len(g.idle) for g in pool._groups.values()) == 1, TIMEOUT)
        assert functions.value(names[-1], "calls") == 2
        assert functions.value(names[0], "calls") == 1


class TestVersions:
    def test_new_code_and_configuration_take_effect_at_once(self, functions):
        name = functions.create(Environment={"Variables": {"WORD": "one"}})
        assert functions.value(name, "os.environ['WORD']") == "one"
        functions.client.update_function_configuration(FunctionName=name, Environment={"Variables": {"WORD": "two"}})
        assert functions.value(name, "os.environ['WORD']") == "two"
        functions.client.update_function_code(
            FunctionName=name, ZipFile=archive({"program.py": "handler = lambda *_: 'new'"})
        )
        assert functions.invoke(name, {})["Payload"] == "new"

    def test_a_published_version_keeps_its_code(self, functions):
        name = functions.create("handler = lambda event, context: ['first', context.invoked_function_arn]")
        version = functions.client.publish_version(FunctionName=name)["Version"]
        functions.client.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
        functions.client.update_function_code(
            FunctionName=name, ZipFile=archive({"program.py": "handler = lambda *_: 'second'"})
        )
        assert functions.invoke(name, {})["Payload"] == "second"
        answer = functions.invoke(name, {}, Qualifier="live")
        arn = f"arn:aws:lambda:us-east-1:123456789012:function:{name}"
        assert (answer["ExecutedVersion"], answer["Payload"]) == (version, ["first", f"{arn}:live"])
        assert functions.invoke(f"{arn}:{version}", {})["Payload"] == ["first", f"{arn}:{version}"]

    def test_layers_are_importable(self, functions):
        layer = functions.client.publish_layer_version(
            LayerName="extra", Content={"ZipFile": archive({"python/layered.py": "WORD = 'from the layer'"})}
        )
        name = functions.create(Layers=[layer["LayerVersionArn"]])
        assert functions.value(name, "__import__('layered').WORD") == "from the layer"


def test_an_image_function_runs_its_command(functions):
    dockerfile = (
        'FROM python:3.12\nWORKDIR /app\nCOPY program.py .\nENV FROM_IMAGE=yes\nENTRYPOINT ["python", "program.py"]\n'
    )
    context = functions.account.context("image-function", {"Dockerfile": dockerfile, "program.py": PROGRAM})
    uri = functions.account.images.build(REPOSITORY, context)
    name = "image-function"
    functions.client.create_function(
        FunctionName=name,
        PackageType="Image",
        Role=functions.account.role,
        Code={"ImageUri": uri},
        ImageConfig={"EntryPoint": ["python", "-m", "awslambdaric"], "Command": ["program.handler"]},
        Timeout=10,
        MemorySize=256,
    )
    assert functions.value(name, "[os.getcwd(), os.environ['FROM_IMAGE'], calls]") == ["/app", "yes", 1]
    configuration = functions.client.get_function_configuration(FunctionName=name)
    assert configuration["CodeSha256"] == uri.partition("@sha256:")[2]


def test_the_runtime_can_be_asked_directly(functions, common):
    result = functions.runtime.invoke(common, b'{"n": 1}')
    assert (result.status, json.loads(result.payload), result.function_error) == (200, {"n": 1}, None)
    with pytest.raises(FunctionError, match="Could not parse request body"):
        functions.runtime.invoke(common, b"{")


def test_stopping_the_runtime_ends_its_workers(functions):
    account = functions.account
    runtime = LambdaRuntime(account.emulator.endpoint_url, account.file_systems, account.images)
    runtime.install()
    short = Functions(account, runtime)
    short.invoke(short.create(), {})
    workers = set(runtime._pool._workers)
    assert workers
    runtime.stop()
    assert not runtime._pool._workers
    assert all(worker._process.ended.is_set() for worker in workers)
