"""The fixtures of the tests on a whole embedded account: its runtimes, its interpreter and its events."""

from __future__ import annotations

import pytest
from aws_machines import MINUTE, Machines

from local.account import EmbeddedAws


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    with EmbeddedAws(tmp_path_factory.mktemp("aws"), minute=MINUTE) as started:
        yield started


@pytest.fixture(scope="module")
def client(aws):
    return aws.emulator.client


@pytest.fixture(scope="module")
def machines(aws, tmp_path_factory):
    return Machines(aws, tmp_path_factory.mktemp("contexts"))
