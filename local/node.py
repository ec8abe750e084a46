"""The embedded node: an AWS account in this process with the program deployed into it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from local import stack_config
from local.account import EmbeddedAws
from local.images import ImageError
from local.provider.mocks import DeploymentError, Program, evaluate
from local.provider.model import Account, ProviderError
from local.provider.provider import Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from local.emulator import Credentials
    from local.provider.mocks import Recorded

    Progress = Callable[[str], None]


class EmbeddedNode:
    """A running node. `outputs` and `gateway_url` are the first deployment's, `graph` has the resources of all."""

    def __init__(self, account: EmbeddedAws, program: Path, progress: Progress) -> None:
        self.account = account
        self.outputs: dict[str, Any] = {}
        self.graph: list[Recorded] = []
        self._program, self._progress = program, progress
        self._provider = Provider(self._ground())

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
        account = EmbeddedAws(root.resolve())
        try:
            account.urls.use_port(port)
            node = cls(account, program.resolve(), progress)
            node.outputs = node.deploy(stack=stack, config=config_overrides)
        except BaseException:
            account.stop()
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
        return self.account.emulator.endpoint_url

    @property
    def gateway_url(self) -> str:
        """Where the node's API answers to requests that `credentials` signed for the service `lambda`."""
        return str(self.outputs["gatewayUrl"])

    @property
    def credentials(self) -> Credentials:
        """The operator's key."""
        return self.account.emulator.credentials

    def client(self, service: str) -> Any:
        """A boto3 client on the account, answered in this process."""
        return self.account.emulator.client(service)

    def efs_root(self, file_system_id: str) -> Path:
        """The directory that stands for a file system."""
        return self.account.file_systems.root(file_system_id)

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
        self.account.stop()

    def _ground(self) -> Account:
        account, images = self.account, self.account.images

        def build(repository_url: str, context: Path) -> str:
            try:
                return images.build(repository_url, context, self._progress)
            except ImageError as error:
                raise ProviderError(str(error)) from error

        return Account(
            account=account.emulator.account,
            region=account.emulator.region,
            client=account.emulator.client,
            program=self._program,
            build_image=build,
            function_url=account.urls.open,
        )


__all__ = ["DeploymentError", "EmbeddedNode"]
