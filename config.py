"""The stack's configuration: read once, checked as a whole, and told about in one line a mistake."""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Network  # noqa: TC003 - pydantic needs the type itself
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel

from components import consistency, mistakes
from components.fargate import FREE_STORAGE_GIB, MAX_STORAGE_GIB, TaskSize
from components.modes import MODES, Mode, ModeFacts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NAMESPACE = "compute-node"
# What the node itself puts into a processor's environment.
RESERVED_ENVIRONMENT = frozenset(
    {
        "INPUT_DIR",
        "OUTPUT_DIR",
        "EXECUTION_RUN_ID",
        "WORKFLOW_INSTANCE_ID",
        "INTEGRATION_ID",
        "SESSION_TOKEN",
        "REFRESH_TOKEN",
        "PENNSIEVE_API_HOST",
        "PENNSIEVE_API_HOST2",
        "DEPLOYMENT_MODE",
        "DATASET_ID",
        "ORGANIZATION_ID",
        "TARGET_TYPE",
        "LLM_GOVERNOR_FUNCTION",
        "LLM_RUN_TOKEN",
        "CALLBACK_TOKEN",
        "LAYERS_DIR",
        "PARAMETERS_FILE",
    }
)
RESERVED_PREFIXES = ("AWS_", "ECS_", "LAMBDA_")
MAX_LAMBDA_SECONDS = 900
LAMBDA_MEMORY = range(128, 10240 + 1)
MAX_LAMBDA_STORAGE_GIB = 10
STRUCTURED = frozenset({"llm", "network", "storage", "logs", "gateway", "platform", "processors"})
SWITCHES, SWITCH_TEXTS = frozenset({"enableLLMAccess", "baaAcknowledged"}), frozenset({"true", "false"})
ComputeType = Literal["ecs", "lambda"]
Scalar = float | int | bool | str
Days = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653]


def _environment_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(f"{name!r} is no name for an environment variable: letters, digits and _, no digit first")
    if name in RESERVED_ENVIRONMENT or name.startswith(RESERVED_PREFIXES):
        raise ValueError(f"{name} is reserved: the node or AWS sets it")
    return name


EnvironmentName = Annotated[str, AfterValidator(_environment_name)]
BucketName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
Principal = Annotated[str, Field(pattern=r"^(\d{12}|arn:aws[a-z-]*:iam::\d{12}:(root|(role|user)/[\w+=,.@/-]+))$")]
HttpsUrl = Annotated[str, Field(pattern=r"^https://[^\s/]+(/\S*)?$")]


