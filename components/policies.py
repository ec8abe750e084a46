"""IAM policies out of typed statements: what a statement may not say cannot be written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pulumi

Value = pulumi.Input[str] | Sequence[pulumi.Input[str]]
Conditions = Mapping[str, Mapping[str, Value]]
Principals = Mapping[str, Value] | Literal["*"]
VERSION = "2012-10-17"


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One statement. `any_resource` is the reason why AWS leaves no choice but the resource `*`.

    Raises ValueError for an action that is all actions, and for resources that are all without a reason.
    """

    sid: str
    actions: Sequence[str]
    resources: Sequence[pulumi.Input[str]] = ()
    any_resource: str = ""
    own_resource: bool = False  # of a policy attached to the one resource it is about, where AWS wants no Resource
    conditions: Conditions = field(default_factory=dict)
    principals: Principals | None = None
    effect: Literal["Allow", "Deny"] = "Allow"

    def __post_init__(self) -> None:
        too_wide = {action for action in self.actions if action.partition(":")[2] in ("", "*")}
        if "*" in self.actions or (too_wide and self.effect == "Allow"):
            raise ValueError(
                f"{self.sid}: name the actions; {', '.join(sorted(too_wide))} covers all that AWS will add"
            )
        if [bool(self.resources), bool(self.any_resource), self.own_resource].count(True) != 1:
            raise ValueError(f"{self.sid}: give either resources or the reason why it must be any resource")
        if "*" in self.resources:
            raise ValueError(f"{self.sid}: the resource * needs its reason, as any_resource")

    def render(self) -> dict[str, Any]:
        """The statement as IAM writes it."""
        body: dict[str, Any] = {"Sid": self.sid, "Effect": self.effect}
        if self.principals is not None:
            body["Principal"] = self.principals if self.principals == "*" else dict(self.principals)
        body["Action"] = list(self.actions)
        if not self.own_resource:
            body["Resource"] = list(self.resources) or "*"
        if self.conditions:
            body["Condition"] = {operator: dict(keys) for operator, keys in self.conditions.items()}
        return body


def document(statements: Sequence[Statement]) -> pulumi.Output[str]:
    """The policy document.

    Raises ValueError for a Sid that occurs twice.
    """
    sids = [statement.sid for statement in statements]
    if doubled := {sid for sid in sids if sids.count(sid) > 1}:
        raise ValueError(f"Sids must differ in one policy: {', '.join(sorted(doubled))}")
    return pulumi.Output.json_dumps({"Version": VERSION, "Statement": [statement.render() for statement in statements]})


def trust(service: str, conditions: Conditions | None = None) -> str:
    """The trust policy of a role that one AWS service assumes."""
    body: dict[str, Any] = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    if conditions:
        body["Condition"] = conditions
    return json.dumps({"Version": VERSION, "Statement": [body]})


def tls_only(bucket_arn: pulumi.Input[str]) -> Statement:
    """Refuse whatever reaches a bucket unencrypted."""
    return Statement(
        sid="TlsOnly",
        effect="Deny",
        principals="*",
        actions=("s3:*",),
        resources=(bucket_arn, pulumi.Output.concat(bucket_arn, "/*")),
        conditions={"Bool": {"aws:SecureTransport": "false"}},
    )
