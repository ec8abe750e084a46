"""Which variant of a component a mode has: the one place where it is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from components.encryption import AwsManagedEncryption, Encryption
from components.network.default_vpc import DefaultVpcNetwork

if TYPE_CHECKING:
    from collections.abc import Mapping

    from components.context import NodeContext
    from components.modes import NetworkKind
    from components.network.base import Network
    from config import NodeConfig

NETWORKS: Mapping[NetworkKind, type[Network]] = {"default-vpc": DefaultVpcNetwork}
ENCRYPTIONS: Mapping[bool, type[Encryption]] = {False: AwsManagedEncryption}  # by ModeFacts.own_keys


def network(context: NodeContext) -> Network:
    """The network of the node's mode."""
    return NETWORKS[context.config.facts.network]("network", context)


def encryption(context: NodeContext) -> Encryption:
    """The keys of the node's mode."""
    return ENCRYPTIONS[context.config.facts.own_keys]("encryption", context)


def refuse_what_is_missing(config: NodeConfig) -> None:
    """Raise pulumi.RunError, before anything is made, where a mode or an option has no component."""
    if config.facts.network not in NETWORKS or config.facts.own_keys not in ENCRYPTIONS:
        raise pulumi.RunError(f"compute-node:mode: {config.mode} is not available in this version; available: basic")
    if config.enable_llm_access:
        raise pulumi.RunError("compute-node:enableLLMAccess: true is not available in this version")
