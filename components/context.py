"""What all components of one node share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi_aws as aws

from components import bundle
from components.naming import Names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from components.bundle import Bundle
    from config import NodeConfig


@dataclass(frozen=True, kw_only=True)
class NodeContext:
    """The node's configuration, its names in the account at hand, and the code it ships."""

    config: NodeConfig
    names: Names
    root: Path  # the program's folder, which build contexts are relative to
    bundle: Bundle

    @classmethod
    def current(cls, config: NodeConfig, root: Path) -> NodeContext:
        """The node in the account that the credentials at hand belong to."""
        names = Names(
            node=config.name,
            account=aws.get_caller_identity().account_id,
            region=config.region,
            partition=aws.get_partition().partition,
        )
        packed = bundle.build(root / "handlers", root / ".build" / "handlers.zip")
        return cls(config=config, names=names, root=root, bundle=packed)

    @property
    def tags(self) -> Mapping[str, str]:
        """What cost reports are split by."""
        return {"node": self.config.name, "environment": self.config.environment}
