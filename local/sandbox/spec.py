"""What a process is to be, before anything is said about how it is started."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

# Whom a container's process is when nothing else says so; EFS access points of a node use the same id.
DEFAULT_UID = 1000


@dataclass(frozen=True)
class Mount:
    """A directory or file of the host at a path of the container."""

    source: Path
    target: str
    read_only: bool = False
    private: bool = False  # changes are the process's own, and gone with it


@dataclass(frozen=True)
class Isolation:
    """How processes are kept apart on this machine, and why not better."""

    namespaces: bool  # own mounts, process ids and file tree; otherwise paths are rewritten
    user_namespace: bool  # made as an ordinary user, in which nobody but that user exists
    users: bool  # processes run as the access point's user
    reason: str


@dataclass(frozen=True)
class ProcessSpec:
    """What to run. `env` is all that the process gets; paths in it are the container's.

    The process's own storage lies below `scratch_root` while it runs. `hidden` directories are never shown to it.
    `host_cwd` is where `cwd` lies on the host, for want of a namespace.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    scratch_root: Path
    mounts: Sequence[Mount] = ()
    host_paths: Sequence[Path] = ()
    hidden: Sequence[Path] = ()
    uid: int = DEFAULT_UID
    gid: int = DEFAULT_UID
    host_cwd: Path | None = None
    cgroup: Path | None = None

    def within(self, cgroup: Path) -> ProcessSpec:
        """The same, in a control group, named by the file through which a process joins it."""
        return replace(self, cgroup=cgroup)


@dataclass(frozen=True)
class ProcessEvents:
    """What is told of a process, on the launcher's thread: its start or why it did not, and its exit code."""

    on_started: Callable[[int], None]
    on_failed: Callable[[OSError], None]
    on_ended: Callable[[int], None]


@dataclass
class Process:
    """A process that was asked for; a signal's exit code is 128 and the signal's number."""

    id: int
    events: ProcessEvents
    scratch: Path
    pid: int = 0
    ended: threading.Event = field(default_factory=threading.Event)


def rewrite(value: str, mounts: Iterable[Mount]) -> str:
    """Turn a container path, or a `:` list of them, into the host's, where there is no namespace to show it in."""
    ordered = sorted(mounts, key=lambda mount: len(mount.target), reverse=True)

    def one(path: str) -> str:
        for mount in ordered:
            if path == mount.target or path.startswith(mount.target.rstrip("/") + "/"):
                return str(mount.source) + path[len(mount.target) :]
        return path

    return ":".join(one(part) for part in value.split(":")) if "/" in value else value
