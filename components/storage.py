"""What runs read, write and are recorded in: the file system, the results bucket and the run table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi_aws as aws

from components.base import NodeComponent
from components.buckets import PrivateBucket, expire
from components.policies import Statement, document

if TYPE_CHECKING:
    import pulumi

    from components.context import NodeContext
    from components.encryption import Encryption
    from components.network.base import Network

PROCESSOR_UID = 1000
DAYS_OF_UPLOADS = 7  # of what a client uploads for a run, and of transfer plans that a cleanup did not reach
MOUNT_ACTIONS = ("elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite")
ROOT_ACTION = "elasticfilesystem:ClientRootAccess"


class Storage(NodeComponent):
    """File system with its access points, results bucket and run table. The log archive is the log pipeline's."""

    KIND = "computenode:storage:Storage"

    def __init__(
        self,
        name: str,
        context: NodeContext,
        *,
        network: Network,
        encryption: Encryption,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(name, context, opts)
        self.file_system = self._file_system(encryption)
        self.mount_targets = self._mount_targets(network)
        self.root_access_point = self._access_point("root", uid=0)
        self.node_access_point = self._access_point("node", uid=PROCESSOR_UID)
        self.layers_access_point = self._access_point("layers", uid=PROCESSOR_UID, created="/layers")
        self.results = self._results(encryption)
        self.run_table = self._run_table(encryption)
        self.register_outputs({"fileSystemId": self.file_system.id, "runTable": self.run_table.name})

    def _file_system(self, encryption: Encryption) -> aws.efs.FileSystem:
        protection = self.context.config.removal_protection
        file_system = aws.efs.FileSystem(
            f"{self.label}-files",
            encrypted=True,
            kms_key_id=encryption.file_system_key,
            # Bursting throughput starves a small file system, provisioned throughput is paid for while idle.
            throughput_mode="elastic",
            tags={"Name": self.context.names.node},
            opts=self._opts(protect=protection or None),
        )
        aws.efs.FileSystemPolicy(
            f"{self.label}-files-policy",
            file_system_id=file_system.id,
            policy=document(_file_system_policy(file_system.arn, self.context.names.role_arn("scope"))),
            opts=self._opts(),
        )
        return file_system

    def _mount_targets(self, network: Network) -> list[aws.efs.MountTarget]:
        return [
            aws.efs.MountTarget(
                f"{self.label}-mount-{zone}",
                file_system_id=self.file_system.id,
                subnet_id=subnet_id,
                security_groups=[network.groups.file_system.id],
                opts=self._opts(),
            )
            for zone, subnet_id in enumerate(network.subnet_ids, 1)
        ]

    def _access_point(self, role: str, *, uid: int, created: str | None = None) -> aws.efs.AccessPoint:
        """An access point on the whole file system, or on a folder that EFS creates at the first mount."""
        info = aws.efs.AccessPointRootDirectoryCreationInfoArgs(
            owner_uid=PROCESSOR_UID, owner_gid=PROCESSOR_UID, permissions="0755"
        )
        return aws.efs.AccessPoint(
            f"{self.label}-{role}",
            file_system_id=self.file_system.id,
            posix_user=aws.efs.AccessPointPosixUserArgs(uid=uid, gid=uid),
            root_directory=aws.efs.AccessPointRootDirectoryArgs(
                path=created or "/", creation_info=info if created else None
            ),
            tags={"Name": f"{self.context.names.node}-{role}"},
            opts=self._opts(),
        )

    def _results(self, encryption: Encryption) -> PrivateBucket:
        return PrivateBucket(
            f"{self.label}-results",
            self.context,
            bucket=self.context.names.results_bucket,
            encryption=encryption,
            versioned=False,  # a run's keys are written once, and deleted data should be gone
            rules=[expire("uploads/", DAYS_OF_UPLOADS), expire("plans/", DAYS_OF_UPLOADS)],
            opts=self._opts(),
        )

    def _run_table(self, encryption: Encryption) -> aws.dynamodb.Table:
        protection = self.context.config.removal_protection
        keys = ("pk", "sk", "gsi1pk", "gsi1sk")
        return aws.dynamodb.Table(
            f"{self.label}-runs",
            name=self.context.names.run_table,
            billing_mode="PAY_PER_REQUEST",
            hash_key="pk",
            range_key="sk",
            attributes=[aws.dynamodb.TableAttributeArgs(name=key, type="S") for key in keys],
            # As a dict: the typed form warns at every preview of hash_key's successor, which older providers lack.
            global_secondary_indexes=[
                {"name": "by-created", "hash_key": "gsi1pk", "range_key": "gsi1sk", "projection_type": "ALL"}
            ],
            ttl=aws.dynamodb.TableTtlArgs(attribute_name="expiresAt", enabled=True),
            point_in_time_recovery=aws.dynamodb.TablePointInTimeRecoveryArgs(enabled=True),
            server_side_encryption=encryption.table,
            deletion_protection_enabled=protection,
            opts=self._opts(protect=protection or None),
        )


def _file_system_policy(file_system_arn: pulumi.Output[str], scope_role_arn: str) -> list[Statement]:
    """Denials only: what is allowed stands in the policies of the roles that mount."""
    actions = (*MOUNT_ACTIONS, ROOT_ACTION)
    return [
        Statement(
            sid="TlsOnly",
            effect="Deny",
            principals={"AWS": "*"},
            actions=actions,
            resources=(file_system_arn,),
            conditions={"Bool": {"aws:SecureTransport": "false"}},
        ),
        Statement(
            sid="ThroughAccessPointsOnly",
            effect="Deny",
            principals={"AWS": "*"},
            actions=actions,
            resources=(file_system_arn,),
            conditions={"Null": {"elasticfilesystem:AccessPointArn": "true"}},
        ),
        Statement(
            sid="RootForScopeOnly",
            effect="Deny",
            principals={"AWS": "*"},
            actions=(ROOT_ACTION,),
            resources=(file_system_arn,),
            conditions={"ArnNotEquals": {"aws:PrincipalArn": scope_role_arn}},
        ),
    ]
