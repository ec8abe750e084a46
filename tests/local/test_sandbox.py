"""Processes and the launcher that starts them: starts, failures, signals, ends, and what is left behind."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from local.sandbox.launcher import linux
from local.sandbox.processes import Launcher
from local.sandbox.spec import Mount, ProcessEvents, ProcessSpec, rewrite

TIMEOUT = 30
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=[True, False], ids=["isolated", "plain"])
def launcher(request):
    made = Launcher(isolate=request.param)
    if request.param and not made.isolation.namespaces:
        made.close()
        pytest.skip(made.isolation.reason)
    yield made
    made.close()


class Run:
    """One process and what becomes of it."""

    def __init__(self, launcher, scratch_root, argv, **spec):
        self._over = threading.Event()
        self.started = threading.Event()
        self.code = self.error = None
        self._read, write = os.pipe()
        events = ProcessEvents(lambda _: self.started.set(), self._failed, self._ended)
        wanted = ProcessSpec(argv, {"PATH": os.defpath}, "/", scratch_root, **spec)
        self.process = launcher.spawn(wanted, write, events)
        os.close(write)

    def _failed(self, error):
        self.error = error
        self._over.set()

    def _ended(self, code):
        self.code = code
        self._over.set()

    def output(self):
        """All that it printed, when it has ended."""
        assert self._over.wait(TIMEOUT)
        with os.fdopen(self._read) as text:
            return text.read()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/mnt/efs", "/host/efs"),
        ("/mnt/efs/work/a", "/host/efs/work/a"),
        ("/mnt/efsx", "/mnt/efsx"),
        ("/mnt/layers/x", "/host/layers/x"),
        ("/mnt/efs/deep/x", "/other/x"),
        ("/a:/mnt/efs/b:c", "/a:/host/efs/b:c"),
        ("see /mnt/efs", "see /mnt/efs"),
        ("http://x/mnt/efs", "http://x/mnt/efs"),
        ("", ""),
    ],
)
def test_paths_are_rewritten_where_they_begin_and_only_whole(value, expected):
    mounts = [
        Mount(Path("/host/efs"), "/mnt/efs"),
        Mount(Path("/other"), "/mnt/efs/deep"),
        Mount(Path("/host/layers"), "/mnt/layers"),
    ]
    assert rewrite(value, mounts) == expected


def test_a_process_runs_and_its_storage_goes(launcher, tmp_path):
    run = Run(launcher, tmp_path, ["sh", "-c", "echo out; echo err >&2; exit 5"])
    assert run.output() == "out\nerr\n"
    assert run.code == 5
    again = Run(launcher, tmp_path, ["true"])  # by then the first one's is deleted
    assert again.output() == ""
    assert len([path for path in tmp_path.glob("*/*") if path != again.process.scratch]) == 0


def test_what_cannot_start_says_why(launcher, tmp_path):
    run = Run(launcher, tmp_path, ["no-such-program"])
    assert run.output() == ""
    assert run.error.errno == errno.ENOENT
    assert "no-such-program" in run.error.filename
    assert not run.started.is_set()
    missing = Run(launcher, tmp_path, ["true"], mounts=[Mount(tmp_path / "absent", "/x")])
    missing.output()
    assert (missing.error is not None) == launcher.isolation.namespaces


def test_a_signal_before_the_start_is_not_lost(launcher, tmp_path):
    run = Run(launcher, tmp_path, ["sleep", "600"])
    launcher.signal(run.process, signal.SIGTERM)
    run.output()
    assert run.code == 128 + signal.SIGTERM


def test_a_signal_reaches_all_of_a_process_group(launcher, tmp_path):
    run = Run(launcher, tmp_path, ["sh", "-c", "sleep 600 & sleep 600; echo not reached"])
    assert run.started.wait(TIMEOUT)
    launcher.signal(run.process, signal.SIGTERM)
    assert run.output() == ""  # which waits until nobody holds the pipe


def test_signals_after_the_end_do_nothing(launcher, tmp_path):
    run = Run(launcher, tmp_path, ["true"])
    run.output()
    launcher.signal(run.process, signal.SIGKILL)
    assert Run(launcher, tmp_path, ["true"]).output() == ""


def test_many_at_once(launcher, tmp_path):
    runs = [Run(launcher, tmp_path, ["sh", "-c", f"echo {number}; exit {number}"]) for number in range(50)]
    assert [(run.output(), run.code) for run in runs] == [(f"{number}\n", number) for number in range(50)]


def test_closing_the_launcher_ends_its_processes(tmp_path):
    launcher = Launcher(isolate=False)
    run = Run(launcher, tmp_path, ["sleep", "600"])
    assert run.started.wait(TIMEOUT)
    launcher.close()
    run.output()
    assert run.code == 128 + signal.SIGKILL


@pytest.mark.skipif(not linux.AVAILABLE, reason="waits by a process descriptor")
def test_processes_do_not_outlive_a_parent_that_is_killed(tmp_path):
    program = f"""
import os, sys, threading
from pathlib import Path
from local.sandbox.processes import launcher
from local.sandbox.spec import ProcessEvents, ProcessSpec
spec = ProcessSpec(["sleep", "600"], {{"PATH": os.defpath}}, "/", Path({str(tmp_path)!r}))
launcher().spawn(spec, 2, ProcessEvents(lambda pid: print(pid, flush=True), print, print))
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        descriptor = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        ended, _, _ = select.select([descriptor], [], [], TIMEOUT)
        os.close(descriptor)
    assert ended
    assert list(tmp_path.iterdir())  # what it had for itself stays,
    launcher = Launcher(isolate=False)
    Run(launcher, tmp_path, ["true"]).output()
    launcher.close()
    assert [path.name for path in tmp_path.iterdir()] == [str(os.getpid())]  # until the next one comes
