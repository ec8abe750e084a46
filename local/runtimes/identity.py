"""The AWS side of a process's environment: where to, and as whom."""

from __future__ import annotations


def role_environment(endpoint_url: str, region: str) -> dict[str, str]:
    """What boto3 needs to reach the embedded AWS; its IAM admits any credentials of this shape."""
    return {
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": "ASIAEMBEDDEDAWSROLE0",
        "AWS_SECRET_ACCESS_KEY": "embedded-aws-role",
        "AWS_SESSION_TOKEN": "embedded-aws-role",
    }
