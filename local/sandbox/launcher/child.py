"""What happens between the fork and the exec of a started process."""

# This runs for every process that starts, so without what pathlib adds.
# ruff: noqa: PTH208

from __future__ import annotations

import contextlib
import json
import os
import signal
from typing import TYPE_CHECKING, NoReturn

from . import linux, root

if TYPE_CHECKING:
    from types import FrameType

# A container's first process passes these on; the rest would only ever be meant for itself.
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
EXEC_FAILED = 127
SIGNAL_BASE = 128
DESCRIPTORS = 4096  # more than the launcher ever has open


def plain(request: root.Request, output: int, status: int) -> NoReturn:
    """Become the process, in a process group of its own, without namespaces."""
    try:
        os.write(status, b"%d\n" % os.getpid())
        _reset_signals()
        _join(request["cgroup"])
        _execute(request, output)
    except BaseException as error:  # noqa: BLE001 - a child must never return into the launcher's loop
        _fail(status, error)


def sandboxed(request: root.Request, output: int, status: int, place: tuple[str, root.Host]) -> NoReturn:
    """Start the namespaces' first process, tell its id, and leave it to the launcher (a subreaper)."""
    try:
        _reset_signals()
        linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWIPC)
        first = os.fork()
        if first:
            os.write(status, b"%d\n" % first)
            os._exit(0)
        _first(request, output, status, place)
    except BaseException as error:  # noqa: BLE001 - likewise
        _fail(status, error)


def _first(request: root.Request, output: int, status: int, place: tuple[str, root.Host]) -> NoReturn:
    """Build the file tree, start the process proper, and be the init that it would have in a container."""
    try:
        members = _open(request["cgroup"])
        root.build(*place, request)
        # Blocked over the fork: a stop that comes now must reach the process, not end this one before there is one.
        signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
        child = os.fork()
        if child == 0:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
            _execute(request, output)
    except BaseException as error:  # noqa: BLE001 - a child must never return into the launcher's loop
        _fail(status, error)
    os.close(status)
    try:
        if members is not None:
            _gather(members)
        _attend(child)
    finally:
        os._exit(EXEC_FAILED)


def _attend(child: int) -> NoReturn:
    """Forward signals to the child's process group, reap whatever it leaves, and end as it ended."""

    def forward(number: int, _frame: FrameType | None) -> None:
        try:
            os.killpg(child, number)
        except ProcessLookupError:
            os.kill(child, number)  # it has not made its group yet

    for number in FORWARDED:
        signal.signal(number, forward)
    os.closerange(0, DESCRIPTORS)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
    while True:
        try:
            ended, status = os.waitpid(-1, 0)
        except ProcessLookupError:
            continue  # raised by the handler: the child is gone and waits to be reaped
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else SIGNAL_BASE - code)


def _execute(request: root.Request, output: int) -> NoReturn:
    os.setsid()
    os.umask(0o022)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if request["sandbox"]:
        linux.drop_capabilities()
    if request["gid"] is not None:
        os.setgroups([])
        os.setgid(request["gid"])
    if request["uid"] is not None:
        os.setuid(request["uid"])
    os.chdir(request["cwd"])
    os.execvpe(request["argv"][0], request["argv"], request["env"])  # noqa: S606 - the point of this module


def _reset_signals() -> None:
    """Undo what Python and the launcher set: a program expects the defaults."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGPIPE, *FORWARDED):
        signal.signal(number, signal.SIG_DFL)


def _open(cgroup: str | None) -> int | None:
    return None if cgroup is None else os.open(cgroup, os.O_WRONLY | os.O_CLOEXEC)


def _join(cgroup: str | None) -> None:
    members = _open(cgroup)
    if members is not None:
        os.write(members, b"0")
        os.close(members)


def _gather(members: int) -> None:
    """Put every process of the namespace into the control group, whose later children then are in it from the start.

    The kernel lets a first move wait about 10 ms (an RCU grace period), which the process does not have to wait for.
    """
    joined: set[str] = set()
    while waiting := {name for name in os.listdir("/proc") if name.isdigit()} - joined:
        for pid in waiting:
            with contextlib.suppress(ProcessLookupError):
                os.write(members, pid.encode())
        joined |= waiting


def _fail(status: int, error: BaseException) -> NoReturn:
    number, message, file = 0, str(error), None
    if isinstance(error, OSError):
        number, message = error.errno or 0, error.strerror or str(error)
        file = None if error.filename is None else os.fsdecode(error.filename)
    os.write(status, json.dumps({"errno": number, "message": message, "file": file}).encode() + b"\n")
    os._exit(EXEC_FAILED)
