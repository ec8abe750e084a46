"""EFS file systems as directories of the host, entered through access points by EFS's rules."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moto.efs.models import efs_backends

if TYPE_CHECKING:
    from pathlib import Path

    from moto.efs.models import AccessPoint, EFSBackend

FILE_SYSTEM_ID = re.compile(r"fs-[0-9a-f]{8,40}")
ACCESS_POINT_ARN = re.compile(
    r"arn:[\w-]+:elasticfilesystem:(?P<region>[\w-]+):(?P<account>\d{12}):access-point/(?P<id>fsap-\w+)"
)


class MountError(Exception):
    """A file system cannot be mounted; the message says why as the NFS client would."""


@dataclass(frozen=True)
class AccessPointMount:
    """What a client of an access point gets: a directory, and the user as whom it acts (None: its own)."""

    path: Path
    uid: int | None
    gid: int | None


class FileSystems:
    """The EFS file systems of one embedded AWS, each a directory below `root`."""

    def __init__(self, root: Path) -> None:
        self.path = root.resolve()
        self.path.mkdir(parents=True, exist_ok=True)

    def root(self, file_system_id: str) -> Path:
        """The directory of a file system, made at first use."""
        if not FILE_SYSTEM_ID.fullmatch(file_system_id):
            raise ValueError(f"file system id {file_system_id!r}: expected fs- and 8 to 40 hexadecimal digits")
        directory = self.path / file_system_id
        directory.mkdir(exist_ok=True)
        return directory

    def mount_access_point(self, access_point: str, *, account: str, region: str) -> AccessPointMount:
        """Resolve an access point's id or ARN to what its clients see, making its root as its creation info says.

        Raises MountError where EFS would refuse the mount.
        """
        if match := ACCESS_POINT_ARN.fullmatch(access_point):
            access_point, account, region = match["id"], match["account"], match["region"]
        backend = efs_backends[account][region]
        found = backend.access_points.get(access_point)
        if found is None:
            raise MountError(f"access point {access_point} does not exist")
        self._reachable(backend, found.file_system_id)
        user = found.posix_user or {}
        return AccessPointMount(self._access_point_root(found), _number(user.get("Uid")), _number(user.get("Gid")))

    def mount_root(self, file_system_id: str, directory: str, *, account: str, region: str) -> AccessPointMount:
        """Resolve a mount of a directory of a file system without an access point."""
        self._reachable(efs_backends[account][region], file_system_id)
        path = self._inside(file_system_id, directory)
        if not path.is_dir():
            raise MountError(f"mounting {file_system_id}:{directory} failed: No such file or directory")
        return AccessPointMount(path, None, None)

    def _reachable(self, backend: EFSBackend, file_system_id: str) -> None:
        if file_system_id not in backend.file_systems_by_id:
            raise MountError(f"file system {file_system_id} does not exist")
        targets = backend.mount_targets_by_id.values()
        if not any(target.file_system_id == file_system_id for target in targets):
            raise MountError(f"file system {file_system_id} has no mount target")

    def _access_point_root(self, access_point: AccessPoint) -> Path:
        settings: dict[str, Any] = dict(access_point.root_directory or {})
        directory = settings.get("Path") or "/"
        path = self._inside(access_point.file_system_id, directory)
        if path.is_dir():
            return path
        creation = settings.get("CreationInfo")
        if path.exists() or not creation:
            # https://docs.aws.amazon.com/efs/latest/ug/enforce-root-directory-access-point.html
            name = access_point.access_point_id
            raise MountError(f"root directory {directory} of access point {name}: No such file or directory")
        self._create(access_point.file_system_id, directory, creation)
        return path

    def _create(self, file_system_id: str, directory: str, creation: dict[str, Any]) -> None:
        """Make the missing directories of an access point's root, all with the owner and mode given for it."""
        path = self.root(file_system_id)
        for name in directory.strip("/").split("/"):
            path = path / name
            try:
                path.mkdir()
            except FileExistsError:
                continue
            path.chmod(int(str(creation["Permissions"]), 8))
            if os.geteuid() == 0:
                os.chown(path, int(creation["OwnerUid"]), int(creation["OwnerGid"]))

    def _inside(self, file_system_id: str, directory: str) -> Path:
        """The host path of a directory, which no link may lead out of its file system."""
        root = self.root(file_system_id)
        path = root / directory.strip("/") if directory.strip("/") else root
        if path.resolve() != path or not path.is_relative_to(root):
            raise MountError(f"mounting {file_system_id}:{directory} failed: not a plain path of the file system")
        return path


def _number(value: object) -> int | None:
    return None if value is None else int(str(value))
