"""Lambda, by local processes: the function's own bundle or image, run by AWS's runtime client, warm between calls.

Not imitated: IAM, networks, CPU shares, SnapStart, extensions, response streaming, provisioned concurrency, and event
source mappings.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.awslambda.utils import get_backend

from local.runtimes import lambda_api
from local.runtimes.lambda_function import FunctionError, FunctionFactory, Package, snapshot
from local.runtimes.lambda_paths import translate
from local.runtimes.lambda_pool import WorkerFailedError, WorkerPool
from local.runtimes.lambda_worker import Machinery
from local.runtimes.logs import LogPump
from local.runtimes.runtime_api import Invocation, RuntimeApi, error_payload
from local.sandbox.memory import MemoryLimits
from local.sandbox.processes import launcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from moto.awslambda.models import LambdaFunction

    from local.filesystem import FileSystems
    from local.images import Images
    from local.runtimes.lambda_function import FunctionSnapshot
    from local.sandbox.processes import Launcher

    AsyncResult = Callable[[dict[str, Any], dict[str, Any]], None]

ACCOUNT, REGION = "123456789012", "us-east-1"
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
SYNC_BYTES = 6 * 1024 * 1024
ASYNC_BYTES = 1024 * 1024
RESPONSE_BYTES = 6_291_556
DEFAULT_RETRIES = 2
# Lambda waits one minute, then two; nobody waits that long in front of a terminal.
RETRY_SECONDS = (1.0, 2.0)


@dataclass(frozen=True)
class InvocationResult:
    """What Invoke answers; `function_error` is None for a success."""

    status: int
    payload: bytes
    function_error: str | None
    log_tail: bytes
    executed_version: str
    request_id: str


class LambdaRuntime:
    """Runs the functions of moto's Lambda.

    `on_async_result(configuration, record)` gets the outcome of each asynchronous invocation after its retries: the
    function's configuration with its `EventInvokeConfig`, and the record as a destination receives it.
    `most_workers` bounds the concurrency of each function; whoever comes then waits.
    """

    def __init__(
        self,
        endpoint_url: str,
        file_systems: FileSystems,
        images: Images,
        on_async_result: AsyncResult | None = None,
        *,
        most_workers: int | None = None,
    ) -> None:
        self._factory = FunctionFactory(endpoint_url, file_systems, images)
        self._on_async_result = on_async_result
        self._most_workers = most_workers
        self.processes: Launcher | None = None  # another than this process's own, before install
        self.retry_seconds = RETRY_SECONDS
        self._hooks = contextlib.ExitStack()
        self._stopping = threading.Event()
        self._reserved: dict[str, int] = {}
        self._reserved_changed = threading.Condition()
        self._events: set[threading.Thread] = set()

    def install(self) -> None:
        """Take over the invocations of moto's functions."""
        self._launcher = self.processes or launcher()
        self._factory.gives_files_away = os.geteuid() == 0 and not self._launcher.isolation.user_namespace
        self._pump = LogPump()
        self._api = RuntimeApi()
        self._limits = MemoryLimits()
        machinery = Machinery(self._factory, self._launcher, self._pump, self._api, self._limits)
        self._pool = WorkerPool(machinery, self._most_workers)
        lambda_api.install(self, self._hooks)

    def stop(self) -> None:
        """End all workers and give moto its own operations back; invocations under way fail."""
        self._hooks.close()
        self._stopping.set()
        self._pool.close()
        for thread in list(self._events):
            thread.join()
        self._api.close()
        self._pump.close()
        self._limits.close()

    def invoke(  # noqa: PLR0913 - as Invoke's own parameters
        self,
        function: str,
        payload: bytes,
        *,
        invocation_type: str = "RequestResponse",
        qualifier: str | None = None,
        account: str = ACCOUNT,
        region: str = REGION,
    ) -> InvocationResult:
        """Invoke a function by name or ARN.

        Raises FunctionError where it cannot run, moto's UnknownFunctionException where there is none.
        """
        found = get_backend(account, region).get_function(function, qualifier)
        return self.invoke_function(found, payload, invocation_type=invocation_type, qualifier=qualifier)

    def invoke_function(
        self,
        function: LambdaFunction,
        payload: bytes,
        *,
        invocation_type: str = "RequestResponse",
        qualifier: str | None = None,
        client_context: str | None = None,
    ) -> InvocationResult:
        """Invoke a function of moto's, as `invocation_type` says.

        Raises FunctionError where the request is refused or the function cannot run.
        """
        request_id = str(uuid.uuid4())
        body = _checked(payload, ASYNC_BYTES if invocation_type == "Event" else SYNC_BYTES)
        if invocation_type == "DryRun":
            return InvocationResult(204, b"", None, b"", "", request_id)
        if invocation_type == "Event":
            self._queue(function, request_id, body, qualifier)
            return InvocationResult(202, b"", None, b"", "", request_id)
        with self._reservation(function, wait=False):
            return self._run(function, request_id, body, qualifier, client_context)

    def forget(self, name: str) -> None:
        """End the workers of a function that was changed or deleted."""
        self._pool.retire(name)

    def _run(
        self,
        function: LambdaFunction,
        request_id: str,
        payload: bytes,
        qualifier: str | None,
        client_context: str | None = None,
    ) -> InvocationResult:
        version = snapshot(function, lambda_api.settings(function))
        # Found out anew for each invocation, since the file system may have changed; the worker mounts by itself.
        mounts, _ = self._factory.mounts(version)
        plain = not self._launcher.isolation.namespaces
        invocation = Invocation(
            request_id=request_id,
            payload=translate(payload, mounts, to_host=True) if plain else payload,
            function_arn=_invoked_arn(function, qualifier),
            timeout_seconds=float(version.timeout_seconds),
            client_context=client_context,
            trace_id=f"Root=1-{int(datetime.now(UTC).timestamp()):08x}-{secrets.token_hex(12)};Sampled=0",
        )
        tail = self._serve(version, _package(function), invocation)
        result, error = invocation.result, invocation.error
        if error is None and plain:
            result = translate(result, mounts, to_host=False)
        if len(result) > RESPONSE_BYTES:
            message = f"Response payload size exceeded maximum allowed payload size ({RESPONSE_BYTES} bytes)."
            result, error = error_payload("Function.ResponseSizeTooLarge", message), "Unhandled"
        return InvocationResult(200, result, error, tail, version.version, request_id)

    def _serve(self, version: FunctionSnapshot, package: Package, invocation: Invocation) -> bytes:
        try:
            worker = self._pool.take(version, package)
        except WorkerFailedError as error:
            invocation.finish(error.payload, "Unhandled")
            return b""
        try:
            return worker.invoke(invocation)
        finally:
            self._pool.give_back(worker)

    def _queue(self, function: LambdaFunction, request_id: str, payload: bytes, qualifier: str | None) -> None:
        thread = threading.Thread(
            target=self._run_event, args=(function, request_id, payload, qualifier), name="lambda-event", daemon=True
        )
        self._events.add(thread)
        thread.start()

    def _run_event(self, function: LambdaFunction, request_id: str, payload: bytes, qualifier: str | None) -> None:
        try:
            config = lambda_api.event_invoke_config(function)
            retries = int(config.get("MaximumRetryAttempts", DEFAULT_RETRIES))
            attempt, result = 0, self._attempt(function, request_id, payload, qualifier)
            while result.function_error and attempt < retries:
                if self._stopping.wait(self.retry_seconds[min(attempt, len(self.retry_seconds) - 1)]):
                    break
                attempt += 1
                result = self._attempt(function, request_id, payload, qualifier)
            if self._on_async_result is not None and not self._stopping.is_set():
                configuration = function.get_configuration() | {"EventInvokeConfig": config}
                self._on_async_result(configuration, _record(function, payload, result, attempt + 1, qualifier))
        finally:
            self._events.discard(threading.current_thread())

    def _attempt(
        self, function: LambdaFunction, request_id: str, payload: bytes, qualifier: str | None
    ) -> InvocationResult:
        try:
            with self._reservation(function, wait=True):
                return self._run(function, request_id, payload, qualifier)
        except FunctionError as error:
            return InvocationResult(200, error_payload(error.code, str(error)), "Unhandled", b"", "$LATEST", request_id)

    @contextlib.contextmanager
    def _reservation(self, function: LambdaFunction, *, wait: bool) -> Any:
        """Hold one of the function's reserved executions, where it has a limit."""
        limit = function.reserved_concurrency
        if limit is None:
            yield
            return
        name = function.function_arn
        with self._reserved_changed:
            if wait:
                free = lambda: self._stopping.is_set() or self._reserved.get(name, 0) < int(limit)  # noqa: E731
                self._reserved_changed.wait_for(free)
            elif self._reserved.get(name, 0) >= int(limit):
                raise FunctionError("TooManyRequestsException", "Rate Exceeded.")
            self._reserved[name] = self._reserved.get(name, 0) + 1
        try:
            yield
        finally:
            with self._reserved_changed:
                self._reserved[name] -= 1
                self._reserved_changed.notify_all()


