"""What a function is told by its environment, read once."""

from __future__ import annotations

import os
from dataclasses import MISSING, dataclass, fields
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One field an environment variable of the same name in capitals; those without a default must be there where used.

    Every function is given only what it needs, so an absent one is an error at its first use, by name.
    """

    node_name: str
    run_table: str
    deployment_mode: str
    results_bucket: str = ""
    log_bucket: str = ""
    cluster_arn: str = ""
    file_system_id: str = ""
    state_machine_arn: str = ""
    mount_path: str = "/mnt/efs"
    processor_log_group: str = ""
    log_group_prefix: str = ""
    environment_tag: str = ""
    input_buckets: str = ""
    platform_api_host: str = ""
    platform_api_host2: str = ""
    run_secret_prefix: str = ""
    task_role_arn: str = ""
    execution_role_arn: str = ""
    task_cpu_architecture: str = "X86_64"
    layers_access_point_id: str = ""
    finalize_function: str = ""

    def __getattribute__(self, name: str) -> str:
        value: str = object.__getattribute__(self, name)
        if value == "" and not name.startswith(("_", "platform_", "environment_", "input_")):
            raise LookupError(f"the function's environment lacks {name.upper()}")
        return value

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Settings:
        """Raises LookupError naming each missing variable."""
        required = [f.name.upper() for f in fields(cls) if f.default is MISSING]
        if missing := [name for name in required if not environment.get(name)]:
            raise LookupError(f"the function's environment lacks {', '.join(missing)}")
        names = (f.name for f in fields(cls))
        return cls(**{name: environment[name.upper()] for name in names if name.upper() in environment})

    @property
    def allowed_buckets(self) -> frozenset[str]:
        """The buckets that inputs may lie in: those configured, and the results bucket (uploads, earlier results)."""
        return frozenset({self.results_bucket, *filter(None, self.input_buckets.split(","))})

    @property
    def runs_root(self) -> PurePosixPath:
        """The directory of all runs, as a function that mounts the file system's root sees it."""
        return PurePosixPath(self.mount_path) / "runs"


@cache
def settings() -> Settings:
    """The settings of this function."""
    return Settings.from_env(os.environ)
