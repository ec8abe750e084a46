"""What of a node's output is published: content, wherever a link to it stands, and nothing from outside the run."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handlers.transfer.model import OutputFile
from handlers.transfer.tree import LinkRefusedError, RunTree
from handlers.transfer.walk import Unpublished, Walk

if TYPE_CHECKING:
    from collections.abc import Iterator

MOUNT = "/mnt/efs"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Make a run's directory with an input and one attempt of node `n`, whose output holds one file."""
    root = tmp_path / "runs" / "token"
    output = root / "work" / "n" / "1" / "output"
    output.mkdir(parents=True)
    (root / "input").mkdir()
    (root / "input" / "in.txt").write_text("input")
    (root / "work" / "n" / "current").symlink_to("1")
    (output / "a.txt").write_text("a")
    (tmp_path / "runs" / "other").mkdir()
    (tmp_path / "runs" / "other" / "secret").write_text("secret")
    return root


@pytest.fixture
def output(run: Path) -> Path:
    return run / "work" / "n" / "1" / "output"


@pytest.fixture
def tree(run: Path) -> Iterator[RunTree]:
    with RunTree(run, MOUNT) as tree:
        yield tree


def walk(tree: RunTree, node: str = "n") -> tuple[list[OutputFile], list[Unpublished]]:
    left: list[Unpublished] = []
    return list(Walk(tree, "run", node, left.append)), left


def published(tree: RunTree) -> dict[str, str]:
    files, left = walk(tree)
    assert not left
    return {file.path: file.source for file in files}


def refused(tree: RunTree, path: str) -> str:
    files, left = walk(tree)
    assert path not in {file.path for file in files}
    (entry,) = (entry for entry in left if entry.path == path)
    assert entry.kind == "refused"
    return entry.reason


def test_files_are_found_in_order_at_any_depth(tree: RunTree, output: Path) -> None:
    (output / "sub" / "deep").mkdir(parents=True)
    (output / "sub" / "deep" / "b").write_bytes(b"12")
    (output / "c").write_bytes(b"")
    (output / "empty").mkdir()
    files, left = walk(tree)
    assert not left
    base = "work/n/1/output"
    assert files == [
        OutputFile("n", "a.txt", f"{base}/a.txt", 1),
        OutputFile("n", "c", f"{base}/c", 0),
        OutputFile("n", "sub/deep/b", f"{base}/sub/deep/b", 2),
    ]


def test_only_the_current_attempt_counts(tree: RunTree, run: Path) -> None:
    (run / "work" / "n" / "2" / "output").mkdir(parents=True)
    (run / "work" / "n" / "2" / "output" / "new").write_text("new")
    current = run / "work" / "n" / "current"
    current.unlink()
    current.symlink_to("2")
    assert published(tree) == {"new": "work/n/2/output/new"}


@pytest.mark.parametrize("node", ["absent", "bare"])
def test_a_node_that_wrote_nothing_has_no_files(tree: RunTree, run: Path, node: str) -> None:
    (run / "work" / "bare" / "1").mkdir(parents=True)
    (run / "work" / "bare" / "current").symlink_to("1")
    assert walk(tree, node) == ([], [])


@pytest.mark.parametrize(
    "target",
    [
        "a.txt",
        "../output/a.txt",
        "/mnt/efs/work/n/1/output/a.txt",
        "{root}/work/n/1/output/a.txt",
        "./././a.txt",
        "../../current/output/a.txt",
        "chain",
    ],
)
def test_a_link_inside_the_run_is_published_as_its_content(tree: RunTree, run: Path, output: Path, target: str) -> None:
    (output / "chain").symlink_to("a.txt")
    (output / "link").symlink_to(target.format(root=run))
    assert published(tree)["link"] == "work/n/1/output/a.txt"


def test_a_link_to_the_runs_input_is_the_runs_own_file(tree: RunTree, output: Path) -> None:
    (output / "link").symlink_to("/mnt/efs/input/in.txt")
    assert published(tree)["link"] == "input/in.txt"


def test_a_link_to_a_directory_is_published_as_its_content(tree: RunTree, run: Path, output: Path) -> None:
    (run / "shared" / "sub").mkdir(parents=True)
    (run / "shared" / "sub" / "x").write_text("x")
    (output / "link").symlink_to("../../../../shared")
    assert published(tree)["link/sub/x"] == "shared/sub/x"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("../../../../../other/secret", "outside"),
        ("/etc/passwd", "outside"),
        ("/", "outside"),
        ("/mnt/efs/../../etc/passwd", "outside"),
        ("/mnt/efsx/a", "outside"),
        ("{root}/../other/secret", "outside"),
        ("up/secret", "outside"),
        ("absent", "points at nothing"),
        ("/mnt/efs/absent/x", "points at nothing"),
        ("a.txt/x", "points at nothing"),
        ("link", "loop"),
    ],
)
def test_a_link_that_leads_elsewhere_is_refused_by_name(
    tree: RunTree, run: Path, output: Path, target: str, reason: str
) -> None:
    (run / "up").symlink_to("../other")
    if target.startswith("up/"):
        (output / "up").symlink_to("../../../../up")
    (output / "link").symlink_to(target.format(root=run))
    assert reason in refused(tree, "link")


