"""Compares the download and publish handlers with `aws s3 cp --recursive` on the same objects and the same endpoint.

Both sides are processes of their own, measured from start to end: interpreter, imports, listing, planning, transfer,
and, for the handlers only, SHA-256 of every file, verification and manifest. The endpoint (`transfer_endpoint.py`) is a
loopback server in its own process. Runs of the two sides alternate, and the medians are compared.

    python benchmarks/transfer.py                # full size: 2 GiB, 10,000 x 10 KiB, and a mix
    python benchmarks/transfer.py --scale 0.05   # a quick look
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parent.parent
MIB = 1 << 20
RUN = "00000000-0000-4000-8000-000000000000"
MEMORY_LIMIT_MIB = 512


@dataclass(frozen=True)
class Workload:
    """Files to move: (how many, bytes each)."""

    name: str
    groups: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        return sum(count * size for count, size in self.groups)

    @property
    def files(self) -> int:
        return sum(count for count, _ in self.groups)


@dataclass(frozen=True)
class Measured:
    """One run of one side: seconds from start to end and of processor, and the largest process's peak of memory."""

    seconds: float
    cpu: float
    peak_mib: float


def workloads(scale: float) -> list[Workload]:
    """Scale down the number of files, or the size where it is one."""

    def some(count: int) -> int:
        return max(1, round(count * scale))

    return [
        Workload("one of 2 GiB", ((1, int((2 << 30) * scale)),)),
        Workload("10,000 of 10 KiB", ((some(10_000), 10 << 10),)),
        Workload("mix", ((some(4_000), 10 << 10), (some(400), MIB), (some(20), 40 * MIB), (1, int(600 * MIB * scale)))),
    ]


def make_files(directory: Path, workload: Workload) -> None:
    """Write a workload's files, with content that repeats nowhere within a block."""
    block = hashlib.shake_128(b"transfer").digest(4 * MIB)
    number = 0
    for count, size in workload.groups:
        for _ in range(count):
            path = directory / f"d{number % 10}" / f"{number:06d}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as out:
                out.write(number.to_bytes(8, "big")[: min(8, size)])
                for start in range(8, size, len(block)):
                    out.write(block[: min(len(block), size - start)])
            number += 1


def digests(directory: Path) -> dict[str, str]:
    """Digest every file, and an object that the endpoint keeps in parts from its parts."""
    found: dict[str, Any] = {}
    paths = (path for path in directory.rglob("*") if path.is_file() and path.name != "manifest.json")
    for path in sorted(paths, key=lambda path: (str(path.parent), int(path.name) if path.name.isdigit() else 0)):
        name = path.parent if path.parent.suffix == ".parts" else path
        digest = found.setdefault(str(name.relative_to(directory)).removesuffix(".parts"), hashlib.sha256())
        with path.open("rb") as file:
            while block := file.read(MIB):
                digest.update(block)
    return {name: digest.hexdigest() for name, digest in found.items()}


# --- The handlers' side: this file again, as a process of its own


def drive(direction: str, workers: int) -> None:
    """Do what the state machine does, with at most `workers` invocations at once; print the peak in KiB."""
    sys.path.insert(0, str(ROOT))
    with _invoker(workers) as invoke:
        (_download if direction == "download" else _publish)(invoke)
    peaks = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    sys.stdout.write(str(max(peaks)))


class _invoker:  # noqa: N801 (used as a function)
    """Invoke a handler for each of several events: in this process, or side by side in others that stay warm."""

    def __init__(self, workers: int) -> None:
        self.pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn")) if workers > 1 else None

    def __enter__(self) -> Callable[[str, list[dict[str, Any]]], list[Any]]:
        def invoke(module: str, events: list[dict[str, Any]]) -> list[Any]:
            calls = [(module, {"runId": RUN, "runDir": "bench", **event}) for event in events]
            return list((self.pool.map if self.pool else map)(_invoke, calls))

        return invoke

    def __exit__(self, *_: object) -> None:
        if self.pool:
            self.pool.shutdown()


