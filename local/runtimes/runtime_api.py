"""The Lambda Runtime API: where a worker's runtime client asks for invocations and leaves their results.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. Each worker has a port of its own, because the client
takes nothing but a host and a port, and says nothing about itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_PREFIX = "/2018-06-01/runtime/"
_LINE_BYTES = 2**20 + 4096  # the client sends X-Ray causes of up to 1 MiB in a header
_ACCEPTED = (202, b'{"status":"OK"}')


@dataclass
class Invocation:
    """One invocation: what the worker gets, and what it leaves."""

    request_id: str
    payload: bytes
    function_arn: str
    timeout_seconds: float
    deadline_ms: int = 0
    client_context: str | None = None
    trace_id: str = ""
    result: bytes = b""
    error: str | None = None  # "Unhandled" where the result is an error
    done: threading.Event = field(default_factory=threading.Event)

    def headers(self) -> dict[str, str]:
        """What the client reads beside the payload."""
        headers = {
            "Lambda-Runtime-Aws-Request-Id": self.request_id,
            "Lambda-Runtime-Deadline-Ms": str(self.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": self.function_arn,
            "Lambda-Runtime-Trace-Id": self.trace_id,
        }
        if self.client_context is not None:
            headers["Lambda-Runtime-Client-Context"] = self.client_context
        return headers

    def finish(self, result: bytes, error: str | None = None) -> None:
        """Leave the result; only the first one counts."""
        if not self.done.is_set():
            self.result, self.error = result, error
            self.done.set()


class Client(Protocol):
    """A worker, as its port sees it. All calls come on the API's thread."""

    def ready(self) -> None:
        """It has asked for its next invocation."""

    def init_failed(self, error: bytes) -> None:
        """It cannot load its function."""


class Endpoint:
    """The port of one worker."""

    def __init__(self, loop: asyncio.AbstractEventLoop, client: Client) -> None:
        self._loop = loop
        self._client = client
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._socket.getsockname()[:2])
        self._waiting: asyncio.Future[Invocation] | None = None
        self._current: Invocation | None = None
        self._server: asyncio.Server | None = None

    def open(self) -> None:
        """Begin to listen."""
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def give(self, invocation: Invocation) -> None:
        """Answer the worker's waiting request for an invocation."""
        self._loop.call_soon_threadsafe(self._give, invocation)

    def close(self) -> None:
        """Stop listening; an open request is dropped."""
        with contextlib.suppress(RuntimeError):  # the loop has ended with everything on it
            self._loop.call_soon_threadsafe(self._close)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, sock=self._socket, limit=_LINE_BYTES)

    def _give(self, invocation: Invocation) -> None:
        self._current = invocation
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(invocation)

    def _close(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Cancelled only when the worker or everything ends; asyncio would log a task that says so.
        with contextlib.suppress(asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError, ValueError):
            while request := await _read_request(reader):
                await self._answer(*request, writer)
        writer.close()

    async def _answer(self, method: str, path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        action = path.removeprefix(_PREFIX)
        if method == "GET" and action == "invocation/next":
            invocation = await self._next()
            await _respond(writer, 200, invocation.payload, invocation.headers())
        elif method == "POST" and action == "init/error":
            self._client.init_failed(body)
            await _respond(writer, *_ACCEPTED)
        elif method == "POST" and action.startswith("invocation/"):
            await _respond(writer, *self._take(action, body))
        else:
            await _respond(writer, 404, b'{"errorType":"NotFound"}')

    async def _next(self) -> Invocation:
        self._current = None
        self._waiting = self._loop.create_future()
        self._client.ready()
        return await self._waiting

    def _take(self, action: str, body: bytes) -> tuple[int, bytes]:
        _, request_id, kind = action.split("/", 2)
        current = self._current
        if current is None or current.request_id != request_id:
            return 400, b'{"errorType":"InvalidRequestID"}'
        current.finish(body, "Unhandled" if kind == "error" else None)
        return _ACCEPTED


class RuntimeApi:
    """Serves all workers on one thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="lambda-runtime-api", daemon=True)
        self._thread.start()

    def endpoint(self, client: Client) -> Endpoint:
        """A port for a new worker."""
        return Endpoint(self.loop, client)

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` on the API's thread after a time."""
        self.loop.call_soon_threadsafe(self.loop.call_later, seconds, action)

    def close(self) -> None:
        """Stop serving."""
        asyncio.run_coroutine_threadsafe(_cancel_all(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


async def _cancel_all() -> None:
    tasks: list[Awaitable[Any]] = []
    for task in asyncio.all_tasks():
        if task is not asyncio.current_task():
            task.cancel()
            tasks.append(task)
    await asyncio.gather(*tasks, return_exceptions=True)


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, str, bytes] | None:
    """The next request of a connection, None at its end."""
    first = await reader.readline()
    if not first:
        return None
    method, path, _ = first.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while line := (await reader.readline()).decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return method, path, await _read_chunks(reader)
    return method, path, await reader.readexactly(int(headers.get("content-length", 0)))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readline()
    while (await reader.readline()).strip():
        pass
    return bytes(body)


async def _respond(
    writer: asyncio.StreamWriter, status: int, body: bytes, headers: dict[str, str] | None = None
) -> None:
    lines = [f"HTTP/1.1 {status} {'OK' if status < 300 else 'Error'}"]  # noqa: PLR2004 - the success range
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
    writer.write("\r\n".join(lines).encode("latin-1") + body)
    await writer.drain()


def error_payload(kind: str, message: str) -> bytes:
    """An error as the service itself reports one."""
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()
