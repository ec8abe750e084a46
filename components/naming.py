"""Physical names and ARNs of a node. They follow from its name, so that policies can name what does not exist yet."""

from __future__ import annotations

from dataclasses import dataclass

# Run ids are UUIDs. The length of the pattern keeps node `a` out of what belongs to a node called `a-b`.
ANY_RUN_ID = "????????-????-????-????-????????????"
LOG_PREFIX = "/compute-node"


@dataclass(frozen=True, kw_only=True)
class Names:
    """Names of one node in one account and region."""

    node: str
    account: str
    region: str
    partition: str

    def function(self, role: str) -> str:
        """A Lambda function of the node itself."""
        return f"{self.node}-{role}"

    def processor_function(self, processor: str) -> str:
        """The Lambda function of a processor."""
        return f"{self.node}-p-{processor}"

    def role(self, purpose: str) -> str:
        """An IAM role. IAM is global, so the region is part of the name."""
        return f"{self.node}-{self.region}-{purpose}"

    def security_group(self, role: str) -> str:
        """A security group. EC2 refuses names that begin with sg-, which a node's may."""
        return f"compute-node-{self.node}-{role}"

    @property
    def cluster(self) -> str:
        return self.node

    @property
    def state_machine(self) -> str:
        return f"{self.node}-runs"

    @property
    def run_table(self) -> str:
        return f"{self.node}-runs"

    @property
    def results_bucket(self) -> str:
        return f"{self.node}-results-{self.account}-{self.region}"

    @property
    def log_bucket(self) -> str:
        return f"{self.node}-logs-{self.account}-{self.region}"

    def repository(self, processor: str) -> str:
        """The ECR repository of a processor."""
        return f"{self.node}/{processor}"

    @property
    def run_secrets(self) -> str:
        """Prefix of the secrets of runs."""
        return f"{self.node}/runs/"

    @property
    def user_secrets(self) -> str:
        """Prefix of the secrets that users keep in the node."""
        return f"{self.node}/secrets/"

    @property
    def log_groups(self) -> str:
        """Prefix of all log groups of the node, without a slash at its end."""
        return f"{LOG_PREFIX}/{self.node}"

    @property
    def processor_log_group(self) -> str:
        return f"{self.log_groups}/processors"

    @property
    def state_machine_log_group(self) -> str:
        return f"{self.log_groups}/state-machine"

    def function_log_group(self, role: str) -> str:
        """The log group of a function of the node itself."""
        return f"{self.log_groups}/functions/{role}"

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a regional resource of the account."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def role_arn(self, purpose: str) -> str:
        """The ARN of a role that `role` names."""
        return f"arn:{self.partition}:iam::{self.account}:role/{self.role(purpose)}"

    def bucket_arn(self, bucket: str, objects: str | None = None) -> str:
        """The ARN of a bucket, or of its objects whose keys match `objects`."""
        return f"arn:{self.partition}:s3:::{bucket}" + ("" if objects is None else f"/{objects}")

    def function_arn(self, role: str) -> str:
        """The ARN of a function that `function` names."""
        return self.arn("lambda", f"function:{self.function(role)}")

    @property
    def processor_functions_arn(self) -> str:
        """All Lambda functions of the node's processors, in all versions."""
        return self.arn("lambda", f"function:{self.processor_function('*')}")

    def log_group_arn(self, group: str) -> str:
        """The ARN of a log group; its streams match the ARN followed by a colon and a star."""
        return self.arn("logs", f"log-group:{group}")

    def secret_arn(self, prefix: str) -> str:
        """The ARN pattern of all secrets whose names begin with `prefix`."""
        return self.arn("secretsmanager", f"secret:{prefix}*")

    @property
    def cluster_arn(self) -> str:
        return self.arn("ecs", f"cluster/{self.cluster}")

    @property
    def tasks_arn(self) -> str:
        """All tasks in the node's cluster."""
        return self.arn("ecs", f"task/{self.cluster}/*")

    @property
    def task_definitions_arn(self) -> str:
        """All run-scoped task definitions of the node, in all revisions."""
        return self.arn("ecs", f"task-definition/{self.node}-{ANY_RUN_ID}-*:*")

    @property
    def run_table_arn(self) -> str:
        return self.arn("dynamodb", f"table/{self.run_table}")

    @property
    def state_machine_arn(self) -> str:
        return self.arn("states", f"stateMachine:{self.state_machine}")

    @property
    def executions_arn(self) -> str:
        """All executions of the state machine, not those of its distributed Maps."""
        return self.arn("states", f"execution:{self.state_machine}:*")

    @property
    def map_executions_arn(self) -> str:
        """The child executions of the state machine's distributed Maps."""
        return self.arn("states", f"execution:{self.state_machine}/*")

    @property
    def express_executions_arn(self) -> str:
        """Executions of an express kind, which IAM wants named beside the others; the node has none."""
        return self.arn("states", f"express:{self.state_machine}:*:*")

    @property
    def map_runs_arn(self) -> str:
        """The runs of the state machine's distributed Maps."""
        return self.arn("states", f"mapRun:{self.state_machine}/*:*")

    @property
    def container_instances_arn(self) -> str:
        """All container instances that the node's cluster could have."""
        return self.arn("ecs", f"container-instance/{self.cluster}/*")

    @property
    def repositories_arn(self) -> str:
        return self.arn("ecr", f"repository/{self.node}/*")
