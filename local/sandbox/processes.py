"""Processes of Lambda functions and ECS tasks: started by the launcher, in a sandbox where the kernel allows one."""

from __future__ import annotations

import array
import atexit
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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.sandbox.host import interpreter_paths, outermost, remove, remove_orphans
from local.sandbox.launcher import linux
from local.sandbox.launcher.child import SIGNAL_BASE
from local.sandbox.launcher.root import HOME, TEMPORARY
from local.sandbox.launcher.server import HEADER
from local.sandbox.spec import Isolation, Mount, Process, ProcessEvents, ProcessSpec, rewrite

if TYPE_CHECKING:
    from collections.abc import Callable

PROBE_SECONDS = 30.0
_PROBE = "import ssl, zlib, ctypes, pathlib; print(pathlib.Path('/probe/word').read_text(), end='')"


class Launcher:
    """The parent's end of the launcher process."""

    def __init__(self, *, isolate: bool = True) -> None:
        self._isolate = isolate
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._processes: dict[int, Process] = {}
        self._scratch_roots: set[Path] = set()
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
        self._staging = Path(tempfile.mkdtemp(prefix="compute-node-"))
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
        shutil.rmtree(self._staging, ignore_errors=True)

    def _probe(self) -> str:
        """Why a sandboxed interpreter does not work here, or nothing."""
        source = self._staging.with_name(f"{self._staging.name}-probe")
        source.mkdir(mode=0o755)
        word = uuid.uuid4().hex
        (source / "word").write_text(word, encoding="ascii")
        mounts = [Mount(source, "/probe", read_only=True)]
        spec = ProcessSpec([sys.executable, "-c", _PROBE], {}, "/", source, mounts, interpreter_paths())
        try:
            said = self._output(spec)
        except OSError as error:
            said = str(error)
        finally:
            shutil.rmtree(source, ignore_errors=True)
        if said == word:
            return ""
        # The launcher itself ends with the error's number where it cannot make its own namespace.
        ended = self._child.poll()
        return (
            f"user namespace: {os.strerror(ended)}" if ended else f"a sandboxed interpreter says: {said.strip()[-300:]}"
        )

    def _output(self, spec: ProcessSpec) -> str:
        """What a short process prints. Raises OSError where it cannot start."""
        done = threading.Event()
        failures: list[OSError] = []

        def failed(error: OSError) -> None:
            failures.append(error)
            done.set()

        read, write = os.pipe()
        with open(read, "rb") as output:  # noqa: PTH123 - a descriptor
            try:
                self.spawn(spec, write, ProcessEvents(lambda _: None, failed, lambda _: done.set()))
                done.wait(PROBE_SECONDS)
            finally:
                os.close(write)
            if failures:
                raise failures[0]
            return output.read().decode(errors="replace")

    def _make_scratch(self, spec: ProcessSpec) -> Path:
        mine = spec.scratch_root / str(os.getpid())
        if mine not in self._scratch_roots:
            self._scratch_roots.add(mine)
            remove_orphans(spec.scratch_root)
        scratch = mine / uuid.uuid4().hex
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
            "host_paths": [str(path) for path in outermost(spec.host_paths)],
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
        # A launcher that is killed with requests unread resets the connection.
        with control.makefile("rb") as lines, contextlib.suppress(ConnectionError):
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
        remove(process.scratch)


_shared: list[Launcher] = []  # at most one
_shared_lock = threading.Lock()


def launcher() -> Launcher:
    """The launcher of this process; it ends with the process."""
    with _shared_lock:
        if not _shared:
            _shared.append(Launcher())
            atexit.register(_shared[0].close)
        return _shared[0]


def isolation() -> Isolation:
    """How processes are kept apart on this machine."""
    return launcher().isolation
