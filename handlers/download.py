"""Step Download: carries out one part of the plan that Initialize wrote, or completes one of its large files.

Event: `{"action": "part", "runId", "runDir", "part": k}` or `{"action": "assemble", "runId", "runDir", "large": k}`.
Answer: `{"files", "bytes"}`. A repeated call changes nothing; an assembly that ends with Retryable has got further and
is to be repeated.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from handlers.errors import BadRequest
from handlers.logs import logger
from handlers.settings import Settings
from handlers.transfer.client import bulk_client
from handlers.transfer.fetch import Download
from handlers.transfer.installments import expiry
from handlers.transfer.landing import run_directory
from handlers.transfer.store import Documents

if TYPE_CHECKING:
    from collections.abc import Mapping


def handler(event: Mapping[str, Any], context: object) -> dict[str, int]:
    """Carry out one step of a run's download."""
    settings = Settings.from_env(os.environ)
    run_id = event["runId"]
    documents = Documents(bulk_client(), settings.results_bucket, run_id, "download")
    directory = run_directory(settings.mount_path, event["runDir"]) / "input"
    download = Download(documents, directory, run_id, expiry(context))
    match event["action"]:
        case "part":
            done = download.part(event["part"])
        case "assemble":
            done = download.assemble(event["large"])
        case action:
            raise BadRequest(f"unknown action {action!r}; download knows 'part' and 'assemble'")
    step = {key: event[key] for key in ("action", "part", "large") if key in event}
    logger("download", run_id).info("inputs moved", extra={**step, **done})
    return done
