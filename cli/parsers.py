"""The command line's grammar: the options that every command has, and one subcommand a module."""

from __future__ import annotations

import argparse
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, TypeAlias

from cli.commands import cancel, demo, health, logs, outputs, processors, run, runs, status, up

if TYPE_CHECKING:
    from collections.abc import Sequence

    Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - has no public name

COMMANDS = (up, demo, run, status, runs, logs, outputs, cancel, processors, health)

EXIT_CODES = """\
exit codes:
  0    success
  1    the command failed: the message on stderr says why
  2    the command line cannot be understood
  3    the run failed
  4    the run was cancelled
  5    the run timed out
  130  stopped by Ctrl-C; a run that was followed goes on

which node:
  --gateway URL, else COMPUTE_NODE_GATEWAY, else the embedded node that runs in this
  directory or above it (`compute-node up`). A deployed node is called with your AWS
  credentials, an embedded one with its own.
"""


def build_parser() -> argparse.ArgumentParser:
    """Build the whole parser."""
    parser = argparse.ArgumentParser(
        prog="compute-node",
        description="Run workflows on a compute node: one embedded in this machine, or one deployed in AWS.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_common_options(defaults=True)],
    )
    parser.add_argument("--version", action="version", version=f"compute-node {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    common = _common_options(defaults=False)
    for command in COMMANDS:
        command.add_parser(commands, common)
    return parser


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments; argparse exits with 2 where they cannot be understood."""
    return build_parser().parse_args(argv)


def _common_options(*, defaults: bool) -> argparse.ArgumentParser:
    """Make the options that stand before or after the command; after it, an absent one must not undo one before."""
    absent = None if defaults else argparse.SUPPRESS
    options = argparse.ArgumentParser(add_help=False, argument_default=absent)
    options.add_argument("--gateway", metavar="URL", help="the node's gateway (the stack's output gatewayUrl)")
    options.add_argument("--profile", metavar="NAME", help="the AWS profile to sign with, for a deployed node")
    options.add_argument(
        "--json",
        action="store_true",
        default=absent or False,
        help="print one JSON document on stdout and nothing else there",
    )
    return options


def _version() -> str:
    try:
        return version("compute-node")
    except PackageNotFoundError:
        return "(not installed)"