def _checked(payload: bytes, limit: int) -> bytes:
    if len(payload) > limit:
        raise FunctionError(
            "RequestTooLargeException",
            f"Request must be smaller than {limit} bytes for the InvokeFunction operation; this one has {len(payload)}",
        )
    try:
        json.loads(payload or b"{}")
    except ValueError as error:
        message = f"Could not parse request body into json: {error}"
        raise FunctionError("InvalidRequestContentException", message) from error
    return payload or b"{}"


def _package(function: LambdaFunction) -> Package:
    """The function's archive and its layers'."""
    if function.package_type == "Image":
        return Package(b"")
    backend = get_backend(function.account_id, function.region)
    layers = [backend.layers_versions_by_arn(layer["Arn"]) for layer in function.layers]
    return Package(function.code_bytes, [(layer.code_bytes, layer.code_sha_256) for layer in layers if layer])


def _invoked_arn(function: LambdaFunction, qualifier: str | None) -> str:
    name = function.function_arn.split(":function:")[-1]
    unqualified = (
        function.function_arn.removesuffix(":" + name.partition(":")[2]) if ":" in name else (function.function_arn)
    )
    return f"{unqualified}:{qualifier}" if qualifier else function.function_arn


def _record(
    function: LambdaFunction, payload: bytes, result: InvocationResult, attempts: int, qualifier: str | None
) -> dict[str, Any]:
    """https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html."""
    arn = _invoked_arn(function, qualifier)
    context: dict[str, Any] = {"statusCode": 200, "executedVersion": result.executed_version or "$LATEST"}
    if result.function_error:
        context["functionError"] = result.function_error
    return {
        "version": "1.0",
        "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
        "requestContext": {
            "requestId": result.request_id,
            "functionArn": arn if qualifier else f"{arn}:$LATEST",
            "condition": "RetriesExhausted" if result.function_error else "Success",
            "approximateInvokeCount": attempts,
        },
        "requestPayload": json.loads(payload),
        "responseContext": context,
        "responsePayload": json.loads(result.payload or b"null"),
    }
