"""Which sizes Fargate offers, so that a wrong one is refused before anything is deployed."""

from __future__ import annotations

import math
from dataclasses import dataclass

# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html: CPU units to MiB of memory.
MEMORY_FOR_CPU: dict[int, tuple[int, ...]] = {
    256: (512, 1024, 2048),
    512: tuple(range(1024, 4096 + 1, 1024)),
    1024: tuple(range(2048, 8192 + 1, 1024)),
    2048: tuple(range(4096, 16384 + 1, 1024)),
    4096: tuple(range(8192, 30720 + 1, 1024)),
    8192: tuple(range(16384, 61440 + 1, 4096)),
    16384: tuple(range(32768, 122880 + 1, 8192)),
}
FREE_STORAGE_GIB = 20  # every task has it; a definition may only ask for more
MAX_STORAGE_GIB = 200


@dataclass(frozen=True)
class TaskSize:
    """CPU units (1024 a vCPU) and memory in MiB."""

    cpu: int
    memory: int

    @property
    def is_offered(self) -> bool:
        """Whether Fargate runs tasks of this size."""
        return self.memory in MEMORY_FOR_CPU.get(self.cpu, ())

    def nearest(self) -> TaskSize:
        """The offered size with the smallest change in proportion; of two, the larger one."""

        def distance(size: TaskSize) -> tuple[float, int, int]:
            change = abs(math.log(size.cpu / max(self.cpu, 1))) + abs(math.log(size.memory / max(self.memory, 1)))
            return change, -size.cpu, -size.memory

        return min((TaskSize(cpu, memory) for cpu, sizes in MEMORY_FOR_CPU.items() for memory in sizes), key=distance)
