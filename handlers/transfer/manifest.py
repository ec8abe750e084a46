"""Plans a run's publication, and writes the manifest of what was published."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, TypedDict

from handlers.transfer import uploads
from handlers.transfer.model import OutputFile
from handlers.transfer.spool import spooled, sum_names, write_parts
from handlers.transfer.walk import Unpublished, Walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from handlers.transfer.store import Documents
    from handlers.transfer.tree import RunTree

CHUNK_BYTES = 8 << 20
# What the answer of a step may carry is a fraction of a state's 256 KiB; the report in S3 has more.
ANSWER_ITEMS = 50
REPORT_ITEMS = 1_000
WARNING_CHARACTERS = 400


class PublishPlan(TypedDict):
    """Counts of a plan, and the first of what it leaves out: the report has up to REPORT_ITEMS of them."""

    parts: int
    multipart: int
    files: int
    bytes: int
    emptyNodes: list[str]
    emptyNodeCount: int
    refused: int
    skipped: int
    warnings: list[str]


@dataclass
class Findings:
    """What a walk over all nodes' outputs found beside files."""

    empty: list[str] = field(default_factory=list)
    entries: list[Unpublished] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: {"refused": 0, "skipped": 0})

    def report(self, entry: Unpublished) -> None:
        """Count an entry, and keep it while there are few."""
        self.counts[entry.kind] += 1
        if len(self.entries) < REPORT_ITEMS:
            self.entries.append(entry)


def write_publish_plan(
    documents: Documents, tree: RunTree, run_id: str, nodes: Iterable[str], created_at: str
) -> PublishPlan:
    """Write the parts of the publication below `plans/{run_id}/publish/`, begin its uploads and return its counts.

    Uploads that an earlier attempt at this plan has begun are aborted first.
    """
    s3, bucket = documents.s3, documents.bucket
    uploads.abort_uploads(s3, bucket, run_id)
    findings = Findings()

    def begin(file: OutputFile) -> dict[str, str]:
        return {"upload": uploads.begin(s3, bucket, file.key(run_id)).upload_id}

    with spooled(OutputFile, _walk(tree, run_id, nodes, findings)) as spool:
        written = write_parts(documents, spool, begin)
        plan: PublishPlan = {
            "parts": written.parts,
            "multipart": written.large,
            "files": spool.files,
            "bytes": spool.bytes,
            "emptyNodes": findings.empty[:ANSWER_ITEMS],
            "emptyNodeCount": len(findings.empty),
            "refused": findings.counts["refused"],
            "skipped": findings.counts["skipped"],
            "warnings": [str(entry)[:WARNING_CHARACTERS] for entry in findings.entries[:ANSWER_ITEMS]],
        }
    documents.write(
        "report",
        {
            **plan,
            "createdAt": created_at,
            "batches": written.batches,
            "emptyNodes": findings.empty,
            "unpublished": [asdict(entry) for entry in findings.entries],
        },
    )
    return plan


def _walk(tree: RunTree, run_id: str, nodes: Iterable[str], findings: Findings) -> Iterator[OutputFile]:
    for node in nodes:
        count = 0
        for file in Walk(tree, run_id, node, findings.report):
            count += 1
            yield file
        if not count:
            findings.empty.append(node)


def write_manifest(documents: Documents, run_id: str, workflow_instance_id: str) -> str:
    """Write `runs/{run_id}/manifest.json` and return its key; NotFound where a part of the plan has not run."""
    key = f"runs/{run_id}/manifest.json"
    report = documents.read("report")
    head = {"executionRunId": run_id, "workflowInstanceId": workflow_instance_id, "createdAt": report["createdAt"]}
    names = sum_names(report["batches"], report["multipart"])
    lines = (json.dumps(line) for name in names for line in documents.read_lines(name))
    uploads.put_stream(documents.s3, documents.bucket, key, _chunks(_text(json.dumps(head), lines)))
    return key


def _text(head: str, lines: Iterable[str]) -> Iterator[bytes]:
    yield f'{head.removesuffix("}")}, "files": ['.encode()
    separator = "\n"
    for line in lines:
        yield f"{separator}{line}".encode()
        separator = ",\n"
    yield b"\n]}\n"


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Gather pieces into chunks that a multipart upload takes."""
    chunk = bytearray()
    for piece in pieces:
        chunk += piece
        if len(chunk) >= CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    yield bytes(chunk)
