"""What can go wrong for whoever types a command, and the exit code that a script sees."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class ExitCode(IntEnum):
    """Exit codes of `compute-node`: a failed command (1, 2) is never confused with a failed run (3 to 5)."""

    OK = 0
    COMMAND_FAILED = 1
    USAGE = 2
    RUN_FAILED = 3
    RUN_CANCELLED = 4
    RUN_TIMED_OUT = 5
    INTERRUPTED = 130


class CliError(Exception):
    """A command that failed: what was wrong, its particulars one a line, and what to do about it."""

    exit_code = ExitCode.COMMAND_FAILED

    def __init__(self, message: str, *, details: Sequence[str] = (), hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = tuple(details)
        self.hint = hint


class UsageError(CliError):
    """An argument that cannot be understood, found after argparse has done its part."""

    exit_code = ExitCode.USAGE


class UnreachableError(CliError):
    """No answer from the gateway, after every retry."""


class GatewayError(CliError):
    """The gateway answered with an error: `status` is the HTTP status, `code` its `error` field."""

    def __init__(
        self, message: str, *, status: int, code: str, details: Sequence[str] = (), hint: str | None = None
    ) -> None:
        super().__init__(message, details=details, hint=hint)
        self.status = status
        self.code = code
