"""`compute-node run`: upload what is local, start a workflow, follow it to its end."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from cli.commands.following import follow, report_end
from cli.commands.outputs import download_outputs
from cli.errors import CliError, ExitCode, GatewayError, UsageError
from cli.inputs import Inputs, parse_inputs
from cli.parameters import parse_assignments, parse_compute, run_parameters
from cli.uploads import upload
from cli.view.text import state_word
from cli.view.transfer import transfer_progress
from cli.workflow import load_workflow

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from cli.client import Gateway
    from cli.context import Context
    from cli.models import Json
    from cli.parsers import Subparsers

NOT_FOUND = 404
TOKENS = {"x-session-token": "session", "x-refresh-token": "refresh"}


def add_parser(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "run",
        parents=[common],
        help="run a workflow and follow it",
        description="Run a workflow and follow it to its end. Ctrl-C stops following; the run goes on.",
        epilog="The user's tokens come from COMPUTE_NODE_SESSION_TOKEN and COMPUTE_NODE_REFRESH_TOKEN, or from files; "
        "never from arguments, which every process of the machine can read.",
    )
    parser.add_argument("workflow", metavar="WORKFLOW.yaml", type=Path, help="the workflow file")
    parser.add_argument(
        "--input",
        metavar="PATH_OR_S3[=path]",
        action="append",
        default=[],
        help="a file, a directory (its contents) or an s3:// URI (a prefix ends with /); "
        "after `=` its path among the run's inputs",
    )
    parser.add_argument(
        "--param",
        metavar="[NODE.]NAME=VALUE",
        action="append",
        default=[],
        help="a parameter, of every processor that has it or of one node",
    )
    parser.add_argument(
        "--compute", metavar="NODE=TYPE", action="append", default=[], help="run a node on ecs or on lambda"
    )
    parser.add_argument("--run-id", metavar="UUID", help="the run's id: repeated with the same one, it is the same run")
    parser.add_argument("--instance", metavar="ID", help="the workflow instance that the run belongs to")
    parser.add_argument("--detach", action="store_true", help="start the run and do not follow it")
    parser.add_argument("--outputs", metavar="DIR", type=Path, help="download the outputs there at the end")
    parser.add_argument("--session-token-file", metavar="FILE", type=Path, help="a file with the user's session token")
    parser.add_argument("--refresh-token-file", metavar="FILE", type=Path, help="a file with the user's refresh token")
    parser.set_defaults(execute=execute)


def execute(context: Context) -> ExitCode:
    """Start the run, follow it, fetch its outputs."""
    args, screen = context.args, context.screen
    if args.detach and args.outputs:
        raise UsageError("--outputs needs the run's end, and --detach does not wait for it")
    with context.gateway() as gateway:
        request = build_request(context, gateway)
        accepted = gateway.start_run(request, read_tokens(args, context.environ))
        run_id = accepted["executionRunId"]
        if args.detach:
            screen.say(run_id)
            screen.note(f"follow it with `compute-node status {run_id} --follow`")
            if screen.json_mode:
                screen.document(accepted)
            return ExitCode.OK
        run = follow(context, gateway, run_id)
        report_end(context, gateway, run)
        document = dict(run.raw)
        if args.outputs:
            paths = download_outputs(context, gateway, run_id, args.outputs)
            document["downloaded"] = [str(path) for path in paths]
        if screen.json_mode:
            screen.document(document)
        return run.exit_code


def build_request(context: Context, gateway: Gateway) -> Json:
    """Build the body of `POST /runs`; everything that can be found wrong here is, before anything is uploaded."""
    args = context.args
    workflow = load_workflow(args.workflow)
    assignments = parse_assignments(args.param, workflow)
    overrides = parse_compute(args.compute, workflow)
    inputs = parse_inputs(args.input)
    run_id = _run_id(args.run_id)
    if args.run_id and inputs.local:
        refuse_known(gateway, run_id)
    parameters: Json = {}
    if assignments:
        parameters = run_parameters(assignments, workflow, gateway.processors())
    return {
        "executionRunId": run_id,
        **({"workflowInstanceId": args.instance} if args.instance else {}),
        "workflow": workflow,
        "inputs": upload_inputs(context, gateway, inputs),
        "parameters": parameters,
        "computeTypeOverrides": overrides,
    }


def refuse_known(gateway: Gateway, run_id: str) -> None:
    """Refuse an id that the node knows: files uploaded anew would make another request of the same one."""
    try:
        known = gateway.run(run_id)
    except GatewayError as error:
        if error.status == NOT_FOUND:
            return
        raise
    raise CliError(
        f"run {run_id} exists already ({state_word(known.status)}); uploading its inputs again would make another one",
        hint=f"follow it: compute-node status {run_id} --follow",
    )


def upload_inputs(context: Context, gateway: Gateway, inputs: Inputs) -> list[Json]:
    """Upload the local inputs and return all of them as the request has them."""
    if not inputs.local:
        return list(inputs.remote)
    size = sum(file.size for file in inputs.local)
    with transfer_progress(context.screen, "uploading", len(inputs.local), size) as on_bytes:
        return upload(gateway, inputs.local, on_bytes) + list(inputs.remote)


def read_tokens(args: argparse.Namespace, environ: Mapping[str, str]) -> dict[str, str]:
    """Read the user's tokens, a file before the environment, as the headers that carry them."""
    headers: dict[str, str] = {}
    for header, kind in TOKENS.items():
        path: Path | None = getattr(args, f"{kind}_token_file")
        token = _token_in(path) if path else environ.get(f"COMPUTE_NODE_{kind.upper()}_TOKEN", "").strip()
        if token and not (token.isascii() and token.isprintable()):
            raise CliError(f"the {kind} token has characters that a header cannot carry")
        if token:
            headers[header] = token
    return headers


def _token_in(path: Path) -> str:
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"the token file {path} cannot be read: {error}") from error
    if not token:
        raise CliError(f"the token file {path} is empty")
    return token


def _run_id(given: str | None) -> str:
    if given is None:
        return str(uuid.uuid4())
    try:
        return str(uuid.UUID(given))
    except ValueError as error:
        raise UsageError(f"--run-id {given!r} is not a UUID") from error
