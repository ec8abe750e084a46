"""Lambda and EventBridge."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pulumi

from local.provider.model import Account, Made, Properties, ProviderError, Request, refuse
from local.provider.rows import ID, Call, Row
from local.provider.values import archive

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN_FUNCTION = "aws:lambda/function:Function"  # noqa: S105 - a type token
CONFIGURATION = {
    "role": "Role",
    "handler": "Handler",
    "runtime": "Runtime",
    "description": "Description",
    "timeout": "Timeout",
    "memorySize": "MemorySize",
    "environment": "Environment",
    "kmsKeyArn": "KMSKeyArn",
    "vpcConfig": "VpcConfig",
    "fileSystemConfig": "FileSystemConfigs",
    "ephemeralStorage": "EphemeralStorage",
    "imageConfig": "ImageConfig",
    "loggingConfig": "LoggingConfig",
    "deadLetterConfig": "DeadLetterConfig",
    "tracingConfig": "TracingConfig",
}


class Function:
    """A Lambda function from a zip or from an image."""

    token = TOKEN_FUNCTION
    _row = Row(
        token=TOKEN_FUNCTION,
        service="lambda",
        make=Call(
            operation="CreateFunction",
            takes={
                "name": "FunctionName",
                "zip": "Code.ZipFile",
                "imageUri": "Code.ImageUri",
                "packageType": "PackageType",
                "architectures": "Architectures",
                "publish": "Publish",
                "tags": "Tags",
                **CONFIGURATION,
            },
        ),
        look=Call(operation="GetFunction", takes={ID: "FunctionName"}),
        change=(
            Call(operation="UpdateFunctionConfiguration", takes={ID: "FunctionName", **CONFIGURATION}),
            Call(operation="UpdateFunctionCode", takes={ID: "FunctionName", "zip": "ZipFile"}, when="zip"),
            Call(operation="UpdateFunctionCode", takes={ID: "FunctionName", "imageUri": "ImageUri"}, when="imageUri"),
        ),
        remove=Call(operation="DeleteFunction", takes={ID: "FunctionName"}),
        named="name",
        renames={
            f"{TOKEN_FUNCTION} imageConfig.entryPoints": "EntryPoint",
            f"{TOKEN_FUNCTION} imageConfig.commands": "Command",
        },
        recorded={
            "sourceCodeHash": "tells Pulumi whether the code changed; Lambda computes its own",
            # A layer is code of AWS's own account that cannot be had here: the runtime's environment has its libraries.
            "layers": "the layer's libraries come from the embedded runtime's environment",
            "skipDestroy": "decides what a removal does, and nothing before it",
        },
        id="{name}",
        outputs={"version": "{response[Version]}"},
    )

    def create(self, account: Account, request: Request) -> Made:
        """Make the function, and its first version where it is published."""
        made = self._row.create(account, _with_code(account, request))
        return Made(made.id, {**made.outputs, **_arns(account, made)})

    def read(self, account: Account, made: Made, inputs: Mapping[str, Any]) -> Made | None:
        """Look the function up."""
        return self._row.read(account, made, inputs)

    def update(self, account: Account, made: Made, request: Request) -> Made:
        """Change configuration and code, and publish a version where the program says so."""
        updated = self._row.update(account, made, _with_code(account, request))
        if not request.inputs.get("publish"):
            return updated
        version = account.client("lambda").publish_version(FunctionName=made.id)["Version"]
        published = Made(made.id, {**updated.outputs, "version": version})
        return Made(made.id, {**published.outputs, **_arns(account, published)})

    def delete(self, account: Account, made: Made, inputs: Mapping[str, Any]) -> None:
        """Remove the function with all its versions."""
        self._row.delete(account, made, inputs)


def _with_code(account: Account, request: Request) -> Request:
    inputs: Properties = dict(request.inputs)
    code = inputs.pop("code", None)
    if isinstance(code, (pulumi.Archive, pulumi.Asset)):
        inputs["zip"] = archive(code, account.program)
    elif code is not None:
        raise ProviderError(f"{request.urn}: code is {type(code).__name__}, not an archive")
    return replace(request, inputs=inputs)


def _arns(account: Account, made: Made) -> dict[str, str]:
    arn = account.arn("lambda", f"function:{made.id}")
    invoke = f"arn:{account.partition}:apigateway:{account.region}:lambda:path/2015-03-31/functions"
    version = made.outputs["version"]
    return {
        "arn": arn,
        "qualifiedArn": f"{arn}:{version}",
        "invokeArn": f"{invoke}/{arn}/invocations",
        "qualifiedInvokeArn": f"{invoke}/{arn}:{version}/invocations",
    }


def _statement_is_new(account: Account, request: Request) -> None:
    """A statement id is there once in a function's policy. moto appends another."""
    inputs, client = request.inputs, account.client("lambda")
    try:
        policy = client.get_policy(FunctionName=inputs["function"])["Policy"]
    except client.exceptions.ResourceNotFoundException:
        return
    if f'"Sid": "{inputs["statementId"]}"' in policy:
        message = f"The statement id ({inputs['statementId']}) provided already exists"
        raise refuse("AddPermission", "ResourceConflictException", message)


