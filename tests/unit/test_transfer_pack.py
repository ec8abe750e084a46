"""The planner's arithmetic: every byte once, few enough parts, none too heavy."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from handlers.transfer.pack import (
    FILE_WEIGHT,
    MAX_FILE_BYTES,
    MAX_PARTS,
    MIB,
    MIN_LARGE_BYTES,
    MIN_PART_WEIGHT,
    Batch,
    Range,
    chunk_size,
    cut,
    is_large,
    pack,
    part_weight,
)

SMALLEST_RANGE = 64 * MIB


@dataclass(frozen=True, slots=True)
class File:
    name: int
    size: int


SIZES = st.one_of(
    st.integers(0, 64 << 10),
    st.integers(0, 64 * MIB),
    st.sampled_from([MIN_PART_WEIGHT, MIN_LARGE_BYTES - 1, MIN_LARGE_BYTES, MIN_LARGE_BYTES + 1]),
    st.integers(0, MAX_FILE_BYTES),
)


def plan(sizes: list[int]) -> tuple[list[File], int, list[Batch[File] | Range[File]]]:
    files = [File(name, size) for name, size in enumerate(sizes)]
    weight = part_weight(len(files), sum(sizes))
    return files, weight, list(pack(iter(files), weight))


@given(st.lists(SIZES, max_size=60))
@example([])
@example([0])
@example([MAX_FILE_BYTES] * 50)
@example([MIN_LARGE_BYTES] * 399)
def test_every_byte_of_every_file_is_moved_exactly_once(sizes: list[int]) -> None:
    files, weight, parts = plan(sizes)
    whole = [file for part in parts if isinstance(part, Batch) for file in part.files]
    ranges: dict[File, list[tuple[int, int]]] = {}
    for part in parts:
        if isinstance(part, Range):
            ranges.setdefault(part.file, []).append((part.start, part.end))
    assert len(whole) == len(set(whole))
    assert set(whole) | ranges.keys() == set(files)
    assert not set(whole) & ranges.keys()
    for file, spans in ranges.items():
        assert is_large(file.size, weight)
        assert [start for start, _ in spans] == [0, *(end for _, end in spans[:-1])]
        assert spans[-1][1] == file.size


@given(st.lists(SIZES, max_size=60))
@example([MAX_FILE_BYTES] * 60)
def test_no_part_is_too_heavy_and_there_are_few_enough(sizes: list[int]) -> None:
    _, weight, parts = plan(sizes)
    assert len(parts) <= MAX_PARTS
    for part in parts:
        if isinstance(part, Batch):
            assert part.files
            assert sum(file.size + FILE_WEIGHT for file in part.files[:-1]) < weight
            assert not is_large(part.files[-1].size, weight)
        else:
            assert SMALLEST_RANGE <= part.end - part.start < 2 * weight + 2 * chunk_size(part.file.size)
            assert part.file.size >= MIN_LARGE_BYTES


@pytest.mark.parametrize(
    ("count", "size"),
    [(1_000_000, 10_240), (100_000, 0), (3_000, 2 * MIN_PART_WEIGHT), (5_000, 1 << 30), (1_000, MIN_LARGE_BYTES)],
)
def test_the_bound_on_parts_holds_however_many_files_there_are(count: int, size: int) -> None:
    weight = part_weight(count, count * size)
    parts = files = 0
    for part in pack((File(name, size) for name in range(count)), weight):
        parts += 1
        files += len(part.files) if isinstance(part, Batch) else 0
    assert parts <= MAX_PARTS
    assert files in {count, 0}


@given(st.integers(1, MAX_FILE_BYTES), st.integers(1, 400))
@settings(max_examples=300)
def test_ranges_begin_at_chunks_and_chunks_fit_a_multipart_upload(size: int, share: int) -> None:
    weight = max(part_weight(1, size), size // share)
    chunk = chunk_size(size)
    assert chunk >= 16 * MIB
    assert chunk % MIB == 0
    assert -(-size // chunk) <= 10_000
    if is_large(size, weight):
        assert all(start % chunk == 0 for start, _ in cut(size, weight))


def test_large_files_are_numbered_in_order() -> None:
    _, _, parts = plan([MIN_LARGE_BYTES, 10, MIN_LARGE_BYTES + 5])
    numbers = [part.large for part in parts if isinstance(part, Range)]
    assert numbers == sorted(numbers)
    assert set(numbers) == {0, 1}