def test_links_to_directories_do_not_multiply(tree: RunTree, output: Path) -> None:
    for level in range(12):
        (output / f"d{level}").mkdir()
        for copy in range(2):
            (output / f"d{level}" / f"x{copy}").symlink_to(f"../d{level + 1}")
    (output / "d12").mkdir()
    (output / "d12" / "file").write_text("x")
    (output / "d12" / "self").symlink_to(".")
    files, left = walk(tree)
    assert {file.path for file in files} == {"a.txt", "d12/file", "d11/x0/file", "d11/x1/file", "d12/self/file"}
    assert all("reached by a link" in entry.reason for entry in left)


@pytest.mark.parametrize("attempt", ["../../other", "1/output", "/etc", "..", "x"])
def test_a_current_that_is_no_attempt_is_refused(tree: RunTree, run: Path, attempt: str) -> None:
    current = run / "work" / "n" / "current"
    current.unlink()
    current.symlink_to(attempt)
    assert "not an attempt" in refused(tree, "")


def test_an_attempt_that_is_itself_a_link_is_refused(tree: RunTree, run: Path) -> None:
    current = run / "work" / "n" / "current"
    current.unlink()
    current.symlink_to("7")
    (run / "work" / "n" / "7").symlink_to("/etc")
    assert "cannot be opened" in refused(tree, "")


def test_an_output_that_is_a_file_is_refused(tree: RunTree, output: Path) -> None:
    (output / "a.txt").unlink()
    output.rmdir()
    output.write_text("x")
    assert "cannot be opened" in refused(tree, "")


def test_an_output_that_is_a_link_out_of_the_run_is_refused(tree: RunTree, output: Path) -> None:
    (output / "a.txt").unlink()
    output.rmdir()
    output.symlink_to("../../../../other")
    assert "outside" in refused(tree, "")


def test_special_files_are_skipped_with_a_warning(tree: RunTree, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(output / "fifo")
    monkeypatch.chdir(output)  # a socket's address is at most 108 characters long
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    files, left = walk(tree)
    assert [file.path for file in files] == ["a.txt"]
    assert {(entry.path, entry.kind) for entry in left} == {("fifo", "skipped"), ("socket", "skipped")}
    assert str(left[0]) == "n: skipped 'fifo': it is neither a file nor a directory"


def test_a_name_that_no_key_can_have_is_refused(tree: RunTree, output: Path) -> None:
    (output / os.fsdecode(b"bad-\xff")).write_text("x")
    assert "not valid UTF-8" in refused(tree, "bad-\\udcff")


def test_a_path_too_long_for_a_key_ends_the_descent(tree: RunTree, output: Path) -> None:
    fd = os.open(output, os.O_RDONLY)
    for _ in range(30):  # deeper than a single path may be
        os.mkdir("d" * 200, dir_fd=fd)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    files, left = walk(tree)
    assert [file.path for file in files] == ["a.txt"]
    (entry,) = left
    assert entry.path == "/".join(["d" * 200] * 6)
    assert "S3 allows 1024" in entry.reason


def test_a_file_that_nobody_may_read_is_refused(tree: RunTree, output: Path) -> None:
    (output / "locked").write_text("x")
    (output / "locked").chmod(0)
    assert "lets nobody read it" in refused(tree, "locked")


def test_no_descriptor_stays_open(run: Path, output: Path) -> None:
    (output / "sub").mkdir()
    (output / "sub" / "link").symlink_to("../a.txt")
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    with RunTree(run, MOUNT) as tree:
        walk(tree)
        next(iter(Walk(tree, "run", "n", print)))
    assert len(list(descriptors.iterdir())) == before


def test_an_exchanged_link_cannot_lead_out_when_it_is_opened(tree: RunTree, output: Path) -> None:
    """The plan resolved `sub/f`; then `sub` becomes a link out of the run."""
    (output / "sub").mkdir()
    (output / "sub" / "f").write_text("x")
    source = published(tree)["sub/f"]
    (output / "sub" / "f").unlink()
    (output / "sub").rmdir()
    (output / "sub").symlink_to("/etc")
    with pytest.raises(OSError, match="Not a directory"):
        tree.open(source)


@pytest.mark.parametrize("path", ["..", "a/../b", "/etc", "a//b", "."])
def test_only_paths_below_the_run_can_be_opened(tree: RunTree, path: str) -> None:
    with pytest.raises(ValueError, match="not a path below"):
        tree.open(path)


def test_a_long_chain_of_links_is_a_loop(tree: RunTree, output: Path) -> None:
    for number in range(60):
        (output / f"l{number}").symlink_to(f"l{number + 1}")
    with pytest.raises(LinkRefusedError, match="loop"):
        tree.resolve("work/n/1/output/l0")
