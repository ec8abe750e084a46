"""What the tests of the transfer handlers share: a fresh account on moto's HTTP server, and a run's directory."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING

import boto3
import pytest
from moto.server import ThreadedMotoServer
from transfer_calls import MIB, RUN

from handlers import aws
from handlers.transfer import client, fetch, pack, send, source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "RESULTS_BUCKET": "results",
    "RUN_TABLE": "runs",
    "NODE_NAME": "node",
    "DEPLOYMENT_MODE": "basic",
}


@pytest.fixture(scope="module")
def transfer_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(transfer_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3Client:
    """Give the handlers' own client on a fresh account, in the handlers' environment."""
    reset = urllib.request.Request(f"{transfer_endpoint}/moto-api/reset", method="POST")  # noqa: S310
    urllib.request.urlopen(reset).close()  # noqa: S310
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": transfer_endpoint, "MOUNT_PATH": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(source, "FIRST_DELAY", 0.0)
    client.bulk_client.cache_clear()
    aws.client.cache_clear()
    s3 = client.bulk_client()
    for bucket in ("lab", "results"):
        s3.create_bucket(Bucket=bucket)
    boto3.client("dynamodb").create_table(
        TableName="runs",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
    )
    boto3.resource("dynamodb").Table("runs").put_item(
        Item={"pk": f"RUN#{RUN}", "sk": "RUN", "runId": RUN, "workflowInstanceId": "instance-7", "status": "RUNNING"}
    )
    return s3


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Make the directory of the run, as Scope does."""
    root = tmp_path / "runs" / "token"
    root.mkdir(parents=True)
    return root


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the sizes at which files are cut, so that a few MiB go through every way of the code."""
    monkeypatch.setattr(pack, "MIN_PART_WEIGHT", 10 * MIB)
    monkeypatch.setattr(pack, "MIN_LARGE_BYTES", 20 * MIB)
    monkeypatch.setattr(pack, "MIN_CHUNK", 5 * MIB)
    for module in (fetch, send):
        monkeypatch.setattr(module, "SINGLE_BYTES", 2 * MIB)
        monkeypatch.setattr(module, "WHOLE_CHUNK", 5 * MIB)
