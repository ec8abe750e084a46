"""Where an input may land: relative paths that stay below the input directory, none of them in another's way."""

from __future__ import annotations

MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 3_072  # PATH_MAX is 4,096, and what stands before the path needs some of it
MAX_LEVELS = 900  # EFS nests directories 1,000 deep at most


def path_fault(path: str) -> str | None:
    """Say what is wrong with a relative path, or None."""
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if not path:
        return "is empty"
    if "\0" in path:
        return "contains a NUL character"
    if path.startswith("/"):
        return "is absolute; it must be relative to the input directory"
    if len(encoded) > MAX_PATH_BYTES:
        return f"is {len(encoded)} bytes long; at most {MAX_PATH_BYTES} are allowed"
    return _names_fault(path.split("/"))


def _names_fault(names: list[str]) -> str | None:
    if len(names) > MAX_LEVELS:
        return f"is {len(names)} levels deep; at most {MAX_LEVELS} are allowed"
    for name in names:
        if name in {"", ".", ".."}:
            return "has an empty part" if not name else f"has a part {name!r}"
        if len(name) > MAX_NAME_BYTES // 4 and len(name.encode()) > MAX_NAME_BYTES:
            return f"has a part of {len(name.encode())} bytes; at most {MAX_NAME_BYTES} are allowed"
    return None


class Taken:
    """The paths taken so far, which must come in code-point order.

    In that order all paths that begin with `a` follow `a` without a gap, so those that can stand in a new path's way
    are a stack no deeper than the path is long, whatever the number of paths.
    """

    def __init__(self) -> None:
        self._stack: list[str] = []

    def take(self, path: str) -> str | None:
        """Take a path; return the earlier one that is equal to it or would have to be its directory, if any."""
        while self._stack and not path.startswith(self._stack[-1]):
            self._stack.pop()
        clash = next((other for other in self._stack if len(path) == len(other) or path[len(other)] == "/"), None)
        self._stack.append(path)
        return clash
