"""The node's errors: raised where the mistake is known, translated once, at the edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class NodeError(Exception):
    """Anything the node refuses or fails at, in words for its reader.

    `details` lists single mistakes, each with its place; `code` is stable, for programs.
    """

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, details: Sequence[str] | Mapping[str, object] = ()) -> None:
        super().__init__(message)
        self.message = message
        if isinstance(details, Mapping):
            details = [f"{name}: {value}" for name, value in details.items()]
        self.details = list(details)

    def as_dict(self) -> dict[str, Any]:
        """`{error, message, details}`, the form of every error that the node gives."""
        return {"error": self.code, "message": self.message, "details": self.details}

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"- {detail}" for detail in self.details)])


class BadRequest(NodeError):
    code = "bad_request"
    status = 400


class Forbidden(NodeError):
    code = "forbidden"
    status = 403


class NotFound(NodeError):
    code = "not_found"
    status = 404


class Conflict(NodeError):
    code = "conflict"
    status = 409


class TooLarge(NodeError):
    code = "too_large"
    status = 413


class Retryable(NodeError):
    """A cause that passes by itself, such as throttling: the state machine retries it by name."""

    code = "temporarily_unavailable"
    status = 503
