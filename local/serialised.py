"""Makes moto's operations as atomic as AWS's where they are not.

moto's backends are plain dictionaries that many threads use at once: a conditional write reads, checks and then writes,
and a listing fails when a key comes in meanwhile. One lock a service puts its operations in order. Operations that may
wait for something (invoke a function, run a task) are left out, as are the services that this node uses from one place.
"""

from __future__ import annotations

import functools
import threading
from collections import defaultdict
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from local.patching import Patches

# Whole services, by the class that answers their requests.
SERVICES = {
    "moto.dynamodb.responses": "DynamoHandler",
    "moto.secretsmanager.responses": "SecretsManagerResponse",
    "moto.efs.responses": "EFSResponse",
    "moto.logs.responses": "LogsResponse",
    "moto.iam.responses": "IamResponse",
    "moto.ec2.responses": "EC2Response",
    "moto.ecr.responses": "ECRResponse",
}
# Where bodies may be large or an operation may wait: single methods of the backend.
BACKENDS: dict[str, tuple[str, ...]] = {
    "moto.s3.models:S3Backend": (
        "put_object",
        "copy_object",
        "delete_object",
        "list_objects",
        "list_object_versions",
        "create_multipart_upload",
        "upload_part",
        "complete_multipart_upload",
        "abort_multipart_upload",
        "create_bucket",
    ),
    "moto.ecs.models:EC2ContainerServiceBackend": (
        "register_task_definition",
        "deregister_task_definition",
        "list_task_definitions",
        "list_task_definition_families",
    ),
    "moto.logs.models:LogsBackend": ("put_log_events",),  # which the runtimes call without a request
}


def install(patches: Patches) -> Mapping[str, AbstractContextManager[Any]]:
    """Serialise the operations; returns each service's lock."""
    # Reentrant, as a backend's method calls others of its own. By service: `moto.<service>.models`.
    locks: dict[str, Any] = defaultdict(threading.RLock)
    for module, name in SERVICES.items():
        _wrap(patches, getattr(import_module(module), name), "call_action", locks[module.split(".")[1]])
    for path, methods in BACKENDS.items():
        module, _, name = path.partition(":")
        for method in methods:
            _wrap(patches, getattr(import_module(module), name), method, locks[module.split(".")[1]])
    return locks


def _wrap(patches: Patches, owner: type, method: str, lock: Any) -> None:
    original: Callable[..., Any] = getattr(owner, method)

    @functools.wraps(original)
    def serialised(*args: Any, **kwargs: Any) -> Any:
        with lock:
            return original(*args, **kwargs)

    patches.replace(owner, method, serialised)
