"""The S3 client of the bulk: as many connections as threads, and checksums where this code asks for them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECTIONS = 40
# Of a request that is throttled or fails; the standard mode waits up to 20 s between them, with jitter.
ATTEMPTS = 8


@lru_cache(maxsize=1)
def bulk_client() -> S3Client:
    """Make the client, once a process. Threads may share it."""
    import boto3  # noqa: PLC0415 (170 ms that importing the handler does not need)
    from botocore.config import Config  # noqa: PLC0415

    return boto3.session.Session().client(
        "s3",
        config=Config(
            max_pool_connections=CONNECTIONS,
            retries={"mode": "standard", "max_attempts": ATTEMPTS},
            tcp_keepalive=True,
            connect_timeout=10,
            read_timeout=60,
            # A range's answer may carry a checksum of the whole object; whole objects ask for theirs by request.
            response_checksum_validation="when_required",
            # Every body goes with a signed checksum header, so hashing it once more for the signature adds nothing.
            s3={"payload_signing_enabled": False},
        ),
    )
