"""EFS's refusals where moto takes whatever comes.

moto makes an access point on a file system that is not there, a second one for the same client token, and one at any
path; it removes one that it does not know; and it cannot switch backups on or off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.efs.exceptions import AccessPointNotFound, BadRequest, EFSError, FileSystemNotFound
from moto.efs.models import EFSBackend
from moto.efs.responses import EFSResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.patching import Patches

# https://docs.aws.amazon.com/efs/latest/ug/API_RootDirectory.html
LONGEST_PATH, MOST_LEVELS = 100, 4
OF_FILE_SYSTEM = ("describe_backup_policy", "describe_file_system_policy", "put_file_system_policy")


class _AccessPointAlreadyExists(EFSError):
    code = 409

    def __init__(self, access_point_id: str) -> None:
        message = f"An access point with this client token exists already: {access_point_id}"
        super().__init__("AccessPointAlreadyExists", message)


def install(patches: Patches) -> None:
    """Correct moto's EFS."""
    patches.replace(EFSBackend, "create_access_point", _creating(EFSBackend.create_access_point))
    patches.replace(EFSBackend, "delete_access_point", _deleting(EFSBackend.delete_access_point))
    for name in OF_FILE_SYSTEM:
        patches.replace(EFSBackend, name, _finding(getattr(EFSBackend, name)))
    patches.add(EFSResponse, "put_backup_policy", _put_backup_policy)


def _creating(original: Callable[..., Any]) -> Callable[..., Any]:
    def create(self: EFSBackend, client_token: str, *args: Any, **kwargs: Any) -> Any:
        if kwargs["file_system_id"] not in self.file_systems_by_id:
            raise FileSystemNotFound(kwargs["file_system_id"])
        for there in self.access_points.values():
            if there.client_token == client_token:
                raise _AccessPointAlreadyExists(there.access_point_id)
        _check_path((kwargs.get("root_directory") or {}).get("Path") or "/")
        return original(self, client_token, *args, **kwargs)

    return create


def _check_path(path: str) -> None:
    levels = len([name for name in path.split("/") if name])
    if not path.startswith("/") or len(path) > LONGEST_PATH or levels > MOST_LEVELS:
        limits = f"absolute, of at most {LONGEST_PATH} characters and {MOST_LEVELS} levels"
        raise BadRequest(f"root directory {path!r}: must be {limits}")


def _deleting(original: Callable[..., None]) -> Callable[..., None]:
    def delete(self: EFSBackend, access_point_id: str) -> None:
        if access_point_id not in self.access_points:
            raise AccessPointNotFound(access_point_id)
        original(self, access_point_id)

    return delete


def _finding(original: Callable[..., Any]) -> Callable[..., Any]:
    def find(self: EFSBackend, file_system_id: str, *args: Any, **kwargs: Any) -> Any:
        if file_system_id not in self.file_systems_by_id:
            raise FileSystemNotFound(file_system_id)
        return original(self, file_system_id, *args, **kwargs)

    return find


def _put_backup_policy(self: EFSResponse) -> ActionResult:
    file_system_id, policy = self._get_param("FileSystemId"), self._get_param("BackupPolicy")
    file_system = self.efs_backend.file_systems_by_id.get(file_system_id)
    if file_system is None:
        raise FileSystemNotFound(file_system_id)
    file_system._backup = policy["Status"] == "ENABLED"  # noqa: SLF001 - what moto describes the policy by
    return ActionResult({"BackupPolicy": policy})
