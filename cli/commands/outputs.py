"""`compute-node outputs`: list what a run published, or download it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cli.downloads import download
from cli.errors import ExitCode
from cli.lookup import find_run
from cli.models import output_from
from cli.view.table import Table
from cli.view.text import count_text, size_text
from cli.view.transfer import transfer_progress

if TYPE_CHECKING:
    import argparse

    from cli.client import Gateway
    from cli.context import Context
    from cli.parsers import Subparsers


def add_parser(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "outputs",
        parents=[common],
        help="list or download a run's outputs",
        description="List a run's outputs, or download them: each file is verified by size and SHA-256.",
    )
    parser.add_argument("run", metavar="RUN", help="the run's id, its beginning, or `latest`")
    parser.add_argument("--download", metavar="DIR", type=Path, help="download into DIR/NODE/PATH")
    parser.set_defaults(execute=execute)


def execute(context: Context) -> ExitCode:
    """List or download."""
    args, screen = context.args, context.screen
    with context.gateway() as gateway:
        run_id = find_run(gateway, args.run)
        if args.download:
            paths = download_outputs(context, gateway, run_id, args.download)
            if screen.json_mode:
                screen.document({"executionRunId": run_id, "downloaded": [str(path) for path in paths]})
            return ExitCode.OK
        document = gateway.output_document(run_id)
    if screen.json_mode:
        screen.document(document)
        return ExitCode.OK
    files = [output_from(file) for file in document["files"]]
    if not files:
        screen.say(f"run {run_id} has no outputs")
        return ExitCode.OK
    rows = [(file.node, file.path, size_text(file.size), file.sha256[:12]) for file in files]
    screen.table(Table(("node", "path", "size", "sha256"), rows, right=frozenset({"size"})))
    return ExitCode.OK


def download_outputs(context: Context, gateway: Gateway, run_id: str, directory: Path) -> list[Path]:
    """Download all outputs of a run into the directory."""
    files = gateway.outputs(run_id)
    size = sum(file.size for file in files)
    if not files:
        context.screen.say(f"run {run_id} has no outputs")
        return []
    with transfer_progress(context.screen, "downloading", len(files), size) as on_bytes:
        paths = download(gateway, run_id, files, directory, on_bytes)
    context.screen.say(f"{count_text(len(paths), 'file')}, {size_text(size)}, verified, in {context.near(directory)}")
    return paths
