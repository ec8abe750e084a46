"""SHA-256 in installments gives what `hashlib` gives at once."""

from __future__ import annotations

import hashlib
import os
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.errors import NotFound, Retryable
from handlers.transfer import digest as digest_module
from handlers.transfer import installments, resumable
from handlers.transfer.installments import digest_within, expiry
from handlers.transfer.resumable import ResumableSha256

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not resumable.available(), reason="this interpreter hides OpenSSL's functions")


@given(st.lists(st.binary(max_size=200), max_size=12))
def test_the_state_can_be_put_away_between_any_two_blocks(blocks: list[bytes]) -> None:
    state = None
    for number, block in enumerate(blocks):
        part = ResumableSha256(state)
        part.update(block if number % 2 else memoryview(bytearray(block)))
        state = part.state
    assert ResumableSha256(state).digest() == hashlib.sha256(b"".join(blocks)).digest()


def test_asking_for_the_digest_does_not_end_it() -> None:
    part = ResumableSha256()
    part.update(b"one")
    assert part.digest() == hashlib.sha256(b"one").digest()
    part.update(b"two")
    assert part.digest() == hashlib.sha256(b"onetwo").digest()


class Memory:
    """Documents in memory."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {}

    def read(self, name: str) -> Any:
        if name not in self.documents:
            raise NotFound(name)
        return self.documents[name]

    def write(self, name: str, value: Any) -> None:
        self.documents[name] = value


class Context:
    """A Lambda context whose time runs out after so many looks at it."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def get_remaining_time_in_millis(self) -> int:
        self.looks -= 1
        return 60_000 if self.looks >= 0 else 1_000


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(digest_module, "READ_BLOCK", 100)
    (tmp_path / "file").write_bytes(os.urandom(1_234))
    return tmp_path / "file"


def test_a_file_is_digested_in_as_many_invocations_as_it_takes(file: Path) -> None:
    documents: Any = Memory()
    fd = os.open(file, os.O_RDONLY)
    offsets: list[str] = []
    while True:
        try:
            digest = digest_within(documents, 0, fd, 1_234, expiry(Context(3)))
            break
        except Retryable as error:
            offsets.extend(detail for detail in error.details if detail.startswith("offset"))
    os.close(fd)
    assert offsets == ["offset: 400", "offset: 800", "offset: 1200"]
    assert digest.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert digest.crc32 == zlib.crc32(file.read_bytes())


def test_without_a_limit_it_is_done_at_once(file: Path) -> None:
    documents: Any = Memory()
    fd = os.open(file, os.O_RDONLY)
    digest = digest_within(documents, 0, fd, 1_234, expiry(None))
    os.close(fd)
    assert digest.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert documents.documents == {}


def test_an_interpreter_without_the_functions_digests_in_one_go(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installments, "available", lambda: False)
    documents: Any = Memory()
    fd = os.open(file, os.O_RDONLY)
    digest = digest_within(documents, 0, fd, 1_234, expiry(Context(0)))
    os.close(fd)
    assert digest.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
