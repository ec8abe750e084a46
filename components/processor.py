"""One processor: its image where it is built here, its function where it may run on Lambda, its entry in the table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_aws as aws
import pulumi_awsx as awsx

from components.base import NodeComponent
from components.fargate import FREE_STORAGE_GIB
from components.functions import MOUNT_PATH
from components.policies import Statement, document

if TYPE_CHECKING:
    from components.context import NodeContext
    from components.encryption import Encryption
    from components.network.base import Network
    from components.roles import ServiceRole
    from components.storage import Storage
    from config import Parameter, Processor

KEPT_IMAGES = 20  # without a tag; a run in progress still names the digest of one
PLATFORMS = {"x86_64": "linux/amd64", "arm64": "linux/arm64"}


@dataclass(frozen=True, kw_only=True)
class ProcessorGround:
    """What all processors stand on."""

    network: Network
    storage: Storage
    encryption: Encryption
    lambda_role: ServiceRole | None  # None where no processor runs on Lambda
    complete_function_arn: pulumi.Output[str]


class ProcessorEntry(NodeComponent):
    """A processor's resources. Task definitions are not among them: each run registers its own."""

    KIND = "computenode:processors:Processor"

    def __init__(
        self,
        name: str,
        context: NodeContext,
        *,
        processor: Processor,
        ground: ProcessorGround,
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__(name, context, opts)
        self.processor = processor
        self.image: pulumi.Output[str] = (
            self._build(processor.build, ground) if processor.build else pulumi.Output.from_input(processor.image or "")
        )
        self.function_arn = self._function(ground)
        aws.dynamodb.TableItem(
            f"{name}-entry",
            table_name=ground.storage.run_table.name,
            hash_key="pk",
            range_key="sk",
            item=pulumi.Output.json_dumps(
                {
                    "pk": {"S": "NODE"},
                    "sk": {"S": f"PROCESSOR#{processor.name}"},
                    "definition": {"S": pulumi.Output.json_dumps(self._definition())},
                }
            ),
            opts=self._opts(),
        )
        self.register_outputs({"image": self.image, "functionArn": self.function_arn})

    def _build(self, build: str, ground: ProcessorGround) -> pulumi.Output[str]:
        """Build and push the image; what runs is its digest."""
        repository = aws.ecr.Repository(
            f"{self.label}-repository",
            name=self.context.names.repository(self.processor.name),
            # Runs go by digest, so a tag that moves is harmless, and the builder reuses its tag.
            image_tag_mutability="MUTABLE",
            image_scanning_configuration=aws.ecr.RepositoryImageScanningConfigurationArgs(scan_on_push=True),
            encryption_configurations=[ground.encryption.repository],
            force_delete=True,  # images are made anew from their contexts
            opts=self._opts(),
        )
        aws.ecr.LifecyclePolicy(
            f"{self.label}-lifecycle", repository=repository.name, policy=_lifecycle(), opts=self._opts()
        )
        if self.processor.on_lambda:
            self._let_lambda_pull(repository)
        image = awsx.ecr.Image(
            f"{self.label}-image",
            repository_url=repository.repository_url,
            # Relative to the program, where Pulumi evaluates it: one machine's path would be a change on another.
            context=build,
            platform=PLATFORMS[self.context.config.architecture],
            opts=self._opts(),
        )
        return image.image_uri

    def _let_lambda_pull(self, repository: aws.ecr.Repository) -> None:
        function = self.context.names.processor_function(self.processor.name)
        pull = Statement(
            sid="LambdaPulls",
            principals={"Service": "lambda.amazonaws.com"},
            actions=("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"),
            own_resource=True,
            conditions={"ArnLike": {"aws:SourceArn": self.context.names.arn("lambda", f"function:{function}")}},
        )
        aws.ecr.RepositoryPolicy(
            f"{self.label}-repository-policy", repository=repository.name, policy=document([pull]), opts=self._opts()
        )

    def _function(self, ground: ProcessorGround) -> pulumi.Output[str]:
        """The function's version as an ARN, or an empty text where the processor does not run on Lambda."""
        if not self.processor.on_lambda or ground.lambda_role is None:
            return pulumi.Output.from_input("")
        role = ground.lambda_role
        log_group = self._log_group(ground)
        function = self._lambda(ground, role, log_group)
        self._end_with_complete(function, role, ground.complete_function_arn)
        return function.qualified_arn

    def _log_group(self, ground: ProcessorGround) -> aws.cloudwatch.LogGroup:
        return aws.cloudwatch.LogGroup(
            f"{self.label}-logs",
            name=f"{self.context.names.processor_log_group}/{self.processor.name}",
            retention_in_days=self.context.config.logs.retention_days,
            kms_key_id=ground.encryption.log_key,
            opts=self._opts(),
        )

    def _lambda(
        self, ground: ProcessorGround, role: ServiceRole, log_group: aws.cloudwatch.LogGroup
    ) -> aws.lambda_.Function:
        processor, network, storage = self.processor, ground.network, ground.storage
        return aws.lambda_.Function(
            f"{self.label}-function",
            name=self.context.names.processor_function(processor.name),
            description=processor.description or f"processor {processor.name}",
            role=role.arn,
            package_type="Image",
            image_uri=self.image,
            image_config=aws.lambda_.FunctionImageConfigArgs(
                entry_points=["python", "-m", "awslambdaric"], commands=[processor.lambda_handler]
            ),
            architectures=[self.context.config.architecture],
            memory_size=processor.memory,
            timeout=processor.timeout_seconds,
            ephemeral_storage=_scratch(processor),
            publish=True,  # a run goes by version, as its tasks go by digest
            environment=aws.lambda_.FunctionEnvironmentArgs(variables=processor.environment),
            kms_key_arn=ground.encryption.function_key,
            logging_config=aws.lambda_.FunctionLoggingConfigArgs(log_format="Text", log_group=log_group.name),
            vpc_config=aws.lambda_.FunctionVpcConfigArgs(
                subnet_ids=network.subnet_ids, security_group_ids=[network.groups.processors.id]
            ),
            file_system_config=aws.lambda_.FunctionFileSystemConfigArgs(
                arn=storage.node_access_point.arn, local_mount_path=MOUNT_PATH
            ),
            opts=self._opts(depends_on=[role.policy, *storage.mount_targets]),
        )

    def _end_with_complete(
        self, function: aws.lambda_.Function, role: ServiceRole, complete_arn: pulumi.Output[str]
    ) -> None:
        """Have Lambda report each end, and never repeat an invocation: retries are the state machine's."""
        aws.lambda_.FunctionEventInvokeConfig(
            f"{self.label}-end",
            function_name=function.name,
            qualifier=function.version,
            maximum_retry_attempts=0,
            maximum_event_age_in_seconds=self.processor.start_deadline_seconds,
            destination_config=aws.lambda_.FunctionEventInvokeConfigDestinationConfigArgs(
                on_success=aws.lambda_.FunctionEventInvokeConfigDestinationConfigOnSuccessArgs(
                    destination=complete_arn
                ),
                on_failure=aws.lambda_.FunctionEventInvokeConfigDestinationConfigOnFailureArgs(
                    destination=complete_arn
                ),
            ),
            # A new version gets its own. The old one's stays while runs in progress may still invoke it.
            opts=self._opts(depends_on=[role.policy], retain_on_delete=True),
        )

    def _definition(self) -> dict[str, Any]:
        processor = self.processor
        return {
            "name": processor.name,
            "description": processor.description,
            "computeTypes": list(processor.compute_types),
            "cpu": processor.cpu,
            "memory": processor.memory,
            "ephemeralStorageGiB": max(processor.ephemeral_storage_gib, FREE_STORAGE_GIB),
            "timeoutSeconds": processor.timeout_seconds,
            "startDeadlineSeconds": processor.start_deadline_seconds,
            "retries": processor.retries,
            "parameters": {name: _parameter(parameter) for name, parameter in processor.parameters.items()},
            "environment": processor.environment,
            "image": self.image,
            "functionArn": self.function_arn,
        }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    given = {} if parameter.is_required else {"default": parameter.default}
    return {"type": parameter.type, "description": parameter.description, **given}


def _scratch(processor: Processor) -> aws.lambda_.FunctionEphemeralStorageArgs | None:
    """Room under /tmp where the configuration asks for it; Lambda's own 512 MB otherwise."""
    if "ephemeral_storage_gib" not in processor.model_fields_set:
        return None
    return aws.lambda_.FunctionEphemeralStorageArgs(size=processor.ephemeral_storage_gib * 1024)


def _lifecycle() -> str:
    selection = {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": KEPT_IMAGES}
    rule = {"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}
    return json.dumps({"rules": [{**rule, "description": f"keep {KEPT_IMAGES} images without a tag"}]})