PERMISSION = Row(
    token="aws:lambda/permission:Permission",  # noqa: S106 - a type token
    service="lambda",
    make=Call(
        operation="AddPermission",
        takes={
            "function": "FunctionName",
            "statementId": "StatementId",
            "action": "Action",
            "principal": "Principal",
            "sourceArn": "SourceArn",
            "sourceAccount": "SourceAccount",
            "qualifier": "Qualifier",
            "functionUrlAuthType": "FunctionUrlAuthType",
            "invokedViaFunctionUrl": "InvokedViaFunctionUrl",
        },
    ),
    change=(),
    remove=Call(operation="RemovePermission", takes={"function": "FunctionName", ID: "StatementId"}),
    named="statementId",
    id="{statementId}",
    check=_statement_is_new,
)


class FunctionUrl:
    """The address of a function. On AWS a host of its own, here a port of this machine."""

    token = "aws:lambda/functionUrl:FunctionUrl"  # noqa: S105 - a type token
    _row = Row(
        token=token,
        service="lambda",
        make=Call(
            operation="CreateFunctionUrlConfig",
            takes={
                "functionName": "FunctionName",
                "authorizationType": "AuthType",
                "invokeMode": "InvokeMode",
                "cors": "Cors",
            },
        ),
        look=Call(operation="GetFunctionUrlConfig", takes={"functionName": "FunctionName"}),
        change=(
            Call(
                operation="UpdateFunctionUrlConfig",
                takes={"functionName": "FunctionName", "authorizationType": "AuthType", "cors": "Cors"},
            ),
        ),
        remove=Call(operation="DeleteFunctionUrlConfig", takes={"functionName": "FunctionName"}),
        id="{functionName}",
        outputs={"functionArn": "{response[FunctionArn]}"},
    )

    def create(self, account: Account, request: Request) -> Made:
        """Open the function's address."""
        if request.inputs.get("invokeMode", "BUFFERED") != "BUFFERED":
            raise ProviderError(f"{request.urn}: the embedded AWS answers function URLs buffered, not by stream")
        made = self._row.create(account, request)
        return Made(made.id, {**made.outputs, "functionUrl": account.function_url(made.id)})

    def read(self, account: Account, made: Made, inputs: Mapping[str, Any]) -> Made | None:
        """Look the address up."""
        return self._row.read(account, made, inputs)

    def update(self, account: Account, made: Made, request: Request) -> Made:
        """Change who may call, and from where."""
        return self._row.update(account, made, request)

    def delete(self, account: Account, made: Made, inputs: Mapping[str, Any]) -> None:
        """Close the address."""
        self._row.delete(account, made, inputs)


