"""Runs the program in this process, with Pulumi's mocks as the engine and the provider behind them."""

from __future__ import annotations

import asyncio
import logging
import runpy
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi
from botocore.exceptions import BotoCoreError, ClientError
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks
from pulumi.runtime.settings import get_root_resource

from local.provider.model import Made, Properties, ProviderError, Request
from local.provider.values import plain, recordable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local.provider.provider import Provider

LOG = logging.getLogger(__name__)
REMOTE = ("awsx:",)  # components whose children are made by another process: a provider answers for them
PROVIDERS = "pulumi:providers:"


class DeploymentError(Exception):
    """The program cannot be deployed. Its text is one line a mistake."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A resource as the program registered it, with what came of it. `seconds` is what it took to make."""

    type: str
    name: str
    inputs: Properties
    urn: str
    id: str
    outputs: Properties
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Program:
    """What is evaluated: the folder of `__main__.py`, under which project and stack, with which configuration."""

    folder: Path
    project: str
    stack: str
    config: dict[str, str]


class ProviderMocks(Mocks):
    """Answers the program's registrations from the provider, and keeps them."""

    def __init__(self, provider: Provider, progress: Callable[[str], None]) -> None:
        self.graph: list[Recorded] = []
        self.monitor = _Monitor(self)
        self._provider, self._progress = provider, progress

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, Properties]:
        """Make one resource. Components are only recorded: what they are made of comes by itself."""
        urn, inputs = self.monitor.urn(args.typ, args.name), plain(args.inputs)
        if args.typ.startswith(PROVIDERS) or (
            not args.custom and not args.typ.startswith(REMOTE) and not args.resource_id
        ):
            self._keep(args, urn, Made(args.name if args.typ.startswith(PROVIDERS) else ""), inputs, 0.0)
            return args.name, inputs if args.typ.startswith(PROVIDERS) else {}
        self._progress(f"{args.typ} {args.name}")
        start = time.perf_counter()
        made = self._make(args, urn, inputs)
        self._keep(args, urn, made, inputs, time.perf_counter() - start)
        state = {**args.inputs, "tagsAll": inputs.get("tags"), **made.outputs}
        # A remote component's inputs and outputs may share a name and not a type.
        return made.id, made.outputs if args.typ.startswith(REMOTE) else state

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        """Answer a data source."""
        try:
            return self._provider.invoke(args.token, plain(args.args)), []
        except (ClientError, BotoCoreError, ProviderError) as error:
            raise DeploymentError(f"{args.token}: {error}") from error

    def _make(self, args: MockResourceArgs, urn: str, inputs: Properties) -> Made:
        request = Request(token=args.typ, urn=urn, name=args.name, inputs=inputs)
        try:
            if not args.resource_id:
                return self._provider.create(request)
            found = self._provider.read(args.typ, Made(args.resource_id), inputs)
        except (ClientError, BotoCoreError, ProviderError) as error:
            raise DeploymentError(f"{args.typ} {args.name}: {error}") from error
        if found is None:
            raise DeploymentError(f"{args.typ} {args.name}: there is none with the id {args.resource_id}")
        return found

    def _keep(self, args: MockResourceArgs, urn: str, made: Made, inputs: Properties, seconds: float) -> None:
        record = Recorded(
            type=args.typ,
            name=args.name,
            inputs=recordable(inputs),
            urn=urn,
            id=made.id,
            outputs=recordable(made.outputs),
            seconds=seconds,
        )
        self.graph.append(record)


class _Monitor(MockMonitor):
    """Keeps the request in hand while the mocks answer it, as they are not told of the resource's parent."""

    def __init__(self, mocks: Mocks) -> None:
        super().__init__(mocks)
        self._current = threading.local()

    def urn(self, token: str, name: str) -> str:
        """The URN of the resource that is being registered in this thread."""
        return str(self.make_urn(self._current.parent, token, name))

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        """Register a resource."""
        self._current.parent = request.parent
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]

    def ReadResource(self, request: Any) -> Any:  # noqa: N802 - the protocol's name
        """Look up a resource that the program did not make."""
        self._current.parent = request.parent
        return super().ReadResource(request)  # type: ignore[no-untyped-call]


def evaluate(
    program: Program, provider: Provider, progress: Callable[[str], None]
) -> tuple[Properties, list[Recorded]]:
    """Run the program and make what it declares; returns its outputs and its resources.

    Raises DeploymentError with a line for each mistake. What had been made by then stays, as it would on AWS.
    """
    mocks = ProviderMocks(provider, progress)
    outputs: Properties = {}
    failures: list[BaseException] = []

    def run() -> None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        loop.set_exception_handler(lambda *_: None)  # what fails because something else did needs no telling
        try:
            _run(program, mocks, outputs)
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread, whatever the program raised
            failures.append(error)
        finally:
            # What was being made when something else failed is made to its end, rather than behind the caller's back.
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    # A thread of its own: Pulumi keeps its settings in context variables, and its event loop by thread.
    thread = threading.Thread(target=run, name=f"program-{program.stack}")
    thread.start()
    thread.join()
    if failures:
        raise _failure(failures[0]) from failures[0]
    return outputs, mocks.graph


def _run(program: Program, mocks: ProviderMocks, outputs: Properties) -> None:
    pulumi.runtime.set_mocks(
        mocks, project=program.project, stack=program.stack, preview=False, logger=LOG, monitor=mocks.monitor
    )
    pulumi.runtime.set_all_config(program.config, [])
    folder = str(program.folder)

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def evaluated() -> pulumi.Output[None]:
        runpy.run_path(str(program.folder / "__main__.py"), run_name="__main__")
        root: Any = get_root_resource()
        return pulumi.Output.all(**root.outputs).apply(lambda values: outputs.update(plain(values)))

    with _Importable(folder):
        evaluated()


class _Importable:
    """The program's folder in front of the places that modules are imported from."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        sys.path.insert(0, self._folder)

    def __exit__(self, *_: object) -> None:
        sys.path.remove(self._folder)


def _failure(error: BaseException) -> DeploymentError:
    """The first error that has something to say to the operator, among those that were raised from one another."""
    cause: BaseException | None = error
    seen: set[int] = set()  # Pulumi raises an error again from what it caused: a circle
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, (DeploymentError, pulumi.RunError)):
            return DeploymentError(str(cause))
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return DeploymentError(f"the program failed: {type(error).__name__}: {error}")
