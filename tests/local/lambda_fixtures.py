"""The fixtures of the tests on Lambda functions."""

from __future__ import annotations

import pytest
from lambda_functions import Functions, Outcomes

from local.runtimes import LambdaRuntime


@pytest.fixture(scope="module")
def outcomes():
    return Outcomes()


@pytest.fixture(scope="module")
def functions(account, outcomes):
    endpoint = account.emulator.endpoint_url
    runtime = LambdaRuntime(endpoint, account.file_systems, account.images, outcomes.take)
    runtime.retry_seconds = (0.0,)
    runtime.install()
    yield Functions(account, runtime)
    runtime.stop()


@pytest.fixture(scope="module")
def common(functions):
    """A function that tests may share, because they leave nothing in it."""
    return functions.create()
