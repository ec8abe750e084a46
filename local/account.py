"""An embedded AWS account with everything that runs in it: functions, tasks, files, executions, events, addresses."""

from __future__ import annotations

import fcntl
import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

from local.emulator import Emulator
from local.events import EventBridge
from local.filesystem import FileSystems
from local.function_url import FunctionUrls
from local.images import Images
from local.runtimes import EcsRuntime, LambdaRuntime

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

FILES, CACHE, LOCK = "efs", "cache", "lock"


class EmbeddedAws:
    """The parts, put together. `minute` is the length of a schedule's minute in seconds.

    Raises RuntimeError where another one has `root` or this process.
    """

    def __init__(self, root: Path, minute: float = 60.0) -> None:
        self._stack = ExitStack()
        try:
            self._claim(root)
            self.emulator = Emulator.start()
            self._stack.callback(self.emulator.stop)
            self.file_systems, self.images = FileSystems(root / FILES), Images(root / CACHE)
            self.events = EventBridge(self.emulator, minute)
            self.urls = FunctionUrls(self.emulator)
            self._start_runtimes()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> EmbeddedAws:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process, thread and address, and forget the account."""
        self._stack.close()

    def _start_runtimes(self) -> None:
        endpoint, files, images = self.emulator.endpoint_url, self.file_systems, self.images
        self.functions = LambdaRuntime(endpoint, files, images, self.events.on_async_result)
        self.tasks = EcsRuntime(endpoint, files, images, on_event=self.events.publish)
        for runtime in (self.functions, self.tasks):
            runtime.install()
            self._stack.callback(runtime.stop)
        from local import stepfunctions  # noqa: PLC0415 - the interpreter takes a while to load

        stepfunctions.install(self.emulator, self.tasks.wait_stopped, self.events.emit)
        self.events.install()
        # Whoever asks and whatever is sent ends first, what answers after it.
        self._stack.callback(self.events.stop)
        self._stack.callback(self.urls.stop)

    def _claim(self, root: Path) -> None:
        """Take the folder. An account starts empty, so files of one before are nobody's."""
        root.mkdir(parents=True, exist_ok=True)
        lock = self._stack.enter_context((root / LOCK).open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RuntimeError(f"another embedded node keeps its files in {root}") from error
        shutil.rmtree(root / FILES, ignore_errors=True)
