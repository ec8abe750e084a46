"""A bucket as every bucket of the node is: private, encrypted, reached over TLS only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pulumi_aws as aws

from components.base import NodeComponent
from components.policies import document, tls_only

if TYPE_CHECKING:
    import pulumi

    from components.context import NodeContext
    from components.encryption import Encryption

DAYS_OF_UNFINISHED_UPLOADS = 7
Rules = Sequence[aws.s3.BucketLifecycleConfigurationRuleArgs]


class PrivateBucket(NodeComponent):
    """An S3 bucket with its policy, key, ownership and lifecycle."""

    KIND = "computenode:storage:PrivateBucket"

    def __init__(  # noqa: PLR0913 - what may differ between buckets, all of it required
        self,
        name: str,
        context: NodeContext,
        *,
        bucket: str,
        encryption: Encryption,
        versioned: bool,
        rules: Rules,
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__(name, context, opts)
        self.resource = aws.s3.Bucket(
            name,
            bucket=bucket,
            force_destroy=not context.config.removal_protection,
            opts=self._opts(protect=context.config.removal_protection or None),
        )
        self.name = self.resource.bucket
        self.arn = self.resource.arn
        self._keep_private(name)
        aws.s3.BucketServerSideEncryptionConfiguration(
            f"{name}-encryption", bucket=self.resource.bucket, rules=[encryption.bucket_rule], opts=self._opts()
        )
        versioning = [self._keep_versions(name)] if versioned else []
        aws.s3.BucketLifecycleConfiguration(
            f"{name}-lifecycle",
            bucket=self.resource.bucket,
            rules=[*rules, _abort_unfinished()],
            # By default objects under 128 KB would stay out of Glacier, and most run logs are that small.
            transition_default_minimum_object_size="varies_by_storage_class",
            opts=self._opts(depends_on=versioning),
        )
        self.register_outputs({"arn": self.arn})

    def _keep_private(self, name: str) -> None:
        block = aws.s3.BucketPublicAccessBlock(
            f"{name}-private",
            bucket=self.resource.bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self._opts(),
        )
        aws.s3.BucketOwnershipControls(
            f"{name}-ownership",
            bucket=self.resource.bucket,
            rule=aws.s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
            opts=self._opts(),
        )
        # After the block: S3 refuses two changes of a bucket's access at a time.
        aws.s3.BucketPolicy(
            f"{name}-policy",
            bucket=self.resource.bucket,
            policy=document([tls_only(self.arn)]),
            opts=self._opts(depends_on=[block]),
        )

    def _keep_versions(self, name: str) -> aws.s3.BucketVersioning:
        return aws.s3.BucketVersioning(
            f"{name}-versioning",
            bucket=self.resource.bucket,
            versioning_configuration=aws.s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
            opts=self._opts(),
        )


def expire(prefix: str, days: int) -> aws.s3.BucketLifecycleConfigurationRuleArgs:
    """Delete what lies under `prefix` after some days."""
    return aws.s3.BucketLifecycleConfigurationRuleArgs(
        id=f"expire-{prefix.rstrip('/')}",
        status="Enabled",
        filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=prefix),
        expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(days=days),
    )


def _abort_unfinished() -> aws.s3.BucketLifecycleConfigurationRuleArgs:
    return aws.s3.BucketLifecycleConfigurationRuleArgs(
        id="abort-unfinished-uploads",
        status="Enabled",
        filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
        abort_incomplete_multipart_upload=aws.s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
            days_after_initiation=DAYS_OF_UNFINISHED_UPLOADS
        ),
    )
