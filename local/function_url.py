"""Function URLs: an HTTP address for a function, which only requests get through that the operator's key signed.

Not imitated: policies of other principals (there are none here but the operator), CORS, response streaming, and the
signature in a query string.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from local.loopback import serve
from local.signature import Forbidden, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from local.emulator import Emulator

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, of the whole event
MOST_BYTES = 6 * 1024 * 1024
TEXT = re.compile(r"(text/.*|application/(json|xml|javascript|x-ndjson|.*\+(json|xml)))", re.IGNORECASE)
# Headers that are the connection's rather than the request's.
HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})
# What proves who asks is not for the function to see.
CREDENTIALS = frozenset({"authorization", "x-amz-security-token"})


@dataclass(frozen=True)
class Answer:
    """An HTTP response."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)

    @classmethod
    def message(cls, status: int, text: str) -> Answer:
        """A response that Lambda gives by itself."""
        return cls(status, json.dumps({"Message": text}).encode())


class FunctionUrls:
    """The addresses of an embedded account's functions, each on a port of its own."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._stack = ExitStack()
        self._wanted_port = 0

    def use_port(self, port: int) -> None:
        """Have the next address on this port (0: any free one)."""
        self._wanted_port = port

    def open(self, function_name: str) -> str:
        """Serve the function; returns its URL. Raises OSError where the port is taken."""
        endpoint = _Endpoint(self._emulator, function_name)
        port, self._wanted_port = self._wanted_port, 0
        return serve(self._stack, endpoint, port, f"url-{function_name}") + "/"

    def stop(self) -> None:
        """Close all addresses."""
        self._stack.close()


class _Endpoint:
    """One function's address, as a WSGI application."""

    def __init__(self, emulator: Emulator, function_name: str) -> None:
        self._emulator, self._function = emulator, function_name
        self._id = uuid.uuid4().hex

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        answer = self._answer(environ)
        headers = [*answer.headers, ("Content-Length", str(len(answer.body)))]
        start_response(f"{answer.status} ", headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else answer.body]

    def _answer(self, environ: dict[str, Any]) -> Answer:
        if int(environ.get("CONTENT_LENGTH") or 0) > MOST_BYTES:
            return _too_large()
        request = HttpRequest.read(environ)
        try:
            if self._authorization_type() == "AWS_IAM":
                verify(request, self._emulator.credentials, self._emulator.region)
        except Forbidden as refusal:
            return Answer.message(403, str(refusal))
        event = json.dumps(self._event(request)).encode()
        if len(event) > MOST_BYTES:
            return _too_large()
        return self._invoke(event)

    def _authorization_type(self) -> str:
        config = self._emulator.client("lambda").get_function_url_config(FunctionName=self._function)
        return str(config["AuthType"])

    def _invoke(self, event: bytes) -> Answer:
        client = self._emulator.client("lambda")
        try:
            result = client.invoke(FunctionName=self._function, Payload=event)
        except client.exceptions.TooManyRequestsException:
            return Answer.message(429, "Rate Exceeded.")
        except client.exceptions.ClientError:
            return Answer.message(502, "Internal Server Error")
        payload = result["Payload"].read()
        return Answer.message(502, "Internal Server Error") if result.get("FunctionError") else _translated(payload)

    def _event(self, request: HttpRequest) -> dict[str, Any]:
        """https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads."""
        headers = {name: value for name, value in request.headers.items() if name not in CREDENTIALS}
        query: dict[str, list[str]] = {}
        for name, value in parse_qsl(request.query, keep_blank_values=True):
            query.setdefault(name, []).append(value)
        textual = TEXT.match(request.headers.get("content-type", ""))
        body = request.body.decode(errors="surrogateescape") if textual else base64.b64encode(request.body).decode()
        event = {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": request.path,
            "rawQueryString": request.query,
            "headers": headers
            | {"x-forwarded-proto": "https", "x-forwarded-port": "443", "x-forwarded-for": "127.0.0.1"},
            "requestContext": self._context(request),
            "isBase64Encoded": bool(request.body) and not textual,
        }
        cookies = {"cookies": headers.pop("cookie").split("; ")} if "cookie" in headers else {}
        parameters = (
            {"queryStringParameters": {name: ",".join(values) for name, values in query.items()}} if query else {}
        )
        return event | cookies | parameters | ({"body": body} if request.body else {})

    def _context(self, request: HttpRequest) -> dict[str, Any]:
        now = datetime.now(UTC)
        account, key = self._emulator.account, self._emulator.credentials.access_key_id
        iam = {
            "accessKey": key,
            "accountId": account,
            "callerId": "AIDAEMBEDDEDOPERATOR",
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": f"arn:aws:iam::{account}:user/operator",
            "userId": "AIDAEMBEDDEDOPERATOR",
        }
        return {
            "accountId": account,
            "apiId": self._id,
            "authentication": None,
            "authorizer": {"iam": iam} if "authorization" in request.headers else None,
            "domainName": f"{self._id}.lambda-url.{self._emulator.region}.on.aws",
            "domainPrefix": self._id,
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": request.headers.get("user-agent", ""),
            },
            "requestId": str(uuid.uuid4()),
            "routeKey": "$default",
            "stage": "$default",
            "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": round(now.timestamp() * 1000),
        }


@dataclass(frozen=True)
class HttpRequest:
    """A request as it came over the wire: the path and the query are still encoded."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @classmethod
    def read(cls, environ: dict[str, Any]) -> HttpRequest:
        """Take the request out of a WSGI environment."""
        path, _, query = environ["REQUEST_URI"].partition("?")
        headers = {
            key.removeprefix("HTTP_").replace("_", "-").lower(): value
            for key, value in environ.items()
            if key.startswith("HTTP_") or (key in {"CONTENT_TYPE", "CONTENT_LENGTH"} and value)
        }
        return cls(environ["REQUEST_METHOD"], path, query, headers, _body(environ))


def _body(environ: dict[str, Any]) -> bytes:
    """The request's body: the connection stays open behind it, so that its length, or its last chunk, must tell."""
    if length := environ.get("CONTENT_LENGTH"):
        return bytes(environ["wsgi.input"].read(int(length)))
    return bytes(environ["wsgi.input"].read()) if environ.get("wsgi.input_terminated") else b""


def _too_large() -> Answer:
    return Answer.message(413, f"Request must be smaller than {MOST_BYTES} bytes for the InvokeFunction operation")


def _translated(payload: bytes) -> Answer:
    """A function's result as an HTTP response; without a status code all of it is the body."""
    result = json.loads(payload or b"null")
    if not isinstance(result, dict) or "statusCode" not in result:
        body = result.encode() if isinstance(result, str) else json.dumps(result).encode()
        return Answer(200, body)
    text = result.get("body") or ""
    text = text if isinstance(text, str) else json.dumps(text)
    body = base64.b64decode(text) if result.get("isBase64Encoded") else text.encode()
    headers = {str(name).lower(): str(value) for name, value in (result.get("headers") or {}).items()}
    headers.setdefault("content-type", "application/json")
    kept = [(name, value) for name, value in headers.items() if name not in HOP_BY_HOP]
    cookies = [("set-cookie", cookie) for cookie in result.get("cookies") or ()]
    return Answer(int(result["statusCode"]), body, (*kept, *cookies))
