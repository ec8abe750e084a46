"""RUN on the command line: a whole id, the beginning of one, or `latest`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cli.errors import CliError, UsageError
from cli.view.text import state_word, time_text

if TYPE_CHECKING:
    from cli.client import Gateway
    from cli.models import Run

LATEST = "latest"
WHOLE = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
BEGINNING = re.compile(r"^[0-9a-f][0-9a-f-]{0,35}$")
SEARCHED = 1000
SHOWN = 10


def find_run(gateway: Gateway, given: str) -> str:
    """Return the id that is meant; raise CliError when no run or several fit."""
    wanted = given.lower()
    if WHOLE.match(wanted):
        return wanted
    if wanted == LATEST:
        newest = next(gateway.runs(limit=1), None)
        if newest is None:
            raise CliError("the node has had no runs yet", hint="start one with `compute-node run WORKFLOW.yaml`")
        return newest.id
    if not BEGINNING.match(wanted):
        raise UsageError(f"{given!r} is not a run: give its id, the beginning of its id, or `{LATEST}`")
    fitting = [run for run in gateway.runs(limit=SEARCHED) if run.id.startswith(wanted)]
    if not fitting:
        raise CliError(
            f"no run's id begins with {given!r} (looked at the newest {SEARCHED})",
            hint="`compute-node runs` lists them; an older one needs its whole id",
        )
    if len(fitting) > 1:
        raise CliError(f"{given!r} is the beginning of {len(fitting)} runs", details=_listed(fitting), hint="say more")
    return fitting[0].id


def _listed(runs: list[Run]) -> list[str]:
    lines = [f"{run.id}  {time_text(run.created_at)}  {state_word(run.status)}  {run.workflow}" for run in runs[:SHOWN]]
    return lines + ([f"and {len(runs) - SHOWN} more"] if len(runs) > SHOWN else [])
