"""A gateway and an object store of recorded answers, on one HTTP server of this process, and a way to call the command.

The gateway checks every request's SigV4 signature by computing it afresh. It does not imitate the node's behaviour.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from rich.console import Console

from cli.context import Context
from cli.main import execute
from cli.parsers import parse
from cli.retry import Retries
from cli.state import STATE_DIRECTORY, NodeState, write_state
from cli.view.screen import Screen

if TYPE_CHECKING:
    from pathlib import Path

RUN = "6f0c0b5e-1111-4222-8333-444455556666"
KEYS = ReadOnlyCredentials("AKIALOCAL", "local-secret", None)
Answer = tuple[int, Any] | Callable[["Request"], tuple[int, Any]]


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class World:
    """What the server answers, and what it was asked. A route's last answer is given again and again."""

    url: str = ""
    routes: dict[str, list[Answer]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    refused_urls: set[str] = field(default_factory=set)
    headers: dict[str, str] = field(default_factory=dict)
    unsigned: list[str] = field(default_factory=list)

    def answer(self, route: str, *answers: Answer) -> None:
        self.routes[route] = list(answers)

    def asked(self, route: str) -> list[Request]:
        return [request for request in self.requests if f"{request.method} {request.path}" == route]

    def respond(self, request: Request) -> tuple[int, bytes]:
        if request.path.startswith("/store/"):
            return self._store(request)
        self.requests.append(request)
        if not self._is_signed(request):
            self.unsigned.append(f"{request.method} {request.path}")
            return 403, b'{"Message":"Forbidden"}'
        answers = self.routes.get(f"{request.method} {request.path}")
        if not answers:
            return 404, json.dumps({"error": "not_found", "message": f"no {request.path}"}).encode()
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        status, body = answer(request) if callable(answer) else answer
        return status, body if isinstance(body, bytes) else json.dumps(body).encode()

    def _store(self, request: Request) -> tuple[int, bytes]:
        if request.path + request.query in self.refused_urls:
            return 403, b"<Error><Code>AccessDenied</Code></Error>"
        if request.method == "PUT":
            self.objects[request.path] = request.body
            return 200, b""
        return (200, self.objects[request.path]) if request.path in self.objects else (404, b"")

    def _is_signed(self, request: Request) -> bool:
        match = re.search(r"SignedHeaders=([^,]+), Signature=(\w+)", request.headers.get("authorization", ""))
        if not match:
            return False
        sent = {name: request.headers[name] for name in match[1].split(";")}
        url = f"http://{sent.pop('host')}{request.path}" + (f"?{request.query}" if request.query else "")
        again = AWSRequest(request.method, url, data=request.body, headers=sent)
        again.context["timestamp"] = sent["x-amz-date"]
        signer = SigV4Auth(KEYS, "lambda", "us-east-1")
        canonical = signer.canonical_request(again)
        return signer.signature(signer.string_to_sign(again, canonical), again) == match[2]


@contextmanager
def serve() -> Iterator[World]:
    """Run the server for as long as the block lasts."""
    world = World()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, answer = world.respond(Request(self.command, path, query, headers, body))
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            for name, value in world.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - http.server looks them up

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    world.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield world
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Cli:
    """Calls the command in a directory where the world's node runs."""

    world: World
    cwd: Path
    waits: list[float] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)

    def __call__(self, *argv: str, terminal: bool = False, width: int = 80) -> Outcome:
        args = parse(argv)
        out, err = io.StringIO(), io.StringIO()
        options: dict[str, Any] = {
            "highlight": False,
            "width": width,
            "height": 25,
            "force_terminal": terminal,
            "color_system": None,
            "_environ": {},  # rich would obey the environment of the tests: COLUMNS, FORCE_COLOR
        }
        screen = Screen(Console(file=out, **options), Console(file=err, **options), args.json)
        context = Context(args, screen, self.environ, self.cwd, Retries(sleep=self.waits.append, jitter=lambda: 1.0))
        code = execute(context)
        return Outcome(int(code), out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Outcome:
    """What a call gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def state_for(world: World) -> NodeState:
    return NodeState(
        gatewayUrl=world.url,
        endpointUrl=world.url,
        region="us-east-1",
        accessKeyId=KEYS.access_key,
        secretAccessKey=KEYS.secret_key,
        pid=1,
        nodeName="compute-node-basic",
    )


def install_state(world: World, directory: Path) -> Path:
    return write_state(directory / STATE_DIRECTORY, state_for(world))


def node(name: str, status: str = "WAITING", **more: Any) -> dict[str, Any]:
    """Make a node of a run as the gateway tells it."""
    entry = {
        "id": name,
        "processor": f"{name}-processor",
        "computeType": "ecs",
        "status": status,
        "dependsOn": [],
        "waitingFor": [],
        "reason": None,
        "startedAt": None,
        "endedAt": None,
        "attempts": [],
    }
    return entry | more


def run(status: str = "RUNNING", phase: str = "RUN", **more: Any) -> dict[str, Any]:
    """Make a run as the gateway tells it."""
    return {
        "executionRunId": RUN,
        "status": status,
        "phase": phase,
        "workflowInstanceId": "wf-1",
        "workflowName": "neuroimaging",
        "createdAt": "2026-11-24T10:00:00.000Z",
        "startedAt": "2026-11-24T10:00:00.500Z",
        "endedAt": None,
        "error": None,
        "nodes": [],
        "links": {},
    } | more


def at(seconds: float) -> str:
    """Spell the moment so many seconds after the run's acceptance."""
    return f"2026-11-24T10:00:{seconds:06.3f}Z"
