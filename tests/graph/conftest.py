"""Graphs that several tests look at, evaluated once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from recorder import Graph, evaluate, stack_config

IMAGE = f"999999999999.dkr.ecr.us-east-1.amazonaws.com/team/tool@sha256:{'0' * 64}"
BOUNDARY = "arn:aws:iam::123456789012:policy/lab-boundary"


@pytest.fixture(scope="session")
def context_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A build context: what a processor's image is made of."""
    folder = tmp_path_factory.mktemp("processor")
    (folder / "Dockerfile").write_text("FROM scratch\n")
    return str(folder)


@pytest.fixture(scope="session")
def processors(context_dir: str) -> list[dict[str, Any]]:
    """One processor of each kind: built here and on both compute types, and a foreign image on ECS."""
    both = {
        "name": "both",
        "build": context_dir,
        "computeTypes": ["ecs", "lambda"],
        "environment": {"OMP_NUM_THREADS": "1"},
        "parameters": {
            "threshold": {"type": "number", "default": 0.5, "description": "of the mask"},
            "label": {"type": "string"},
        },
    }
    return [both, {"name": "foreign", "image": IMAGE, "cpu": 256, "memory": 512, "retries": 2}]


@pytest.fixture(scope="session")
def basic(processors: list[dict[str, Any]]) -> Graph:
    """A basic node with everything that a configuration can add to it."""
    return evaluate(
        stack_config(
            "basic",
            processors=processors,
            permissionsBoundaryArn=BOUNDARY,
            storage={"inputBuckets": ["open-data"]},
            gateway={"allowedPrincipals": ["111111111111", "arn:aws:iam::222222222222:role/platform"]},
        )
    )


@pytest.fixture(scope="session")
def bare() -> Graph:
    """A basic node without processors or any other setting."""
    return evaluate(stack_config("basic", processors=None))