def _invoke(call: tuple[str, dict[str, Any]]) -> Any:
    module, event = call
    sys.path[:] = dict.fromkeys([str(ROOT), *sys.path])
    __import__(f"handlers.{module}")
    return sys.modules[f"handlers.{module}"].handler(event, None)


def _download(invoke: Callable[[str, list[dict[str, Any]]], list[Any]]) -> None:
    from handlers.transfer.client import bulk_client  # noqa: PLC0415
    from handlers.transfer.plan import list_inputs, write_plan  # noqa: PLC0415

    s3 = bulk_client()
    plan = write_plan(s3, "results", RUN, list_inputs(s3, [{"uri": "s3://lab/set/"}], {"lab"}))
    invoke("download", [{"action": "part", "part": part} for part in range(plan["parts"])])
    invoke("download", [{"action": "assemble", "large": large} for large in range(plan["large"])])


def _publish(invoke: Callable[[str, list[dict[str, Any]]], list[Any]]) -> None:
    from handlers.transfer.client import bulk_client  # noqa: PLC0415
    from handlers.transfer.landing import run_directory  # noqa: PLC0415
    from handlers.transfer.manifest import write_manifest, write_publish_plan  # noqa: PLC0415
    from handlers.transfer.store import Documents  # noqa: PLC0415
    from handlers.transfer.tree import RunTree  # noqa: PLC0415

    # Plan and manifest without the handler's own frame, which reads the run table that this endpoint does not have.
    documents, mount = Documents(bulk_client(), "results", RUN, "publish"), os.environ["MOUNT_PATH"]
    with RunTree(run_directory(mount, "bench"), mount) as tree:
        plan = write_publish_plan(documents, tree, RUN, ["node"], "2026-01-01T00:00:00.000Z")
    invoke("publish", [{"action": "part", "part": part} for part in range(plan["parts"])])
    invoke("publish", [{"action": "assemble", "large": large} for large in range(plan["multipart"])])
    write_manifest(documents, RUN, "bench")


# --- Measuring


class Bench:
    """The directories and the endpoint of one workload."""

    def __init__(self, directory: Path, aws: str, port: int) -> None:
        self.directory = directory
        self.aws = aws
        self.endpoint = f"http://127.0.0.1:{port}"
        self.set = directory / "store" / "objects" / "lab" / "set"
        self.results = directory / "store" / "objects" / "results"
        self.run = directory / "mount" / "runs" / "bench"
        self.output = self.run / "work" / "node" / "1" / "output"
        self.environment = {
            **os.environ,
            "LOG_LEVEL": "WARNING",  # a table is to be read here, not the handlers' lines
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_CONFIG_FILE": os.devnull,
            "MOUNT_PATH": str(directory / "mount"),
            "RESULTS_BUCKET": "results",
            "RUN_TABLE": "runs",
            "NODE_NAME": "bench",
            "DEPLOYMENT_MODE": "basic",
        }

    def prepare(self, workload: Workload) -> dict[str, str]:
        """Make the files once, as objects and as a node's output, which are the same files."""
        make_files(self.set, workload)
        self.output.parent.mkdir(parents=True)
        subprocess.run(["cp", "-al", str(self.set), str(self.output)], check=True)
        (self.run / "work" / "node" / "current").symlink_to("1")
        return digests(self.set)

    def measure(self, side: str, direction: str, workers: int, expected: dict[str, str] | None) -> Measured:
        """Run one side once; with `expected`, verify every byte of what it has moved."""
        copies = self.directory / "copies"
        command, target = self._command(side, direction, workers, copies)
        started = time.perf_counter()
        process = subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE)
        assert process.stdout
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{command} exited with {process.returncode}")
        if expected is not None and digests(target) != expected:
            raise SystemExit(f"{side} {direction}: what has arrived is not what was sent")
        for leftover in (copies, self.run / "input", self.results, self.directory / "store" / "uploads"):
            shutil.rmtree(leftover, ignore_errors=True)
        peak = int(printed) if side == "handlers" else usage.ru_maxrss
        return Measured(seconds, usage.ru_utime + usage.ru_stime, peak / 1024)

    def _command(self, side: str, direction: str, workers: int, copies: Path) -> tuple[list[str], Path]:
        if side == "handlers":
            command = [sys.executable, __file__, "--drive", direction, "--workers", str(workers)]
            return command, self.run / "input" if direction == "download" else self.results / "runs" / RUN / "node"
        copy = [self.aws, "s3", "cp", "--recursive", "--only-show-errors"]
        if direction == "download":
            return [*copy, "s3://lab/set/", str(copies)], copies
        return [*copy, str(self.output), "s3://results/copies/"], self.results / "copies"


