"""The directories of a run's nodes on the file system.

input/                          what was downloaded
work/{node}/{attempt}/output/   what an attempt writes; parameters.json beside it
work/{node}/current             link to the attempt that counts
work/{node}/inputs/{dep}        links to the dependencies' outputs, where there are several
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from handlers.environment import parameters_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LONELY = 2  # from two dependencies on, INPUT_DIR has an entry for each


def prepare_attempt(root: Path, node_id: str, plan: Mapping[str, Any]) -> None:
    """Make a fresh directory for the plan's attempt, and let `current` lead to it. Repeating it changes nothing."""
    node = root / "work" / node_id
    (node / str(plan["attempt"]) / "output").mkdir(parents=True, exist_ok=True)
    (node / str(plan["attempt"]) / "parameters.json").write_text(parameters_file(plan))
    _link(node / "current", str(plan["attempt"]))
    if len(plan["dependsOn"]) >= LONELY:
        (node / "inputs").mkdir(exist_ok=True)
        for dependency in plan["dependsOn"]:
            _link(node / "inputs" / dependency, f"../../{dependency}/current/output")


def _link(link: Path, target: str) -> None:
    """Make `link` lead to `target`, replacing what it led to in one step."""
    if link.is_symlink() and os.readlink(link) == target:  # noqa: PTH115 - Path.readlink gives a Path, this is text
        return
    fresh = link.with_name(f".{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)
