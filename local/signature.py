"""Checks AWS's Signature Version 4 of a request to a function URL."""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as SigningKey

if TYPE_CHECKING:
    from local.emulator import Credentials
    from local.function_url import HttpRequest

SERVICE = "lambda"
LONGEST_DRIFT = timedelta(minutes=5)
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<date>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, ?"
    r"SignedHeaders=(?P<headers>[^,]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
HELP = "see: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"


class Forbidden(Exception):
    """The request is not let through; the message says why as Lambda does."""


def verify(request: HttpRequest, credentials: Credentials, region: str) -> None:
    """Raise Forbidden unless the operator's key signed the request, this body included, within the last minutes."""
    match = AUTHORIZATION.fullmatch(request.headers.get("authorization", "").strip())
    if match is None:
        raise Forbidden(f"Forbidden. For troubleshooting Function URL authorization issues, {HELP}")
    if match["key"] != credentials.access_key_id:
        raise Forbidden("The security token included in the request is invalid.")
    timestamp = _checked_time(request, match["date"])
    if (match["region"], match["service"]) != (region, SERVICE):
        raise Forbidden(f"Credential should be scoped to a valid region, and to the service {SERVICE!r}.")
    _check_body(request)
    expected = _signature(request, match["headers"].split(";"), timestamp, credentials, region)
    if not hmac.compare_digest(expected, match["signature"]):
        raise Forbidden(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details."
        )


def _checked_time(request: HttpRequest, date: str) -> str:
    timestamp = request.headers.get("x-amz-date", "")
    try:
        signed = datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise Forbidden("The request has no valid x-amz-date.") from error
    now = datetime.now(UTC)
    if abs(now - signed) > LONGEST_DRIFT or not timestamp.startswith(date):
        raise Forbidden(f"Signature expired: {timestamp} is now earlier than {now - LONGEST_DRIFT:%Y%m%dT%H%M%SZ}")
    return timestamp


def _check_body(request: HttpRequest) -> None:
    """A hash that the client gives is part of what it signed, so the body has to be the one of that hash."""
    given = request.headers.get("x-amz-content-sha256")
    if given not in {None, "UNSIGNED-PAYLOAD", hashlib.sha256(request.body).hexdigest()}:
        raise Forbidden("The provided 'x-amz-content-sha256' header does not match what was computed.")


def _signature(request: HttpRequest, signed: list[str], timestamp: str, credentials: Credentials, region: str) -> str:
    if "host" not in signed or "x-amz-date" not in signed:
        raise Forbidden("'Host' and 'X-Amz-Date' must be signed headers.")
    query = f"?{request.query}" if request.query else ""
    known = AWSRequest(
        method=request.method,
        url=f"http://{request.headers.get('host', '')}{request.path}{query}",
        data=request.body,
        headers={name: request.headers.get(name, "") for name in signed},
    )
    known.context["timestamp"] = timestamp
    auth = SigV4Auth(SigningKey(credentials.access_key_id, credentials.secret_access_key), SERVICE, region)
    text = auth.string_to_sign(known, auth.canonical_request(known))
    return str(auth.signature(text, known))
