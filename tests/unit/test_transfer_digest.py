"""Checksums: a CRC-32 put together from parts is that of the whole, and S3's declarations are read as meant."""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.transfer import digest as module
from handlers.transfer.digest import (
    Declared,
    Digest,
    crc_of_parts,
    crc_to_base64,
    declared,
    digest_file,
    read_exactly,
    to_base64,
)

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b"the quick brown fox"
SHA256 = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
SHA1 = base64.b64encode(hashlib.sha1(CONTENT, usedforsecurity=False).digest()).decode()
CRC32 = crc_to_base64(zlib.crc32(CONTENT))


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_the_crc_of_parts_is_the_crc_of_the_whole(parts: list[bytes]) -> None:
    assert crc_of_parts((zlib.crc32(part), len(part)) for part in parts) == zlib.crc32(b"".join(parts))


def test_the_crc_of_parts_of_gibibytes_needs_no_bytes() -> None:
    block = bytes(1 << 20)
    whole = 0
    for _ in range(64):
        whole = zlib.crc32(block, whole)
    half = 0
    for _ in range(32):
        half = zlib.crc32(block, half)
    assert crc_of_parts([(half, 32 << 20), (half, 32 << 20)]) == whole


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"ChecksumCRC32": CRC32, "ChecksumType": "FULL_OBJECT"}, Declared("CRC32", CRC32)),
        ({"ChecksumSHA1": SHA1, "ChecksumCRC32": CRC32, "ChecksumType": "FULL_OBJECT"}, Declared("SHA1", SHA1)),
        ({"ChecksumSHA256": SHA256, "ChecksumType": "FULL_OBJECT"}, Declared("SHA256", SHA256)),
        ({"ChecksumSHA256": SHA256 + "-3", "ChecksumType": "COMPOSITE"}, None),
        ({"ChecksumSHA256": SHA256 + "-3"}, None),
        ({"ChecksumSHA256": SHA256, "ETag": '"abc-3"'}, None),
        ({"ChecksumCRC64NVME": "rosUhgp5mIE=", "ChecksumType": "FULL_OBJECT"}, None),
        ({"ETag": '"abc"'}, None),
    ],
)
def test_only_a_checksum_of_the_whole_object_counts(answer: dict[str, Any], expected: Declared | None) -> None:
    assert declared(answer) == expected


@pytest.mark.parametrize("expected", [Declared("SHA256", SHA256), Declared("SHA1", SHA1), Declared("CRC32", CRC32)])
def test_a_digest_agrees_with_its_own_content_only(expected: Declared) -> None:
    same, other = Digest(sha1=True), Digest(sha1=True)
    for block in (CONTENT[:5], CONTENT[5:]):
        same.update(block)
        same.fold(zlib.crc32(block), len(block))
    other.update(CONTENT[:5] + b"?")
    other.fold(zlib.crc32(CONTENT[:5] + b"?"), 6)
    assert same.agrees(expected)
    assert not other.agrees(expected)


def test_a_sha1_that_was_not_computed_agrees_with_nothing() -> None:
    digest = Digest()
    digest.update(CONTENT)
    assert not digest.agrees(Declared("SHA1", SHA1))


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, 395])
def test_a_file_is_digested_whole_and_in_order(tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_BLOCK", 10)
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    digest = digest_file(fd, size, sha1=True)
    os.close(fd)
    assert digest.sha256 == hashlib.sha256(content).hexdigest()
    assert digest.crc32 == zlib.crc32(content)
    assert digest.agrees(Declared("SHA1", to_base64(hashlib.sha1(content, usedforsecurity=False).digest())))


def test_a_file_shorter_than_said_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    with pytest.raises(EOFError, match="ends at byte 5"):
        read_exactly(fd, 2, 9)
    with pytest.raises(EOFError, match="ends at byte 5"):
        digest_file(fd, 9)
    os.close(fd)
