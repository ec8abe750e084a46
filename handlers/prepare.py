"""Step Prepare: makes the directories and parameter files of a run's nodes, for the first attempt of each.

Event: `{"runId", "runDir"}`.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from handlers.aws import client
from handlers.logs import logger
from handlers.records import RunTable
from handlers.settings import settings
from handlers.transfer.landing import run_directory
from handlers.transfer.plan import iter_sums
from handlers.workspace import prepare_attempt

if TYPE_CHECKING:
    from collections.abc import Mapping

THREADS = 16  # a directory on EFS takes milliseconds, nearly all of them waiting


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Prepare every node of a run."""
    run_id = event["runId"]
    table = RunTable()
    table.enter(run_id, "RUN")
    root = run_directory(settings().mount_path, event["runDir"])
    (root / "input").mkdir(exist_ok=True)
    nodes = table.nodes(run_id, ("nodeId", "plan"))
    with ThreadPoolExecutor(THREADS) as pool:
        done = sum(1 for _ in pool.map(lambda n: prepare_attempt(root, n["nodeId"], json.loads(n["plan"])), nodes))
    read = sum(1 for _ in iter_sums(client("s3"), settings().results_bucket, run_id))
    logger("prepare", run_id).info("nodes prepared", extra={"nodes": done, "inputFiles": read})
    return {"nodes": done}
