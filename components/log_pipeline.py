"""Where logs go: CloudWatch for a month, then the archive, for as long as rules ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi_aws as aws

from components.base import NodeComponent
from components.buckets import PrivateBucket

if TYPE_CHECKING:
    import pulumi

    from components.context import NodeContext
    from components.encryption import Encryption

DAYS_OF_OLD_VERSIONS = 30


class LogPipeline(NodeComponent):
    """The log archive and the log groups that no single function owns. A function's own group is made with it."""

    KIND = "computenode:logs:LogPipeline"

    def __init__(
        self,
        name: str,
        context: NodeContext,
        *,
        encryption: Encryption,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(name, context, opts)
        self._key = encryption.log_key
        self.processors = self._group("processors", context.names.processor_log_group)
        self.state_machine = self._group("state-machine", context.names.state_machine_log_group)
        self.archive = PrivateBucket(
            f"{name}-archive",
            context,
            bucket=context.names.log_bucket,
            encryption=encryption,
            versioned=True,
            rules=_archive_rules(context.config.logs.archive_after_days, context.config.logs.delete_after_days),
            opts=self._opts(),
        )
        self.register_outputs({"logBucket": context.names.log_bucket})

    def _group(self, role: str, path: str) -> aws.cloudwatch.LogGroup:
        return aws.cloudwatch.LogGroup(
            f"{self.label}-{role}",
            name=path,
            retention_in_days=self.context.config.logs.retention_days,
            kms_key_id=self._key,
            opts=self._opts(),
        )


def _archive_rules(archive_after: int, delete_after: int) -> list[aws.s3.BucketLifecycleConfigurationRuleArgs]:
    """To Glacier, then gone. In a versioned bucket an expiry only hides, so old versions have a rule of their own."""
    everything = aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix="")
    return [
        aws.s3.BucketLifecycleConfigurationRuleArgs(
            id="archive",
            status="Enabled",
            filter=everything,
            transitions=[
                aws.s3.BucketLifecycleConfigurationRuleTransitionArgs(days=archive_after, storage_class="GLACIER")
            ],
            expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(days=delete_after),
            noncurrent_version_expiration=aws.s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
                noncurrent_days=DAYS_OF_OLD_VERSIONS
            ),
        ),
        aws.s3.BucketLifecycleConfigurationRuleArgs(
            id="remove-delete-markers",
            status="Enabled",
            filter=everything,
            expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(expired_object_delete_marker=True),
        ),
    ]
