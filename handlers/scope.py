"""Step Scope: the only function whose mount is root's. Makes a run's directory, removes it when it is empty.

Events: `{"action": "create", "runId", "runDir"}`, `{"action": "remove", "runId"}`, `{"action": "list-runs"}` →
`{"runDirs"}`, `{"action": "remove-layer", "name"}`.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handlers.errors import BadRequest, NotFound
from handlers.logs import logger
from handlers.records import RunTable
from handlers.settings import settings

if TYPE_CHECKING:
    from collections.abc import Mapping

PROCESSOR_USER = 1000
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Carry out one action on the file system's own directories."""
    root = Path(settings().mount_path)
    match event["action"]:
        case "create":
            return create(root, event["runId"], event["runDir"])
        case "remove":
            return remove(root, event["runId"])
        case "list-runs":
            return {"runDirs": sorted(p.name for p in _directory(root / "runs", 0o711).iterdir())}
        case "remove-layer":
            return remove_layer(root, event["name"])
        case action:
            raise BadRequest(f"unknown action {action!r}; scope knows create, remove, list-runs and remove-layer")


def create(root: Path, run_id: str, run_dir: str) -> dict[str, Any]:
    """Make the run's directory, the processors' user's own, below a parent that nobody can list."""
    RunTable().enter(run_id, "DOWNLOAD")
    _directory(root / "layers", 0o755)
    path = _directory(root / "runs", 0o711) / _name(run_dir)
    path.mkdir(mode=0o700, exist_ok=True)
    _own(path)
    (path / "input").mkdir(mode=0o700, exist_ok=True)
    _own(path / "input")
    logger("scope", run_id).info("directory made")
    return {}


def remove(root: Path, run_id: str) -> dict[str, Any]:
    """Remove the run's directory: Cleanup has emptied it as its owner, and cannot unlink it from a parent of root's."""
    try:
        run_dir = RunTable().run(run_id).get("runDir")
    except NotFound:
        run_dir = None
    if run_dir:
        shutil.rmtree(root / "runs" / _name(run_dir), ignore_errors=False, onerror=_missing_is_fine)
        logger("scope", run_id).info("directory removed")
    return {}


def remove_layer(root: Path, name: str) -> dict[str, Any]:
    """Remove a persistent layer."""
    shutil.rmtree(root / "layers" / _name(name), onerror=_missing_is_fine)
    return {}


def _missing_is_fine(_function: Any, _path: str, exception: Any) -> None:
    error = exception[1]
    if not isinstance(error, FileNotFoundError):
        raise error


def _directory(path: Path, mode: int) -> Path:
    path.mkdir(exist_ok=True)
    if path.stat().st_mode & 0o777 != mode:
        path.chmod(mode)  # mkdir's mode is cut by the umask
    return path


def _own(path: Path) -> None:
    """Hand a directory to the processors' user; where the function is not root's, its own user stands for it."""
    if os.geteuid() == 0:
        os.chown(path, PROCESSOR_USER, PROCESSOR_USER)


def _name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise BadRequest(f"{name!r} is no name of a directory")
    return name
