"""A container's build context: which files it has, their digest, and how COPY lays them out."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.container.dockerfile import Copy


class ContextError(ValueError):
    """A build context that does not hold what its Dockerfile needs."""


class Context:
    """The files of a build context, without those that .dockerignore leaves out."""

    def __init__(self, directory: Path) -> None:
        if not directory.is_dir():
            raise ContextError(f"build context {directory}: not a directory")
        self.directory = directory
        self._rules = _rules(directory / ".dockerignore")
        self.files = sorted(self._walk(directory), key=lambda path: path.as_posix())

    @property
    def dockerfile(self) -> str:
        """The text of the Dockerfile."""
        path = self.directory / "Dockerfile"
        if not path.is_file():
            raise ContextError(f"build context {self.directory}: no Dockerfile")
        return path.read_text(encoding="utf-8")

    def digest(self) -> str:
        """The SHA-256, in hexadecimal, of the Dockerfile and of every file's path, executability and content."""
        total = hashlib.sha256(self.dockerfile.encode())
        for relative in self.files:
            path = self.directory / relative
            mode = path.lstat().st_mode
            content = os.fsencode(path.readlink()) if stat.S_ISLNK(mode) else path.read_bytes()
            kind = "link" if stat.S_ISLNK(mode) else "program" if mode & stat.S_IXUSR else "file"
            total.update(f"{relative.as_posix()}\0{kind}\0{hashlib.sha256(content).hexdigest()}\n".encode())
        return total.hexdigest()

    def copy(self, instruction: Copy, root: Path) -> None:
        """Do one COPY into the image's file tree `root`.

        Raises ContextError where a source matches nothing.
        """
        target = root / instruction.destination.lstrip("/")
        for source in instruction.sources:
            pattern = source.strip("/").removeprefix("./") or "."
            matches = self._matches(pattern)
            if not matches:
                raise ContextError(f"Dockerfile line {instruction.line}: COPY {source}: not in the build context")
            into_directory = instruction.destination.endswith("/") or instruction.destination == "/"
            for relative, inside in matches:
                is_contents = inside != Path()  # of a directory, whose contents are copied rather than itself
                place = target / inside if is_contents else target / relative.name if into_directory else target
                _copy_file(self.directory / relative, place)

    def _matches(self, pattern: str) -> list[tuple[Path, Path]]:
        """The files that a COPY source means, each with its path below the directory that was named."""
        if pattern == ".":
            return [(path, path) for path in self.files]
        wanted = re.compile(_regex(pattern))
        found = []
        for path in self.files:
            for ancestor in (path, *path.parents):
                if wanted.fullmatch(ancestor.as_posix()):
                    found.append((path, path.relative_to(ancestor)))
                    break
        return found

    def _walk(self, directory: Path) -> Iterator[Path]:
        for entry in os.scandir(directory):
            relative = Path(entry.path).relative_to(self.directory)
            if entry.is_dir(follow_symlinks=False):
                # A later rule may take a file of an excluded directory back in, so directories are always entered.
                yield from self._walk(Path(entry.path))
            elif not self._ignored(relative):
                yield relative

    def _ignored(self, relative: Path) -> bool:
        ignored = False
        names = [relative.as_posix(), *(parent.as_posix() for parent in relative.parents)]
        for excludes, pattern in self._rules:
            if any(pattern.fullmatch(name) for name in names):
                ignored = excludes
        return ignored


def _copy_file(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        place.unlink(missing_ok=True)
        place.symlink_to(source.readlink())
        return
    shutil.copyfile(source, place)
    place.chmod(0o755 if source.stat().st_mode & stat.S_IXUSR else 0o644)


def _rules(path: Path) -> list[tuple[bool, re.Pattern[str]]]:
    """The rules of a .dockerignore, in order; the first part is False for those that take files back in (`!`)."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    rules = [(True, re.compile(r"(?:.*/)?__pycache__"))]  # never part of what a processor is
    for line in lines:
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        excludes = not text.startswith("!")
        rules.append((excludes, re.compile(_regex(text.lstrip("!").strip("/")))))
    return rules


def _regex(pattern: str) -> str:
    """Docker's path patterns: `*` and `?` within a name, `**` over any number of directories."""
    result, position = "", 0
    while position < len(pattern):
        if pattern.startswith("**/", position):
            result, position = result + "(?:.*/)?", position + 3
        elif pattern.startswith("**", position):
            result, position = result + ".*", position + 2
        elif pattern[position] == "*":
            result, position = result + "[^/]*", position + 1
        elif pattern[position] == "?":
            result, position = result + "[^/]", position + 1
        elif pattern[position] == "[" and "]" in pattern[position + 2 :]:
            end = pattern.index("]", position + 2)
            result, position = result + pattern[position : end + 1], end + 1
        else:
            result, position = result + re.escape(pattern[position]), position + 1
    return result
