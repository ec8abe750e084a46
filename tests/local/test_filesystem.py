"""EFS as directories: access points by EFS's rules, through boto3 and moto."""

from __future__ import annotations

import os
import stat

import pytest
from embedded_account import ACCOUNT, REGION

from local.filesystem import FileSystems, MountError

WHERE = {"account": ACCOUNT, "region": REGION}


pytest_plugins = ["account_fixtures"]


def test_each_file_system_has_its_own_directory(tmp_path):
    systems = FileSystems(tmp_path / "store")
    first, second = systems.root("fs-0123456789abcdef0"), systems.root("fs-0123456789abcdef1")
    assert first.is_dir()
    assert first != second
    assert first.parent == second.parent == systems.path
    assert systems.root("fs-0123456789abcdef0") == first


@pytest.mark.parametrize("name", ["", "fs-", "fs-../../x", "fs-0123456789ABCDEF0", "../fs-01234567"])
def test_an_id_that_is_none_of_efs_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="file system id"):
        FileSystems(tmp_path).root(name)


@pytest.mark.parametrize("reference", ["AccessPointId", "AccessPointArn"])
def test_access_point_resolves_by_id_and_by_arn(account, reference):
    made = account.access_point("/resolved")
    mounted = account.file_systems.mount_access_point(made[reference], **WHERE)
    assert mounted.path == account.file_systems.root(account.file_system) / "resolved"
    assert (mounted.uid, mounted.gid) == (1000, 1000)


def test_root_directory_is_made_at_the_first_mount_and_not_before(account):
    made = account.access_point("/runs/made/late")
    path = account.file_systems.root(account.file_system) / "runs/made/late"
    assert not path.exists()
    account.file_systems.mount_access_point(made["AccessPointId"], **WHERE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    if os.geteuid() == 0:
        assert {(p.stat().st_uid, p.stat().st_gid) for p in (path, path.parent)} == {(1000, 1000)}


def test_an_existing_root_directory_keeps_its_owner_and_mode(account):
    path = account.file_systems.root(account.file_system) / "existing"
    path.mkdir(mode=0o711)
    made = account.access_point("/existing")
    assert account.file_systems.mount_access_point(made["AccessPointId"], **WHERE).path == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o711


def test_a_missing_root_directory_without_creation_info_fails_the_mount(account):
    made = account.access_point("/nowhere", create=False)
    with pytest.raises(MountError, match=r"/nowhere of access point fsap-.*: No such file or directory"):
        account.file_systems.mount_access_point(made["AccessPointId"], **WHERE)


def test_an_unknown_access_point_fails_the_mount(account):
    with pytest.raises(MountError, match="access point fsap-none does not exist"):
        account.file_systems.mount_access_point("fsap-none", **WHERE)


def test_a_deleted_access_point_fails_the_mount(account):
    made = account.access_point("/deleted")
    account.client("efs").delete_access_point(AccessPointId=made["AccessPointId"])
    with pytest.raises(MountError, match="does not exist"):
        account.file_systems.mount_access_point(made["AccessPointId"], **WHERE)


def test_a_file_system_without_mount_target_cannot_be_reached(account):
    lonely = account.client("efs").create_file_system()["FileSystemId"]
    made = account.client("efs").create_access_point(FileSystemId=lonely, RootDirectory={"Path": "/"})
    with pytest.raises(MountError, match=f"file system {lonely} has no mount target"):
        account.file_systems.mount_access_point(made["AccessPointId"], **WHERE)


def test_a_link_does_not_lead_out_of_the_file_system(account):
    root = account.file_systems.root(account.file_system)
    (root / "out").symlink_to(account.directory)
    made = account.access_point("/out/cache")
    with pytest.raises(MountError, match="not a plain path"):
        account.file_systems.mount_access_point(made["AccessPointId"], **WHERE)


def test_a_path_with_dots_does_not_lead_out_of_the_file_system(account):
    with pytest.raises(MountError, match="not a plain path"):
        account.file_systems.mount_root(account.file_system, "/../", **WHERE)


def test_a_directory_is_mounted_without_access_point_as_whoever_comes(account):
    root = account.file_systems.root(account.file_system)
    (root / "plain").mkdir()
    mounted = account.file_systems.mount_root(account.file_system, "/plain", **WHERE)
    assert (mounted.path, mounted.uid, mounted.gid) == (root / "plain", None, None)
    with pytest.raises(MountError, match="No such file or directory"):
        account.file_systems.mount_root(account.file_system, "/absent", **WHERE)
