"""The entry of `compute-node`: parse, execute, and tell in one place what went wrong."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from cli.context import Context
from cli.errors import CliError, ExitCode
from cli.parsers import parse
from cli.view.screen import silence_stdout, system_screen

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    args = parse(argv)
    context = Context(args, system_screen(json_mode=args.json), os.environ)
    return int(execute(context))


def execute(context: Context) -> ExitCode:
    """Execute the parsed command, its errors told on stderr."""
    try:
        code: ExitCode = context.args.execute(context)
        context.screen.stdout.file.flush()
    except CliError as error:
        context.screen.error(error)
        return error.exit_code
    except KeyboardInterrupt:
        context.screen.note("stopped")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        silence_stdout()
        return ExitCode.OK
    return code


if __name__ == "__main__":
    sys.exit(main())
