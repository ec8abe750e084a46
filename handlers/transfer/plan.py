"""Plans a run's download: which objects, and which invocation reads which of them, or which of their bytes."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from handlers.errors import NotFound
from handlers.transfer.inputs import list_inputs
from handlers.transfer.model import FileSum, InputFile, TransferPlan
from handlers.transfer.spool import spooled, sum_names, write_parts
from handlers.transfer.store import Documents

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mypy_boto3_s3 import S3Client

__all__ = ["InputFile", "TransferPlan", "iter_sums", "list_inputs", "write_plan"]


def write_plan(s3: S3Client, bucket: str, run_id: str, files: Iterable[InputFile]) -> TransferPlan:
    """Write the parts of the download below `plans/{run_id}/download/` and return their counts."""
    documents = Documents(s3, bucket, run_id, "download")
    with spooled(InputFile, files) as spool:
        written = write_parts(documents, spool, lambda _: {})
        plan: TransferPlan = {
            "parts": written.parts,
            "large": written.large,
            "files": spool.files,
            "bytes": spool.bytes,
        }
        documents.write("report", {**plan, "batches": written.batches})
        return plan


def iter_sums(s3: S3Client, bucket: str, run_id: str) -> Iterator[FileSum]:
    """Yield what the run has read so far, by part: each file that lies under its name, with its SHA-256."""
    documents = Documents(s3, bucket, run_id, "download")
    report = documents.read("report")
    for name in sum_names(report["batches"], report["large"]):
        with suppress(NotFound):  # the part has not run, or not to its end
            for line in documents.read_lines(name):
                yield FileSum(**line)  # type: ignore[typeddict-item]
