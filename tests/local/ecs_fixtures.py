"""The fixtures of the tests on ECS tasks."""

from __future__ import annotations

import threading

import pytest
from ecs_cluster import Cluster, Events

from local.runtimes import EcsRuntime
from local.runtimes.logs import LogTarget


@pytest.fixture(scope="module")
def events():
    return Events()


@pytest.fixture(scope="module")
def cluster(account, events):
    runtime = EcsRuntime(account.emulator.endpoint_url, account.file_systems, account.images, on_event=events.add)
    runtime.install()
    yield Cluster(account, runtime)
    runtime.stop()


@pytest.fixture(scope="module")
def plain(cluster):
    return cluster.register()


@pytest.fixture
def printed(monkeypatch):
    """Set when something with the word `waiting` reaches CloudWatch."""
    seen = threading.Event()
    put = LogTarget.put

    def noticing(self, batch):
        put(self, batch)
        if any("waiting" in event["message"] for event in batch):
            seen.set()

    monkeypatch.setattr(LogTarget, "put", noticing)
    return seen
