"""The platform that may stand behind a node: it resolves a run's id to its workflow, and is told how the run goes.

A node without a platform works alone: the request then holds everything. The caller's session token is the bearer.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from handlers.aws import client
from handlers.errors import BadRequest, Retryable
from handlers.logs import logger
from handlers.records import Item, now
from handlers.settings import settings

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT = 20  # seconds a call
SERVER_ERRORS = 500


def resolve(run: Item) -> dict[str, Any]:
    """The request of a run: its own, or, where it came with an id alone, the platform's answer.

    Raises BadRequest where the platform does not know the run, Retryable where it does not answer.
    """
    request: dict[str, Any] = json.loads(run["request"])
    if "object" in request:
        body = client("s3").get_object(Bucket=settings().results_bucket, Key=request["object"])["Body"]
        request = json.loads(body.read())
    if not request.get("platform"):
        return request
    return {
        **_call("GET", f"/compute/workflows/runs/{run['runId']}", run),
        **{k: v for k, v in request.items() if k != "platform"},
    }


def report_run(run: Item, status: str) -> None:
    """Tell the platform, if there is one, what has become of a run. It may not fail the run."""
    _report(f"/compute/workflows/runs/{run['runId']}/status", run, status)


def report_processor(run: Item, node_id: str, status: str) -> None:
    """Tell the platform, if there is one, what has become of a node."""
    _report(f"/compute/workflows/runs/{run['runId']}/processor/{node_id}/status", run, status)


def _report(path: str, run: Item, status: str) -> None:
    if not settings().platform_api_host2:
        return
    try:
        _call("PUT", path, run, {"status": status, "timestamp": now()})
    except (BadRequest, Retryable) as error:
        logger("platform", run["runId"]).warning("the platform was not told", extra={"reason": error.message})


def _call(method: str, path: str, run: Item, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    host = settings().platform_api_host2
    if not host:
        raise BadRequest("the run has no workflow, and this node has no platform to ask for it")
    request = urllib.request.Request(  # noqa: S310 - the operator's own configuration
        host.rstrip("/") + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {_session_token(run)}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
            text = answer.read()
    except urllib.error.HTTPError as error:
        if error.code >= SERVER_ERRORS:
            raise Retryable(f"the platform answered {error.code} to {method} {path}") from error
        raise BadRequest(f"the platform answered {error.code} to {method} {path}") from error
    except OSError as error:
        raise Retryable(f"the platform cannot be reached for {method} {path}: {error}") from error
    return json.loads(text) if text else {}


def _session_token(run: Item) -> str:
    secret = client("secretsmanager").get_secret_value(SecretId=run["secretName"])
    token: str = json.loads(secret["SecretString"]).get("SESSION_TOKEN", "")
    return token
