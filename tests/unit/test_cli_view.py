"""The live picture at several widths and heights, the timing table, and words for sizes and durations."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cli_world import RUN, at, node, run
from rich.console import Console

from cli.errors import CliError
from cli.models import Run, run_from
from cli.view.follow import show_run
from cli.view.run import choose_rows, run_frame
from cli.view.screen import Screen
from cli.view.text import duration_text, printable, size_text, state_word
from cli.view.timing import node_timing, timing_table
from cli.view.transfer import transfer_progress

NOW = datetime(2026, 11, 24, 10, 0, 10, tzinfo=UTC)


def some_run() -> Run:
    nodes = [
        node("align", "SUCCEEDED", startedAt=at(1), endedAt=at(3.1)),
        node("mask-with-a-rather-long-name-indeed", "RUNNING", startedAt=at(3.1), attempts=[{"attempt": 2}]),
        node("tissue", "FAILED", startedAt=at(3), endedAt=at(4), reason="exit code 2: no brain in the image"),
        node("tsnr", "WAITING", waitingFor=["tissue", "mask"]),
        node("report", "SKIPPED", reason="tissue failed"),
    ]
    return run_from(run(nodes=nodes))


def drawn(shown: Run, width: int, height: int = 25, *, unicode: bool = True) -> list[str]:
    console = Console(record=True, width=width, height=height, file=io.StringIO(), color_system=None, _environ={})
    console.print(run_frame(shown, NOW, width=width, height=height, unicode=unicode))
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_at_80_columns_it_has_state_time_and_detail() -> None:
    assert drawn(some_run(), 80) == [
        "neuroimaging 6f0c0b5e  running (run)  10s",
        "",
        "✓ align                     succeeded  2.1s",
        "▸ mask-with-a-rather-long…  running    6.9s  attempt 2",
        "✗ tissue                    failed     1.0s  exit code 2: no brain in the image",
        "· tsnr                      waiting          for mask, tissue",
        "- report                    skipped          tissue failed",
        "1 succeeded, 1 running, 1 waiting, 1 failed, 1 skipped",
    ]


def test_at_40_columns_it_keeps_to_the_width() -> None:
    lines = drawn(some_run(), 40)
    assert max(map(len, lines)) <= 40
    assert lines[2] == "✓ align        succeeded  2.1s"
    assert len(lines) == 8


def test_at_160_columns_it_names_the_processor_too() -> None:
    lines = drawn(some_run(), 160)
    assert "align-processor on ecs" in lines[2]
    assert "mask-with-a-rather-long-name-indeed" in lines[3]
    assert "exit code 2" in lines[4]


@pytest.mark.parametrize("width", [40, 80, 160])
@pytest.mark.parametrize("height", [10, 24, 60])
def test_200_nodes_fit_any_terminal_and_the_urgent_ones_show(width: int, height: int) -> None:
    nodes = [node(f"n{index:03d}") for index in range(200)]
    nodes[150] = node("n150", "RUNNING", startedAt=at(1))
    nodes[199] = node("n199", "FAILED", startedAt=at(1), endedAt=at(2), reason="exit code 1")
    lines = drawn(run_from(run(nodes=nodes)), width, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "n150" in text
    assert "n199" in text
    assert "more:" in text
    assert "1 running, 198 waiting, 1 failed" in text


def test_long_details_leave_states_and_times_whole() -> None:
    names = [f"map-{number:02d}" for number in range(12)]
    nodes = [node(name, "RUNNING", startedAt=at(1)) for name in names]
    nodes.append(node("join", waitingFor=names))
    nodes.append(node("other", "FAILED", startedAt=at(0.5), endedAt=at(9), reason="exit code 1: " + "long " * 40))
    lines = drawn(run_from(run(nodes=nodes)), 80)
    assert lines[2] == "▸ map-00  running  9.0s"
    assert lines[-3] == "· join    waiting        for map-00, map-01, map-02 and 9 more"
    assert lines[-2] == "✗ other   failed   8.5s  exit code 1: long long long long long long long long l…"


def test_rows_are_chosen_by_urgency_and_stay_in_order() -> None:
    nodes = run_from(run(nodes=[node("a"), node("b", "SUCCEEDED"), node("c", "RUNNING"), node("d", "FAILED")])).nodes
    shown, left_out = choose_rows(nodes, 2)
    assert [entry.id for entry in shown] == ["c", "d"]
    assert [entry.id for entry in left_out] == ["a", "b"]


def test_a_terminal_without_unicode_gets_plain_signs() -> None:
    lines = drawn(some_run(), 80, unicode=False)
    assert lines[2].startswith("+ align")
    assert all(line.isascii() for line in lines)


def test_before_there_are_nodes_it_shows_the_phase() -> None:
    assert drawn(run_from(run("QUEUED", "INITIALIZE")), 80) == ["neuroimaging 6f0c0b5e  queued (initialize)  10s"]


def test_a_final_run_that_is_still_being_cleaned_up_says_so() -> None:
    lines = drawn(run_from(run("FAILED", "CLEANUP", endedAt=at(5))), 80)
    assert lines == ["neuroimaging 6f0c0b5e  failed (finishing: cleanup)  5.0s"]


def test_the_live_display_leaves_its_last_picture() -> None:
    out = io.StringIO()
    options: dict[str, Any] = {"width": 80, "height": 25, "force_terminal": True, "color_system": None, "_environ": {}}
    screen = Screen(Console(file=out, **options), Console(file=io.StringIO()), json_mode=False)
    last = show_run(screen, [some_run(), run_from(run("SUCCEEDED", "DONE", endedAt=at(9)))], lambda: NOW)
    assert last.final
    assert "neuroimaging 6f0c0b5e  succeeded  9.0s" in out.getvalue()


def test_nothing_seen_is_an_error_not_a_crash() -> None:
    screen = Screen(Console(file=io.StringIO()), Console(file=io.StringIO()), json_mode=False)
    with pytest.raises(CliError):
        show_run(screen, [])


def test_a_transfers_bar_reaches_its_end() -> None:
    out = io.StringIO()
    screen = Screen(
        Console(file=out, force_terminal=True, width=100, color_system=None, _environ={}),
        Console(file=io.StringIO()),
        json_mode=False,
    )
    with transfer_progress(screen, "uploading", 2, 2048) as on_bytes:
        on_bytes(1024)
        on_bytes(-1024)
        on_bytes(2048)
    assert "uploading 2 files" in out.getvalue()
    assert "2.0/2.0 KiB" in out.getvalue()


class TestTiming:
    def test_the_parts_add_up_to_the_nodes_end(self) -> None:
        attempts = [
            {"attempt": 1, "startedAt": at(4), "stoppedAt": at(5), "exitCode": 1},
            {"attempt": 2, "startedAt": at(7), "stoppedAt": at(9), "exitCode": 0},
        ]
        nodes = [node("a", "SUCCEEDED", startedAt=at(2), endedAt=at(9.5), attempts=attempts)]
        timed = run_from(run(nodes=nodes))
        timing = node_timing(timed, timed.nodes[0])
        assert (timing.waiting, timing.provisioning, timing.running) == (2.0, 4.5, 3.0)

    def test_what_never_started_has_no_times(self) -> None:
        timed = run_from(run(nodes=[node("a", "SKIPPED")], endedAt=at(9)))
        table = timing_table(timed, NOW)
        assert table.rows == [("a", "a-processor", "ecs", "", "", "")]
        assert table.total == ("total", "", "", "", "", "9.0s")

    def test_without_attempts_all_of_it_counts_as_running(self) -> None:
        timed = run_from(run(nodes=[node("a", "SUCCEEDED", startedAt=at(2), endedAt=at(3))]))
        timing = node_timing(timed, timed.nodes[0])
        assert (timing.waiting, timing.provisioning, timing.running) == (2.0, None, 1.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0, "0.0s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.4, "59s"),
        (59.6, "1m 00s"),
        (185, "3m 05s"),
        (7380, "2h 03m"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (5 * 1024**3, "5.0 GiB"),
        (3 * 1024**4, "3.0 TiB"),
        (2 * 1024**5, "2048.0 TiB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text


def test_text_of_others_cannot_steer_the_terminal() -> None:
    assert printable("plain ünï ✓\t\u00a0") == "plain ünï ✓\t\u00a0"
    assert printable("a\x1b[2Jb\r\nc\u202ed\x9b") == r"a\x1b[2Jb\r\nc\u202ed\x9b"


def test_states_are_words() -> None:
    assert state_word("TIMED_OUT") == "timed out"


def test_a_clock_that_is_behind_shows_no_negative_time() -> None:
    early = NOW - timedelta(hours=1)
    assert run_from(run()).seconds(early) == 0.0
    assert run_from(run(nodes=[node("a", "RUNNING", startedAt=at(1))])).nodes[0].seconds(early) == 0.0
    assert RUN.startswith("6f0c0b5e")
