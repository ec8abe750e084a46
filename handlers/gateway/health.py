"""Health: whether each part of the node answers, and what it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import LambdaFunctionUrlRouter
from botocore.exceptions import BotoCoreError, ClientError

from handlers.aws import client
from handlers.records import RunTable
from handlers.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable

router = LambdaFunctionUrlRouter()


@router.get("/health", tags=["node"], summary="Tell the node's health")
def get_health() -> Response[dict[str, Any]]:
    """HEALTHY, WARNING where a part does not answer as it should, UNKNOWN where that could not be told."""
    issues: list[dict[str, str]] = []
    layers = _probe("runTable", RunTable().layers, issues) or []
    active = _probe("stateMachine", _active_executions, issues)
    _probe("fileSystem", _check_file_system, issues)
    worst = {issue["status"] for issue in issues}
    body = {
        "status": "UNKNOWN" if "UNKNOWN" in worst else "WARNING" if worst else "HEALTHY",
        "issues": issues,
        "resources": {"efsLayers": layers, "sfnActiveExecutions": active},
    }
    return Response(200, "application/json", body)


def _probe(component: str, ask: Callable[[], Any], issues: list[dict[str, str]]) -> Any:
    try:
        return ask()
    except _Unhealthy as error:
        issues.append({"component": component, "status": "WARNING", "message": str(error)})
    except (ClientError, BotoCoreError) as error:
        issues.append({"component": component, "status": "UNKNOWN", "message": type(error).__name__})
    return None


class _Unhealthy(Exception):
    """A part answered, and is not well."""


def _active_executions() -> int:
    return sum(1 for _ in RunTable().unfinished())


def _check_file_system() -> None:
    found = client("efs").describe_file_systems(FileSystemId=settings().file_system_id)["FileSystems"]
    if not found or found[0]["LifeCycleState"] != "available":
        raise _Unhealthy(f"file system {settings().file_system_id} is not available")
