"""The running embedded node's state file, by which every other command finds it, and the lock that keeps it single."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cli.errors import CliError

if TYPE_CHECKING:
    from collections.abc import Iterator

STATE_DIRECTORY = ".compute-node"
STATE_FILE = "node.json"
LOCK_FILE = "node.lock"


@dataclass(frozen=True)
class NodeState:
    """Where the embedded node answers and who its local operator is; `pid` is the process of `compute-node up`."""

    gatewayUrl: str  # noqa: N815 - the file's own keys, as the gateway spells its JSON
    endpointUrl: str  # noqa: N815
    region: str
    accessKeyId: str  # noqa: N815
    secretAccessKey: str = field(repr=False)  # noqa: N815
    pid: int
    nodeName: str = ""  # noqa: N815

    @property
    def alive(self) -> bool:
        """Tell whether the process that wrote the file still exists."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def write_state(directory: Path, state: NodeState) -> Path:
    """Write the state file so that only its owner reads it and nobody sees half of it."""
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / STATE_FILE
    handle, name = tempfile.mkstemp(dir=directory, prefix=".node-")  # mkstemp's mode is 0600
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(asdict(state), file, indent=2)
        file.write("\n")
    Path(name).replace(target)
    return target


def read_state(path: Path) -> NodeState:
    """Read a state file; raise CliError naming it when it is not one."""
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
        return NodeState(**loaded)
    except (OSError, ValueError, TypeError) as error:
        raise CliError(
            f"{path} is not the state file of an embedded node: {error}",
            hint="remove it and start the node again with `compute-node up`",
        ) from error


def find_state(start: Path) -> Path | None:
    """Look for a state file in `start` and then in each directory above it."""
    for directory in (start, *start.parents):
        path = directory / STATE_DIRECTORY / STATE_FILE
        if path.is_file():
            return path
    return None


@contextmanager
def single_node(directory: Path) -> Iterator[None]:
    """Hold the directory's lock; raise CliError when a running node holds it.

    A lock rather than the pid in the state file, for the kernel drops it however the process ends.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK_FILE).open("a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _already_running(directory) from error
        yield


def _already_running(directory: Path) -> CliError:
    path = directory / STATE_FILE
    if not path.is_file():
        return CliError(
            f"a node is just starting or stopping in {directory}", hint="wait for it, or use another directory"
        )
    state = read_state(path)
    return CliError(
        f"a node is already running in {directory}: {state.gatewayUrl} (process {state.pid})",
        hint=f"use it, or stop it first with Ctrl-C where it runs (or `kill {state.pid}`)",
    )
