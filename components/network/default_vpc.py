"""The account's default VPC, as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_aws as aws
import pulumi_awsx as awsx

from components.network.base import Network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.context import NodeContext


class DefaultVpcNetwork(Network):
    """Public subnets of the default VPC. Tasks have a public address; functions in it have no internet."""

    KIND = "computenode:network:DefaultVpc"

    def __init__(self, name: str, context: NodeContext, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, context, opts)
        vpc = awsx.ec2.DefaultVpc(f"{name}-vpc", opts=self._opts())
        self.vpc_id = vpc.vpc_id
        self.assign_public_ip = True
        zones = context.config.network.zones
        self.subnet_ids = [_subnet(vpc.public_subnet_ids, index, zones) for index in range(zones)]
        self.groups = self._security_groups(context)
        if not context.config.network.borrow_gateway_endpoints:
            tables = aws.ec2.get_route_tables_output(vpc_id=self.vpc_id, opts=pulumi.InvokeOutputOptions(parent=self))
            self.endpoints = [self._gateway_endpoint(service, tables.ids) for service in ("s3", "dynamodb")]
        self.register_outputs({"vpcId": self.vpc_id, "subnetIds": self.subnet_ids})


def _subnet(subnet_ids: pulumi.Output[Sequence[str]], index: int, zones: int) -> pulumi.Output[str]:
    """One of the default subnets, of which every zone has exactly one. Sorted, as AWS lists them in any order."""

    def pick(ids: Sequence[str]) -> str:
        if len(ids) < zones:
            raise pulumi.RunError(
                f"compute-node:network.zones: {zones}, but the default VPC has {len(ids)} public subnets"
            )
        return sorted(ids)[index]

    return subnet_ids.apply(pick)
