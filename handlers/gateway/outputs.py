"""Outputs: what a run has published, with links that read each file for a limited time."""

from __future__ import annotations

import json
from itertools import islice
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query
from aws_lambda_powertools.event_handler.router import LambdaFunctionUrlRouter

from handlers.aws import client
from handlers.gateway import cursor
from handlers.gateway.runs import RunPath  # noqa: TC001 - read by the resolver
from handlers.records import RunTable
from handlers.settings import settings

router = LambdaFunctionUrlRouter()
LINK_SECONDS = 3_600


@router.get("/runs/<run_id>/outputs", tags=["runs"], summary="List a run's outputs")
def list_outputs(
    run_id: RunPath,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 1_000,
    nextToken: Annotated[str | None, Query()] = None,
) -> Response[dict[str, Any]]:
    """A page of the manifest; empty while nothing is published."""
    RunTable().run(run_id)
    start = cursor.read(nextToken) or 0
    s3, bucket, key = client("s3"), settings().results_bucket, f"runs/{run_id}/manifest.json"
    try:
        body = s3.get_object(Bucket=bucket, Key=key)["Body"]
    except s3.exceptions.NoSuchKey:
        return _answer({"files": [], "manifestUrl": None, "nextToken": None})
    # The manifest has a file a line, so that a page of it needs no more memory than a page.
    lines = (line.strip().rstrip(b",") for line in body.iter_lines())
    entries = (json.loads(line) for line in lines if _is_entry(line))
    page = list(islice(entries, start, start + limit + 1))
    following = start + limit if len(page) > limit else None
    files = [{**entry, "url": _link(entry["key"])} for entry in page[:limit]]
    return _answer({"files": files, "manifestUrl": _link(key), "nextToken": cursor.write(following)})


def _is_entry(line: bytes) -> bool:
    return line.startswith(b"{") and b'"sha256"' in line


def _link(key: str) -> str:
    target = {"Bucket": settings().results_bucket, "Key": key}
    link: str = client("s3").generate_presigned_url("get_object", Params=target, ExpiresIn=LINK_SECONDS)
    return link


def _answer(body: dict[str, Any]) -> Response[dict[str, Any]]:
    return Response(200, "application/json", body)
