"""Step Assess: judges a failed attempt of a node, and prepares the next one where there is to be one.

Event: `{"runId", "nodeId", "plan", "failure": {"Error", "Cause"}}`. Answer: `{"plan", "retry", "waitSeconds",
"reason"}`, which takes the place of the node's plan in the state machine. Repeating it gives the same.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from handlers.causes import judge, tries_again, wait_before
from handlers.environment import task_environment
from handlers.logs import logger
from handlers.records import RunTable, now
from handlers.settings import settings
from handlers.transfer.landing import run_directory
from handlers.workspace import prepare_attempt

if TYPE_CHECKING:
    from collections.abc import Mapping


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Record the attempt, then either prepare another or give the node up."""
    run_id, node_id, plan = event["runId"], event["nodeId"], event["plan"]
    verdict = judge(event["failure"], plan)
    retry = tries_again(verdict, plan)
    table = RunTable()
    attempt = {**verdict.record, "reason": verdict.reason, "endedAt": now()}
    table.record_attempt(run_id, node_id, plan["attempt"], attempt)
    told = {"node": node_id, "attempt": plan["attempt"], "reason": verdict.reason, "retry": retry}
    logger("assess", run_id).warning("attempt failed", extra=told)
    if not retry:
        table.update_node(run_id, node_id, status="FAILED", reason=verdict.reason, endedAt=now())
        return {"plan": plan, "retry": False, "waitSeconds": 0, "reason": f"{node_id} failed: {verdict.reason}"}
    following = _next_attempt(node_id, plan)
    prepare_attempt(run_directory(settings().mount_path, plan["runDir"]), node_id, following)
    # Seeded by the attempt, so that a repeated call answers as the first did.
    draw = random.Random(f"{run_id}/{node_id}/{plan['attempt']}")  # noqa: S311 - jitter, not a secret
    return {
        "plan": following,
        "retry": True,
        "waitSeconds": wait_before(plan["attempt"], draw),
        "reason": verdict.reason,
    }


def _next_attempt(node_id: str, plan: Mapping[str, Any]) -> dict[str, Any]:
    following = {**plan, "attempt": plan["attempt"] + 1}
    if plan["computeType"] == "ecs":
        following["environment"] = task_environment(node_id, following)
    return following
