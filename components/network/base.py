"""The interface of the network variants, and the security groups that all of them have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
import pulumi_aws as aws

from components.base import NodeComponent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.context import NodeContext

NFS, HTTPS = 2049, 443
ANYWHERE = "0.0.0.0/0"


@dataclass(frozen=True)
class SecurityGroups:
    """The functions of the node, the processors (tasks and Lambda), and the file system's mount targets."""

    functions: aws.ec2.SecurityGroup
    processors: aws.ec2.SecurityGroup
    file_system: aws.ec2.SecurityGroup


class Network(NodeComponent):
    """A VPC with a subnet for each zone, routes to S3 and DynamoDB that cost nothing, and security groups."""

    vpc_id: pulumi.Output[str]
    # One a zone. Their number is known in the program, since each becomes a mount target.
    subnet_ids: Sequence[pulumi.Output[str]]
    assign_public_ip: bool
    groups: SecurityGroups

    def _gateway_endpoint(self, service: str, route_table_ids: pulumi.Output[Sequence[str]]) -> aws.ec2.VpcEndpoint:
        """A free route to `service`. A route table can hold only one to each."""
        return aws.ec2.VpcEndpoint(
            f"{self.label}-{service}",
            vpc_id=self.vpc_id,
            vpc_endpoint_type="Gateway",
            service_name=f"com.amazonaws.{self.context.names.region}.{service}",
            route_table_ids=route_table_ids,
            tags={"Name": f"{self.context.names.node}-{service}"},
            opts=self._opts(),
        )

    def _security_groups(self, context: NodeContext) -> SecurityGroups:
        groups = SecurityGroups(
            functions=self._group("functions", "functions of the node"),
            processors=self._group("processors", "processors, on ECS and on Lambda"),
            file_system=self._group("file-system", "mount targets of the node's file system"),
        )
        for role, client in (("functions", groups.functions), ("processors", groups.processors)):
            self._allow_nfs(role, client, groups.file_system)
        self._egress("processors-out", groups.processors, ANYWHERE)
        for service in ("s3", "dynamodb"):
            prefixes = aws.ec2.get_managed_prefix_list_output(
                name=f"com.amazonaws.{context.names.region}.{service}", opts=pulumi.InvokeOutputOptions(parent=self)
            )
            aws.vpc.SecurityGroupEgressRule(
                f"{self.label}-functions-to-{service}",
                security_group_id=groups.functions.id,
                description=f"to {service}, by the gateway endpoint",
                ip_protocol="tcp",
                from_port=HTTPS,
                to_port=HTTPS,
                prefix_list_id=prefixes.id,
                opts=self._opts(),
            )
        return groups

    def _group(self, role: str, description: str) -> aws.ec2.SecurityGroup:
        name = self.context.names.security_group(role)
        return aws.ec2.SecurityGroup(
            f"{self.label}-{role}",
            name=name,
            description=f"{self.context.names.node}: {description}",
            vpc_id=self.vpc_id,
            tags={"Name": name},
            opts=self._opts(),
        )

    def _egress(self, rule: str, group: aws.ec2.SecurityGroup, cidr: str) -> None:
        aws.vpc.SecurityGroupEgressRule(
            f"{self.label}-{rule}", security_group_id=group.id, ip_protocol="-1", cidr_ipv4=cidr, opts=self._opts()
        )

    def _allow_nfs(self, role: str, client: aws.ec2.SecurityGroup, server: aws.ec2.SecurityGroup) -> None:
        aws.vpc.SecurityGroupEgressRule(
            f"{self.label}-{role}-to-file-system",
            security_group_id=client.id,
            description="NFS to the mount targets",
            ip_protocol="tcp",
            from_port=NFS,
            to_port=NFS,
            referenced_security_group_id=server.id,
            opts=self._opts(),
        )
        aws.vpc.SecurityGroupIngressRule(
            f"{self.label}-file-system-from-{role}",
            security_group_id=server.id,
            description=f"NFS from {role}",
            ip_protocol="tcp",
            from_port=NFS,
            to_port=NFS,
            referenced_security_group_id=client.id,
            opts=self._opts(),
        )
