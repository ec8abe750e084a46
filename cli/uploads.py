"""Uploading a run's local inputs through presigned URLs of the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.errors import CliError
from cli.transfer import mover

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cli.client import Gateway
    from cli.inputs import LocalFile
    from cli.models import Json

FILES_A_REQUEST = 1000


def upload(gateway: Gateway, files: Sequence[LocalFile], on_bytes: Callable[[int], None]) -> list[Json]:
    """Upload the files and return the run's inputs, each with the SHA-256 of what was read here."""
    urls = _upload_urls(gateway, files)
    with mover(on_bytes, gateway.retries, embedded=gateway.target.embedded) as move:

        def send(file: LocalFile) -> Json:
            place = urls[file.path]
            return {
                "uri": place["uri"],
                "path": file.path,
                "sha256": move.send(place["putUrl"], file.source, file.size),
            }

        return move.each(files, send)


def _upload_urls(gateway: Gateway, files: Sequence[LocalFile]) -> dict[str, Json]:
    urls: dict[str, Json] = {}
    for start in range(0, len(files), FILES_A_REQUEST):
        asked = files[start : start + FILES_A_REQUEST]
        answer = gateway.create_uploads([{"path": file.path, "sizeBytes": file.size} for file in asked])
        urls |= {entry["path"]: entry for entry in answer.get("files") or []}
    missing = [file.path for file in files if file.path not in urls]
    if missing:
        raise CliError(f"the gateway gave no upload URL for {missing[0]!r} ({len(missing)} of {len(files)} files)")
    return urls
