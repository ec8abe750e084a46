"""The gateway's API, one method an operation: signing, retries and errors are settled here and nowhere else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from cli.errors import GatewayError, UnreachableError
from cli.models import Json, OutputFile, Run, output_from, run_from
from cli.retry import RETRIED_STATUSES, Retries, Transient, retry_after_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cli.target import Target

SERVICE = "lambda"  # a Function URL's SigV4 service
TIMEOUT = httpx.Timeout(60.0, connect=5.0)
PAGE = 100
FORBIDDEN = 403


class Gateway:
    """A client of one node's gateway."""

    def __init__(self, target: Target, *, retries: Retries | None = None) -> None:
        self.target = target
        self.retries = retries or Retries()
        # A proxy of the environment has no way to the embedded node on this machine.
        self._http = httpx.Client(timeout=TIMEOUT, trust_env=not target.embedded)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def health(self) -> Json:
        """Ask for the node's health."""
        return self._object("GET", "/health")

    def processors(self) -> list[Json]:
        """List the processors that the node offers."""
        return _items(self._json("GET", "/processors"), "processors")

    def create_uploads(self, files: list[Json]) -> Json:
        """Ask for a presigned URL for each file ({path, sizeBytes})."""
        return self._object("POST", "/uploads", body={"files": files})

    def start_run(self, request: Json, tokens: Mapping[str, str]) -> Json:
        """Start a run. Repeating it is harmless: the request carries its own executionRunId."""
        return self._object("POST", "/runs", body=request, headers=tokens)

    def run(self, run_id: str) -> Run:
        """Read one run with its nodes."""
        return run_from(self._object("GET", f"/runs/{quote(run_id, safe='')}"))

    def runs(self, *, status: str | None = None, limit: int = PAGE) -> Iterator[Run]:
        """Read the newest `limit` runs, newest first, page by page."""
        token: str | None = None
        left = limit
        while left > 0:
            query = {"status": status, "limit": str(min(left, PAGE)), "nextToken": token}
            page = self._object("GET", "/runs", query=query)
            found = page.get("runs") or []
            yield from (run_from(entry) for entry in found[:left])
            left -= len(found)
            token = page.get("nextToken")
            if not token:
                return

    def log_page(self, run_id: str, *, node: str | None, component: str | None, token: str | None) -> Json:
        """Read one page of a run's log: {events, nextToken, complete}."""
        query = {"node": node, "component": component, "nextToken": token}
        return self._object("GET", f"/runs/{quote(run_id, safe='')}/logs", query=query)

    def outputs(self, run_id: str) -> list[OutputFile]:
        """List a run's published files, each with a fresh URL."""
        return [output_from(file) for file in self.output_document(run_id)["files"]]

    def output_document(self, run_id: str) -> Json:
        """Read a run's outputs as the gateway tells them, all pages in one."""
        path = f"/runs/{quote(run_id, safe='')}/outputs"
        document = self._object("GET", path)
        files = list(document.get("files") or [])
        while token := document.get("nextToken"):
            document = self._object("GET", path, query={"nextToken": token})
            files += document.get("files") or []
        return {**document, "files": files}

    def cancel(self, run_id: str) -> Json:
        """Cancel a run."""
        return self._object("DELETE", f"/runs/{quote(run_id, safe='')}")

    def _object(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | None] | None = None,
        body: Json | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        answer = self._json(method, path, query=query, body=body, headers=headers)
        if not isinstance(answer, dict):
            raise self._unexpected(f"a JSON {type(answer).__name__} for {method} {path}")
        return answer

    def _json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | None] | None = None,
        body: Json | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        url = self.target.url + path + _query_string(query or {})
        content = b"" if body is None else json.dumps(body, allow_nan=False, ensure_ascii=False).encode()
        sent = {"accept": "application/json", **(headers or {})}
        if body is not None:
            sent["content-type"] = "application/json"
        response = self.retries.run(lambda: self._send(method, url, sent, content))
        try:
            return response.json() if response.content else {}
        except ValueError as error:
            raise self._unexpected(f"{response.headers.get('content-type', 'no type')} for {method} {path}") from error

    def _send(self, method: str, url: str, headers: Mapping[str, str], content: bytes) -> httpx.Response:
        signed = self._signed(method, url, headers, content)
        try:
            response = self._http.request(method, url, headers=signed, content=content)
        except httpx.TransportError as error:
            raise Transient(self._unreachable(error)) from error
        if response.is_success:
            return response
        failure = gateway_error(response, self.target)
        if response.status_code in RETRIED_STATUSES:
            raise Transient(failure, retry_after=retry_after_seconds(response.headers.get("retry-after")))
        raise failure

    def _signed(self, method: str, url: str, headers: Mapping[str, str], content: bytes) -> dict[str, str]:
        from botocore.auth import SigV4Auth  # noqa: PLC0415 - slow to import
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415

        request = AWSRequest(method=method, url=url, data=content, headers=dict(headers))
        # Signed afresh at each try: a signature is good for 5 minutes, and credentials may have been renewed.
        SigV4Auth(self.target.credentials(), SERVICE, self.target.region).add_auth(request)
        return dict(request.headers.items())

    def _unreachable(self, error: httpx.TransportError) -> UnreachableError:
        target = self.target
        if isinstance(error, httpx.ConnectError):
            stopped = target.state is not None and not target.state.alive
            message = f"no node answers at {target.url} (from {target.origin})"
            if stopped:
                message += f"; its process {target.state.pid if target.state else ''} is gone"
            hint = "start one with `compute-node up`" if target.embedded else f"check the URL and the network: {error}"
            return UnreachableError(message, hint=hint)
        what = "took too long to answer" if isinstance(error, httpx.TimeoutException) else f"broke off: {error}"
        return UnreachableError(
            f"the node at {target.url} {what}", hint="try again; `compute-node health` tells its state"
        )

    def _unexpected(self, what: str) -> GatewayError:
        return GatewayError(
            f"{self.target.url} answered with {what}, which no compute node does",
            status=200,
            code="unexpected_answer",
            hint=f"check the URL (from {self.target.origin})",
        )


