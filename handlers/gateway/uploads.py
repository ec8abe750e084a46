"""Uploads: links by which a caller's own files come to the node, to be named as inputs."""

from __future__ import annotations

import uuid
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import LambdaFunctionUrlRouter

from handlers.aws import client
from handlers.errors import BadRequest
from handlers.gateway.models import UploadRequest  # noqa: TC001 - read by the resolver
from handlers.settings import settings
from handlers.transfer.paths import path_fault

router = LambdaFunctionUrlRouter()
LINK_SECONDS = 3_600


@router.post("/uploads", status_code=201, tags=["uploads"], summary="Get links to upload files")
def start_upload(request: UploadRequest) -> Response[dict[str, Any]]:
    """A PUT link and the S3 URI of each file. What is uploaded is deleted after seven days."""
    paths = [file.path for file in request.files]
    faults = [f"files[{i}].path: {path!r} {fault}" for i, path in enumerate(paths) if (fault := path_fault(path))]
    faults += [f"files: {path!r} is there twice" for path in {p for p in paths if paths.count(p) > 1}]
    if faults:
        raise BadRequest("the upload's paths cannot be", faults)
    upload_id = str(uuid.uuid4())
    body = {"uploadId": upload_id, "files": [_file(upload_id, path) for path in paths]}
    return Response(201, "application/json", body)


def _file(upload_id: str, path: str) -> dict[str, str]:
    bucket, key = settings().results_bucket, f"uploads/{upload_id}/{path}"
    target = {"Bucket": bucket, "Key": key}
    link = client("s3").generate_presigned_url("put_object", Params=target, ExpiresIn=LINK_SECONDS)
    return {"path": path, "uri": f"s3://{bucket}/{key}", "putUrl": link}
