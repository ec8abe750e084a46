"""What a processor is given: its environment on ECS, its payload on Lambda, and the task definition that carries it."""

from __future__ import annotations

import json
import os
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from handlers.settings import settings
from handlers.workflow import Node, as_text, check_overrides

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.records import Item

TASK_MOUNT = PurePosixPath("/mnt/efs")  # on ECS the run's directory itself
TASK_LAYERS = "/mnt/layers"
INFRASTRUCTURE_RETRIES = 3


def plan(node: Node, run: Item, request: Mapping[str, Any], run_dir: str) -> dict[str, Any]:
    """Everything that the state machine, Assess and Dispatch need of a node, for its first attempt."""
    definition = node.definition
    made = {
        "attempt": 1,
        "processor": node.processor,
        "computeType": node.compute_type,
        "dependsOn": list(node.depends_on),
        "dependents": list(node.dependents),
        "parameters": node.parameters,
        "timeoutSeconds": int(definition["timeoutSeconds"]),
        "startDeadlineSeconds": int(definition.get("startDeadlineSeconds") or 600),
        "retries": int(definition.get("retries") or 0),
        "runDir": run_dir,
        "family": family(run["runId"], node.processor),
        "functionArn": definition.get("functionArn", ""),
        "context": _context(run, request),
    }
    if node.compute_type == "ecs":
        made["declared"] = {key: as_text(value) for key, value in (definition.get("environment") or {}).items()}
        made["environment"] = task_environment(node.id, made)
        check_overrides(node.id, made["environment"])
    return made


def family(run_id: str, processor: str) -> str:
    """The task definition's family: the run's own, so that neither state machine nor cleanup need look it up."""
    return f"{settings().node_name}-{run_id}-{processor}"


def _context(run: Item, request: Mapping[str, Any]) -> dict[str, str]:
    """The part of the environment that is the same for every node of a run; nothing secret."""
    return {
        "EXECUTION_RUN_ID": run["runId"],
        "WORKFLOW_INSTANCE_ID": run["workflowInstanceId"],
        "INTEGRATION_ID": request.get("integrationId") or "",
        "PENNSIEVE_API_HOST": settings().platform_api_host,
        "PENNSIEVE_API_HOST2": settings().platform_api_host2,
        "DEPLOYMENT_MODE": settings().deployment_mode,
        "DATASET_ID": request.get("datasetId") or "",
        "ORGANIZATION_ID": request.get("organizationId") or "",
        "TARGET_TYPE": request.get("targetType") or "",
        "LLM_GOVERNOR_FUNCTION": "",
    }


def directories(root: PurePosixPath, node_id: str, made: Mapping[str, Any]) -> dict[str, str]:
    """Where an attempt reads and writes, below the run's `root` as the processor sees it."""
    depends_on, attempt = made["dependsOn"], made["attempt"]
    if not depends_on:
        source = root / "input"
    elif len(depends_on) == 1:
        source = root / "work" / depends_on[0] / "current" / "output"
    else:
        source = root / "work" / node_id / "inputs"
    work = root / "work" / node_id / str(attempt)
    return {"INPUT_DIR": f"{source}", "OUTPUT_DIR": f"{work}/output", "PARAMETERS_FILE": f"{work}/parameters.json"}


def task_environment(node_id: str, made: Mapping[str, Any]) -> list[dict[str, str]]:
    """The environment of an attempt on ECS, as overrides take it. Tokens come by the task definition's secrets."""
    values = {
        **made["declared"],
        **{name: as_text(value) for name, value in made["parameters"].items()},
        **made["context"],
        **directories(TASK_MOUNT, node_id, made),
        "LAYERS_DIR": TASK_LAYERS,
    }
    return [{"Name": name, "Value": value} for name, value in values.items() if value != ""]


def lambda_payload(node_id: str, made: Mapping[str, Any], secrets: Mapping[str, str], token: str) -> dict[str, Any]:
    """The payload of an attempt on Lambda: the environment's names in camelCase, and `params`."""
    mount = PurePosixPath(settings().mount_path)
    values = {
        **made["context"],
        **directories(mount / "runs" / made["runDir"], node_id, made),
        "LAYERS_DIR": f"{mount}/layers",
        "CALLBACK_TOKEN": token,
        **{name: secrets.get(name, "") for name in ("SESSION_TOKEN", "REFRESH_TOKEN")},
    }
    user_secrets = {k: v for k, v in secrets.items() if k not in values}
    return {**{camel(k): v for k, v in values.items()}, "params": made["parameters"], "secrets": user_secrets}


def camel(name: str) -> str:
    """`SESSION_TOKEN` as `sessionToken`."""
    first, *rest = name.lower().split("_")
    return first + "".join(word.capitalize() for word in rest)


def task_definition(run: Item, definition: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of RegisterTaskDefinition that depend on run and processor; the access point comes with the state."""
    container = {
        "Name": "processor",
        "Image": definition["image"],
        "Essential": True,
        "Secrets": [
            {"Name": key, "ValueFrom": f"{run['secretArn']}:{key}::"} for key in sorted(run.get("secretKeys") or [])
        ],
        "MountPoints": [
            {"SourceVolume": "run", "ContainerPath": f"{TASK_MOUNT}", "ReadOnly": False},
            {"SourceVolume": "layers", "ContainerPath": TASK_LAYERS, "ReadOnly": True},
        ],
        "LogConfiguration": {
            "LogDriver": "awslogs",
            "Options": {
                "awslogs-group": settings().processor_log_group,
                "awslogs-region": os.environ["AWS_REGION"],
                "awslogs-stream-prefix": run["runId"],
                "mode": "blocking",  # the default drops lines under load
            },
        },
    }
    return {
        "family": family(run["runId"], definition["name"]),
        "processor": definition["name"],
        "cpu": str(definition["cpu"]),
        "memory": str(definition["memory"]),
        "ephemeralStorageGiB": int(definition.get("ephemeralStorageGiB") or 21),
        "containerDefinitions": [container],
    }


def parameters_file(made: Mapping[str, Any]) -> str:
    """The text of an attempt's parameters.json."""
    return json.dumps(made["parameters"], indent=1, sort_keys=True) + "\n"
