"""Opaque tokens that a page hands on to the next."""

from __future__ import annotations

import base64
import json
from typing import Any

from handlers.errors import BadRequest


def write(state: Any) -> str | None:
    """A token that holds `state`; None for None, after the last page."""
    if state is None:
        return None
    return base64.urlsafe_b64encode(json.dumps(state, separators=(",", ":")).encode()).decode()


def read(token: str | None) -> Any:
    """The state of a token. Raises BadRequest for what is none."""
    if not token:
        return None
    try:
        return json.loads(base64.urlsafe_b64decode(token.encode()))
    except ValueError as error:
        raise BadRequest("nextToken is not one that this node gave") from error
