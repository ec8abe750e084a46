"""`compute-node demo`: an embedded node for itself, the neuro-imaging workflow on it, and what came out."""

from __future__ import annotations

import importlib.util
import sys
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.commands.following import report_end
from cli.commands.logs import log_line
from cli.commands.outputs import download_outputs
from cli.commands.run import upload_inputs
from cli.embedded import demo_root, find_program, node_state, start_node
from cli.errors import CliError, ExitCode
from cli.follow import snapshots
from cli.inputs import parse_inputs
from cli.logs import COMPONENTS, log_events, log_source
from cli.state import STATE_DIRECTORY
from cli.target import embedded_target
from cli.view.deployment import deployment_progress
from cli.view.follow import now_utc, show_run
from cli.view.text import count_text, duration_text
from cli.view.timing import node_timing, timing_table
from cli.workflow import load_workflow

if TYPE_CHECKING:
    import argparse
    from types import ModuleType

    from cli.client import Gateway
    from cli.context import Context
    from cli.models import Json, Run
    from cli.parsers import Subparsers

STACK = "basic"
WORKFLOW = Path("examples/workflows/neuroimaging.yaml")
DATA = Path("examples/data.py")
PICTURES = (".html", ".png")


@dataclass(frozen=True)
class Result:
    """What a demo leaves behind."""

    run: Run
    directory: Path
    outputs: list[Path]
    logs: list[Path]
    seconds: float

    @property
    def pictures(self) -> list[Path]:
        """The report and its pictures, the report first."""
        found = [path for path in self.outputs if path.suffix in PICTURES]
        return sorted(found, key=lambda path: (PICTURES.index(path.suffix), path))


def add_parser(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "demo",
        parents=[common],
        help="deploy an embedded node and run the neuro-imaging example on it",
        description="Deploy an embedded node, run the neuro-imaging example on it, fetch its outputs and logs, "
        "and stop it again. No AWS account and no Docker are needed.",
    )
    parser.set_defaults(execute=execute)


def execute(context: Context) -> ExitCode:
    """Deploy, run, fetch, tell."""
    began = time.monotonic()
    program = find_program(context.cwd)
    run_id = str(uuid.uuid4())
    home = context.cwd / STATE_DIRECTORY
    directory = home / "demo" / run_id
    copy_data(program, directory / "inputs")
    with deployment_progress(context.screen, f"deploying stack {STACK} into an embedded AWS") as progress:
        node = start_node(program, demo_root(home), STACK, 0, progress)
    with node, context.gateway(embedded_target(node_state(node), "the demo's own node")) as gateway:
        request = {
            "executionRunId": run_id,
            "workflowInstanceId": f"demo-{run_id}",
            "workflow": load_workflow(program / WORKFLOW),
            "inputs": upload_inputs(context, gateway, parse_inputs([str(directory / "inputs")])),
        }
        gateway.start_run(request, {})
        run = show_run(context.screen, snapshots(gateway, run_id))
        report_end(context, gateway, run)
        outputs = download_outputs(context, gateway, run_id, directory / "outputs")
        logs = save_logs(gateway, run_id, directory / "logs")
    tell(context, Result(run, directory, outputs, logs, time.monotonic() - began))
    return run.exit_code


def copy_data(program: Path, target: Path) -> None:
    """Put the example's input files into `target`; raise CliError where they cannot be had."""
    examples = _load(program / DATA)
    try:
        examples.neuroimaging(target)
    except examples.DataError as error:
        raise CliError(f"the example's data cannot be had: {error}") from error


def save_logs(gateway: Gateway, run_id: str, directory: Path) -> list[Path]:
    """Write the run's log, one file a processor and step of the node; return the files."""
    directory.mkdir(parents=True, exist_ok=True)
    paths: dict[str, Path] = {}
    with ExitStack() as stack:
        files = {}
        for component in (None, *COMPONENTS):
            for event in log_events(gateway, run_id, component=component):
                source = log_source(event)
                if source not in files:
                    paths[source] = directory / f"{source}.log"
                    files[source] = stack.enter_context(paths[source].open("w", encoding="utf-8"))
                files[source].write(log_line(event) + "\n")
    return list(paths.values())


def tell(context: Context, result: Result) -> None:
    """Say where everything lies, and how long each processor took."""
    screen, run, directory = context.screen, result.run, result.directory
    if screen.json_mode:
        screen.document(_document(result))
        return
    screen.say()
    screen.table(timing_table(run, now_utc()))
    screen.say()
    screen.say(f"outputs  {context.near(directory / 'outputs')}  ({count_text(len(result.outputs), 'file')})")
    screen.say(f"logs     {context.near(directory / 'logs')}  ({count_text(len(result.logs), 'file')})")
    for path in result.pictures[:1]:
        screen.say(f"picture  {context.near(path)}", style="bold")
    screen.say(f"all of it took {duration_text(result.seconds)}, deployment and download included")


def _document(result: Result) -> Json:
    run = result.run
    timings = {node.id: node_timing(run, node) for node in run.nodes}
    return {
        "run": run.raw,
        "seconds": round(result.seconds, 3),
        "outputs": [str(path) for path in result.outputs],
        "logs": [str(path) for path in result.logs],
        "pictures": [str(path) for path in result.pictures],
        "timings": {
            node: {"waiting": timing.waiting, "provisioning": timing.provisioning, "running": timing.running}
            for node, timing in timings.items()
        },
    }


def _load(path: Path) -> ModuleType:
    """Import a file of the program's repository, which need not be on the path of modules."""
    spec = importlib.util.spec_from_file_location("compute_node_example_data", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise CliError(f"there is no {path}, which knows the example's data")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module
