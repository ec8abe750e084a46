"""Container images without a container engine: a build context's files, command and packages, kept by digest."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.container.context import Context, ContextError
from local.container.dockerfile import DockerfileError, parse
from local.container.environments import Environments, PackagesError, read_requirements
from local.sandbox.launcher.root import SYSTEM
from local.sandbox.spec import DEFAULT_UID, Mount

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.container.dockerfile import Dockerfile

_DIGEST = re.compile(r"@sha256:(?P<digest>[0-9a-f]{64})$")
_PYTHON = re.compile(r"(?:/usr(?:/local)?/bin/)?python(?:3(?:\.\d+)?)?")
# The sandbox takes these from the host or makes them itself, so an image's files go into them one by one.
_SHARED = frozenset({*SYSTEM, "tmp", "root", "run", "var"})
_KERNEL = frozenset({"proc", "sys", "dev"})


class ImageError(Exception):
    """An image cannot be built; the message names the context and the mistake."""


class ImageNotFoundError(Exception):
    """No image of that name has been built here."""


@dataclass(frozen=True)
class LocalImage:
    """What a container of an image starts with; paths are the container's unless typed as Path."""

    uri: str
    digest: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    env: dict[str, str]
    workdir: str
    host_workdir: Path
    python: Path
    mounts: tuple[Mount, ...]
    host_paths: tuple[Path, ...]

    @property
    def argv(self) -> list[str]:
        """The command line without overrides."""
        return self.command_line(self.command)

    def command_line(self, command: tuple[str, ...], entrypoint: tuple[str, ...] | None = None) -> list[str]:
        """The command line with another CMD, or ENTRYPOINT; a `python` in front is the image's own."""
        argv = [*(self.entrypoint if entrypoint is None else entrypoint), *command]
        return [str(self.python), *argv[1:]] if argv and _PYTHON.fullmatch(argv[0]) else argv


class Images:
    """The images built on this machine, below one cache directory."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache.resolve()
        self._images = self.cache / "images"
        self._environments = Environments(self.cache / "environments")
        self._resolved: dict[str, LocalImage] = {}

    def build(self, repository_url: str, context: Path, progress: Callable[[str], None] = lambda _: None) -> str:
        """Take a snapshot of a build context and make its environment; the answer is the image's URI, by digest.

        Raises ImageError where the Dockerfile or the context does not allow it.
        """
        try:
            source = Context(context)
            digest = source.digest()
            if not (self._images / digest / "image.json").exists():
                self._snapshot(source, digest, progress)
            description = self._description(digest)
            self._environments.prepare(description["requirements"], progress)
        except (ContextError, DockerfileError, PackagesError) as error:
            raise ImageError(f"{context}: {error}") from error
        return f"{repository_url}@sha256:{digest}"

    def resolve(self, image_uri: str) -> LocalImage:
        """The image that a URI names.

        Raises ImageNotFoundError where it was not built here, ImageError where its packages cannot be had any more.
        """
        match = _DIGEST.search(image_uri)
        digest = match["digest"] if match else ""
        if digest in self._resolved:
            return self._resolved[digest]
        if not digest or not (self._images / digest / "image.json").exists():
            raise ImageNotFoundError(f"{image_uri}: not found; only images built here from their context run here")
        self._resolved[digest] = self._load(image_uri, digest)
        return self._resolved[digest]

    def _snapshot(self, source: Context, digest: str, progress: Callable[[str], None]) -> None:
        dockerfile = parse(source.dockerfile)
        if dockerfile.ignored:
            ignored = "; ".join(dockerfile.ignored)
            progress(f"warning: {source.directory}/Dockerfile: without effect on this machine: {ignored}")
        partial = self._images / f".{digest}-{uuid.uuid4().hex}"
        tree = partial / "root"
        tree.mkdir(parents=True)
        try:
            for instruction in dockerfile.copies:
                source.copy(instruction, tree)
            (tree / dockerfile.workdir.lstrip("/")).mkdir(parents=True, exist_ok=True)
            description = _describe(dockerfile, tree)
            (partial / "image.json").write_text(json.dumps(description, indent=1), encoding="utf-8")
            if os.geteuid() == 0:
                _give(tree)
            if not (self._images / digest).exists():
                partial.rename(self._images / digest)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _description(self, digest: str) -> dict[str, Any]:
        text = (self._images / digest / "image.json").read_text(encoding="utf-8")
        description: dict[str, Any] = json.loads(text)
        return description

    def _load(self, uri: str, digest: str) -> LocalImage:
        description = self._description(digest)
        try:
            environment = self._environments.prepare(description["requirements"], lambda _: None)
        except PackagesError as error:
            raise ImageError(f"{uri}: {error}") from error
        tree = self._images / digest / "root"
        return LocalImage(
            uri=uri,
            digest=f"sha256:{digest}",
            entrypoint=tuple(description["entrypoint"]),
            command=tuple(description["command"]),
            env=description["environment"],
            workdir=description["workdir"],
            host_workdir=tree / description["workdir"].lstrip("/"),
            python=environment.python,
            mounts=tuple(_mounts(tree, tree)),
            host_paths=environment.paths,
        )


def _describe(dockerfile: Dockerfile, tree: Path) -> dict[str, Any]:
    requirements = list(dockerfile.requirements)
    for name in dockerfile.requirement_files:
        requirements += read_requirements(tree / name.lstrip("/"))
    return {
        "entrypoint": dockerfile.entrypoint,
        "command": dockerfile.command,
        "environment": dockerfile.environment,
        "workdir": dockerfile.workdir,
        "requirements": requirements,
        "python": sys.version,
    }


def _mounts(tree: Path, directory: Path) -> list[Mount]:
    """The image's own files at their places, as few mounts as may be."""
    mounts: list[Mount] = []
    for entry in sorted(directory.iterdir()):
        place = Path("/", entry.relative_to(tree))
        top = place.parts[1]
        if top in _KERNEL:
            continue
        if entry.is_dir() and top in _SHARED and (place.is_dir() or place.parent == Path("/")):
            mounts += _mounts(tree, entry)
        else:
            mounts.append(Mount(entry, str(place), read_only=True, private=True))
    return mounts


def _give(tree: Path) -> None:
    """Let the user that containers run as own the image's files, as root would in a container."""
    for path in (tree, *tree.rglob("*")):
        os.chown(path, DEFAULT_UID, DEFAULT_UID, follow_symlinks=False)
