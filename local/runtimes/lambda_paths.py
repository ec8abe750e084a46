"""Paths in payloads, where a function's file systems cannot be shown at the places that it knows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.sandbox.spec import Mount


def translate(payload: bytes, mounts: Sequence[Mount], *, to_host: bool) -> bytes:
    """Replace the mount places at the beginning of a JSON payload's strings by host paths, or the other way round."""
    pairs = [(mount.target, str(mount.source)) if to_host else (str(mount.source), mount.target) for mount in mounts]
    if not pairs or not payload:
        return payload
    try:
        value = json.loads(payload)
    except ValueError:
        return payload  # a function may answer with what is not JSON
    return json.dumps(_replace(value, pairs)).encode()


def _replace(value: Any, pairs: list[tuple[str, str]]) -> Any:
    if isinstance(value, dict):
        return {key: _replace(item, pairs) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace(item, pairs) for item in value]
    if isinstance(value, str):
        for old, new in pairs:
            if value == old or value.startswith(f"{old}/"):
                return new + value[len(old) :]
    return value
