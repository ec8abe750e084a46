"""What the node offers: its processors, and the layers of data that processors find."""

from __future__ import annotations

import json
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Path
from aws_lambda_powertools.event_handler.router import LambdaFunctionUrlRouter

from handlers.aws import client
from handlers.errors import Conflict, NotFound
from handlers.records import RunTable
from handlers.settings import settings

router = LambdaFunctionUrlRouter()
SHOWN = ("name", "description", "computeTypes", "cpu", "memory", "timeoutSeconds", "retries", "parameters", "image")
LayerName = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$")]


@router.get("/processors", tags=["processors"], summary="List the node's processors")
def list_processors() -> Response[dict[str, Any]]:
    """What workflows of this node can be made of."""
    found = sorted(RunTable().processors().items())
    shown = [{key: definition.get(key) for key in SHOWN} for _, definition in found]
    return _answer(200, {"processors": shown})


@router.get("/layers", tags=["layers"], summary="List the persistent layers")
def list_layers() -> Response[dict[str, Any]]:
    """Name, size and number of files of each."""
    return _answer(200, {"layers": RunTable().layers()})


@router.delete("/layers/<name>", tags=["layers"], summary="Delete a layer")
def delete_layer(name: LayerName) -> Response[dict[str, Any]]:
    """Refused while runs are active: they may be reading it."""
    table = RunTable()
    if name not in {layer["name"] for layer in table.layers()}:
        raise NotFound(f"there is no layer {name}")
    if active := next(table.unfinished(), None):
        raise Conflict(f"layer {name} may be in use: run {active['runId']} is {active['status']}")
    client("lambda").invoke(
        FunctionName=f"{settings().node_name}-scope",
        Payload=json.dumps({"action": "remove-layer", "name": name}).encode(),
    )
    table.remove_layer(name)
    return _answer(200, {"name": name, "deleted": True})


def _answer(status: int, body: dict[str, Any]) -> Response[dict[str, Any]]:
    return Response(status, "application/json", body)
