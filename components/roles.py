"""IAM roles: one constructor, so that none lacks the permissions boundary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi_aws as aws

from components.base import NodeComponent
from components.policies import Conditions, Statement, document, trust

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pulumi

    from components.context import NodeContext


class ServiceRole(NodeComponent):
    """A role that one AWS service assumes, with the policy that says what it may do.

    What AWS checks when it is created, against the role, depends on `policy` as well.
    """

    KIND = "computenode:iam:ServiceRole"

    def __init__(  # noqa: PLR0913 - a role is these things, and each is required
        self,
        name: str,
        context: NodeContext,
        *,
        purpose: str,
        service: str,
        statements: Sequence[Statement],
        conditions: Conditions | None = None,
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__(name, context, opts)
        self.role = aws.iam.Role(
            f"{name}-role",
            name=context.names.role(purpose),
            description=f"{context.names.node}: {purpose}",
            assume_role_policy=trust(service, conditions),
            permissions_boundary=context.config.permissions_boundary_arn,
            opts=self._opts(),
        )
        self.policy = aws.iam.RolePolicy(
            f"{name}-policy",
            name=f"{purpose}-access",
            role=self.role.name,
            policy=document(statements),
            opts=self._opts(),
        )
        self.arn = self.role.arn
        self.register_outputs({"arn": self.arn})
