"""What a resource type is to the provider: how it is made, looked up, changed and removed."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

Properties = dict[str, Any]


class ProviderError(Exception):
    """A resource that the embedded AWS cannot have, told in one line."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """Where resources are made, and the parts of the embedded AWS that some of them need."""

    account: str
    region: str
    client: Callable[[str], Any]  # boto3 client of a service
    program: Path  # folder that relative paths of the program start from
    build_image: Callable[[str, Path], str]  # repository URL, context -> image URI
    function_url: Callable[[str], str]  # function name -> the URL that it is reached at
    partition: str = "aws"

    def arn(self, service: str, resource: str) -> str:
        """ARN of a resource in the account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


@dataclass(frozen=True, kw_only=True)
class Request:
    """One resource as the program declares it."""

    token: str
    urn: str
    name: str
    inputs: Properties
    # Seven digits that are this request's own, for names and tokens: two stacks may hold the same URN.
    mark: str = field(default_factory=lambda: secrets.token_hex(4)[:7])


@dataclass(frozen=True)
class Made:
    """A resource that is there: its id, and its outputs beside its inputs."""

    id: str
    outputs: Properties = field(default_factory=dict)


class Kind(Protocol):
    """A resource type."""

    token: str

    def create(self, account: Account, request: Request) -> Made:
        """Make the resource. Raises ProviderError, or ClientError as AWS would answer."""

    def read(self, account: Account, made: Made, inputs: Mapping[str, Any]) -> Made | None:
        """Look the resource up. None where it is gone."""

    def update(self, account: Account, made: Made, request: Request) -> Made:
        """Change the resource in place. Raises ProviderError where only another one can take its place."""

    def delete(self, account: Account, made: Made, inputs: Mapping[str, Any]) -> None:
        """Remove the resource."""


def refuse(operation: str, code: str, message: str) -> ClientError:
    """An error as AWS answers it, where moto lets pass what AWS refuses."""
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)
