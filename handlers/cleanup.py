"""Step Cleanup: removes a run's files, transfer plans and unfinished uploads, as the files' owner.

Event: `{"runId"}` → `{"done"}`, false where the time of one invocation did not do for all files.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handlers.aws import client
from handlers.logs import logger
from handlers.records import RunTable
from handlers.settings import settings
from handlers.transfer.uploads import abort_uploads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RESERVE_MS = 30_000  # of the invocation's time, kept to answer in
DELETE_AT_ONCE = 1_000


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Remove what a run left on the file system and in S3."""
    run_id = event["runId"]
    run = RunTable().run(run_id)
    deadline = time.monotonic() + (context.get_remaining_time_in_millis() - RESERVE_MS) / 1000
    done = "runDir" not in run or empty(Path(settings().mount_path) / "runs" / run["runDir"], deadline)
    if done:
        abort_uploads(client("s3"), settings().results_bucket, run_id)
        remove_objects(f"plans/{run_id}/")
    logger("cleanup", run_id).info("files removed", extra={"done": done})
    return {"done": done}


def empty(directory: Path, deadline: float, clock: Callable[[], float] = time.monotonic) -> bool:
    """Remove everything in `directory`; tell whether it was done before `deadline` on `clock`.

    Links are removed, never followed: the processors that made them are not to be trusted.
    """
    try:
        entries = list(os.scandir(directory))
    except FileNotFoundError:
        return True
    for entry in entries:
        if clock() > deadline:
            return False
        if not entry.is_dir(follow_symlinks=False):
            Path(entry.path).unlink(missing_ok=True)
            continue
        Path(entry.path).chmod(0o700)  # a processor may have taken the right to write from its own directories
        if not empty(Path(entry.path), deadline, clock):
            return False
        Path(entry.path).rmdir()
    return True


def remove_objects(prefix: str) -> None:
    """Delete the objects of the results bucket below `prefix`."""
    s3, bucket = client("s3"), settings().results_bucket
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        keys = [{"Key": item["Key"]} for item in page.get("Contents", [])]
        for start in range(0, len(keys), DELETE_AT_ONCE):
            s3.delete_objects(Bucket=bucket, Delete={"Objects": keys[start : start + DELETE_AT_ONCE], "Quiet": True})
