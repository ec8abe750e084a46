"""ECS on Fargate, by local processes: a task's container runs, logs, stops and fails as it would in AWS.

Not imitated: services, several containers a task, container instances, ECS Exec, task metadata endpoints,
networks (every process shares the host's), CPU shares, and volumes other than EFS.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import os
import signal
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from local.runtimes import ecs_api
from local.runtimes.ecs_plan import Resources, StartError, log_target, memory_limit, process_spec, pull
from local.runtimes.logs import LogPump, LogStream
from local.sandbox.memory import MemoryLimits
from local.sandbox.processes import launcher
from local.sandbox.spec import ProcessEvents

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.filesystem import FileSystems
    from local.images import Images, LocalImage
    from local.runtimes.ecs_task import LocalTask
    from local.sandbox.processes import Launcher

STOP_TIMEOUT_SECONDS = 30
# ECS shows a stopped task for an hour at least; here the newest ones stay, however old.
HISTORY = 5000
WORKERS = 4


class EcsRuntime:
    """Runs the tasks of moto's ECS.

    `capacity` bounds the tasks that run at once, as Fargate's own capacity would (None: only the machine does).
    `on_event` gets each EventBridge event "ECS Task State Change".
    """

    def __init__(
        self,
        endpoint_url: str,
        file_systems: FileSystems,
        images: Images,
        *,
        capacity: int | None = None,
        on_event: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self._resources = Resources(endpoint_url, file_systems, images)
        self._capacity = capacity
        self._on_event = on_event
        self.processes: Launcher | None = None  # another than this process's own, before install
        self._lock = threading.Lock()
        self._tasks: dict[str, LocalTask] = {}
        self._tokens: dict[tuple[str, str], list[LocalTask]] = collections.defaultdict(list)
        self._active = 0
        self._history: collections.deque[LocalTask] = collections.deque()
        self._hooks = contextlib.ExitStack()

    def install(self) -> None:
        """Take over moto's RunTask, StopTask, DescribeTasks and ListTasks."""
        self._launcher = self.processes or launcher()
        self._pump = LogPump()
        self._limits = MemoryLimits()
        # What a task's start and end need is mostly waiting for moto's locks; few threads do for many tasks.
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="ecs")
        # In order, and apart from what starts and ends tasks, whatever the receiver does.
        self._events = ThreadPoolExecutor(1, thread_name_prefix="ecs-events")
        ecs_api.install(self, self._hooks)

    def stop(self) -> None:
        """End all tasks at once and give moto its own operations back."""
        self._hooks.close()
        for task in list(self._tasks.values()):
            self._begin_stop(task, "UserInitiated", "the embedded AWS stops", timeout=0.0)
        for task in list(self._tasks.values()):
            task.stopped.wait(STOP_TIMEOUT_SECONDS)
        self._pool.shutdown()
        self._events.shutdown()
        self._pump.close()
        self._limits.close()

    def has_capacity(self, count: int) -> bool:
        """Whether `count` more tasks may run."""
        with self._lock:
            return self._capacity is None or self._active + count <= self._capacity

    def asked_before(self, cluster_arn: str, client_token: str | None) -> list[LocalTask]:
        """The tasks that an earlier RunTask with the same token has started, as a repeated request starts no more."""
        with self._lock:
            return list(self._tokens.get((cluster_arn, client_token or ""), []))

    def submit(self, task: LocalTask) -> None:
        """Start a new task."""
        with self._lock:
            self._tasks[task.task_arn] = task
            if task.client_token:
                self._tokens[task.cluster_arn, task.client_token].append(task)
            self._active += 1
        self._announce(task)
        self._pool.submit(self._start, task)

    def task(self, task_arn: str) -> LocalTask | None:
        """The task of an ARN, as long as it is known."""
        with self._lock:
            return self._tasks.get(task_arn)

    def wait_stopped(self, task_arn: str, timeout_seconds: float) -> bool:
        """Wait until a task is STOPPED and all its output is in its log stream; False when the time is over.

        Raises KeyError for an unknown task.
        """
        with self._lock:
            task = self._tasks[task_arn]
        return task.stopped.wait(timeout_seconds)

    def request_stop(self, task: LocalTask, reason: str) -> None:
        """Do as StopTask does: SIGTERM, and SIGKILL after the container's stop timeout."""
        timeout = float(task.container.get("stopTimeout") or STOP_TIMEOUT_SECONDS)
        self._begin_stop(task, "UserInitiated", reason or "Task stopped by user", timeout)

    def _begin_stop(self, task: LocalTask, code: str, reason: str, timeout: float) -> None:
        with task.lock:
            if task.desired_status == "STOPPED":
                return
            task.desired_status = "STOPPED"
            task.stop_code, task.stopped_reason = code, reason
            task.mark("stoppingAt")
            process = task.process
            if process is None:
                return  # its start finds out, before it makes the process
            self._launcher.signal(process, signal.SIGTERM if timeout else signal.SIGKILL)
            if timeout:
                task.kill_timer = threading.Timer(timeout, self._launcher.signal, (process, signal.SIGKILL))
                task.kill_timer.daemon = True
                task.kill_timer.start()

    def _start(self, task: LocalTask) -> None:
        try:
            self._advance(task, "PENDING")
            task.mark("pullStartedAt")
            image = pull(self._resources, task)
            task.image_digest = image.digest
            task.mark("pullStoppedAt")
            self._launch(task, image)
        except StartError as error:
            self._fail(task, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the task must not hang
            self._fail(task, f"InternalError: {type(error).__name__}: {error}")

    def _launch(self, task: LocalTask, image: LocalImage) -> None:
        spec = process_spec(self._resources, task, image)
        target = log_target(task)
        limit = memory_limit(task)
        task.memory = self._limits.create(limit) if limit else None
        if task.memory is not None:
            spec = spec.within(task.memory.members)
        read, write = os.pipe()
        stream = LogStream(target, read)
        self._pump.add(stream)
        events = ProcessEvents(
            on_started=lambda pid: self._started(task, pid),
            on_failed=lambda error: self._defer(self._not_started, task, stream, error),
            on_ended=lambda code: self._defer(self._ended, task, stream, code),
        )
        try:
            with task.lock:
                if task.desired_status == "STOPPED":
                    self._pump.finish(stream)
                    self._finish(task)
                    return
                task.process = self._launcher.spawn(spec, write, events)
        finally:
            os.close(write)

    def _defer(self, work: Callable[..., None], task: LocalTask, *arguments: object) -> None:
        """Work for the pool, since the launcher's thread must not wait."""

        def guarded() -> None:
            try:
                work(task, *arguments)
            except Exception as error:  # noqa: BLE001 - whatever it is, the task must not hang
                self._fail(task, f"InternalError: {type(error).__name__}: {error}")

        self._pool.submit(guarded)

    def _started(self, task: LocalTask, _pid: int) -> None:
        with task.lock:
            task.runtime_id = f"{task.id}-{uuid.uuid4().int % 10**10:010d}"
            task.mark("startedAt")
        self._advance(task, "RUNNING")

    def _not_started(self, task: LocalTask, stream: LogStream, error: OSError) -> None:
        self._pump.finish(stream)
        program = error.filename or task.container["name"]
        missing = error.errno == errno.ENOENT
        reason = f'exec: "{program}": executable file not found in $PATH' if missing else str(error)
        with task.lock:
            task.container_reason = f"CannotStartContainerError: failed to create task: {reason}"
        self._fail(task, task.container_reason)

    def _ended(self, task: LocalTask, stream: LogStream, code: int) -> None:
        self._pump.finish(stream)
        with task.lock:
            task.exit_code = code
            if task.memory is not None and task.memory.out_of_memory():
                task.container_reason = "OutOfMemoryError: Container killed due to memory usage"
            if task.stop_code is None:
                task.stop_code, task.stopped_reason = "EssentialContainerExited", "Essential container in task exited"
            task.mark("executionStoppedAt")
        self._finish(task)

    def _fail(self, task: LocalTask, reason: str) -> None:
        with task.lock:
            task.stop_code, task.stopped_reason = "TaskFailedToStart", reason
        self._finish(task)

    def _finish(self, task: LocalTask) -> None:
        with task.lock:
            if task.kill_timer is not None:
                task.kill_timer.cancel()
            task.desired_status = "STOPPED"
            task.times.setdefault("stoppingAt", task.times.get("executionStoppedAt", task.times["createdAt"]))
            task.mark("stoppedAt")
        if task.memory is not None:
            task.memory.discard()
        task.detach_interface()
        self._advance(task, "STOPPED")
        self._retire(task)

    def _retire(self, task: LocalTask) -> None:
        with self._lock:
            self._active -= 1
            self._history.append(task)
            while len(self._history) > HISTORY:
                old = self._history.popleft()
                del self._tasks[old.task_arn]
                self._tokens.pop((old.cluster_arn, old.client_token or ""), None)
                ecs_api.forget(old)

    def _advance(self, task: LocalTask, status: str) -> None:
        with task.lock:
            # The count of running tasks changes before whoever waits can see the task stopped.
            ecs_api.count(task, status)
            task.last_status = status
            task.version += 1
        if status == "STOPPED":
            task.stopped.set()
        self._announce(task)

    def _announce(self, task: LocalTask) -> None:
        if self._on_event is not None:
            self._events.submit(self._on_event, ecs_api.event(task))
