"""Who holds the keys. Components ask for the arguments they need; the variants differ in what these say."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import pulumi_aws as aws

from components.base import NodeComponent

if TYPE_CHECKING:
    import pulumi

    from components.context import NodeContext


class Encryption(NodeComponent):
    """The keys of everything at rest, as the arguments of what they encrypt."""

    @property
    @abstractmethod
    def bucket_rule(self) -> aws.s3.BucketServerSideEncryptionConfigurationRuleArgs:
        """How objects are encrypted unless a request says otherwise."""

    @property
    @abstractmethod
    def table(self) -> aws.dynamodb.TableServerSideEncryptionArgs:
        """How the run table is encrypted."""

    @property
    @abstractmethod
    def file_system_key(self) -> pulumi.Output[str] | None:
        """ARN of the file system's key; None for AWS's own."""

    @property
    @abstractmethod
    def log_key(self) -> pulumi.Output[str] | None:
        """ARN of the log groups' key; None for AWS's own."""

    @property
    @abstractmethod
    def function_key(self) -> pulumi.Output[str] | None:
        """ARN of the key of functions' environments; None for AWS's own."""

    @property
    @abstractmethod
    def state_machine(self) -> aws.sfn.StateMachineEncryptionConfigurationArgs | None:
        """How executions and their history are encrypted; None for AWS's own key."""

    @property
    @abstractmethod
    def repository(self) -> aws.ecr.RepositoryEncryptionConfigurationArgs:
        """How images are encrypted."""


class AwsManagedEncryption(Encryption):
    """Keys that AWS holds: nothing to create, nothing to pay for by the month."""

    KIND = "computenode:encryption:AwsManaged"

    def __init__(self, name: str, context: NodeContext, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, context, opts)
        self.register_outputs({})

    @property
    def bucket_rule(self) -> aws.s3.BucketServerSideEncryptionConfigurationRuleArgs:
        # Not aws:kms: every request would be a paid call to KMS, and presigned uploads would need its permission.
        default = aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
            sse_algorithm="AES256"
        )
        return aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(apply_server_side_encryption_by_default=default)

    @property
    def table(self) -> aws.dynamodb.TableServerSideEncryptionArgs:
        return aws.dynamodb.TableServerSideEncryptionArgs(enabled=True)

    @property
    def file_system_key(self) -> None:
        return None

    @property
    def log_key(self) -> None:
        return None

    @property
    def function_key(self) -> None:
        return None

    @property
    def state_machine(self) -> None:
        return None

    @property
    def repository(self) -> aws.ecr.RepositoryEncryptionConfigurationArgs:
        return aws.ecr.RepositoryEncryptionConfigurationArgs(encryption_type="AES256")