EVENT_INVOKE_CONFIG = Row(
    token="aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig",  # noqa: S106 - a type token
    service="lambda",
    make=Call(
        operation="PutFunctionEventInvokeConfig",
        takes={
            "functionName": "FunctionName",
            "qualifier": "Qualifier",
            "maximumRetryAttempts": "MaximumRetryAttempts",
            "maximumEventAgeInSeconds": "MaximumEventAgeInSeconds",
            "destinationConfig": "DestinationConfig",
        },
    ),
    look=Call(
        operation="GetFunctionEventInvokeConfig", takes={"functionName": "FunctionName", "qualifier": "Qualifier"}
    ),
    remove=Call(
        operation="DeleteFunctionEventInvokeConfig", takes={"functionName": "FunctionName", "qualifier": "Qualifier"}
    ),
    id="{functionName}",
)
EVENT_RULE = Row(
    token="aws:cloudwatch/eventRule:EventRule",  # noqa: S106 - a type token
    service="events",
    make=Call(
        operation="PutRule",
        takes={
            "name": "Name",
            "description": "Description",
            "eventPattern": "EventPattern",
            "scheduleExpression": "ScheduleExpression",
            "eventBusName": "EventBusName",
            "state": "State",
            "roleArn": "RoleArn",
            "tags": "Tags",
        },
    ),
    look=Call(operation="DescribeRule", takes={ID: "Name"}),
    remove=Call(operation="DeleteRule", takes={ID: "Name"}, constants={"Force": True}),
    named="name",
    id="{name}",
    outputs={"arn": "{response[RuleArn]}"},
)


def _target(token: str) -> Row:
    """Rows take properties one by one; a target is one entry of a list."""
    return Row(
        token=token,
        service="events",
        make=Call(operation="PutTargets", takes={"rule": "Rule", "eventBusName": "EventBusName", "target": "Targets"}),
        remove=Call(operation="RemoveTargets", takes={"rule": "Rule", "targetId": "Ids"}, constants={"Force": True}),
        named="targetId",
        renames={f"{token} target.targetId": "Id", f"{token} target.inputTransformer.inputPaths": "InputPathsMap"},
        id="{rule}-{targetId}",
        recorded={"targetId": "within the target"},
    )


class EventTarget:
    """Where a rule sends what it matches."""

    token = "aws:cloudwatch/eventTarget:EventTarget"  # noqa: S105 - a type token
    _row = _target(token)

    def create(self, account: Account, request: Request) -> Made:
        """Add the target to its rule. Raises ClientError as AWS answers a target that it does not take."""
        made = self._row.create(account, self._gathered(request))
        return Made(made.id, {"targetId": made.outputs["targetId"]})

    def read(self, account: Account, made: Made, inputs: Mapping[str, Any]) -> Made | None:
        """Look the target up among its rule's."""
        client = account.client("events")
        targets = client.list_targets_by_rule(Rule=inputs["rule"])["Targets"]
        identity = made.outputs["targetId"]
        return made if any(target["Id"] == identity for target in targets) else None

    def update(self, account: Account, made: Made, request: Request) -> Made:
        """Put the target again."""
        inputs = {**request.inputs, "targetId": made.outputs["targetId"]}
        again = replace(request, inputs=inputs)
        self._row.update(account, made, self._gathered(again))
        return made

    def delete(self, account: Account, made: Made, inputs: Mapping[str, Any]) -> None:
        """Take the target from its rule."""
        self._row.delete(account, made, {**inputs, "targetId": made.outputs["targetId"]})

    def _gathered(self, request: Request) -> Request:
        inputs: Properties = dict(request.inputs)
        identity = inputs.get("targetId") or f"{request.name}-{request.mark}"
        outside: Properties = {key: inputs.pop(key) for key in ("rule", "eventBusName") if key in inputs}
        gathered: Properties = {**outside, "targetId": identity, "target": {**inputs, "targetId": identity}}
        return replace(request, inputs=gathered)


KINDS = (Function(), PERMISSION, FunctionUrl(), EVENT_INVOKE_CONFIG, EVENT_RULE, EventTarget())
