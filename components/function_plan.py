"""The plan of the orchestration's functions: for each its size, its place and what it may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from components import grants
from components.functions import FunctionSpec
from components.policies import Statement

if TYPE_CHECKING:
    from components.context import NodeContext
    from components.naming import Names
    from components.storage import Storage

MINUTE = 60
LONGEST = 15 * MINUTE
ONE_VCPU = 1769  # MB; Lambda gives CPU by memory, and transfers are bound by hashing and TLS
PLANS, RESULTS = "plans/", "runs/"  # prefixes of the results bucket


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the specifications are made of. Functions that mount files may use S3 and DynamoDB, and nothing else."""

    context: NodeContext
    storage: Storage

    def specs(self) -> tuple[FunctionSpec, ...]:
        """All functions of the orchestration, in the order of a run, and those beside it."""
        return (
            self._initialize(),
            self._scope(),
            self._download(),
            self._prepare(),
            self._assess(),
            self._dispatch(),
            self._complete(),
            self._publish(),
            self._cleanup(),
            self._revoke(),
            self._finalize(),
            self._close(),
            self._reaper(),
        )

    @property
    def _names(self) -> Names:
        return self.context.names

    def _inputs(self) -> tuple[Statement, ...]:
        return grants.read_inputs(self._names, self.context.config.storage.input_buckets)

    def _initialize(self) -> FunctionSpec:
        table = ("GetItem", "PutItem", "UpdateItem", "Query", "BatchGetItem", "BatchWriteItem")
        return FunctionSpec(
            role="initialize",
            description="Validates a run, merges its parameters and plans its transfer",
            memory=512,
            timeout=5 * MINUTE,
            statements=(
                grants.run_table(self._names, *table),
                *self._inputs(),
                *self._plans(),
                grants.run_secrets(self._names, "DescribeSecret", "GetSecretValue"),
            ),
        )

    def _scope(self) -> FunctionSpec:
        return FunctionSpec(
            role="scope",
            description="Makes a run's directory, owned by the processors' user and entered by name only",
            memory=256,
            timeout=MINUTE,
            statements=(grants.run_table(self._names, "GetItem", "UpdateItem"),),
            mounts=self.storage.root_access_point,
            mounts_as_root=True,
        )

    def _download(self) -> FunctionSpec:
        return FunctionSpec(
            role="download",
            description="Brings a batch or a byte range of a run's input from S3",
            memory=ONE_VCPU,
            timeout=LONGEST,
            statements=(grants.run_table(self._names, "GetItem"), *self._inputs(), *self._plans()),
            mounts=self.storage.node_access_point,
        )

    def _plans(self) -> tuple[Statement, Statement]:
        """What a transfer needs for its documents: plan, receipts, checksums."""
        names, use = self._names, ("GetObject", "PutObject", "DeleteObject")
        return (
            grants.objects("Plans", names, names.results_bucket, (PLANS,), *use),
            grants.list_bucket("ListResults", names, names.results_bucket),
        )

    def _prepare(self) -> FunctionSpec:
        return FunctionSpec(
            role="prepare",
            description="Makes the directories and parameter files of a run's nodes",
            memory=256,
            timeout=5 * MINUTE,
            statements=(grants.run_table(self._names, "GetItem", "Query", "UpdateItem"), self._read_plans()),
            mounts=self.storage.node_access_point,
        )

    def _read_plans(self) -> Statement:
        return grants.objects("ReadPlans", self._names, self._names.results_bucket, (PLANS,), "GetObject")

    def _assess(self) -> FunctionSpec:
        return FunctionSpec(
            role="assess",
            description="Judges how an attempt ended, and prepares the next one",
            memory=256,
            timeout=5 * MINUTE,
            statements=(grants.run_table(self._names, "GetItem", "Query", "UpdateItem"),),
            mounts=self.storage.node_access_point,
        )

    def _dispatch(self) -> FunctionSpec:
        return FunctionSpec(
            role="dispatch",
            description="Starts a processor on Lambda with its payload and task token",
            memory=256,
            timeout=MINUTE,
            statements=(
                grants.run_table(self._names, "GetItem", "UpdateItem"),
                grants.run_secrets(self._names, "GetSecretValue"),
                Statement(
                    sid="InvokeProcessors",
                    actions=("lambda:InvokeFunction",),
                    resources=(self._names.processor_functions_arn,),
                ),
            ),
        )

    def _complete(self) -> FunctionSpec:
        return FunctionSpec(
            role="complete",
            description="Completes the task token of a processor that ended on Lambda",
            memory=256,
            timeout=MINUTE,
            statements=(grants.run_table(self._names, "GetItem", "UpdateItem"), grants.complete_tasks()),
        )

    def _publish(self) -> FunctionSpec:
        names, write = self._names, ("GetObject", "PutObject", "AbortMultipartUpload", "ListMultipartUploadParts")
        return FunctionSpec(
            role="publish",
            description="Copies a run's outputs to the results bucket, with a manifest",
            memory=ONE_VCPU,
            timeout=LONGEST,
            statements=(
                grants.run_table(names, "GetItem", "Query", "UpdateItem"),
                *self._plans(),
                grants.objects("WriteResults", names, names.results_bucket, (RESULTS,), *write),
                self._find_uploads(),
            ),
            mounts=self.storage.node_access_point,
        )

    def _find_uploads(self) -> Statement:
        """Find uploads of results that were begun and not completed."""
        bucket = self._names.bucket_arn(self._names.results_bucket)
        return Statement(sid="FindUploads", actions=("s3:ListBucketMultipartUploads",), resources=(bucket,))

    def _cleanup(self) -> FunctionSpec:
        names = self._names
        return FunctionSpec(
            role="cleanup",
            description="Removes a run's files, transfer plans and unfinished uploads",
            memory=512,
            timeout=LONGEST,
            statements=(
                grants.run_table(names, "GetItem", "Query", "UpdateItem"),
                *self._plans(),
                grants.objects("AbortUploads", names, names.results_bucket, (RESULTS,), "AbortMultipartUpload"),
                self._find_uploads(),
            ),
            mounts=self.storage.node_access_point,
        )

    def _revoke(self) -> FunctionSpec:
        return FunctionSpec(
            role="revoke",
            description="Stops a run's tasks, and removes its access point, task definitions and secret",
            memory=256,
            timeout=5 * MINUTE,
            statements=(grants.run_table(self._names, "GetItem", "Query", "UpdateItem"), *self._revocations()),
        )

    def _revocations(self) -> tuple[Statement, ...]:
        return (
            grants.tasks(self._names, "StopTask", "DescribeTasks"),
            grants.list_tasks(self._names),
            *grants.retire_task_definitions(self._names),
            *grants.run_access_points(self._names, self.storage.file_system.arn),
            grants.run_secrets(self._names, "DeleteSecret", "DescribeSecret"),
        )

    def _finalize(self) -> FunctionSpec:
        names, write = self._names, ("PutObject", "AbortMultipartUpload")
        return FunctionSpec(
            role="finalize",
            description="Archives a run's logs and records how it ended",
            memory=1024,
            timeout=LONGEST,
            statements=(
                grants.run_table(names, "GetItem", "Query", "UpdateItem"),
                grants.read_logs(names),
                grants.objects("WriteArchive", names, names.log_bucket, ("workflows/",), *write),
                grants.run_secrets(names, "GetSecretValue"),
            ),
        )

    def _close(self) -> FunctionSpec:
        return FunctionSpec(
            role="close",
            description="Ends a run whose execution was stopped before it could do so itself",
            memory=256,
            timeout=5 * MINUTE,
            statements=(
                grants.run_table(self._names, "GetItem", "Query", "UpdateItem"),
                self._invoke("cleanup", "revoke", "finalize"),
                grants.executions(self._names, "DescribeExecution", "StopExecution"),
                grants.start_executions(self._names),
            ),
        )

    def _reaper(self) -> FunctionSpec:
        return FunctionSpec(
            role="reaper",
            description="Stops what never starts, and removes what a run left behind",
            memory=512,
            timeout=LONGEST,
            statements=(
                grants.run_table(self._names, "GetItem", "Query", "UpdateItem"),
                self._invoke("cleanup", "revoke", "finalize", "close"),
                grants.executions(self._names, "DescribeExecution", "StopExecution"),
                grants.start_executions(self._names),
                *self._revocations(),
                Statement(
                    sid="ListSecrets",
                    actions=("secretsmanager:ListSecrets",),
                    any_resource="ListSecrets has no resource-level permissions",
                ),
            ),
        )

    def _invoke(self, *roles: str) -> Statement:
        functions = [self._names.function_arn(role) for role in roles]
        return Statement(sid="InvokeFunctions", actions=("lambda:InvokeFunction",), resources=functions)
