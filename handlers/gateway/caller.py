"""Who calls, and what they brought with them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes import LambdaFunctionUrlEvent


def identity(event: LambdaFunctionUrlEvent) -> str:
    """The ARN of the IAM principal that signed the request; a role's session counts as its role."""
    iam = event.raw_event["requestContext"].get("authorizer", {}).get("iam", {})
    arn: str = iam.get("userArn") or "anonymous"
    # arn:aws:sts::123456789012:assumed-role/lab/session: the session's name changes with each login.
    return arn.rpartition("/")[0] if ":assumed-role/" in arn else arn


def user_scope(event: LambdaFunctionUrlEvent) -> str:
    """The name under which a caller's own secrets lie."""
    return f"user-{hashlib.sha256(identity(event).encode()).hexdigest()[:32]}"


def tokens(event: LambdaFunctionUrlEvent) -> dict[str, str]:
    """The user's tokens by the names that processors get them under. `Authorization` is the signature's."""
    headers = event.headers or {}
    given = {"SESSION_TOKEN": headers.get("x-session-token"), "REFRESH_TOKEN": headers.get("x-refresh-token")}
    return {name: value for name, value in given.items() if value}
