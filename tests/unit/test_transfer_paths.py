"""Where inputs may land: what a path may be, and which paths cannot stand beside each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.transfer.paths import MAX_LEVELS, MAX_PATH_BYTES, Taken, path_fault


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("", "is empty"),
        ("/etc/passwd", "is absolute"),
        ("../secret", "has a part '..'"),
        ("a/../b", "has a part '..'"),
        ("a/..", "has a part '..'"),
        ("./a", "has a part '.'"),
        ("a//b", "has an empty part"),
        ("a/", "has an empty part"),
        ("a\0b", "NUL"),
        ("\ud800", "not valid Unicode"),
        ("a/" + "x" * 256, "a part of 256 bytes; at most 255"),
        ("ä" * 128, "a part of 256 bytes; at most 255"),
        ("/".join(["x" * 100] * 40), f"at most {MAX_PATH_BYTES}"),
        ("/".join("x" * (MAX_LEVELS + 1)), f"levels deep; at most {MAX_LEVELS}"),
    ],
)
def test_a_bad_path_is_told_with_its_fault(path: str, fault: str) -> None:
    assert fault in (path_fault(path) or "nothing")


@pytest.mark.parametrize(
    "path", ["a", "a/b c/ü.nii.gz", "..a/b..", ".hidden", "x" * 255, "ä" * 127, "a\nb", "-rf", "a\\b"]
)
def test_a_good_path_has_no_fault(path: str) -> None:
    assert path_fault(path) is None


NAMES = st.lists(
    st.sampled_from(["a", "b", "a-b", "a!", "aa", "a.b", "é", "\U0001f600", "\ufb01"]), min_size=1, max_size=4
)


@given(st.lists(NAMES.map("/".join), max_size=30))
def test_exactly_the_paths_that_cannot_coexist_are_found(paths: list[str]) -> None:
    """Compared with a model that keeps every path and every directory."""
    taken = Taken()
    files: set[str] = set()
    for path in sorted(paths):
        directories = {"/".join(path.split("/")[:level]) for level in range(1, path.count("/") + 1)}
        blocking = ({path} | directories) & files
        clash = taken.take(path)
        assert (clash in blocking) if blocking else (clash is None)
        files.add(path)


def test_a_sibling_that_sorts_between_does_not_hide_a_directory_conflict() -> None:
    taken = Taken()
    assert [taken.take(path) for path in ("a", "a!b", "a-b", "a/c", "ab")] == [None, None, None, "a", None]
