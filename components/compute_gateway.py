"""The node's door: one function behind a URL that only signed requests of allowed principals get through."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pulumi_aws as aws

from components import grants
from components.base import NodeComponent
from components.functions import FunctionBase, FunctionSpec, NodeFunction
from components.policies import Statement

if TYPE_CHECKING:
    import pulumi

    from components.context import NodeContext
    from components.naming import Names
    from components.storage import Storage

# https://docs.aws.amazon.com/powertools/python/latest/#lambda-layer: pinned, as the newest one changes under us.
POWERTOOLS_ACCOUNT, POWERTOOLS_VERSION = "017000801446", 38


class ComputeGateway(NodeComponent):
    """The gateway's function, its URL, and who may call it."""

    KIND = "computenode:gateway:ComputeGateway"

    def __init__(
        self,
        name: str,
        context: NodeContext,
        *,
        storage: Storage,
        functions: FunctionBase,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(name, context, opts)
        spec = FunctionSpec(
            role="gateway",
            description="The node's API",
            memory=512,
            timeout=30,
            statements=gateway_statements(context, storage),
            layers=(powertools_layer(context),),
        )
        self.function = NodeFunction(f"{name}-function", context, spec=spec, base=functions, opts=self._opts())
        self.url = aws.lambda_.FunctionUrl(
            f"{name}-url",
            function_name=self.function.function.name,
            authorization_type="AWS_IAM",
            invoke_mode="BUFFERED",
            opts=self._opts(),
        ).function_url
        for principal in context.config.gateway.allowed_principals or (context.names.account,):
            self._admit(principal)
        self.register_outputs({"url": self.url})

    def _admit(self, principal: str) -> None:
        """Both permissions that a URL needs; the second only as far as the URL is used.

        https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
        """
        mark = _mark(principal)
        aws.lambda_.Permission(
            f"{self.label}-url-{mark}",
            statement_id=f"url-{mark}",
            action="lambda:InvokeFunctionUrl",
            function=self.function.function.name,
            principal=principal,
            function_url_auth_type="AWS_IAM",
            opts=self._opts(),
        )
        aws.lambda_.Permission(
            f"{self.label}-invoke-{mark}",
            statement_id=f"invoke-{mark}",
            action="lambda:InvokeFunction",
            function=self.function.function.name,
            principal=principal,
            invoked_via_function_url=True,
            opts=self._opts(),
        )


def _mark(principal: str) -> str:
    """A principal as part of a name: the digest tells apart what the readable part does not."""
    readable = principal.rpartition(":")[2].replace("/", "-")[:40]
    cleaned = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in readable)
    return f"{cleaned}-{hashlib.sha256(principal.encode()).hexdigest()[:8]}"


def powertools_layer(context: NodeContext) -> str:
    """ARN of the layer that holds the gateway's libraries."""
    if context.config.gateway.powertools_layer_arn:
        return context.config.gateway.powertools_layer_arn
    layer = f"AWSLambdaPowertoolsPythonV3-python312-{context.config.architecture}:{POWERTOOLS_VERSION}"
    return f"arn:{context.names.partition}:lambda:{context.names.region}:{POWERTOOLS_ACCOUNT}:layer:{layer}"


def gateway_statements(context: NodeContext, storage: Storage) -> tuple[Statement, ...]:
    """What the API does: start, stop and tell of runs, keep secrets, hand out links to files."""
    names = context.names
    return (
        grants.run_table(names, "GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "BatchGetItem"),
        grants.start_executions(names),
        grants.executions(names, "DescribeExecution", "StopExecution"),
        *_secrets(names),
        grants.objects("ReadResults", names, names.results_bucket, ("runs/", "uploads/"), "GetObject"),
        grants.objects("KeepRequests", names, names.results_bucket, ("runs/*/request.json",), "PutObject"),
        grants.objects("TakeUploads", names, names.results_bucket, ("uploads/",), "PutObject"),
        grants.list_bucket("ListResults", names, names.results_bucket),
        grants.objects("ReadArchive", names, names.log_bucket, ("workflows/",), "GetObject"),
        grants.list_bucket("ListArchive", names, names.log_bucket),
        grants.read_logs(names),
        grants.tasks(names, "DescribeTasks"),
        grants.list_tasks(names),
        Statement(
            sid="LookAtFiles",
            actions=("elasticfilesystem:DescribeFileSystems", "elasticfilesystem:DescribeMountTargets"),
            resources=(storage.file_system.arn,),
        ),
    )


def _secrets(names: Names) -> tuple[Statement, ...]:
    return (
        grants.run_secrets(names, "CreateSecret", "PutSecretValue", "DescribeSecret", "DeleteSecret", "TagResource"),
        Statement(
            sid="UserSecrets",
            actions=(
                "secretsmanager:CreateSecret",
                "secretsmanager:PutSecretValue",
                "secretsmanager:GetSecretValue",
                "secretsmanager:DescribeSecret",
                "secretsmanager:DeleteSecret",
                "secretsmanager:TagResource",
            ),
            resources=(names.secret_arn(names.user_secrets),),
        ),
    )
