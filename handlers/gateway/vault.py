"""The secrets that users keep on the node: one Secrets Manager secret a scope, a JSON map of names to values."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from handlers.aws import client
from handlers.errors import BadRequest, NotFound, TooLarge
from handlers.settings import settings
from handlers.workflow import RESERVED

if TYPE_CHECKING:
    from collections.abc import Mapping

SHARED = "shared"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MAX_BYTES = 65_536  # of a secret's value


def read(scope: str) -> dict[str, str]:
    """The values of a scope by name; none where nothing was ever kept."""
    manager = client("secretsmanager")
    try:
        text = manager.get_secret_value(SecretId=_secret_id(scope))["SecretString"]
    except manager.exceptions.ResourceNotFoundException:
        return {}
    values: dict[str, str] = json.loads(text)
    return values


def put(scope: str, name: str, value: str) -> None:
    """Keep a value. Raises BadRequest for a name that no processor could get it under, TooLarge for too many."""
    if not NAME.fullmatch(name):
        raise BadRequest(f"{name!r} is no name for a secret", ["a letter or '_', then letters, digits and '_'"])
    if name in RESERVED:
        raise BadRequest(f"{name} is the node's own", [f"reserved: {', '.join(sorted(RESERVED))}"])
    _write(scope, {**read(scope), name: value})


def delete(scope: str, name: str) -> None:
    """Forget a value. Raises NotFound."""
    values = read(scope)
    if name not in values:
        raise NotFound(f"there is no secret {name}")
    del values[name]
    _write(scope, values)


def _write(scope: str, values: Mapping[str, str]) -> None:
    text = json.dumps(values, sort_keys=True)
    if len(text.encode()) > MAX_BYTES:
        raise TooLarge(f"the secrets of one scope may take {MAX_BYTES:,} bytes together")
    manager: Any = client("secretsmanager")
    try:
        manager.put_secret_value(SecretId=_secret_id(scope), SecretString=text)
    except manager.exceptions.ResourceNotFoundException:
        tags = [{"Key": "node", "Value": settings().node_name}]
        manager.create_secret(Name=_secret_id(scope), SecretString=text, Tags=tags)


def _secret_id(scope: str) -> str:
    return f"{settings().node_name}/secrets/{scope}"
