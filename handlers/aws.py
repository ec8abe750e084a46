"""Clients of AWS services, made at their first use and kept for the next invocation."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.exceptions import ClientError


@cache
def client(service: str, **config: Any) -> Any:
    """The client of `service`, with retries in standard mode; `config` goes to botocore.config.Config."""
    # boto3 takes most of a cold start: only functions that get this far pay for it.
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    settings = {"retries": {"mode": "standard", "max_attempts": 5}, **config}
    return boto3.client(service, config=Config(**settings))  # type: ignore[call-overload]


def error_code(error: ClientError) -> str:
    """AWS's code of an error, such as `ConditionalCheckFailedException`."""
    return str(error.response.get("Error", {}).get("Code", ""))
