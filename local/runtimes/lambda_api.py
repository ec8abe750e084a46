"""The Lambda operations of moto that the runtime takes over, and the settings that moto does not keep.

moto drops a function's file systems and logging configuration, keeps the first event invoke configuration whatever is
put later, overlooks the qualifier of an invocation, and gives an image function a checksum of its name.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from moto.awslambda.exceptions import LambdaClientError
from moto.awslambda.models import LambdaBackend, LambdaFunction
from moto.awslambda.responses import LambdaResponse
from moto.awslambda_simple.models import LambdaSimpleBackend

from local.runtimes.lambda_function import FunctionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import ExitStack

    from local.runtimes.lambda_runtime import LambdaRuntime

SETTINGS = ("FileSystemConfigs", "LoggingConfig")
CALLER_STATUS = {"TooManyRequestsException": 429, "RequestTooLargeException": 413}
_IMAGE_DIGEST = re.compile(r"@sha256:([0-9a-f]{64})$")


def settings(function: LambdaFunction) -> dict[str, Any]:
    """What a function was given beyond what moto keeps."""
    kept: dict[str, Any] = function.__dict__.setdefault("embedded_settings", {})
    return kept


def event_invoke_config(function: LambdaFunction) -> dict[str, Any]:
    """How asynchronous invocations of a function are retried, and where their results go."""
    return dict(function.event_invoke_config[-1].config) if function.event_invoke_config else {}


def install(runtime: LambdaRuntime, hooks: ExitStack) -> None:
    """Take the operations over until `hooks` close."""

    def replace(owner: type, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        hooks.enter_context(patch.object(owner, name, make(getattr(owner, name))))

    for backend in (LambdaBackend, LambdaSimpleBackend):
        replace(backend, "invoke", lambda _: _backend_invoke(runtime))
    replace(LambdaResponse, "invoke", _reading_qualifier)
    replace(LambdaFunction, "invoke", lambda _: _function_invoke(runtime))
    replace(LambdaFunction, "__init__", _keeping_settings)
    replace(LambdaFunction, "get_configuration", _showing_settings)
    replace(LambdaFunction, "update_configuration", lambda original: _updating(runtime, original))
    replace(LambdaFunction, "update_function_code", lambda original: _updating(runtime, original))
    replace(LambdaBackend, "put_function_event_invoke_config", _replacing_event_config)
    replace(LambdaBackend, "delete_function", lambda original: _deleting(runtime, original))


def _reading_qualifier(original: Callable[..., Any]) -> Callable[..., Any]:
    """moto asks for `qualifier`, where the request says `Qualifier`, and so runs $LATEST whatever was asked."""

    def invoke(self: LambdaResponse) -> Any:
        if "Qualifier" in self.querystring:
            self.querystring["qualifier"] = self.querystring["Qualifier"]
        return original(self)

    return invoke


def _backend_invoke(runtime: LambdaRuntime) -> Callable[..., bytes]:
    def invoke(  # noqa: PLR0913, PLR0917 - as moto calls it
        self: LambdaBackend,
        function_name: str,
        qualifier: str | None,
        body: bytes | str | None,
        headers: Mapping[str, str],
        response_headers: dict[str, str],
    ) -> bytes:
        function = self.get_function(function_name, qualifier)
        # An ARN may name the version or alias itself.
        asked = qualifier or (function_name.rsplit(":function:", maxsplit=1)[-1].partition(":")[2] or None)
        payload = _answer(runtime, function, asked, body, headers, response_headers)
        response_headers["Content-Length"] = str(len(payload))
        return payload

    return invoke


def _function_invoke(runtime: LambdaRuntime) -> Callable[..., bytes]:
    """What moto's other services call: S3 notifications, SQS and log subscriptions, and the old InvokeAsync."""

    def invoke(
        self: LambdaFunction, body: bytes | str, request_headers: Mapping[str, str], response_headers: dict[str, str]
    ) -> bytes:
        return _answer(runtime, self, None, body, request_headers, response_headers)

    return invoke


def _answer(  # noqa: PLR0913, PLR0917 - moto's own parameters
    runtime: LambdaRuntime,
    function: LambdaFunction,
    qualifier: str | None,
    body: bytes | str | None,
    headers: Mapping[str, str],
    response_headers: dict[str, str],
) -> bytes:
    kind = headers.get("X-Amz-Invocation-Type") or headers.get("x-amz-invocation-type") or "RequestResponse"
    context = headers.get("X-Amz-Client-Context") or headers.get("x-amz-client-context")
    payload = body.encode() if isinstance(body, str) else body or b""
    try:
        result = runtime.invoke_function(
            function,
            payload,
            invocation_type=kind,
            qualifier=qualifier,
            client_context=base64.b64decode(context).decode() if context else None,
        )
    except FunctionError as error:
        raise _client_error(error) from error
    if kind == "RequestResponse":
        response_headers["x-amz-executed-version"] = result.executed_version
        response_headers["x-amz-log-result"] = base64.b64encode(result.log_tail).decode()
        if result.function_error:
            response_headers["x-amz-function-error"] = result.function_error
    return result.payload


def _client_error(error: FunctionError) -> LambdaClientError:
    answer = LambdaClientError(error.code, str(error))
    answer.code = CALLER_STATUS.get(error.code, 400)
    return answer


def _keeping_settings(original: Callable[..., None]) -> Callable[..., None]:
    def __init__(self: LambdaFunction, account_id: str, spec: dict[str, Any], *rest: Any, **more: Any) -> None:  # noqa: N807
        original(self, account_id, spec, *rest, **more)
        settings(self).update({name: spec[name] for name in SETTINGS if spec.get(name)})
        if match := _IMAGE_DIGEST.search(self.code.get("ImageUri", "")):
            self.code_sha_256 = match[1]

    return __init__


def _showing_settings(original: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def get_configuration(self: LambdaFunction, *arguments: Any, **more: Any) -> dict[str, Any]:
        return original(self, *arguments, **more) | settings(self)

    return get_configuration


def _updating(runtime: LambdaRuntime, original: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def update(self: LambdaFunction, changes: dict[str, Any]) -> dict[str, Any]:
        # Versions published before share the dictionary with this one.
        self.__dict__["embedded_settings"] = settings(self) | {k: changes[k] for k in SETTINGS if k in changes}
        original(self, changes)
        if match := _IMAGE_DIGEST.search(changes.get("ImageUri", "")):
            self.code_sha_256 = match[1]
        runtime.forget(self.function_name)
        return self.get_configuration()

    return update


def _replacing_event_config(original: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def put(self: LambdaBackend, function_name: str, config: dict[str, Any]) -> dict[str, Any]:
        answer = original(self, function_name, config)
        configurations = self.get_function(function_name).event_invoke_config
        del configurations[:-1]
        return answer

    return put


def _deleting(runtime: LambdaRuntime, original: Callable[..., None]) -> Callable[..., None]:
    def delete(self: LambdaBackend, function_name: str, qualifier: str | None = None) -> None:
        name = self.get_function(function_name).function_name
        original(self, function_name, qualifier)
        runtime.forget(name)

    return delete
