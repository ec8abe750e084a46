"""The file tree that a sandboxed process sees: the system, its interpreter, its own files, nothing else of the host.

Built in a mount namespace of the process's own, on an empty tmpfs, so no directory of the host is created or changed.
"""

from __future__ import annotations

import os
from pathlib import Path
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


def build(staging: str, request: Request) -> None:
    """Make the root of the request in `staging` and move into it."""
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", staging, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=0755,size=4m")
    _system(staging)
    _devices(staging)
    _own(staging, request["scratch"])
    for path in request["host_paths"]:
        _bind(staging, path, path)
    for path in request["hidden"]:
        if Path(staging + path).is_dir():
            linux.mount("tmpfs", staging + path, "tmpfs", linux.MS_RDONLY, "size=4k")
    for number, item in enumerate(request["mounts"]):
        layer = f"{request['scratch']}/layer-{number}"
        if not (item["private"] and _overlay(staging, item["source"], item["target"], layer)):
            _bind(staging, item["source"], item["target"], read_only=item["read_only"])
    linux.change_root(staging)


def _system(staging: str) -> None:
    for name in SYSTEM:
        path = Path("/", name)
        if path.is_symlink():
            Path(staging, name).symlink_to(path.readlink())
        elif path.is_dir():
            _bind(staging, str(path), str(path))
    Path(staging, "proc").mkdir()
    linux.mount("proc", f"{staging}/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    if Path(TOPOLOGY).is_dir():
        _bind(staging, TOPOLOGY, TOPOLOGY, read_only=True)
    resolver = os.path.realpath("/etc/resolv.conf")
    if not resolver.startswith("/etc/") and Path(resolver).exists():
        _bind(staging, resolver, resolver, read_only=True)


def _devices(staging: str) -> None:
    Path(staging + SHARED_MEMORY).mkdir(parents=True)
    for name in DEVICES:
        _bind(staging, f"/dev/{name}", f"/dev/{name}")
    for name, target in DEVICE_LINKS:
        Path(staging, "dev", name).symlink_to(target)
    linux.mount("tmpfs", staging + SHARED_MEMORY, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=1777")


def _own(staging: str, scratch: str) -> None:
    """Give the process its temporary and home directories, on disk as a container's own storage is."""
    _bind(staging, str(Path(scratch, "tmp")), TEMPORARY)
    _bind(staging, str(Path(scratch, "home")), HOME)
    Path(staging, "run").mkdir(exist_ok=True)
    Path(staging, "var").mkdir(exist_ok=True)
    Path(staging, "var", "tmp").symlink_to(TEMPORARY)


def _bind(staging: str, source: str, target: str, *, read_only: bool = False) -> None:
    place = _place(staging, target, directory=Path(source).is_dir())
    linux.bind(source, str(place), read_only=read_only)


def _overlay(staging: str, source: str, target: str, layer: str) -> bool:
    """Show a directory with a layer of the process's own over it; False where that cannot be had."""
    if not Path(source).is_dir() or ":" in source + layer:
        return False
    upper, work = Path(layer, "upper"), Path(layer, "work")
    work.mkdir(parents=True)
    upper.mkdir()
    below = Path(source).stat()
    upper.chmod(below.st_mode & 0o7777)
    os.chown(upper, below.st_uid, below.st_gid)
    place = _place(staging, target, directory=True)
    for options in ("", ",userxattr"):  # a user namespace allows it only with the second
        try:
            data = f"lowerdir={source},upperdir={upper},workdir={work}{options}"
            linux.mount("overlay", str(place), "overlay", linux.MS_NOSUID | linux.MS_NODEV, data)
        except OSError:
            continue
        return True
    return False


def _place(staging: str, target: str, *, directory: bool) -> Path:
    """The mount point for a path, made if need be, and never in a directory of the host."""
    place = Path(staging + target)
    if place.exists():
        return place
    _, top, *below = Path(target).parts
    if top in SYSTEM and below:
        existing = next(parent for parent in Path(target).parents if Path(staging + str(parent)).is_dir())
        _reopen(staging, str(existing))
    if directory:
        place.mkdir(parents=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    return place


def _reopen(staging: str, path: str) -> None:
    """Make a system directory one of the new root's own, with the same entries, so that more can be put into it."""
    linux.mount("tmpfs", staging + path, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=0755,size=4m")
    for entry in Path(path).iterdir():
        place = Path(staging + str(entry))
        if entry.is_symlink():
            place.symlink_to(entry.readlink())
        elif entry.is_dir():
            place.mkdir()
            linux.bind(str(entry), str(place))
        elif entry.is_file():
            place.touch()
            linux.bind(str(entry), str(place))
