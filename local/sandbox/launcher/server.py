"""The launcher's loop: start requests come in, starts, failures and ends go out, one JSON object a line.

Nothing here waits for one child, so starts of many processes overlap.
"""

from __future__ import annotations

import array
import json
import os
import selectors
import signal
import socket
import struct
from dataclasses import dataclass
from typing import Any

from . import child, linux, root

HEADER = struct.Struct("=I")
RECEIVE_BYTES = 1 << 18
MAX_DESCRIPTORS = 64


@dataclass
class Start:
    """One start under way: `read` carries the process id, then nothing, or the reason of a failure."""

    id: int
    read: int
    said: bytes = b""


class Server:
    """Forks what it is asked for and reports what becomes of it."""

    def __init__(self, control: socket.socket, staging: str) -> None:
        self._control = control
        self._place = (staging, root.Host.look())
        self._selector = selectors.DefaultSelector()
        self._frames = bytearray()
        self._descriptors: list[int] = []
        self._ids: dict[int, int] = {}  # process id -> request id, once started
        self._pids: dict[int, int] = {}
        self._ended: dict[int, int] = {}  # process id -> exit code, of those not known to have started yet
        self._early: dict[int, int] = {}  # request id -> signal that came before the process had started
        self._helpers: set[int] = set()  # the short-lived parents of sandboxed processes
        self._requested: set[int] = set()  # request ids whose start is under way

    def run(self) -> None:
        """Serve until the socket closes, then end everything that still runs."""
        wakeup, notify = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK) if linux.AVAILABLE else os.pipe()
        os.set_blocking(wakeup, False)
        os.set_blocking(notify, False)
        signal.set_wakeup_fd(notify, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(wakeup, selectors.EVENT_READ, self._reap)
        self._selector.register(self._control, selectors.EVENT_READ, self._receive)
        try:
            while True:
                for key, _ in self._selector.select():
                    if isinstance(key.data, Start):
                        self._hear(key.data)
                    else:
                        key.data(key.fd)
        except (EOFError, ConnectionError):
            for pid in self._ids:
                self._kill(pid, signal.SIGKILL)

    def _receive(self, _descriptor: int) -> None:
        data, descriptors = self._read()
        if not data:
            raise EOFError
        self._frames += data
        self._descriptors += descriptors
        while len(self._frames) >= HEADER.size:
            (size,) = HEADER.unpack_from(self._frames)
            if len(self._frames) < HEADER.size + size:
                return
            frame = json.loads(self._frames[HEADER.size : HEADER.size + size])
            del self._frames[: HEADER.size + size]
            if "signal" in frame:
                self._signal(frame["id"], frame["signal"])
            else:
                self._start(frame)

    def _read(self) -> tuple[bytes, list[int]]:
        received = array.array("i")
        size = socket.CMSG_SPACE(MAX_DESCRIPTORS * received.itemsize)
        data, ancillary, _, _ = self._control.recvmsg(RECEIVE_BYTES, size, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received.frombytes(content[: len(content) - len(content) % received.itemsize])
        for descriptor in received:
            os.set_inheritable(descriptor, False)  # noqa: FBT003 - a C function, without keywords
        return data, list(received)

    def _start(self, request: root.Request) -> None:
        output = self._descriptors.pop(0)
        read, write = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:
            self._send({"failed": request["id"], "errno": error.errno, "message": error.strerror, "file": None})
            for descriptor in (read, write, output):
                os.close(descriptor)
            return
        if pid == 0:
            if request["sandbox"]:
                child.sandboxed(request, output, write, self._place)
            child.plain(request, output, write)
        if request["sandbox"]:
            self._helpers.add(pid)
        os.close(write)
        os.close(output)
        self._requested.add(request["id"])
        self._selector.register(read, selectors.EVENT_READ, Start(request["id"], read))

    def _hear(self, start: Start) -> None:
        data = os.read(start.read, 4096)
        if data:
            start.said += data
            return
        self._selector.unregister(start.read)
        os.close(start.read)
        pid, reason = self._parse(start.said)
        self._requested.discard(start.id)
        if reason is not None:
            self._early.pop(start.id, None)
            self._send({"failed": start.id, **reason})
            if pid and self._ended.pop(pid, None) is None:
                self._helpers.add(pid)  # its end is still to come, and of no interest
            return
        self._ids[pid], self._pids[start.id] = start.id, pid
        self._send({"started": start.id, "pid": pid})
        if start.id in self._early:
            self._kill(pid, self._early.pop(start.id))
        if pid in self._ended:
            self._report(pid, self._ended.pop(pid))

    @staticmethod
    def _parse(said: bytes) -> tuple[int, dict[str, Any] | None]:
        """The process id, and why it did not start, if it did not."""
        pid, reason = 0, None
        for line in said.splitlines():  # in either order: a sandboxed child may fail before its parent tells its id
            if line.startswith(b"{"):
                reason = json.loads(line)
            else:
                pid = int(line)
        if not said:
            reason = {"errno": 0, "message": "ended before it could start", "file": None}
        return pid, reason

    def _reap(self, descriptor: int) -> None:
        try:
            while os.read(descriptor, 4096):
                pass
        except BlockingIOError:
            pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._helpers:
                self._helpers.discard(pid)
                continue
            code = os.waitstatus_to_exitcode(status)
            if pid in self._ids:
                self._report(pid, code)
            else:
                self._ended[pid] = code

    def _report(self, pid: int, code: int) -> None:
        request_id = self._ids.pop(pid)
        self._pids.pop(request_id)
        self._send({"ended": request_id, "code": code if code >= 0 else child.SIGNAL_BASE - code})

    def _signal(self, request_id: int, number: int) -> None:
        if request_id in self._pids:
            self._kill(self._pids[request_id], number)
        elif request_id in self._requested:
            self._early[request_id] = number

    @staticmethod
    def _kill(pid: int, number: int) -> None:
        """Signal a process's group where it leads one, else the first process of its namespace, which forwards it."""
        try:
            if os.getpgid(pid) == pid:
                os.killpg(pid, number)
            else:
                os.kill(pid, number)
        except ProcessLookupError:
            pass

    def _send(self, message: dict[str, Any]) -> None:
        self._control.sendall(json.dumps(message).encode() + b"\n")