class Settings(BaseModel):
    """What every part of the configuration shares: camelCase keys, no unknown ones, no change after reading."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Parameter(Settings):
    """A parameter of a processor. Without a default every run must give it."""

    type: Literal["number", "integer", "string", "boolean"]
    default: Scalar | None = None
    description: str = ""

    @field_validator("default")
    @classmethod
    def _default_has_the_type(cls, value: Scalar | None, info: ValidationInfo) -> Scalar | None:
        fits = {"number": (int, float), "integer": (int,), "string": (str,), "boolean": (bool,)}
        kind = info.data.get("type")
        if kind and (not isinstance(value, fits[kind]) or (isinstance(value, bool) and kind != "boolean")):
            raise ValueError(f"{value!r} is not of the parameter's type {kind}")
        return value

    @property
    def is_required(self) -> bool:
        """Whether a run must give a value."""
        return "default" not in self.model_fields_set


class Processor(Settings):
    """A processor that workflows may name."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,47}$")
    description: str = ""
    build: str | None = Field(default=None, min_length=1)
    # After `build`, whose presence decides whether an image is needed.
    image: str | None = Field(default=None, pattern=r"^[^\s@]+@sha256:[0-9a-f]{64}$", validate_default=True)
    compute_types: tuple[ComputeType, ...] = ("ecs",)
    memory: int = Field(default=2048, gt=0)
    cpu: int = Field(default=1024, gt=0, validate_default=True)
    ephemeral_storage_gib: int = Field(
        default=FREE_STORAGE_GIB, ge=1, le=MAX_STORAGE_GIB, alias="ephemeralStorageGiB", validate_default=False
    )
    timeout_seconds: int = Field(default=MAX_LAMBDA_SECONDS, ge=1, le=7 * 86_400)
    start_deadline_seconds: int = Field(default=600, ge=60, le=21_600)
    retries: int = Field(default=0, ge=0, le=10)
    lambda_handler: str = Field(default="processor.handler", pattern=r"^[A-Za-z_][\w.]*\.[A-Za-z_]\w*$")
    parameters: dict[EnvironmentName, Parameter] = {}
    environment: dict[EnvironmentName, str] = {}

    @property
    def on_lambda(self) -> bool:
        """Whether the processor may run on Lambda."""
        return "lambda" in self.compute_types

    @field_validator("image")
    @classmethod
    def _one_source(cls, image: str | None, info: ValidationInfo) -> str | None:
        if "build" in info.data and (info.data["build"] is None) == (image is None):
            raise ValueError("give either build (a folder with a Dockerfile) or image (name@sha256:digest)")
        return image

    @field_validator("compute_types")
    @classmethod
    def _each_type_once(cls, types: tuple[ComputeType, ...]) -> tuple[ComputeType, ...]:
        if not types or len(set(types)) < len(types):
            raise ValueError(f"{list(types)} must name one compute type or more, each once")
        return types

    @field_validator("memory")
    @classmethod
    def _memory_on_lambda(cls, memory: int, info: ValidationInfo) -> int:
        if "lambda" in info.data.get("compute_types", ()) and memory not in LAMBDA_MEMORY:
            raise ValueError(f"{memory} MB is not offered by Lambda: {LAMBDA_MEMORY[0]} to {LAMBDA_MEMORY[-1]}")
        return memory

    @field_validator("cpu")
    @classmethod
    def _size_on_fargate(cls, cpu: int, info: ValidationInfo) -> int:
        if "ecs" not in info.data.get("compute_types", ("ecs",)) or "memory" not in info.data:
            return cpu
        size = TaskSize(cpu, info.data["memory"])
        if not size.is_offered:
            near = size.nearest()
            valid = f"cpu {near.cpu}, memory {near.memory}"
            raise ValueError(f"{cpu} with {size.memory} MB is not a Fargate size; nearest valid: {valid}")
        return cpu

    @field_validator("ephemeral_storage_gib")
    @classmethod
    def _storage_on_lambda(cls, size: int, info: ValidationInfo) -> int:
        if "lambda" in info.data.get("compute_types", ()) and size > MAX_LAMBDA_STORAGE_GIB:
            raise ValueError(f"{size} GiB is not offered by Lambda: at most {MAX_LAMBDA_STORAGE_GIB}")
        return size

    @field_validator("timeout_seconds")
    @classmethod
    def _time_on_lambda(cls, seconds: int, info: ValidationInfo) -> int:
        if "lambda" in info.data.get("compute_types", ()) and seconds > MAX_LAMBDA_SECONDS:
            raise ValueError(f"{seconds} s is not offered by Lambda: at most {MAX_LAMBDA_SECONDS}")
        return seconds


class Network(Settings):
    """Where the node lives. Each zone costs a mount target and, beyond basic, its endpoints."""

    zones: int = Field(default=2, ge=1, le=6)
    cidr: IPv4Network | None = None
    borrow_gateway_endpoints: bool = False


class Storage(Settings):
    """Which buckets runs may read, and whether data outlives the stack."""

    input_buckets: tuple[BucketName, ...] = ()
    removal_protection: bool | None = None