def compare(bench: Bench, workload: Workload, options: argparse.Namespace) -> Iterator[str]:
    """Yield the table's rows of one workload."""
    expected = bench.prepare(workload)
    sides = [("aws", 1), *(("handlers", workers) for workers in options.workers)]
    for direction in ("download", "publish"):
        runs: dict[tuple[str, int], list[Measured]] = {side: [] for side in sides}
        for repeat in range(options.repeat):
            for side in sides:
                runs[side].append(bench.measure(side[0], direction, side[1], None if repeat else expected))
        baseline = statistics.median(run.seconds for run in runs["aws", 1])
        for (name, workers), measured in runs.items():
            seconds = statistics.median(run.seconds for run in measured)
            cpu = statistics.median(run.cpu for run in measured)
            peak = max(run.peak_mib for run in measured)
            label = "`aws s3 cp`" if name == "aws" else f"handlers, {workers} at once"
            rates = f"{workload.size / MIB / seconds:,.0f} | {workload.files / seconds:,.0f}"
            yield (
                f"| {workload.name} | {direction} | {label} | {seconds:.2f} | {rates} | {cpu:.2f} | {peak:.0f} "
                f"| {baseline / seconds:.2f} |"
            )
            if name == "handlers" and peak > MEMORY_LIMIT_MIB:
                yield f"| | | over {MEMORY_LIMIT_MIB} MiB | | | | | | |"


def find_aws(given: str | None) -> str:
    """Find the AWS CLI, or install it into an environment of its own below `.build`."""
    if found := given or shutil.which("aws"):
        return found
    home = ROOT / ".build" / "awscli"
    if not (home / "bin" / "aws").exists():
        venv.create(home, with_pip=True)
        subprocess.run([str(home / "bin" / "pip"), "install", "--quiet", "awscli"], check=True)
    return str(home / "bin" / "aws")


def report(options: argparse.Namespace) -> None:
    """Measure everything and print a Markdown table."""
    aws = find_aws(options.aws)
    version = subprocess.run([aws, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{version}; {os.cpu_count()} cores; scale {options.scale}; median of {options.repeat}\n")
    print("| objects | direction | side | s | MiB/s | files/s | CPU s | peak MiB | times as fast as `aws` |")
    print("|---|---|---|---:|---:|---:|---:|---:|---:|", flush=True)
    for workload in workloads(options.scale):
        if options.only and options.only not in workload.name:
            continue
        with tempfile.TemporaryDirectory(dir=options.directory) as name:
            directory = Path(name)
            (directory / "store" / "objects").mkdir(parents=True)
            server = subprocess.Popen(
                [sys.executable, str(ROOT / "benchmarks" / "transfer_endpoint.py"), str(directory / "store")],
                stdout=subprocess.PIPE,
                text=True,
            )
            assert server.stdout
            try:
                for row in compare(Bench(directory, aws, int(server.stdout.readline())), workload, options):
                    print(row, flush=True)
            finally:
                server.terminate()
                server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the full sizes")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each side")
    parser.add_argument("--workers", type=int, nargs="+", default=[1], help="handler invocations at once")
    parser.add_argument("--only", help="only the workload whose name contains this")
    parser.add_argument("--directory", help="where the files lie (three times their size)")
    parser.add_argument("--aws", help="path of the AWS CLI")
    parser.add_argument("--drive", choices=["download", "publish"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drive:
        drive(options.drive, options.workers[0])
    else:
        report(options)


if __name__ == "__main__":
    main()
