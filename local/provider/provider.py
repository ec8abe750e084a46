"""The provider: every resource type it knows, and what each front asks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local.provider import compute, functions, identity, network, storage, tables
from local.provider.invokes import INVOKES, default_vpc
from local.provider.model import Account, Kind, Made, Properties, ProviderError, Request

if TYPE_CHECKING:
    from collections.abc import Mapping


class DefaultVpc:
    """awsx's component for the VPC that every account has: it makes nothing."""

    token = "awsx:ec2:DefaultVpc"  # noqa: S105 - a type token

    def create(self, account: Account, request: Request) -> Made:
        """Look up the default VPC and its subnets."""
        if request.inputs:
            raise ProviderError(f"{self.token}: the embedded AWS has no place for {', '.join(sorted(request.inputs))}")
        found = default_vpc(account)
        return Made(found["vpcId"], found)

    def read(self, account: Account, made: Made, inputs: Mapping[str, Any]) -> Made | None:  # noqa: ARG002
        """Look it up again."""
        found = default_vpc(account)
        return Made(found["vpcId"], found)

    def update(self, account: Account, made: Made, request: Request) -> Made:  # noqa: ARG002
        """Leave it as it is."""
        return made

    def delete(self, account: Account, made: Made, inputs: Mapping[str, Any]) -> None:
        """Leave it: it is the account's own."""


KINDS: dict[str, Kind] = {
    kind.token: kind
    for kind in (
        DefaultVpc(),
        *storage.KINDS,
        *tables.KINDS,
        *identity.KINDS,
        *network.KINDS,
        *compute.KINDS,
        *functions.KINDS,
    )
}


class Provider:
    """Makes, looks up, changes and removes resources in one account."""

    def __init__(self, account: Account) -> None:
        self.account = account

    def create(self, request: Request) -> Made:
        """Make a resource. Raises ProviderError for what cannot be made here, ClientError for what AWS refuses."""
        return self._kind(request.token).create(self.account, request)

    def read(self, token: str, made: Made, inputs: Mapping[str, Any]) -> Made | None:
        """Look a resource up. None where it is gone."""
        return self._kind(token).read(self.account, made, inputs)

    def update(self, made: Made, request: Request) -> Made:
        """Change a resource in place. Raises ProviderError where it can only be replaced."""
        return self._kind(request.token).update(self.account, made, request)

    def delete(self, token: str, made: Made, inputs: Mapping[str, Any]) -> None:
        """Remove a resource."""
        self._kind(token).delete(self.account, made, inputs)

    def invoke(self, token: str, args: Mapping[str, Any]) -> Properties:
        """Answer a data source. Raises ProviderError for one that is not known."""
        if token not in INVOKES:
            raise ProviderError(f"{token}: the embedded AWS has no such data source, only {', '.join(sorted(INVOKES))}")
        return {**args, **INVOKES[token](self.account, args)}

    def _kind(self, token: str) -> Kind:
        if token not in KINDS:
            raise ProviderError(f"{token}: the embedded AWS has no such resource type, only {', '.join(sorted(KINDS))}")
        return KINDS[token]
