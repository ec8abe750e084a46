"""S3 and EFS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from local.provider.model import Account, Made, ProviderError, Request, refuse
from local.provider.rows import ID, TOKEN, Call, Row, is_missing

if TYPE_CHECKING:
    from collections.abc import Mapping

DELETE_ONLY = "decides what a removal does, and nothing before it"


def _bucket_is_new(account: Account, request: Request) -> None:
    """S3 in us-east-1 lets an owner create a bucket twice; the AWS provider asks first and refuses."""
    name = request.inputs["bucket"]
    try:
        account.client("s3").head_bucket(Bucket=name)
    except ClientError as error:
        if is_missing(error):
            return
        raise
    raise refuse("CreateBucket", "BucketAlreadyOwnedByYou", f"the bucket {name} exists already")


def _location(region: str) -> dict[str, Any]:
    return {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}


class Bucket:
    """A bucket, emptied before its removal where the program says so."""

    token = "aws:s3/bucket:Bucket"  # noqa: S105 - a type token
    _row = Row(
        token=token,
        service="s3",
        make=Call(
            operation="CreateBucket", takes={"bucket": "Bucket", "objectLockEnabled": "ObjectLockEnabledForBucket"}
        ),
        then=(Call(operation="PutBucketTagging", takes={ID: "Bucket", "tags": "Tagging.TagSet"}, when="tags"),),
        look=Call(operation="HeadBucket", takes={ID: "Bucket"}),
        change=(),
        remove=Call(operation="DeleteBucket", takes={ID: "Bucket"}),
        named="bucket",
        id="{bucket}",
        outputs={
            "arn": "arn:{partition}:s3:::{bucket}",
            "region": "{region}",
            "bucketDomainName": "{bucket}.s3.amazonaws.com",
            "bucketRegionalDomainName": "{bucket}.s3.{region}.amazonaws.com",
        },
        recorded={"forceDestroy": DELETE_ONLY},
        check=_bucket_is_new,
    )

    def create(self, account: Account, request: Request) -> Made:
        """Make the bucket."""
        if account.region != "us-east-1":
            raise ProviderError(f"{self.token}: the embedded AWS is in us-east-1, not in {account.region}")
        return self._row.create(account, request)

    def read(self, account: Account, made: Made, inputs: Mapping[str, Any]) -> Made | None:
        """Look the bucket up."""
        return self._row.read(account, made, inputs)

    def update(self, account: Account, made: Made, request: Request) -> Made:
        """Set the tags, which are all that a bucket's own properties can change."""
        tags = {"tags": request.inputs["tags"]} if "tags" in request.inputs else {}
        for call in self._row.then if tags else ():
            call.run(account, self._row, tags, identity=made.id)
        return made

    def delete(self, account: Account, made: Made, inputs: Mapping[str, Any]) -> None:
        """Remove the bucket, and with `forceDestroy` first all versions of its objects."""
        client = account.client("s3")
        if inputs.get("forceDestroy"):
            for page in client.get_paginator("list_object_versions").paginate(Bucket=made.id):
                for entry in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                    client.delete_object(Bucket=made.id, Key=entry["Key"], VersionId=entry["VersionId"])
        self._row.delete(account, made, inputs)


def _of_bucket(noun: str, operation: str, takes: Mapping[str, str], remove: str = "", **more: Any) -> Row:
    """A configuration of a bucket: put again to change it, deleted to remove it."""
    return Row(
        token=f"aws:s3/{noun[0].lower()}{noun[1:]}:{noun}",
        service="s3",
        make=Call(operation=operation, takes={"bucket": "Bucket", **takes}),
        remove=Call(operation=remove, takes={ID: "Bucket"}) if remove else None,
        id="{bucket}",
        **more,
    )


