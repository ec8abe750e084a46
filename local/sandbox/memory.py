"""Memory limits by control groups (version 1 or 2), where this process may make them."""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from pathlib import Path

from local.sandbox.alive import is_alive

CONTROL_GROUPS = Path("/sys/fs/cgroup")
V1, V2 = 1, 2
_PREFIX = "compute-node-"


class MemoryLimits:
    """Makes one control group a process; `available` tells whether this machine allows it."""

    def __init__(self) -> None:
        self._parent, self._version = _parent()
        self._leftover: set[Path] = set()
        self._lock = threading.Lock()
        self.available = self._parent is not None

    def create(self, limit_bytes: int) -> MemoryGroup | None:
        """A group whose processes together get `limit_bytes`, or None where there can be none."""
        if self._parent is None:
            return None
        path = self._parent / uuid.uuid4().hex
        try:
            path.mkdir()
            (path / ("memory.max" if self._version == V2 else "memory.limit_in_bytes")).write_text(str(limit_bytes))
        except OSError:
            return None
        return MemoryGroup(path, self._version, self)

    def discard(self, path: Path) -> None:
        """Remove a group, and those that were still busy when they were to go."""
        with self._lock:
            self._leftover.add(path)
            for group in list(self._leftover):
                with contextlib.suppress(OSError):
                    group.rmdir()
                    self._leftover.discard(group)

    def close(self) -> None:
        """Remove the groups' parent."""
        if self._parent is not None:
            with contextlib.suppress(OSError):
                self._parent.rmdir()


class MemoryGroup:
    """One process's control group."""

    def __init__(self, path: Path, version: int, limits: MemoryLimits) -> None:
        self._path = path
        self._version = version
        self._limits = limits

    @property
    def members(self) -> Path:
        """The file through which a process joins."""
        return self._path / "cgroup.procs"

    def peak_bytes(self) -> int:
        """The most memory that the group has held, 0 where the kernel does not tell."""
        name = "memory.peak" if self._version == V2 else "memory.max_usage_in_bytes"
        try:
            return int((self._path / name).read_text())
        except (OSError, ValueError):
            return 0

    def out_of_memory(self) -> bool:
        """Whether the kernel has killed a process of the group for want of memory."""
        name = "memory.events" if self._version == V2 else "memory.oom_control"
        try:
            fields = dict(line.split() for line in (self._path / name).read_text().splitlines())
        except (OSError, ValueError):
            return False
        return int(fields.get("oom_kill", 0)) > 0

    def discard(self) -> None:
        """Remove the group; its processes have ended."""
        self._limits.discard(self._path)


def _parent() -> tuple[Path | None, int]:
    """A new group for ours, below the one in which this process is."""
    name = f"{_PREFIX}{os.getpid()}-{uuid.uuid4().hex[:8]}"
    for base, version in _candidates():
        _remove_orphans(base)
        path = base / name
        try:
            path.mkdir()
            if version == V2:
                (path / "cgroup.subtree_control").write_text("+memory")
        except OSError:
            with contextlib.suppress(OSError):
                path.rmdir()
            continue
        return path, version
    return None, 0


def _remove_orphans(base: Path) -> None:
    """Remove the groups of processes of ours that were killed before they could do it."""
    for group in base.glob(f"{_PREFIX}[0-9]*-*"):
        if not is_alive(int(group.name.removeprefix(_PREFIX).partition("-")[0])):
            with contextlib.suppress(OSError):
                for child in (*group.glob("*/"), group):
                    child.rmdir()


def _candidates() -> list[tuple[Path, int]]:
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    own = {controllers: path for _, controllers, path in (line.split(":", 2) for line in lines)}
    if "memory" in own:
        return [(CONTROL_GROUPS / "memory" / own["memory"].lstrip("/"), V1)]
    # Version 2 lets only a group without processes pass a controller on, so ours goes below the root.
    return [(CONTROL_GROUPS, V2)] if "memory" in _words(CONTROL_GROUPS / "cgroup.subtree_control") else []


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
