"""The handlers' zip: the same bytes for the same sources, and nothing in it but sources."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
import zipfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from components.bundle import build


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with what an interpreter and an editor leave behind."""
    folder = tmp_path / "handlers"
    for name in ("__init__.py", "b.py", "a.py", "gateway/__init__.py", "__pycache__/a.cpython-312.pyc", "stray.pyc"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"# {name}\n")
    return folder


def test_it_holds_the_package_at_its_root_in_order_and_nothing_compiled(package: Path, tmp_path: Path) -> None:
    bundle = build(package, tmp_path / "out" / "handlers.zip")
    with zipfile.ZipFile(bundle.path) as archive:
        assert archive.namelist() == [
            "handlers/__init__.py",
            "handlers/a.py",
            "handlers/b.py",
            "handlers/gateway/__init__.py",
        ]
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o644}
        assert archive.read("handlers/a.py") == b"# a.py\n"


def test_times_and_modes_of_files_do_not_matter(package: Path, tmp_path: Path) -> None:
    first = build(package, tmp_path / "one.zip")
    os.utime(package / "a.py", (1_000_000_000, 1_000_000_000))
    (package / "b.py").chmod(0o755)
    second = build(package, tmp_path / "two.zip")
    assert first.path.read_bytes() == second.path.read_bytes()


def test_a_changed_source_is_another_bundle(package: Path, tmp_path: Path) -> None:
    target = tmp_path / "handlers.zip"
    before = build(package, target)
    (package / "a.py").write_text("# changed\n")
    assert build(package, target).digest != before.digest


def test_the_digests_are_those_of_the_file(package: Path, tmp_path: Path) -> None:
    bundle = build(package, tmp_path / "handlers.zip")
    digest = hashlib.sha256(bundle.path.read_bytes()).digest()
    assert bundle.sha256 == digest.hex()
    assert base64.b64decode(bundle.sha256_base64) == digest


def test_an_unchanged_bundle_is_not_written_again(package: Path, tmp_path: Path) -> None:
    target = tmp_path / "handlers.zip"
    build(package, target)
    os.utime(target, (1_000_000_000, 1_000_000_000))
    build(package, target)
    assert target.stat().st_mtime == 1_000_000_000


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="handlers is not there"):
        build(tmp_path / "handlers", tmp_path / "handlers.zip")
