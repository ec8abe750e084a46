"""The gateway's answers as frozen types, read once at the edge; the raw document stays beside for `--json`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cli.errors import CliError, ExitCode

Json = dict[str, Any]

FINAL_STATUSES = frozenset({"SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT"})
LAST_PHASE = "DONE"
EXIT_CODES = {
    "SUCCEEDED": ExitCode.OK,
    "FAILED": ExitCode.RUN_FAILED,
    "CANCELLED": ExitCode.RUN_CANCELLED,
    "TIMED_OUT": ExitCode.RUN_TIMED_OUT,
}


@dataclass(frozen=True)
class Attempt:
    """One try of a node: one ECS task, or one call of a Lambda processor."""

    number: int
    started_at: datetime | None
    stopped_at: datetime | None
    exit_code: int | None
    reason: str


@dataclass(frozen=True)
class Node:
    """One processor's place in a run."""

    id: str
    processor: str
    compute: str
    status: str
    depends_on: tuple[str, ...]
    waiting_for: tuple[str, ...]
    reason: str
    started_at: datetime | None
    ended_at: datetime | None
    attempts: tuple[Attempt, ...]

    def seconds(self, now: datetime) -> float | None:
        """Seconds since it started, up to its end or `now`; None before it starts. Never negative: clocks differ."""
        if self.started_at is None:
            return None
        return max(0.0, ((self.ended_at or now) - self.started_at).total_seconds())


@dataclass(frozen=True)
class Run:
    """A run as the gateway tells it; `nodes` is empty in a listing."""

    id: str
    status: str
    phase: str
    instance: str
    workflow: str
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    error: Json | None
    nodes: tuple[Node, ...]
    raw: Json = field(repr=False, compare=False)

    @property
    def final(self) -> bool:
        """Tell whether the status will change no more."""
        return self.status in FINAL_STATUSES

    @property
    def settled(self) -> bool:
        """Tell whether nothing is left to do: final, and cleaned up and archived too."""
        return self.final and self.phase == LAST_PHASE

    @property
    def exit_code(self) -> ExitCode:
        """What a command that followed the run ends with."""
        return EXIT_CODES.get(self.status, ExitCode.OK)

    def seconds(self, now: datetime) -> float | None:
        """Seconds since the run was accepted, up to its end or `now`."""
        if self.created_at is None:
            return None
        return max(0.0, ((self.ended_at or now) - self.created_at).total_seconds())


@dataclass(frozen=True)
class OutputFile:
    """A published file; `url` reads it for a limited time without credentials."""

    node: str
    path: str
    size: int
    sha256: str
    url: str

    @property
    def name(self) -> str:
        """Where it lies below a download directory."""
        return f"{self.node}/{self.path}"


def run_from(raw: Json) -> Run:
    """Read a run, or a run's entry in a listing."""
    return Run(
        id=_text(raw, "executionRunId"),
        status=_text(raw, "status"),
        phase=raw.get("phase") or "",
        instance=raw.get("workflowInstanceId") or "",
        workflow=raw.get("workflowName") or "",
        created_at=_time(raw.get("createdAt")),
        started_at=_time(raw.get("startedAt")),
        ended_at=_time(raw.get("endedAt")),
        error=raw.get("error") or None,
        nodes=tuple(_node_from(node) for node in raw.get("nodes") or ()),
        raw=raw,
    )


def output_from(raw: Json) -> OutputFile:
    """Read one file of a run's outputs."""
    return OutputFile(
        node=_text(raw, "nodeId"),
        path=_text(raw, "path"),
        size=_whole(raw, "sizeBytes"),
        sha256=_text(raw, "sha256"),
        url=_text(raw, "url"),
    )


def _node_from(raw: Json) -> Node:
    return Node(
        id=_text(raw, "id"),
        processor=raw.get("processor") or "",
        compute=raw.get("computeType") or "",
        status=_text(raw, "status"),
        depends_on=tuple(raw.get("dependsOn") or ()),
        waiting_for=tuple(sorted(raw.get("waitingFor") or ())),
        reason=raw.get("reason") or "",
        started_at=_time(raw.get("startedAt")),
        ended_at=_time(raw.get("endedAt")),
        attempts=tuple(_attempt_from(attempt) for attempt in raw.get("attempts") or ()),
    )


def _attempt_from(raw: Json) -> Attempt:
    return Attempt(
        number=_whole(raw, "attempt"),
        started_at=_time(raw.get("startedAt")),
        stopped_at=_time(raw.get("stoppedAt")),
        exit_code=raw.get("exitCode"),
        reason=raw.get("reason") or "",
    )


def _text(raw: Json, key: str) -> str:
    value = raw.get(key)
    if not isinstance(value, str):
        raise _misfit(key, value, "a text")
    return value


def _whole(raw: Json, key: str) -> int:
    value = raw.get(key)
    if not isinstance(value, int):
        raise _misfit(key, value, "a whole number")
    return value


def _misfit(key: str, value: object, wanted: str) -> CliError:
    return CliError(
        f"the gateway's answer has {key} = {value!r}, where {wanted} belongs",
        hint="this command and the node are perhaps of different versions",
    )


def _time(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None
