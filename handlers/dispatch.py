"""Starts a processor on Lambda: hands it its payload, with the run's tokens and the task token that ends the wait.

Event: `{"runId", "nodeId", "plan", "callbackToken"}`. The tokens go from the run's secret straight into the
asynchronous invocation; they are in no state, item or log.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from handlers.aws import client
from handlers.environment import lambda_payload
from handlers.logs import logger
from handlers.records import RunTable, now
from handlers.settings import settings

if TYPE_CHECKING:
    from collections.abc import Mapping


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Invoke the processor's function asynchronously."""
    run_id, node_id, plan = event["runId"], event["nodeId"], event["plan"]
    secret = client("secretsmanager").get_secret_value(SecretId=settings().run_secret_prefix + run_id)
    payload = lambda_payload(node_id, plan, json.loads(secret["SecretString"]), event["callbackToken"])
    answer = client("lambda").invoke(
        FunctionName=plan["functionArn"], InvocationType="Event", Payload=json.dumps(payload).encode()
    )
    request_id = answer["ResponseMetadata"]["RequestId"]
    RunTable().record_attempt(run_id, node_id, plan["attempt"], {"requestId": request_id, "createdAt": now()})
    logger("dispatch", run_id).info("processor invoked", extra={"node": node_id, "requestId": request_id})
    return {"requestId": request_id}
