"""One AWS account in this process: moto's backends, in-process clients on them, and an HTTP endpoint for the rest.

Clients of this process reach moto without a socket; functions, tasks and tools outside come in by HTTP. Both meet the
same backends. Nothing in this process is patched for other users of boto3: only clients made here are answered here.
"""

from __future__ import annotations

import functools
import os
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
import botocore.session
from botocore.config import Config
from moto.core import responses, utils
from moto.core.base_backend import BackendDict
from moto.core.config import default_user_config
from moto.core.model_instances import reset_model_data
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from local import bucket_policies, efs_api, serialised
from local.loopback import serve
from local.patching import Patches
from local.transport import InProcessTransport

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from botocore.client import BaseClient

ACCOUNT, REGION = DEFAULT_ACCOUNT_ID, "us-east-1"
OPERATOR = "operator"
# moto's machine images and instance types are never asked for, and take a third of a second to load.
ENVIRONMENT = {"MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}
SESSION_VARIABLES: dict[str, Any] = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
MOTO_CONFIG: dict[str, Any] = {
    "stepfunctions": {"execute_state_machine": True},
    "iam": {"load_aws_managed_policies": False},
    "lambda": {"use_docker": False},
}


@dataclass(frozen=True)
class Credentials:
    """An access key of the embedded account."""

    access_key_id: str
    secret_access_key: str


class Emulator:
    """The embedded account. One at a time in a process: moto's backends belong to the process."""

    _running = threading.Lock()

    def __init__(self, stack: ExitStack, region: str, locks: Mapping[str, AbstractContextManager[Any]]) -> None:
        self._stack, self.account, self.region = stack, ACCOUNT, region
        self.locks = locks  # that serialise moto's services, by name
        # One for all clients, as each loads 8 MB of endpoints; it reads nothing of the operator's own AWS settings.
        self._session = boto3.Session(botocore_session=botocore.session.Session(SESSION_VARIABLES))
        self._clients: dict[tuple[str, str], BaseClient] = {}
        self._lock = threading.Lock()
        self._transport = InProcessTransport(ACCOUNT, region)
        self.credentials = Credentials("AKIAEMBEDDEDSTARTING", "starting")
        self.endpoint_url = ""

    @classmethod
    def start(cls, port: int = 0, region: str = REGION) -> Emulator:
        """Start an account without resources, its endpoint on `port` of the loopback interface (0: any free one).

        Raises RuntimeError where this process already runs one, OSError where the port is taken.
        """
        if not cls._running.acquire(blocking=False):
            raise RuntimeError("an embedded AWS runs in this process already: stop it first")
        stack = ExitStack()
        stack.callback(cls._running.release)
        try:
            emulator = cls(stack, region, _configure(stack))
            application = DomainDispatcherApplication(create_backend_app)
            emulator.endpoint_url = serve(stack, application, port, "embedded-aws")
            emulator.credentials = emulator._operator()
        except BaseException:
            stack.close()
            raise
        return emulator

    @property
    def patches(self) -> Patches:
        """Corrections of moto that last until the emulator stops."""
        return Patches(self._stack)

    def stop(self) -> None:
        """End the endpoint and forget the account."""
        self._stack.close()
        self._clients.clear()

    def client(self, service: str, region: str | None = None) -> Any:
        """A boto3 client that is answered in this process. Shared, as making one takes longer than calling it."""
        key = (service, region or self.region)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._make_client(*key)
            return self._clients[key]

    def _make_client(self, service: str, region: str) -> BaseClient:
        keys = self.credentials
        client: BaseClient = self._session.client(  # type: ignore[call-overload]
            service,
            region_name=region,
            aws_access_key_id=keys.access_key_id,
            aws_secret_access_key=keys.secret_access_key,
            config=Config(  # type: ignore[call-arg]  # newer than the stubs
                s3={"addressing_style": "path"}, ignore_configured_endpoint_urls=True
            ),
        )
        self._transport.attach(client)
        return client

    def _operator(self) -> Credentials:
        iam = self.client("iam")
        iam.create_user(UserName=OPERATOR)
        made = iam.create_access_key(UserName=OPERATOR)["AccessKey"]
        self._clients.clear()  # they were made before there was a key
        return Credentials(made["AccessKeyId"], made["SecretAccessKey"])


def _configure(stack: ExitStack) -> Mapping[str, AbstractContextManager[Any]]:
    stack.enter_context(patch.dict(os.environ, ENVIRONMENT))
    stack.enter_context(patch.dict(default_user_config, MOTO_CONFIG))
    patches = Patches(stack)
    # moto lists a class's methods anew at each request.
    patches.replace(responses, "method_names_from_class", functools.cache(utils.method_names_from_class))
    bucket_policies.install(patches)
    locks = serialised.install(patches)
    efs_api.install(patches)
    _reset()
    stack.callback(_reset)
    return locks


def _reset() -> None:
    BackendDict.reset()
    reset_model_data()
