"""The file tree that a sandboxed process sees: the system, its interpreter, its own files, nothing else of the host.

Built in a mount namespace of the process's own, on an empty tmpfs, so no directory of the host is created or changed.
"""

# This runs for every process that starts, so without what pathlib adds.
# ruff: noqa: PTH101, PTH102, PTH103, PTH110, PTH112, PTH114, PTH115, PTH116, PTH120, PTH211

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TypedDict

from . import linux

# Programs and libraries. Home directories, /var, /run, /srv and whatever else a host has stay outside.
SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "nix", "gnu")
DEVICES = ("null", "zero", "full", "random", "urandom")
DEVICE_LINKS = (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2"))
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a mount of the new root, not a file of ours
TEMPORARY = "/tmp"  # noqa: S108 - likewise
HOME = "/root"
# numpy and others size their thread pools by it.
TOPOLOGY = "/sys/devices/system"


class MountRequest(TypedDict):
    """A host path shown at a path of the container."""

    source: str
    target: str
    read_only: bool
    private: bool  # the process may write, and only itself sees what it has written


class Request(TypedDict):
    """What to start, as it comes over the socket."""

    id: int
    argv: list[str]
    env: dict[str, str]
    cwd: str
    sandbox: bool
    scratch: str
    host_paths: list[str]
    hidden: list[str]
    mounts: list[MountRequest]
    uid: int | None
    gid: int | None
    cgroup: str | None


@dataclass(frozen=True)
class Host:
    """What every tree takes from this machine, looked up once."""

    directories: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    read_only: tuple[str, ...]

    @classmethod
    def look(cls) -> Host:
        """Look at the machine."""
        paths = [f"/{name}" for name in SYSTEM]
        links = tuple((path, os.readlink(path)) for path in paths if os.path.islink(path))
        directories = tuple(path for path in paths if os.path.isdir(path) and not os.path.islink(path))
        resolver = os.path.realpath("/etc/resolv.conf")
        outside = not resolver.startswith("/etc/") and os.path.exists(resolver)
        read_only = [TOPOLOGY] if os.path.isdir(TOPOLOGY) else []
        return cls(directories, links, tuple(read_only + [resolver] * outside))


def build(staging: str, host: Host, request: Request) -> None:
    """Make the root of the request in `staging` and move into it."""
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", staging, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=0755,size=4m")
    _system(staging, host)
    _devices(staging)
    _own(staging, request["scratch"])
    for path in request["host_paths"]:
        _bind(staging, path, path)
    for path in request["hidden"]:
        if os.path.isdir(staging + path):
            linux.mount("tmpfs", staging + path, "tmpfs", linux.MS_RDONLY, "size=4k")
    for number, item in enumerate(request["mounts"]):
        layer = f"{request['scratch']}/layer-{number}"
        if not (item["private"] and _overlay(staging, item["source"], item["target"], layer)):
            _bind(staging, item["source"], item["target"], read_only=item["read_only"])
    linux.change_root(staging)


def _system(staging: str, host: Host) -> None:
    for path in host.directories:
        os.mkdir(staging + path)
        linux.bind(path, staging + path)
    for path, target in host.links:
        os.symlink(target, staging + path)
    os.mkdir(f"{staging}/proc")
    linux.mount("proc", f"{staging}/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    for path in host.read_only:
        _bind(staging, path, path, read_only=True)


def _devices(staging: str) -> None:
    os.makedirs(staging + SHARED_MEMORY)
    for name in DEVICES:
        place = f"{staging}/dev/{name}"
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        linux.bind(f"/dev/{name}", place)
    for name, target in DEVICE_LINKS:
        os.symlink(target, f"{staging}/dev/{name}")
    linux.mount("tmpfs", staging + SHARED_MEMORY, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=1777")


def _own(staging: str, scratch: str) -> None:
    """Give the process its temporary and home directories, on disk as a container's own storage is."""
    _bind(staging, f"{scratch}{os.sep}tmp", TEMPORARY)
    _bind(staging, f"{scratch}{os.sep}home", HOME)
    os.makedirs(f"{staging}/run", exist_ok=True)
    os.makedirs(f"{staging}/var", exist_ok=True)
    os.symlink(TEMPORARY, f"{staging}/var{os.sep}tmp")


def _bind(staging: str, source: str, target: str, *, read_only: bool = False) -> None:
    place = _place(staging, target, directory=os.path.isdir(source))
    linux.bind(source, place, read_only=read_only)


def _overlay(staging: str, source: str, target: str, layer: str) -> bool:
    """Show a directory with a layer of the process's own over it; False where that cannot be had."""
    if not os.path.isdir(source) or ":" in source + layer:
        return False
    upper, work = f"{layer}/upper", f"{layer}/work"
    os.makedirs(work)
    os.mkdir(upper)
    below = os.stat(source)
    os.chmod(upper, below.st_mode & 0o7777)
    os.chown(upper, below.st_uid, below.st_gid)
    place = _place(staging, target, directory=True)
    for options in ("", ",userxattr"):  # a user namespace allows it only with the second
        try:
            data = f"lowerdir={source},upperdir={upper},workdir={work}{options}"
            linux.mount("overlay", place, "overlay", linux.MS_NOSUID | linux.MS_NODEV, data)
        except OSError:
            continue
        return True
    return False


def _place(staging: str, target: str, *, directory: bool) -> str:
    """The mount point for a path, made if need be, and never in a directory of the host."""
    place = staging + target
    if os.path.exists(place):
        return place
    _, top, *below = target.split("/")
    if top in SYSTEM and below:
        existing = os.path.dirname(target)
        while not os.path.isdir(staging + existing):
            existing = os.path.dirname(existing)
        _reopen(staging, existing)
    os.makedirs(place if directory else os.path.dirname(place), exist_ok=True)
    if not directory:
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    return place


def _reopen(staging: str, path: str) -> None:
    """Make a system directory one of the new root's own, with the same entries, so that more can be put into it."""
    linux.mount("tmpfs", staging + path, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=0755,size=4m")
    for entry in os.scandir(path):
        place = staging + entry.path
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), place)
        elif entry.is_dir():
            os.mkdir(place)
            linux.bind(entry.path, place)
        elif entry.is_file():
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
            linux.bind(entry.path, place)