class Logs(Settings):
    """How long logs are kept, in days."""

    retention_days: Days = 30
    archive_after_days: int = Field(default=90, ge=1)
    delete_after_days: int = Field(default=2555, ge=1, validate_default=True)

    @field_validator("delete_after_days")
    @classmethod
    def _delete_after_archive(cls, days: int, info: ValidationInfo) -> int:
        if days <= (archive := info.data.get("archive_after_days", 0)):
            raise ValueError(f"{days} must be more than archiveAfterDays, which is {archive}")
        return days


class Gateway(Settings):
    """Who may call the gateway; without a list, whom the account's own policies allow."""

    allowed_principals: tuple[Principal, ...] = ()
    powertools_layer_arn: str | None = Field(
        default=None, pattern=r"^arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:layer:[\w-]+:\d+$"
    )


class Platform(Settings):
    """The platform's APIs. Without them the node works alone."""

    host: HttpsUrl | None = None
    host2: HttpsUrl | None = None


class Llm(Settings):
    """How processors may use models."""

    require_run_token: bool | None = None


class NodeConfig(Settings):
    """All of a stack's configuration, as `Pulumi.yaml` describes it."""

    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$", exclude=True)
    name: str = Field(pattern=r"^[a-z][a-z0-9-]{1,30}[a-z0-9]$")
    mode: Mode = "basic"
    environment: str = Field(default="development", max_length=256, pattern=r"^[A-Za-z0-9 _.:/=+@-]+$")
    architecture: Literal["x86_64", "arm64"] = "x86_64"
    enable_llm_access: bool = Field(default=False, alias="enableLLMAccess")
    baa_acknowledged: bool = False
    llm: Llm = Llm()
    network: Network = Network()
    storage: Storage = Storage()
    logs: Logs = Logs()
    gateway: Gateway = Gateway()
    platform: Platform = Platform()
    permissions_boundary_arn: str | None = Field(default=None, pattern=r"^arn:aws[a-z-]*:iam::(\d{12}|aws):policy/\S+$")
    processors: tuple[Processor, ...] = ()

    @property
    def facts(self) -> ModeFacts:
        """What the mode means."""
        return MODES[self.mode]

    @property
    def removal_protection(self) -> bool:
        """Whether buckets, table and file system refuse to be deleted."""
        given = self.storage.removal_protection
        return self.facts.keeps_data if given is None else given

    @classmethod
    def load(cls, root: Path) -> NodeConfig:
        """Read the stack's configuration; build contexts are relative to `root`.

        Raises pulumi.RunError with a line for each mistake.
        """
        given, found = _read()
        config = None
        try:
            config = cls.model_validate_json(json.dumps(given), strict=True)
        except ValidationError as error:
            told = mistakes.lines(NAMESPACE, cls, error)
            found += [line.replace(f"{NAMESPACE}:region:", "aws:region:") for line in told]
        found += consistency.lines(NAMESPACE, given, root)
        if config is None or found:
            raise pulumi.RunError("\n".join(found))
        return config


def _read() -> tuple[dict[str, Any], list[str]]:
    """The values under our namespace, decoded, and the mistakes met on the way."""
    stored: Mapping[str, str] = {**get_config_env(), **CONFIG.get()}
    given: dict[str, Any] = {"name": f"{pulumi.get_project()}-{pulumi.get_stack()}"}
    found = []
    for key, text in sorted(stored.items()):
        namespace, _, name = key.partition(":")
        if key == "aws:region":
            given["region"] = text
        elif namespace != NAMESPACE or not text:
            continue  # an empty text is Pulumi.yaml's default for what is not set
        elif name == "region":
            found.append(f"{key}: unknown key, did you mean aws:region?")
        elif name in STRUCTURED and (mistake := _not_json(text)):
            found.append(f"{key}: {mistake}")
        else:
            given[name] = (
                json.loads(text) if name in STRUCTURED or (name in SWITCHES and text in SWITCH_TEXTS) else text
            )
    return given, found


def _not_json(text: str) -> str | None:
    try:
        json.loads(text)
    except ValueError as error:
        return f"is not JSON: {error}"
    return None
