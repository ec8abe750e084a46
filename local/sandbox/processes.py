"""Processes of Lambda functions and ECS tasks: started by the launcher, in a sandbox where the kernel allows one."""

from __future__ import annotations

import array
import contextlib
import functools
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.sandbox.launcher import linux
from local.sandbox.launcher.child import SIGNAL_BASE
from local.sandbox.launcher.root import HOME, SYSTEM, TEMPORARY
from local.sandbox.launcher.server import HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

# Whom a container's process is when nothing else says so; EFS access points of a node use the same id.
DEFAULT_UID = 1000
PROBE_SECONDS = 30.0
_PROBE = "import ssl, zlib, ctypes, pathlib; print(pathlib.Path('/probe/word').read_text(), end='')"


@dataclass(frozen=True)
class Mount:
    """A directory or file of the host at a path of the container."""

    source: Path
    target: str
    read_only: bool = False
    private: bool = False  # changes are the process's own, and gone with it


@dataclass(frozen=True)
class Isolation:
    """How processes are kept apart on this machine, and why not better."""

    namespaces: bool  # own mounts, process ids and file tree; otherwise paths are rewritten
    user_namespace: bool  # made as an ordinary user, in which nobody but that user exists
    users: bool  # processes run as the access point's user
    reason: str


@dataclass(frozen=True)
class ProcessSpec:
    """What to run. `env` is all that the process gets; paths in it are the container's.

    The process's own storage lies below `scratch_root` while it runs. `hidden` directories are never shown to it.
    `host_cwd` is where `cwd` lies on the host, for want of a namespace.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    scratch_root: Path
    mounts: Sequence[Mount] = ()
    host_paths: Sequence[Path] = ()
    hidden: Sequence[Path] = ()
    uid: int = DEFAULT_UID
    gid: int = DEFAULT_UID
    host_cwd: Path | None = None
    cgroup: Path | None = None

    def within(self, cgroup: Path) -> ProcessSpec:
        """The same, in a control group, named by the file through which a process joins it."""
        return replace(self, cgroup=cgroup)


@dataclass(frozen=True)
class ProcessEvents:
    """What is told of a process, on the launcher's thread: its start or why it did not, and its exit code."""

    on_started: Callable[[int], None]
    on_failed: Callable[[OSError], None]
    on_ended: Callable[[int], None]


@dataclass
class Process:
    """A process that was asked for; a signal's exit code is 128 and the signal's number."""

    id: int
    events: ProcessEvents
    scratch: Path
    pid: int = 0
    ended: threading.Event = field(default_factory=threading.Event)


def rewrite(value: str, mounts: Iterable[Mount]) -> str:
    """Turn a container path, or a `:` list of them, into the host's, where there is no namespace to show it in."""
    ordered = sorted(mounts, key=lambda mount: len(mount.target), reverse=True)

    def one(path: str) -> str:
        for mount in ordered:
            if path == mount.target or path.startswith(mount.target.rstrip("/") + "/"):
                return str(mount.source) + path[len(mount.target) :]
        return path

    return ":".join(one(part) for part in value.split(":")) if "/" in value else value


