"""The entry: one resolver, its routes, and the one place where errors become answers."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler import LambdaFunctionUrlResolver, Response
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from botocore.exceptions import ClientError

from handlers.errors import BadRequest, NodeError, NotFound, Retryable, TooLarge
from handlers.gateway import catalogue, health, logs, outputs, runs, secrets, uploads
from handlers.logs import logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_lambda_powertools.event_handler.exceptions import NotFoundError

MAX_BODY = 5 * 1024 * 1024  # bytes; a Function URL takes 6 MB, and says nothing useful past that
THROTTLED = frozenset(
    {"ThrottlingException", "Throttling", "TooManyRequestsException", "ProvisionedThroughputExceededException",
     "RequestLimitExceeded", "SlowDown", "ServiceUnavailable", "InternalServerError", "InternalError"}
)  # fmt: skip
JSON = "application/json"

app = LambdaFunctionUrlResolver(enable_validation=True)
for part in (runs, logs, outputs, uploads, catalogue, secrets, health):
    app.include_router(part.router)


@app.get("/openapi.json", include_in_schema=False)
def openapi() -> Response[str]:
    """The API's own description."""
    from handlers.gateway.openapi import document  # noqa: PLC0415 - rarely asked for, slow to make

    return Response(status_code=200, content_type=JSON, body=json.dumps(document(app)))


@app.exception_handler(NodeError)
def _node_error(error: NodeError) -> Response[str]:
    return _answer(error)


@app.exception_handler(RequestValidationError)
def _validation_error(error: RequestValidationError) -> Response[str]:
    return _answer(BadRequest("the request does not fit the API", [_fault(fault) for fault in error.errors()]))


@app.exception_handler(ClientError)
def _aws_error(error: ClientError) -> Response[str]:
    code = error.response.get("Error", {}).get("Code", "")
    if code in THROTTLED:
        return _answer(Retryable("AWS is busy; try again shortly"), {"retry-after": "2"})
    logger("gateway").error("an AWS call failed", extra={"code": code, "operation": error.operation_name})
    return _answer(NodeError(f"the node's own call {error.operation_name} failed with {code}"))


@app.exception_handler(Exception)
def _bug(error: Exception) -> Response[str]:
    # The message may hold what must not be shown; the class is enough to find the log line by.
    logger("gateway").exception("unexpected error", exc_info=error)
    return _answer(NodeError(f"the gateway failed ({type(error).__name__}); its log says more"))


@app.not_found
def _no_route(_error: NotFoundError) -> Response[str]:
    event = app.current_event
    allowed = _methods(event.path)
    if allowed:
        body = {"error": "method_not_allowed", "message": f"{event.path} takes {', '.join(allowed)}", "details": []}
        return Response(405, JSON, json.dumps(body), headers={"allow": ", ".join(allowed)})
    return _answer(NotFound(f"there is no {event.http_method} {event.path}; /openapi.json describes what there is"))


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a request that came by the Function URL."""
    if fault := _body_fault(event):
        return {"statusCode": fault.status, "headers": {"content-type": JSON}, "body": json.dumps(fault.as_dict())}
    return app.resolve(event, context)


def _body_fault(event: Mapping[str, Any]) -> NodeError | None:
    """What is wrong with a body as such: too large, or no JSON. Runs before any route."""
    body = event.get("body") or ""
    if len(body) > MAX_BODY:
        return TooLarge(f"the body has more than {MAX_BODY:,} bytes", ["hand large data over as inputs, by S3 URI"])
    if not body:
        return None
    try:
        raw = base64.b64decode(body) if event.get("isBase64Encoded") else body
        json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return BadRequest("the body is not JSON", [str(error)])
    return None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _answer(error: NodeError, headers: Mapping[str, str] | None = None) -> Response[str]:
    return Response(error.status, JSON, json.dumps(error.as_dict()), headers=dict(headers or {}))


def _fault(fault: Mapping[str, Any]) -> str:
    """One mistake with its place; the value is left out, as it may be secret."""
    place = ".".join(str(step) for step in fault["loc"] if step != "body")
    return f"{place or 'body'}: {fault['msg']}"


def _methods(path: str) -> list[str]:
    """The methods of the routes at a path, so that a wrong one is told from a wrong path."""
    routes = [*app._static_routes, *app._dynamic_routes]  # noqa: SLF001 - the resolver has no public list
    return sorted({route.method for route in routes if route.rule.match(path)})
