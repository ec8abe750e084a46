"""EC2's network: security groups, their rules, and VPC endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from local.provider.model import Account, Made, ProviderError, Request, refuse
from local.provider.rows import ID, Call, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_EGRESS = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


def _tags(resource_type: str) -> Callable[[Any], Any]:
    """EC2 takes tags with the type of the resource that they are for."""

    def specify(tags: dict[str, str]) -> list[dict[str, Any]] | None:
        return [{"resourceType": resource_type, "tags": tags}] if tags else None

    return specify


def _take_back_default_egress(account: Account, made: Made) -> None:
    """AWS lets a new group reach anything; the AWS provider takes that back, so that all rules are the program's."""
    account.client("ec2").revoke_security_group_egress(GroupId=made.id, IpPermissions=[DEFAULT_EGRESS])


SECURITY_GROUP = Row(
    token="aws:ec2/securityGroup:SecurityGroup",  # noqa: S106 - a type token
    service="ec2",
    make=Call(
        operation="CreateSecurityGroup",
        takes={"name": "GroupName", "description": "Description", "vpcId": "VpcId", "tags": "TagSpecifications"},
    ),
    look=Call(operation="DescribeSecurityGroups", takes={ID: "GroupIds"}),
    change=(),
    remove=Call(operation="DeleteSecurityGroup", takes={ID: "GroupId"}),
    named="name",
    adapt={"tags": _tags("security-group")},
    id="{response[GroupId]}",
    outputs={"arn": "arn:{partition}:ec2:{region}:{account}:security-group/{id}", "ownerId": "{account}"},
    recorded={"revokeRulesOnDelete": "decides what a removal does, and nothing before it"},
    settle=_take_back_default_egress,
)


class SecurityGroupRule:
    """One rule of a security group, to or from one source."""

    _sources: ClassVar[dict[str, tuple[str, str]]] = {
        "cidrIpv4": ("IpRanges", "CidrIp"),
        "cidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
        "prefixListId": ("PrefixListIds", "PrefixListId"),
        "referencedSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
    }

    def __init__(self, direction: str) -> None:
        self._direction = direction.lower()
        self.token = f"aws:vpc/securityGroup{direction}Rule:SecurityGroup{direction}Rule"

    def create(self, account: Account, request: Request) -> Made:
        """Authorise what the rule says."""
        inputs = request.inputs
        known = {*self._sources, "securityGroupId", "ipProtocol", "fromPort", "toPort", "description", "tags"}
        if unknown := sorted(set(inputs) - known):
            raise ProviderError(f"{self.token}: the embedded AWS has no place for {', '.join(unknown)}")
        response = self._call(account, "authorize", inputs, **self._tagged(inputs))
        rule = response["SecurityGroupRules"][0]
        identity = rule["SecurityGroupRuleId"]
        return Made(
            identity, {"securityGroupRuleId": identity, "arn": account.arn("ec2", f"security-group-rule/{identity}")}
        )

    def read(self, account: Account, made: Made, inputs: Mapping[str, Any]) -> Made | None:
        """Look the rule up among those of its group."""
        group = {"Name": "group-id", "Values": [inputs["securityGroupId"]]}
        rules = account.client("ec2").describe_security_group_rules(Filters=[group])["SecurityGroupRules"]
        return made if any(rule["SecurityGroupRuleId"] == made.id for rule in rules) else None

    def update(self, account: Account, made: Made, request: Request) -> Made:  # noqa: ARG002
        """Refuse: a rule is its source and ports, and other ones are another rule."""
        raise ProviderError(f"{request.urn}: {self.token} cannot be changed in place here, only replaced")

    def delete(self, account: Account, made: Made, inputs: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Revoke the rule."""
        self._call(account, "revoke", inputs)

    def _call(self, account: Account, verb: str, inputs: Mapping[str, Any], **more: Any) -> Any:
        operation = getattr(account.client("ec2"), f"{verb}_security_group_{self._direction}")
        return operation(GroupId=inputs["securityGroupId"], IpPermissions=[self._permission(inputs)], **more)

    def _permission(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        given = [name for name in self._sources if inputs.get(name)]
        if len(given) != 1:
            raise ProviderError(
                f"{self.token}: give one of {', '.join(self._sources)}, not {', '.join(given) or 'none'}"
            )
        group, key = self._sources[given[0]]
        description = {"Description": inputs["description"]} if inputs.get("description") else {}
        permission: dict[str, Any] = {
            "IpProtocol": inputs["ipProtocol"],
            group: [{key: inputs[given[0]], **description}],
        }
        ports = {"FromPort": inputs.get("fromPort"), "ToPort": inputs.get("toPort")}
        return permission | {name: port for name, port in ports.items() if port is not None}

    def _tagged(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        if not inputs.get("tags"):
            return {}
        tags = [{"Key": key, "Value": value} for key, value in inputs["tags"].items()]
        return {"TagSpecifications": [{"ResourceType": "security-group-rule", "Tags": tags}]}


def _route_is_free(account: Account, request: Request) -> None:
    """A route table holds one route to a service. moto adds another."""
    inputs = request.inputs
    if inputs.get("vpcEndpointType", "Gateway") != "Gateway":
        return
    filters = [
        {"Name": "service-name", "Values": [inputs["serviceName"]]},
        {"Name": "vpc-id", "Values": [inputs["vpcId"]]},
    ]
    for endpoint in account.client("ec2").describe_vpc_endpoints(Filters=filters)["VpcEndpoints"]:
        shared = sorted(set(endpoint["RouteTableIds"]) & set(inputs.get("routeTableIds", ())))
        if shared and endpoint["State"] != "deleted":
            told = f"route table {shared[0]} already has a route with destination-prefix-list-id of"
            raise refuse("CreateVpcEndpoint", "RouteAlreadyExists", f"{told} {inputs['serviceName']}")


VPC_ENDPOINT = Row(
    token="aws:ec2/vpcEndpoint:VpcEndpoint",  # noqa: S106 - a type token
    service="ec2",
    make=Call(
        operation="CreateVpcEndpoint",
        takes={
            "vpcId": "VpcId",
            "serviceName": "ServiceName",
            "vpcEndpointType": "VpcEndpointType",
            "routeTableIds": "RouteTableIds",
            "subnetIds": "SubnetIds",
            "securityGroupIds": "SecurityGroupIds",
            "privateDnsEnabled": "PrivateDnsEnabled",
            "policy": "PolicyDocument",
            "tags": "TagSpecifications",
        },
    ),
    look=Call(operation="DescribeVpcEndpoints", takes={ID: "VpcEndpointIds"}),
    change=(),
    remove=Call(operation="DeleteVpcEndpoints", takes={ID: "VpcEndpointIds"}),
    adapt={"tags": _tags("vpc-endpoint")},
    id="{response[VpcEndpoint][VpcEndpointId]}",
    outputs={"arn": "arn:{partition}:ec2:{region}:{account}:vpc-endpoint/{id}", "ownerId": "{account}"},
    check=_route_is_free,
)

KINDS = (SECURITY_GROUP, SecurityGroupRule("Ingress"), SecurityGroupRule("Egress"), VPC_ENDPOINT)
