"""What requests hold, by name and type; what they mean is checked by the domain, with every mistake at once."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

RUN_ID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
INSTANCE_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
SHA256 = r"^[0-9a-f]{64}$"

RunId = Annotated[str, Field(pattern=RUN_ID, description="A lower-case UUID")]
Parameters = dict[str, str | bool | int | float]


class Model(BaseModel):
    """Unknown fields are mistakes, and text is not taken for a number."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Input(Model):
    """An S3 object, or all objects below a prefix that ends with `/`."""

    uri: str = Field(examples=["s3://bucket/scan.nii.gz", "s3://bucket/subject-01/"])
    path: str | None = Field(None, description="Where it comes to lie below the run's input directory")
    sha256: str | None = Field(None, pattern=SHA256, description="Of a single object; the run fails where it differs")


class RunRequest(Model):
    """A run: a workflow inline, or an id alone that the node's platform resolves."""

    executionRunId: RunId | None = Field(None, description="Drawn by the node where it is not given")
    workflowInstanceId: str | None = Field(None, pattern=INSTANCE_ID, description="What the log archive is sorted by")
    workflow: dict[str, Any] | None = Field(None, description="name, parameters and processors")
    inputs: list[Input] = Field(default_factory=list)
    parameters: Parameters = Field(default_factory=dict, description="By name, or by `node.name`")
    computeTypeOverrides: dict[str, Literal["ecs", "lambda"]] = Field(default_factory=dict)
    datasetId: str | None = None
    organizationId: str | None = None
    integrationId: str | None = None
    targetType: str | None = None


class UploadFile(Model):
    """A file to be uploaded."""

    path: str
    sizeBytes: int = Field(ge=0, le=5 * 1024**3, description="At most 5 GiB: what one PUT takes")


class UploadRequest(Model):
    """Files to be uploaded together."""

    files: list[UploadFile] = Field(min_length=1, max_length=1_000)


class SecretValue(Model):
    """A secret's value; it is never given back."""

    value: str = Field(min_length=1, max_length=16_384)
