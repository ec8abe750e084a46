"""Words for sizes, durations and states; and text of others made safe to print."""

from __future__ import annotations

from datetime import UTC, datetime
from unicodedata import category

MINUTE = 60
HOUR = 3600
FINE_SECONDS = 10
KIBI = 1024
UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # control, direction overrides, half characters, line ends
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def duration_text(seconds: float | None) -> str:
    """Spell a duration: 2.1s, 42s, 3m 05s, 2h 03m; empty for None."""
    if seconds is None:
        return ""
    if round(seconds, 1) < FINE_SECONDS:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole}s"
    if whole < HOUR:
        return f"{whole // MINUTE}m {whole % MINUTE:02d}s"
    return f"{whole // HOUR}h {whole % HOUR // MINUTE:02d}m"


def size_text(size: int) -> str:
    """Spell a size in bytes: 512 B, 1.5 KiB, 5.0 GiB."""
    value = float(size)
    for unit in UNITS[:-1]:
        if value < KIBI:
            return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= KIBI
    return f"{value:.1f} {UNITS[-1]}"


def count_text(count: int, noun: str) -> str:
    """Spell a count: 1 file, 3 files."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def time_text(moment: datetime | None) -> str:
    """Spell a moment in UTC to the second; empty for None."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if moment else ""


def state_word(status: str) -> str:
    """Spell a status of the gateway as a word: TIMED_OUT is `timed out`."""
    return status.lower().replace("_", " ")


def printable(text: str) -> str:
    """Escape control characters: a processor's log may hold sequences that would take over the reader's terminal."""
    if text.isprintable():
        return text
    return "".join(_escaped(char) if category(char) in UNSAFE and char != "\t" else char for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
