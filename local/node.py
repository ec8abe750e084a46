"""The embedded node: an AWS account in this process with the program deployed into it."""

from __future__ import annotations

import fcntl
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local import stack_config
from local.emulator import Emulator
from local.events import EventBridge
from local.filesystem import FileSystems
from local.function_url import FunctionUrls
from local.images import ImageError, Images
from local.provider.mocks import DeploymentError, Program, evaluate
from local.provider.model import Account, ProviderError
from local.provider.provider import Provider
from local.runtimes import EcsRuntime, LambdaRuntime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from local.emulator import Credentials
    from local.provider.mocks import Recorded

    Progress = Callable[[str], None]

FILES, CACHE, LOCK = "efs", "cache", "lock"


class EmbeddedNode:
    """A running node. `outputs` and `gateway_url` are the first deployment's, `graph` has the resources of all."""

    def __init__(self, root: Path, program: Path, progress: Progress) -> None:
        self._root, self._program, self._progress = root, program, progress
        self._stack = ExitStack()
        self.outputs: dict[str, Any] = {}
        self.graph: list[Recorded] = []

    @classmethod
    def start(  # noqa: PLR0913 - each is a choice of the operator's
        cls,
        stack: str = "basic",
        root: Path = Path(".compute-node"),
        program: Path = Path(),
        *,
        config_overrides: Mapping[str, str] | None = None,
        port: int = 0,
        progress: Progress = lambda _: None,
    ) -> EmbeddedNode:
        """Start an account and deploy `stack` of the program into it; the gateway answers on `port` (0: any free one).

        Files live under `root`, of one node at a time. Raises DeploymentError with a line for each mistake, OSError
        where the port is taken, RuntimeError where another node has `root` or this process.
        """
        node = cls(root.resolve(), program.resolve(), progress)
        try:
            node._boot(port)
            node.outputs = node.deploy(stack=stack, config=config_overrides)
        except BaseException:
            node.stop()
            raise
        return node

    def __enter__(self) -> EmbeddedNode:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def endpoint_url(self) -> str:
        """Where any AWS client reaches the account, in region us-east-1."""
        return self._emulator.endpoint_url

    @property
    def gateway_url(self) -> str:
        """Where the node's API answers to requests that `credentials` signed for the service `lambda`."""
        return str(self.outputs["gatewayUrl"])

    @property
    def credentials(self) -> Credentials:
        """The operator's key."""
        return self._emulator.credentials

    def client(self, service: str) -> Any:
        """A boto3 client on the account, answered in this process."""
        return self._emulator.client(service)

    def efs_root(self, file_system_id: str) -> Path:
        """The directory that stands for a file system."""
        return self._file_systems.root(file_system_id)

    def deploy(self, *, stack: str, config: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Deploy a stack into the account, beside what is there; returns its outputs.

        `config` wins over the stack's file. Raises DeploymentError with a line for each mistake.
        """
        settings = stack_config.load(self._program, stack, config)
        program = Program(
            folder=self._program, project=settings.project, stack=settings.stack, config=dict(settings.values)
        )
        outputs, resources = evaluate(program, self._provider, self._progress)
        self.graph += resources
        return outputs

    def stop(self) -> None:
        """End every process, thread and address of the node, and forget its account."""
        self._stack.close()

    def _boot(self, port: int) -> None:
        self._claim_root()
        self._emulator = Emulator.start()
        self._stack.callback(self._emulator.stop)
        self._file_systems, images = FileSystems(self._root / FILES), Images(self._root / CACHE)
        events = EventBridge(self._emulator)
        urls = FunctionUrls(self._emulator)
        urls.use_port(port)
        functions = LambdaRuntime(self.endpoint_url, self._file_systems, images, events.on_async_result)
        tasks = EcsRuntime(self.endpoint_url, self._file_systems, images, on_event=events.publish)
        for part in (functions, tasks):
            part.install()
            self._stack.callback(part.stop)
        # The interpreter's corrections go with the emulator, its events and addresses before the runtimes.
        from local import stepfunctions  # noqa: PLC0415 - the interpreter is loaded for a node only

        stepfunctions.install(self._emulator, tasks.wait_stopped, events.emit)
        events.install()
        self._stack.callback(events.stop)
        self._stack.callback(urls.stop)
        self._provider = Provider(self._account(images, urls))

    def _account(self, images: Images, urls: FunctionUrls) -> Account:
        def build(repository_url: str, context: Path) -> str:
            try:
                return images.build(repository_url, context, self._progress)
            except ImageError as error:
                raise ProviderError(str(error)) from error

        return Account(
            account=self._emulator.account,
            region=self._emulator.region,
            client=self._emulator.client,
            program=self._program,
            build_image=build,
            function_url=urls.open,
        )

    def _claim_root(self) -> None:
        """Take the folder for this node. The account starts empty, so files of one before are nobody's."""
        self._root.mkdir(parents=True, exist_ok=True)
        lock = self._stack.enter_context((self._root / LOCK).open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RuntimeError(f"another embedded node keeps its files in {self._root}") from error
        shutil.rmtree(self._root / FILES, ignore_errors=True)


__all__ = ["DeploymentError", "EmbeddedNode"]
