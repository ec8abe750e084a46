"""Secrets that processors get: a caller's own, and those that all callers share. Values go in, names come out."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import LambdaFunctionUrlRouter

from handlers.errors import NotFound
from handlers.gateway import vault
from handlers.gateway.caller import user_scope
from handlers.gateway.models import SecretValue  # noqa: TC001 - read by the resolver

router = LambdaFunctionUrlRouter()


@router.get("/secrets", tags=["secrets"], summary="List the names of secrets")
def list_secrets() -> Response[dict[str, Any]]:
    """The names that the caller's runs get; the values of none."""
    return _answer({scope: sorted(vault.read(_scope(scope))) for scope in ("user", "shared")})


@router.get("/secrets/<scope>", tags=["secrets"], summary="List the names of one scope")
def list_scope(scope: str) -> Response[dict[str, Any]]:
    """The names of a scope: user or shared."""
    return _answer({"names": sorted(vault.read(_scope(scope)))})


@router.put("/secrets/<scope>/<name>", tags=["secrets"], summary="Keep a secret")
def put_secret(scope: str, name: str, secret: SecretValue) -> Response[dict[str, Any]]:
    """Keep a value for the runs that start from now on."""
    vault.put(_scope(scope), name, secret.value)
    return _answer({"scope": scope, "name": name})


@router.delete("/secrets/<scope>/<name>", tags=["secrets"], summary="Forget a secret")
def delete_secret(scope: str, name: str) -> Response[dict[str, Any]]:
    """Runs that have begun keep what they were given."""
    vault.delete(_scope(scope), name)
    return _answer({"scope": scope, "name": name, "deleted": True})


def _scope(scope: str) -> str:
    if scope not in ("user", "shared"):
        raise NotFound(f"there are no secrets of {scope!r}; there are user and shared")
    return user_scope(router.current_event) if scope == "user" else vault.SHARED


def _answer(body: dict[str, Any]) -> Response[dict[str, Any]]:
    return Response(200, "application/json", body)
