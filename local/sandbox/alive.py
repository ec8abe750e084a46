"""Whether a process of this machine still runs."""

from __future__ import annotations

import os


def is_alive(pid: int) -> bool:
    """Whether there is a process of this id, whosoever it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
