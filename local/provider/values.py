"""Pulumi's values as plain Python ones, and its assets as bytes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pulumi

from local.provider.model import ProviderError

if TYPE_CHECKING:
    from pathlib import Path

SIGNATURE = "4dabf18193072939515e22adb298388d"  # the key that marks secrets and references among Pulumi's values
EPOCH = (1980, 1, 1, 0, 0, 0)


def plain(value: Any) -> Any:
    """The JSON form of a property: secrets unwrapped, whole numbers as int, absent ones gone, assets as they are."""
    if isinstance(value, Mapping):
        if SIGNATURE in value and "value" in value:
            return plain(value["value"])
        return {key: plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # every number is a double on the way from the program
    return value


def recordable(value: Any) -> Any:
    """The plain value with assets as texts, so that it can be kept and printed."""
    if isinstance(value, Mapping):
        return {key: recordable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [recordable(item) for item in value]
    if isinstance(value, (pulumi.FileAsset, pulumi.FileArchive)):
        return str(value.path)
    if isinstance(value, (pulumi.Asset, pulumi.Archive)):
        return type(value).__name__
    return value


def archive(asset: Any, root: Path) -> bytes:
    """The zip that an archive stands for; a zip file's own bytes as they are. Paths are relative to `root`."""
    if isinstance(asset, pulumi.FileArchive) and (path := root / asset.path).is_file():
        return path.read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in sorted(_contents(asset, "", root)):
            packed.writestr(zipfile.ZipInfo(name, EPOCH), data)
    return buffer.getvalue()


def _contents(asset: Any, name: str, root: Path) -> Iterator[tuple[str, bytes]]:
    if isinstance(asset, pulumi.AssetArchive):
        for key, inner in asset.assets.items():
            yield from _contents(inner, f"{name}/{key}".strip("/"), root)
    elif isinstance(asset, pulumi.StringAsset):
        yield name, asset.text.encode()
    elif isinstance(asset, pulumi.FileAsset):
        yield name, (root / asset.path).read_bytes()
    elif isinstance(asset, pulumi.FileArchive):
        yield from _folder(root / asset.path, name)
    else:
        raise ProviderError(f"{type(asset).__name__} {name}: only what lies on this machine can be packed")


def _folder(folder: Path, name: str) -> Iterator[tuple[str, bytes]]:
    if folder.is_file():
        with zipfile.ZipFile(folder) as packed:
            for entry in packed.namelist():
                if not entry.endswith("/"):
                    yield f"{name}/{entry}".strip("/"), packed.read(entry)
        return
    if not folder.is_dir():
        raise ProviderError(f"{folder} is not there: the program ships it")
    for path in folder.rglob("*"):
        if path.is_file():
            yield f"{name}/{path.relative_to(folder).as_posix()}".strip("/"), path.read_bytes()
