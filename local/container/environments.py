"""Python environments of processors: this interpreter's own where it has what they require, else a kept venv."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement

from local.sandbox.host import interpreter_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_COMPLETE = ".complete"
_TAIL_LINES = 15


class PackagesError(Exception):
    """Packages cannot be installed."""


@dataclass(frozen=True)
class PythonEnvironment:
    """An interpreter, and the directories that it needs to see."""

    python: Path
    paths: tuple[Path, ...]


class Environments:
    """The environments below one directory, keyed by what they hold."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def prepare(self, requirements: list[str], progress: Callable[[str], None]) -> PythonEnvironment:
        """An environment that satisfies requirement lines, made if there is none yet.

        Raises PackagesError with pip's last words where they cannot be installed.
        """
        missing = unsatisfied(requirements)
        if not missing:
            return PythonEnvironment(Path(sys.executable), tuple(interpreter_paths()))
        directory = self._directory / self._key(requirements)
        self._directory.mkdir(parents=True, exist_ok=True)
        with directory.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two processes may want the same one
            if not (directory / _COMPLETE).exists():
                progress(f"installing packages ({', '.join(missing)})")
                self._install(directory, requirements, progress)
                (directory / _COMPLETE).touch()
        return PythonEnvironment(directory / "bin" / "python", (directory, Path(sys.base_prefix)))

    @staticmethod
    def _key(requirements: list[str]) -> str:
        facts = [platform.python_version(), sys.platform, platform.machine(), sys.base_prefix, *sorted(requirements)]
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:32]

    @staticmethod
    def _install(directory: Path, requirements: list[str], progress: Callable[[str], None]) -> None:
        listed = directory.with_suffix(".txt")
        listed.write_text("\n".join(requirements) + "\n", encoding="utf-8")
        _run([sys.executable, "-m", "venv", "--clear", str(directory)], progress)
        pip = [str(directory / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        _run([*pip, "--progress-bar", "off", "-r", str(listed)], progress)


def read_requirements(path: Path) -> list[str]:
    """The requirement lines of a file, with those of the files that it includes.

    Raises PackagesError where one does not exist.
    """
    if not path.is_file():
        raise PackagesError(f"requirements file {path.name}: not in the image")
    text = re.sub(r"\\\n", " ", path.read_text(encoding="utf-8"))
    lines: list[str] = []
    for raw in text.splitlines():
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        if included := re.fullmatch(r"(?:-r|--requirement)[\s=]+(\S+)", line):
            lines += read_requirements(path.parent / included[1])
        elif line:
            lines.append(line)
    return lines


def unsatisfied(requirements: list[str]) -> list[str]:
    """Those lines that the running interpreter's packages do not fulfil."""
    return [line for line in requirements if not _satisfied(line)]


def _satisfied(line: str) -> bool:
    text = re.sub(r"\s--hash=\S+", "", line)
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return False  # an option of pip's, a path or an address: only pip can tell
    return _fulfils(requirement, frozenset())


def _fulfils(requirement: Requirement, seen: frozenset[str]) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
        return True
    if requirement.url is not None:
        return False
    try:
        distribution = importlib.metadata.distribution(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    if not requirement.specifier.contains(distribution.version, prereleases=True):
        return False
    name = requirement.name.lower()
    if name in seen:
        return True
    return all(_fulfils(needed, seen | {name}) for needed in _of_extras(distribution, requirement.extras))


def _of_extras(distribution: importlib.metadata.Distribution, extras: set[str]) -> Iterator[Requirement]:
    """What a distribution requires more when it is asked for with these extras."""
    for text in distribution.requires or []:
        needed = Requirement(text)
        marker = needed.marker
        if marker is None or marker.evaluate({"extra": ""}):
            continue
        if any(marker.evaluate({"extra": extra}) for extra in extras):
            needed.marker = None
            yield needed


def _run(command: list[str], progress: Callable[[str], None]) -> None:
    tail: list[str] = []
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True, errors="replace") as run:
        for line in run.stdout or ():
            progress(line.rstrip())
            tail = [*tail[1 - _TAIL_LINES :], line.rstrip()]
    if run.returncode != 0:
        raise PackagesError(f"{' '.join(command[1:4])}: exit code {run.returncode}:\n" + "\n".join(tail))
