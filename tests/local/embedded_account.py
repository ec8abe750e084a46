"""An embedded account with the few resources that the runtimes' tests need, made through boto3."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

from local.emulator import Emulator
from local.filesystem import FileSystems
from local.images import Images

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT = 60.0
ACCOUNT, REGION = "123456789012", "us-east-1"
REPOSITORY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/node/processor"


class EmbeddedAccount:
    """The emulator, its clients, and a network, a role and a file system with a mount target."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.emulator = Emulator.start()
        self.file_systems = FileSystems(directory / "efs")
        self.images = Images(directory / "cache")
        self.subnet = self.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
        self.role = self.client("iam").create_role(RoleName="role", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        self.file_system = self.client("efs").create_file_system()["FileSystemId"]
        self.client("efs").create_mount_target(FileSystemId=self.file_system, SubnetId=self.subnet)

    def client(self, service: str) -> Any:
        """A boto3 client on the account."""
        return self.emulator.client(service)

    def access_point(self, path: str, *, create: bool = True, uid: int = 1000) -> dict[str, str]:
        """An access point as `uid`, whose root is made at the first mount if `create`."""
        creation = {"CreationInfo": {"OwnerUid": uid, "OwnerGid": uid, "Permissions": "0700"}}
        made: dict[str, str] = self.client("efs").create_access_point(
            FileSystemId=self.file_system,
            PosixUser={"Uid": uid, "Gid": uid},
            RootDirectory={"Path": path} | (creation if create else {}),
        )
        return made

    def messages(self, group: str, stream: str) -> list[str]:
        """All messages of a log stream."""
        pages = self.client("logs").get_paginator("filter_log_events")
        found = pages.paginate(logGroupName=group, logStreamNames=[stream])
        return [event["message"] for page in found for event in page["events"]]

    def context(self, name: str, files: dict[str, str]) -> Path:
        """A build context with these files."""
        directory = self.directory / "contexts" / name
        for path, text in files.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_text(text, encoding="utf-8")
        return directory

    def close(self) -> None:
        """Forget the account."""
        self.emulator.stop()


def archive(files: dict[str, str]) -> bytes:
    """A deployment package."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as package:
        for path, text in files.items():
            package.writestr(path, text)
    return content.getvalue()


def everything(value: object) -> str:
    """A value's whole content as text, to look for what must not be in it."""
    return json.dumps(value, default=str)
