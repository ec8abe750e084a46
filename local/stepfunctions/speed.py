"""The interpreter without what costs more than the states themselves.

moto makes a boto3 client for each call, parses each JSON path each time and the definition for each execution, copies
inputs with `copy.deepcopy`, writes the source of every component around an error (also one that is caught) to the log,
and keeps every thread that ever ran.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any

from moto.stepfunctions.parser import utils
from moto.stepfunctions.parser.asl.component.common.path import result_path
from moto.stepfunctions.parser.asl.component.common.string import string_expression
from moto.stepfunctions.parser.asl.component.eval_component import EvalComponent
from moto.stepfunctions.parser.asl.component.state.exec import execute_state
from moto.stepfunctions.parser.asl.component.state.exec.state_map import state_map
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import job
from moto.stepfunctions.parser.asl.component.state.exec.state_parallel import state_parallel
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service
from moto.stepfunctions.parser.asl.eval import environment, states
from moto.stepfunctions.parser.asl.eval.event import event_manager
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.utils import boto_client, json_path

from local.stepfunctions.copying import CopyModule

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.patching import Patches

PACKAGE = "moto.stepfunctions"
COPYING = (
    environment,
    event_manager,
    execute_state,
    job,
    result_path,
    state_map,
    state_parallel,
    state_task_service,
    states,
    string_expression,
)


class _Forgetful(list[Any]):
    """A list that keeps nothing."""

    def append(self, _: Any) -> None:
        """Drop the thread: it ends by itself."""


def install(patches: Patches, client: Callable[[str, str], Any]) -> None:
    """Take the costs out."""

    def client_for(region: str, service: str, state_credentials: Any = None) -> Any:  # noqa: ARG001 - moto's signature
        return client(service, region)

    patches.replace_everywhere(PACKAGE, "boto_client_for", boto_client.boto_client_for, client_for)
    patches.replace_everywhere(PACKAGE, "TMP_THREADS", utils.TMP_THREADS, _Forgetful())
    patches.replace(json_path, "parse", functools.lru_cache(maxsize=4096)(vars(json_path)["parse"]))
    patches.replace(result_path, "parse", functools.lru_cache(maxsize=4096)(vars(result_path)["parse"]))
    # Components hold no state of an evaluation, so executions can share them.
    parse = functools.lru_cache(maxsize=64)(AmazonStateLanguageParser.parse)
    patches.replace(AmazonStateLanguageParser, "parse", staticmethod(parse))
    for module in COPYING:
        patches.replace(module, "copy", CopyModule)
    patches.replace(EvalComponent, "_log_failure_event_exception", lambda *_, **__: None)
    patches.replace(EvalComponent, "_log_exception", lambda *_, **__: None)
    patches.quiet(PACKAGE, logging.CRITICAL)
