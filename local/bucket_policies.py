"""Corrects moto's reading of bucket policies: it overlooks conditions, and a refusal of plain HTTP refuses everyone.

The double speaks HTTP on the loopback interface in the place of TLS, and only who holds a role that the conditions are
about could meet them: a statement under a condition is not evaluated here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.models import FakeBucket

if TYPE_CHECKING:
    from local.patching import Patches


def install(patches: Patches) -> None:
    """Evaluate only a bucket policy's unconditional statements."""
    patches.replace(FakeBucket, "get_permission", _permission)


def _permission(bucket: Any, action: str, resource: str) -> Any:
    if bucket.policy is None:
        return PermissionResult.NEUTRAL
    document = json.loads(bucket.policy)
    statements = [statement for statement in document["Statement"] if "Condition" not in statement]
    if not statements:
        return PermissionResult.NEUTRAL
    return IAMPolicy(json.dumps({**document, "Statement": statements})).is_action_permitted(action, resource)
