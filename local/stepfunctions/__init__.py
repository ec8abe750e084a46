"""moto's Step Functions interpreter, corrected where it differs from AWS: each module says what it corrects and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.emulator import Emulator
    from local.stepfunctions.ecs_tasks import WaitStopped


def install(
    emulator: Emulator, wait_stopped: WaitStopped, emit: Callable[[str, str, list[str], dict[str, Any]], None]
) -> None:
    """Correct the interpreter until the emulator stops.

    `wait_stopped` waits some seconds for the end of an ECS task; `emit` takes an event for EventBridge.
    """
    # Loading the interpreter takes a good part of a second: not for who only wants a bucket.
    from local.stepfunctions import direct, ecs_tasks, errors, executions, maps, recasing, speed, tokens, waiting  # noqa: PLC0415

    patches, client = emulator.patches, emulator.client
    waiting.install(patches)
    held = tokens.install(patches)
    recasing.install(patches, client)
    errors.install(patches)
    ecs_tasks.install(patches, client, wait_stopped)
    maps.install(patches)
    executions.install(patches, emit)
    speed.install(patches, client)
    direct.Direct(emulator.account, client, emulator.locks["dynamodb"], held).install(patches)
