"""IAM and CloudWatch Logs."""

from __future__ import annotations

from local.provider.rows import ID, Call, Row

ROLE = Row(
    token="aws:iam/role:Role",  # noqa: S106 - a type token
    service="iam",
    make=Call(
        operation="CreateRole",
        takes={
            "name": "RoleName",
            "path": "Path",
            "assumeRolePolicy": "AssumeRolePolicyDocument",
            "description": "Description",
            "maxSessionDuration": "MaxSessionDuration",
            "permissionsBoundary": "PermissionsBoundary",
            "tags": "Tags",
        },
    ),
    look=Call(operation="GetRole", takes={ID: "RoleName"}),
    change=(
        Call(operation="UpdateAssumeRolePolicy", takes={ID: "RoleName", "assumeRolePolicy": "PolicyDocument"}),
        Call(
            operation="UpdateRole",
            takes={ID: "RoleName", "description": "Description", "maxSessionDuration": "MaxSessionDuration"},
        ),
    ),
    remove=Call(operation="DeleteRole", takes={ID: "RoleName"}),
    named="name",
    id="{name}",
    outputs={"arn": "{response[Role][Arn]}", "uniqueId": "{response[Role][RoleId]}"},
    recorded={"forceDetachPolicies": "policies are detached with their own resources"},
)
ROLE_POLICY = Row(
    token="aws:iam/rolePolicy:RolePolicy",  # noqa: S106 - a type token
    service="iam",
    make=Call(operation="PutRolePolicy", takes={"role": "RoleName", "name": "PolicyName", "policy": "PolicyDocument"}),
    look=Call(operation="GetRolePolicy", takes={"role": "RoleName", "name": "PolicyName"}),
    remove=Call(operation="DeleteRolePolicy", takes={"role": "RoleName", "name": "PolicyName"}),
    named="name",
    id="{role}:{name}",
)
ROLE_POLICY_ATTACHMENT = Row(
    token="aws:iam/rolePolicyAttachment:RolePolicyAttachment",  # noqa: S106 - a type token
    service="iam",
    make=Call(operation="AttachRolePolicy", takes={"role": "RoleName", "policyArn": "PolicyArn"}),
    change=(),
    remove=Call(operation="DetachRolePolicy", takes={"role": "RoleName", "policyArn": "PolicyArn"}),
    id="{role}/{policyArn}",
)
POLICY = Row(
    token="aws:iam/policy:Policy",  # noqa: S106 - a type token
    service="iam",
    make=Call(
        operation="CreatePolicy",
        takes={
            "name": "PolicyName",
            "path": "Path",
            "policy": "PolicyDocument",
            "description": "Description",
            "tags": "Tags",
        },
    ),
    look=Call(operation="GetPolicy", takes={ID: "PolicyArn"}),
    change=(),
    remove=Call(operation="DeletePolicy", takes={ID: "PolicyArn"}),
    named="name",
    id="{response[Policy][Arn]}",
    outputs={"arn": "{response[Policy][Arn]}", "policyId": "{response[Policy][PolicyId]}"},
)
RETENTION = Call(
    operation="PutRetentionPolicy",
    takes={"name": "logGroupName", "retentionInDays": "retentionInDays"},
    when="retentionInDays",
)
LOG_GROUP = Row(
    token="aws:cloudwatch/logGroup:LogGroup",  # noqa: S106 - a type token
    service="logs",
    make=Call(
        operation="CreateLogGroup",
        takes={"name": "logGroupName", "kmsKeyId": "kmsKeyId", "tags": "tags", "logGroupClass": "logGroupClass"},
    ),
    then=(RETENTION,),
    look=Call(operation="ListTagsLogGroup", takes={ID: "logGroupName"}),
    change=(RETENTION,),
    remove=Call(operation="DeleteLogGroup", takes={ID: "logGroupName"}),
    named="name",
    id="{name}",
    outputs={"arn": "arn:{partition}:logs:{region}:{account}:log-group:{name}"},
    recorded={"skipDestroy": "decides what a removal does, and nothing before it"},
)

KINDS = (ROLE, ROLE_POLICY, ROLE_POLICY_ATTACHMENT, POLICY, LOG_GROUP)