FILE_SYSTEM = Row(
    token="aws:efs/fileSystem:FileSystem",  # noqa: S106 - a type token
    service="efs",
    make=Call(
        operation="CreateFileSystem",
        takes={
            TOKEN: "CreationToken",
            "encrypted": "Encrypted",
            "kmsKeyId": "KmsKeyId",
            "performanceMode": "PerformanceMode",
            "throughputMode": "ThroughputMode",
            "tags": "Tags",
        },
    ),
    then=(
        Call(
            operation="PutLifecycleConfiguration",
            takes={ID: "FileSystemId", "lifecyclePolicies": "LifecyclePolicies"},
            when="lifecyclePolicies",
        ),
    ),
    look=Call(operation="DescribeFileSystems", takes={ID: "FileSystemId"}),
    change=(),
    remove=Call(operation="DeleteFileSystem", takes={ID: "FileSystemId"}),
    id="{response[FileSystemId]}",
    outputs={
        "arn": "{response[FileSystemArn]}",
        "dnsName": "{id}.efs.{region}.amazonaws.com",
        "ownerId": "{account}",
    },
)
MOUNT_TARGET = Row(
    token="aws:efs/mountTarget:MountTarget",  # noqa: S106 - a type token
    service="efs",
    make=Call(
        operation="CreateMountTarget",
        takes={"fileSystemId": "FileSystemId", "subnetId": "SubnetId", "securityGroups": "SecurityGroups"},
    ),
    look=Call(operation="DescribeMountTargets", takes={ID: "MountTargetId"}),
    change=(
        Call(
            operation="ModifyMountTargetSecurityGroups",
            takes={ID: "MountTargetId", "securityGroups": "SecurityGroups"},
            when="securityGroups",
        ),
    ),
    remove=Call(operation="DeleteMountTarget", takes={ID: "MountTargetId"}),
    id="{response[MountTargetId]}",
    outputs={"ipAddress": "{response[IpAddress]}", "networkInterfaceId": "{response[NetworkInterfaceId]}"},
)
ACCESS_POINT = Row(
    token="aws:efs/accessPoint:AccessPoint",  # noqa: S106 - a type token
    service="efs",
    make=Call(
        operation="CreateAccessPoint",
        takes={
            TOKEN: "ClientToken",
            "fileSystemId": "FileSystemId",
            "posixUser": "PosixUser",
            "rootDirectory": "RootDirectory",
            "tags": "Tags",
        },
    ),
    look=Call(operation="DescribeAccessPoints", takes={ID: "AccessPointId"}),
    change=(),
    remove=Call(operation="DeleteAccessPoint", takes={ID: "AccessPointId"}),
    id="{response[AccessPointId]}",
    outputs={"arn": "{response[AccessPointArn]}", "ownerId": "{account}"},
)
FILE_SYSTEM_POLICY = Row(
    token="aws:efs/fileSystemPolicy:FileSystemPolicy",  # noqa: S106 - a type token
    service="efs",
    make=Call(
        operation="PutFileSystemPolicy",
        takes={
            "fileSystemId": "FileSystemId",
            "policy": "Policy",
            "bypassPolicyLockoutSafetyCheck": "BypassPolicyLockoutSafetyCheck",
        },
    ),
    id="{fileSystemId}",
    recorded={},
)
BACKUP_POLICY = Row(
    token="aws:efs/backupPolicy:BackupPolicy",  # noqa: S106 - a type token
    service="efs",
    make=Call(operation="PutBackupPolicy", takes={"fileSystemId": "FileSystemId", "backupPolicy": "BackupPolicy"}),
    id="{fileSystemId}",
)

KINDS = (
    Bucket(),
    _of_bucket("BucketPolicy", "PutBucketPolicy", {"policy": "Policy"}, "DeleteBucketPolicy"),
    _of_bucket("BucketVersioning", "PutBucketVersioning", {"versioningConfiguration": "VersioningConfiguration"}),
    _of_bucket(
        "BucketLifecycleConfiguration",
        "PutBucketLifecycleConfiguration",
        {
            "rules": "LifecycleConfiguration.Rules",
            "transitionDefaultMinimumObjectSize": "TransitionDefaultMinimumObjectSize",
        },
        "DeleteBucketLifecycle",
    ),
    _of_bucket(
        "BucketOwnershipControls",
        "PutBucketOwnershipControls",
        {"rule": "OwnershipControls.Rules"},
        "DeleteBucketOwnershipControls",
    ),
    _of_bucket(
        "BucketPublicAccessBlock",
        "PutPublicAccessBlock",
        {
            name: f"PublicAccessBlockConfiguration.{name[0].upper()}{name[1:]}"
            for name in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
        },
        "DeletePublicAccessBlock",
    ),
    _of_bucket(
        "BucketServerSideEncryptionConfiguration",
        "PutBucketEncryption",
        {"rules": "ServerSideEncryptionConfiguration.Rules"},
        "DeleteBucketEncryption",
    ),
    FILE_SYSTEM,
    MOUNT_TARGET,
    ACCESS_POINT,
    FILE_SYSTEM_POLICY,
    BACKUP_POLICY,
)