def gateway_error(response: httpx.Response, target: Target) -> GatewayError:
    """Turn an error answer into one message: {error, message, details} of the gateway, or AWS's own {Message}."""
    body = _error_body(response)
    status = response.status_code
    code = str(body.get("error") or response.reason_phrase or status)
    message = body.get("message") or body.get("Message") or f"the gateway answered {status} {response.reason_phrase}"
    hint = None
    if "error" not in body and status == FORBIDDEN:
        message = f"{target.url} refuses these AWS credentials: {message}"
        hint = "use a principal that the node's gateway allows (`compute-node:gateway`), by --profile or AWS_PROFILE"
    return GatewayError(str(message), status=status, code=code, details=detail_lines(body.get("details")), hint=hint)


def detail_lines(details: Any) -> list[str]:
    """Spell an error's details one a line, whatever their shape."""
    if not details:
        return []
    if isinstance(details, dict):
        return [f"{key}: {_flat(value)}" for key, value in details.items()]
    if isinstance(details, list):
        return [_detail_line(entry) for entry in details]
    return [str(details)]


def _detail_line(entry: Any) -> str:
    if not isinstance(entry, dict):
        return _flat(entry)
    where = entry.get("loc") or entry.get("field") or entry.get("path")
    what = entry.get("msg") or entry.get("message")
    if where and what:
        place = ".".join(map(str, where)) if isinstance(where, list) else str(where)
        return f"{place}: {what}"
    return ", ".join(f"{key}: {_flat(value)}" for key, value in entry.items())


def _flat(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _error_body(response: httpx.Response) -> Json:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _items(answer: Any, key: str) -> list[Json]:
    return list(answer.get(key) or []) if isinstance(answer, dict) else list(answer)


def _query_string(query: Mapping[str, str | None]) -> str:
    """Encode strictly as SigV4 does (space is %20), for what is signed must be what is sent."""
    pairs = [f"{quote(key, safe='')}={quote(value, safe='-_.~')}" for key, value in query.items() if value]
    return "?" + "&".join(pairs) if pairs else ""
