"""Packs the handlers into one zip that is the same, byte for byte, for the same sources."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold
FILE_MODE = 0o644 << 16
LEFT_OUT = {"__pycache__"}


@dataclass(frozen=True)
class Bundle:
    """A zip on disk and the digest of its bytes."""

    path: Path
    digest: bytes

    @property
    def sha256(self) -> str:
        """The digest in hexadecimal, as tools print it."""
        return self.digest.hex()

    @property
    def sha256_base64(self) -> str:
        """The digest as Lambda reports it (CodeSha256)."""
        return base64.b64encode(self.digest).decode()


def build(package: Path, target: Path) -> Bundle:
    """Write the package folder, as a folder at the zip's root, to `target`.

    Raises FileNotFoundError where there is no such package.
    """
    if not package.is_dir():
        raise FileNotFoundError(f"{package} is not there: the handlers are part of the program")
    data = _zip(package)
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists() or target.read_bytes() != data:
        # Replaced in one step: another evaluation of the program may be reading it.
        temporary = target.with_suffix(f".{hashlib.sha256(data).hexdigest()[:12]}.tmp")
        temporary.write_bytes(data)
        temporary.replace(target)
    return Bundle(target, hashlib.sha256(data).digest())


def _zip(package: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in _sources(package):
            entry = zipfile.ZipInfo(path.relative_to(package.parent).as_posix(), EPOCH)
            entry.external_attr = FILE_MODE
            entry.create_system = 3  # Unix, whatever the machine, so that the modes count
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def _sources(package: Path) -> Iterator[Path]:
    files = (path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc")
    yield from sorted(path for path in files if not LEFT_OUT & set(path.parts))
