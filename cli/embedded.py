"""Starting the embedded node: which program it deploys, and where it keeps its files."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from cli.errors import CliError
from cli.state import NodeState

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.node import EmbeddedNode

PROGRAM_FILE = "Pulumi.yaml"
PROJECT = re.compile(r"^name:\s*compute-node\s*$", re.MULTILINE)


def find_program(start: Path) -> Path:
    """Find the Pulumi program: in `start` or above it, else the one that this package was installed from."""
    installed = Path(__file__).resolve().parent.parent
    for directory in (start, *start.parents, installed):
        file = directory / PROGRAM_FILE
        # Not whatever Pulumi project the caller happens to stand in: deploying runs its code.
        if file.is_file() and PROJECT.search(file.read_text(encoding="utf-8")):
            return directory
    raise CliError(
        f"there is no {PROGRAM_FILE} of the project compute-node in {start} or above it: nothing to deploy",
        hint="call this in a checkout of the node's repository",
    )


def start_node(program: Path, root: Path, stack: str, port: int, progress: Callable[[str], None]) -> EmbeddedNode:
    """Deploy the stack into an embedded AWS; raise CliError when the stack or the port is not to be had."""
    config = program / f"Pulumi.{stack}.yaml"
    if not config.is_file():
        stacks = sorted(path.name.split(".")[1] for path in program.glob("Pulumi.*.yaml"))
        raise CliError(f"there is no stack {stack!r} in {program}", details=[f"its stacks: {', '.join(stacks)}"])
    from local.node import EmbeddedNode  # noqa: PLC0415 - moto and pulumi take a second to import
    from local.provider.mocks import DeploymentError  # noqa: PLC0415

    try:
        return EmbeddedNode.start(stack=stack, root=root, program=program, port=port, progress=progress)
    except DeploymentError as error:
        raise CliError(
            f"stack {stack} cannot be deployed", details=str(error).splitlines(), hint=f"its configuration: {config}"
        ) from error
    except RuntimeError as error:
        raise CliError(str(error), hint="wait for it to end, or use another directory") from error
    except OSError as error:
        if not port or error.errno not in {errno.EADDRINUSE, errno.EACCES}:
            raise
        raise CliError(f"port {port} cannot be used: {error.strerror}", hint="choose another --port") from error


def demo_root(directory: Path) -> Path:
    """Make the place for a demo's node, beside the one of `up`, with the same cache of images and environments."""
    from local.account import CACHE  # noqa: PLC0415

    root, cache = directory / "demo" / "node", directory / CACHE
    root.mkdir(parents=True, exist_ok=True)
    cache.mkdir(exist_ok=True)
    if not (root / CACHE).is_symlink():
        (root / CACHE).symlink_to(cache.resolve())
    return root


def node_state(node: EmbeddedNode) -> NodeState:
    """Describe a running node for the other commands."""
    return NodeState(
        gatewayUrl=node.gateway_url,
        endpointUrl=node.endpoint_url,
        region="us-east-1",
        accessKeyId=node.credentials.access_key_id,
        secretAccessKey=node.credentials.secret_access_key,
        pid=os.getpid(),
        nodeName=str(node.outputs["nodeName"]),
    )
