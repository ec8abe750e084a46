"""Which node a command talks to, and who signs for it.

In this order: `--gateway`, COMPUTE_NODE_GATEWAY, the state file of an embedded node in the working directory or above.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cli.errors import CliError, UsageError
from cli.state import NodeState, find_state, read_state

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from botocore.credentials import ReadOnlyCredentials

GATEWAY_VARIABLE = "COMPUTE_NODE_GATEWAY"
FUNCTION_URL_HOST = re.compile(r"^[a-z0-9]+\.lambda-url\.(?P<region>[a-z0-9-]+)\.on\.aws$")


@dataclass(frozen=True)
class Target:
    """A node's gateway. `credentials` is asked before each request, so that expiring ones are renewed."""

    url: str
    region: str
    credentials: Callable[[], ReadOnlyCredentials]
    embedded: bool
    origin: str
    state: NodeState | None = None


def resolve_target(option: str | None, profile: str | None, environ: Mapping[str, str], cwd: Path) -> Target:
    """Find the node to talk to; raise CliError when there is none."""
    path = find_state(cwd)
    url, origin = option, "--gateway"
    if not url:
        url, origin = environ.get(GATEWAY_VARIABLE), GATEWAY_VARIABLE
    if url:
        checked = _checked_url(url, origin)
        if path and (state := read_state(path)).gatewayUrl.rstrip("/") == checked:
            return embedded_target(state, origin)
        return deployed_target(checked, origin, profile, environ)
    if path:
        return embedded_target(read_state(path), str(path))
    raise CliError(
        "no node to talk to: no embedded node runs in this directory or above it",
        hint=f"start one with `compute-node up`, or name a deployed one with --gateway URL or {GATEWAY_VARIABLE}",
    )


def embedded_target(state: NodeState, origin: str) -> Target:
    """Talk to the embedded node with its local operator's keys."""
    from botocore.credentials import ReadOnlyCredentials  # noqa: PLC0415 - slow to import, and help needs none

    keys = ReadOnlyCredentials(state.accessKeyId, state.secretAccessKey, None)
    return Target(state.gatewayUrl.rstrip("/"), state.region, lambda: keys, embedded=True, origin=origin, state=state)


def deployed_target(url: str, origin: str, profile: str | None, environ: Mapping[str, str]) -> Target:
    """Talk to a deployed node with the caller's AWS credentials (environment, profile, SSO, instance role)."""
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415
    from botocore.session import Session  # noqa: PLC0415

    try:
        session = Session(profile=profile or environ.get("AWS_PROFILE"))
        credentials = session.get_credentials()
        region = url_region(url) or environ.get("AWS_REGION") or session.get_config_variable("region")
    except BotoCoreError as error:
        raise CliError(f"no AWS credentials to sign with: {error}", hint="check --profile or AWS_PROFILE") from error
    if credentials is None:
        raise CliError(
            f"no AWS credentials to sign requests to {url} with",
            hint="log in (`aws sso login`), set AWS_PROFILE, or pass --profile NAME",
        )
    if not region:
        raise CliError(
            f"{url} does not tell its AWS region, as a Function URL does", hint="set AWS_REGION to the node's region"
        )

    def current() -> ReadOnlyCredentials:
        try:
            return credentials.get_frozen_credentials()
        except BotoCoreError as error:
            raise CliError(f"the AWS credentials cannot be renewed: {error}", hint="log in again") from error

    return Target(url, region, current, embedded=False, origin=origin)


def url_region(url: str) -> str | None:
    """Read the region from a Function URL's host; None for any other host."""
    match = FUNCTION_URL_HOST.match(urlsplit(url).hostname or "")
    return match["region"] if match else None


def _checked_url(url: str, origin: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(
            f"{origin} is {url!r}: not an http(s) URL",
            hint="give the stack's output gatewayUrl, as in https://….lambda-url.us-east-1.on.aws/",
        )
    return url.rstrip("/")
