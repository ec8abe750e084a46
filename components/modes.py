"""What a mode means, resolved once: the only place where mode names are compared with anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Mode = Literal["basic", "secure", "compliant"]
NetworkKind = Literal["default-vpc", "private", "isolated"]


@dataclass(frozen=True, kw_only=True)
class ModeFacts:
    """The facts that components ask for, instead of the mode."""

    network: NetworkKind
    own_keys: bool  # customer-managed KMS keys rather than AWS's
    llm_needs_baa: bool  # LLM access only with the operator's word that a business associate agreement is in place
    keeps_data: bool  # default of storage.removalProtection


MODES: Mapping[Mode, ModeFacts] = {
    "basic": ModeFacts(network="default-vpc", own_keys=False, llm_needs_baa=False, keeps_data=False),
    "secure": ModeFacts(network="private", own_keys=True, llm_needs_baa=True, keeps_data=True),
    "compliant": ModeFacts(network="isolated", own_keys=True, llm_needs_baa=True, keeps_data=True),
}