class Launcher:
    """The parent's end of the launcher process."""

    def __init__(self, *, isolate: bool = True) -> None:
        self._isolate = isolate
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._processes: dict[int, Process] = {}
        self._staging = Path(tempfile.mkdtemp(prefix="compute-node-"))
        self._closed = False
        self._isolation = Isolation(namespaces=False, user_namespace=False, users=False, reason="not tried yet")
        self._isolation = self._choose()

    @property
    def isolation(self) -> Isolation:
        """What keeps processes apart here."""
        return self._isolation

    def spawn(self, spec: ProcessSpec, output: int, events: ProcessEvents) -> Process:
        """Ask for a process whose standard output and error go to the descriptor `output`, which stays the caller's."""
        scratch = self._make_scratch(spec)
        with self._lock:
            process = Process(next(self._ids), events, scratch)
            self._processes[process.id] = process
            self._send(self._request(process.id, spec, scratch), output)
        return process

    def signal(self, process: Process, number: int) -> None:
        """Signal a process and what it started; nothing happens where it has ended."""
        if not process.ended.is_set():
            with self._lock, contextlib.suppress(OSError):
                self._send({"id": process.id, "signal": number}, None)

    def close(self) -> None:
        """End the launcher and every process that it still runs."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._stop()
        shutil.rmtree(self._staging, ignore_errors=True)

    def _choose(self) -> Isolation:
        """Take the best way of isolation that works for this interpreter on this machine."""
        refused = "isolation is switched off" if not self._isolate else "namespaces need Linux"
        if self._isolate and linux.AVAILABLE:
            root = os.geteuid() == 0
            ways = [(False, True), (False, False), (True, False)] if root else [(True, False)]
            for user_namespace, users in ways:
                try:
                    self._begin(user_namespace=user_namespace)
                except OSError as error:
                    refused = str(error)
                    continue
                self._isolation = Isolation(
                    namespaces=True, user_namespace=user_namespace, users=users, reason="the kernel allows namespaces"
                )
                refused = self._probe()
                if not refused:
                    return self._isolation
                self._stop()
        self._begin(user_namespace=False)
        return Isolation(namespaces=False, user_namespace=False, users=False, reason=refused)

    def _begin(self, *, user_namespace: bool) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-E", "-S", "-m", "launcher", str(theirs.fileno())]
        command += ["1" if user_namespace else "0", str(self._staging)]
        with theirs:
            self._child = subprocess.Popen(
                command,
                cwd=Path(__file__).parent,
                env={"PATH": os.defpath},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._control = ours
        self._reader = threading.Thread(target=self._read, args=(ours,), name="launcher", daemon=True)
        self._reader.start()

    def _stop(self) -> None:
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        self._child.wait()
        self._reader.join()
        self._control.close()

    def _probe(self) -> str:
        """Why a sandboxed interpreter does not work here, or nothing."""
        read, write = os.pipe()
        done = threading.Event()
        failure: list[str] = []

        def failed(error: OSError) -> None:
            failure.append(str(error))
            done.set()

        word = uuid.uuid4().hex
        source = self._staging.with_name(f"{self._staging.name}-probe")
        source.mkdir(mode=0o755)
        (source / "word").write_text(word, encoding="ascii")
        mounts = [Mount(source, "/probe", read_only=True)]
        spec = ProcessSpec([sys.executable, "-c", _PROBE], {}, "/", source, mounts, interpreter_paths())
        try:
            self.spawn(spec, write, ProcessEvents(lambda _: None, failed, lambda _: done.set()))
            ended = done.wait(PROBE_SECONDS)
            os.close(write)
            said = os.read(read, 65536).decode(errors="replace") if ended else ""
        finally:
            os.close(read)
            shutil.rmtree(source, ignore_errors=True)
        if failure:
            return failure[0]
        return "" if said == word else f"the interpreter does not work in a sandbox: {said.strip()[-300:]}"

    def _make_scratch(self, spec: ProcessSpec) -> Path:
        scratch = spec.scratch_root / uuid.uuid4().hex
        for name, mode in (("tmp", 0o1777), ("home", 0o755)):
            path = scratch / name
            path.mkdir(parents=True)
            path.chmod(mode)
            if self._isolation.users:
                os.chown(path, spec.uid, spec.gid)
        return scratch

    def _request(self, process_id: int, spec: ProcessSpec, scratch: Path) -> dict[str, Any]:
        here = self._isolation
        own = [Mount(scratch / "tmp", TEMPORARY), Mount(scratch / "home", HOME)]
        if here.namespaces:
            argv, env, cwd = list(spec.argv), dict(spec.env), spec.cwd
        else:
            argv = [rewrite(word, spec.mounts) for word in spec.argv]
            env = {name: rewrite(value, spec.mounts) for name, value in spec.env.items()}
            cwd = rewrite(spec.cwd, spec.mounts) if spec.host_cwd is None else str(spec.host_cwd)
            env |= {"TMPDIR": str(own[0].source), "HOME": str(own[1].source)}
        return {
            "id": process_id,
            "argv": argv,
            "env": env,
            "cwd": cwd,
            "sandbox": here.namespaces,
            "scratch": str(scratch),
            "host_paths": [str(path) for path in _outermost(spec.host_paths)],
            "hidden": [str(path) for path in spec.hidden],
            "mounts": [
                {"source": str(m.source), "target": m.target, "read_only": m.read_only, "private": m.private}
                for m in spec.mounts
            ],
            "uid": spec.uid if here.users else None,
            "gid": spec.gid if here.users else None,
            "cgroup": None if spec.cgroup is None else str(spec.cgroup),
        }

    def _send(self, message: dict[str, Any], descriptor: int | None) -> None:
        body = json.dumps(message).encode()
        data = HEADER.pack(len(body)) + body
        rights = [] if descriptor is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        sent = self._control.sendmsg([data], rights)
        if sent < len(data):
            self._control.sendall(data[sent:])

    def _read(self, control: socket.socket) -> None:
        with control.makefile("rb") as lines:
            for line in lines:
                self._handle(json.loads(line))
        for process in list(self._processes.values()):
            self._end(process, functools.partial(process.events.on_ended, SIGNAL_BASE + signal.SIGKILL))

    def _handle(self, message: dict[str, Any]) -> None:
        if "started" in message:
            process = self._processes[message["started"]]
            process.pid = message["pid"]
            process.events.on_started(process.pid)
        elif "failed" in message:
            process = self._processes[message["failed"]]
            error = OSError(message["errno"], message["message"], message["file"])
            self._end(process, functools.partial(process.events.on_failed, error))
        else:
            process = self._processes[message["ended"]]
            self._end(process, functools.partial(process.events.on_ended, message["code"]))

    def _end(self, process: Process, callback: Callable[[], None]) -> None:
        self._processes.pop(process.id, None)
        process.ended.set()
        callback()
        _remove(process.scratch)


def _remove(directory: Path) -> None:
    """Delete a process's own storage, also where it has closed directories to itself (as overlayfs does)."""

    def reopen(_function: object, path: str, _error: object) -> None:
        with contextlib.suppress(OSError):
            Path(path).chmod(0o700)
            shutil.rmtree(path, ignore_errors=True)

    shutil.rmtree(directory, onerror=reopen)
    if directory.exists():
        shutil.rmtree(directory, ignore_errors=True)


def interpreter_paths() -> list[Path]:
    """The directories of the running interpreter and its packages."""
    packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    found = {Path(path).resolve() for path in (sys.prefix, sys.base_prefix, sys.exec_prefix, *packages)}
    # A venv is found by its own path, not by what it resolves to.
    return _outermost({Path(sys.prefix), *found})


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """Without what the sandbox shows already: system directories, and what lies within another."""
    kept: list[Path] = []
    for path in sorted({path for path in paths if path.exists()}, key=lambda path: len(path.parts)):
        inside = any(path.is_relative_to(other) for other in kept)
        if not inside and len(path.parts) > 1 and path.parts[1] not in SYSTEM:
            kept.append(path)
    return kept


_shared: list[Launcher] = []
_shared_lock = threading.Lock()


def launcher() -> Launcher:
    """The launcher of this process; it ends with the process."""
    with _shared_lock:
        if not _shared:
            _shared.append(Launcher())
        return _shared[0]


def isolation() -> Isolation:
    """How processes are kept apart on this machine."""
    return launcher().isolation
