"""The stack's configuration: what is accepted, what is refused and in which words, and what Pulumi.yaml says of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime.mocks import MockCallArgs, MockResourceArgs, Mocks

PROGRAM = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROGRAM))

from components.fargate import MEMORY_FOR_CPU, TaskSize  # noqa: E402
from config import NodeConfig  # noqa: E402

BUILD = {"name": "mask", "build": "processor"}
DIGEST = f"sha256:{'a' * 64}"


class Silent(Mocks):
    """Answers nothing: reading the configuration asks for nothing."""

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        raise AssertionError(args.typ)

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], None]:
        raise AssertionError(args.token)


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Path:
    """A program's folder with one build context, and a stack to ask for."""
    (tmp_path / "processor").mkdir()
    (tmp_path / "processor" / "Dockerfile").write_text("FROM scratch\n")
    pulumi.runtime.set_mocks(Silent(), project="compute-node", stack="lab")
    return tmp_path


def load(root: Path, region: str | None = "us-east-1", **keys: Any) -> NodeConfig:
    """The configuration out of keys as a stack file would hold them."""
    stored = {
        f"compute-node:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in keys.items()
    }
    pulumi.runtime.set_all_config(stored | ({"aws:region": region} if region else {}))
    return NodeConfig.load(root)


def refused(root: Path, **keys: Any) -> list[str]:
    """The lines in which a configuration is refused."""
    with pytest.raises(pulumi.RunError) as caught:
        load(root, **keys)
    return str(caught.value).splitlines()


def processor_refused(root: Path, **keys: Any) -> list[str]:
    """The lines in which a processor is refused, without the key of the list."""
    lines = refused(root, processors=[{**BUILD, **keys}])
    return [line.removeprefix("compute-node:processors[0].") for line in lines]


def test_nothing_but_the_region_is_needed(root: Path) -> None:
    config = load(root)
    assert (config.name, config.mode, config.region, config.processors) == (
        "compute-node-lab",
        "basic",
        "us-east-1",
        (),
    )
    assert not config.removal_protection


def test_the_region_is_needed(root: Path) -> None:
    assert refused(root, region=None) == ["aws:region: is required"]


def test_the_region_has_its_key_in_another_namespace(root: Path) -> None:
    pulumi.runtime.set_all_config({"aws:region": "us-east-1", "compute-node:region": "eu-west-1"})
    with pytest.raises(pulumi.RunError, match=r"^compute-node:region: unknown key, did you mean aws:region\?$"):
        NodeConfig.load(root)


def test_pulumi_yaml_describes_every_key_with_the_default_that_the_program_has(root: Path) -> None:
    described = yaml.safe_load((PROGRAM / "Pulumi.yaml").read_text())["config"]
    fields = {field.alias or name for name, field in NodeConfig.model_fields.items()} - {"region"}
    assert set(described) == fields
    assert all(entry["description"] for entry in described.values())
    defaults = {key: json.dumps(entry["default"]) if entry["default"] != "" else "" for key, entry in described.items()}
    assert load(root, **{key: value.strip('"') for key, value in defaults.items()}) == load(root)


@pytest.mark.parametrize("stack", ["basic", "secure", "compliant"])
def test_stack_files_are_accepted_and_name_their_mode(stack: str) -> None:
    stored = yaml.safe_load((PROGRAM / f"Pulumi.{stack}.yaml").read_text())["config"]
    pulumi.runtime.set_all_config(
        {key: value if isinstance(value, str) else json.dumps(value) for key, value in stored.items()}
    )
    assert NodeConfig.load(PROGRAM).mode == stack


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"name": "Lab"}, "name: 'Lab' is refused: string should match pattern '^[a-z][a-z0-9-]{1,30}[a-z0-9]$'"),
        (
            {"name": "lab-p-one"},
            "name: 'lab-p-one' may not have p as a word of its own: it marks the functions of processors",
        ),
        ({"name": "lab-p"}, "name: 'lab-p' may not have p as a word of its own: it marks the functions of processors"),
        ({"mode": "strict"}, "mode: 'strict' is refused: input should be 'basic', 'secure' or 'compliant'"),
        ({"baaAcknowledged": "yes"}, "baaAcknowledged: 'yes' is refused: input should be a valid boolean"),
        (
            {"network": "{"},
            "network: is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        ({"network": {"zones": "2"}}, "network.zones: '2' is refused: input should be a valid integer"),
        ({"network": {"zones": 0}}, "network.zones: 0 is refused: input should be greater than or equal to 1"),
        ({"network": {"zone": 1}}, "network.zone: unknown key, did you mean zones?"),
        ({"network": {"x": 1}}, "network.x: unknown key, allowed are borrowGatewayEndpoints, cidr, zones"),
        (
            {"network": {"cidr": "10.0.0.0/16"}},
            "network.cidr: '10.0.0.0/16' has no meaning in the account's default VPC",
        ),
        ({"logs": {"deleteAfterDays": 90}}, "logs.deleteAfterDays: 90 must be more than archiveAfterDays, which is 90"),
        ({"storage": {"inputBuckets": ["*"]}}, "storage.inputBuckets[0]: '*' is refused: string should match pattern"),
        (
            {"gateway": {"allowedPrincipals": ["*"]}},
            "gateway.allowedPrincipals[0]: '*' is refused: string should match pattern",
        ),
        ({"platform": {"host": "http://x"}}, "platform.host: 'http://x' is refused: string should match pattern"),
        ({"processors": {}}, "processors: {} is refused: input should be a valid array"),
        ({"processors": ["mask"]}, "processors[0]: 'mask' is refused: input should be an object"),
    ],
)
def test_a_mistake_is_one_line_with_its_key(root: Path, keys: dict[str, Any], line: str) -> None:
    [found] = refused(root, **keys)
    assert found.startswith(f"compute-node:{line}")


@pytest.mark.parametrize("mode", ["secure", "compliant"])
def test_llm_access_beyond_basic_needs_the_operators_word(root: Path, mode: str) -> None:
    assert refused(root, mode=mode, enableLLMAccess="true") == [
        f"compute-node:baaAcknowledged: must be true for enableLLMAccess in mode {mode}"
    ]
    assert load(root, mode=mode, enableLLMAccess="true", baaAcknowledged="true").enable_llm_access
    assert load(root, mode="basic", enableLLMAccess="true").enable_llm_access


@pytest.mark.parametrize(("region", "limit"), [("us-east-1", 32), ("ap-southeast-1", 27)])
def test_a_name_must_leave_room_for_the_buckets(root: Path, region: str, limit: int) -> None:
    assert len(f"{load(root, region=region, name='n' * limit).name}-results-123456789012-{region}") <= 63
    if limit < 32:
        assert refused(root, region=region, name="n" * (limit + 1)) == [
            f"compute-node:name: '{'n' * (limit + 1)}' is too long: bucket names leave {limit} characters in {region}"
        ]


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"name": "Mask"}, "name: 'Mask' is refused: string should match pattern '^[a-z][a-z0-9-]{0,47}$'"),
        ({"build": "nowhere"}, "build: 'nowhere' is no folder with a Dockerfile"),
        ({"build": None}, "image: give either build (a folder with a Dockerfile) or image (name@sha256:digest)"),
        (
            {"image": f"tool@{DIGEST}"},
            "image: give either build (a folder with a Dockerfile) or image (name@sha256:digest)",
        ),
        ({"computeTypes": []}, "computeTypes: [] must name one compute type or more, each once"),
        (
            {"computeTypes": ["ecs", "ecs"]},
            "computeTypes: ['ecs', 'ecs'] must name one compute type or more, each once",
        ),
        ({"computeTypes": ["gpu"]}, "computeTypes[0]: 'gpu' is refused: input should be 'ecs' or 'lambda'"),
        ({"cpu": 300, "memory": 512}, "cpu: 300 with 512 MB is not a Fargate size; nearest valid: cpu 256, memory 512"),
        (
            {"cpu": 1024, "memory": 9000},
            "cpu: 1024 with 9000 MB is not a Fargate size; nearest valid: cpu 1024, memory 8192",
        ),
        ({"computeTypes": ["lambda"], "memory": 64}, "memory: 64 MB is not offered by Lambda: 128 to 10240"),
        (
            {"computeTypes": ["lambda"], "timeoutSeconds": 901},
            "timeoutSeconds: 901 s is not offered by Lambda: at most 900",
        ),
        (
            {"computeTypes": ["lambda"], "ephemeralStorageGiB": 11},
            "ephemeralStorageGiB: 11 GiB is not offered by Lambda: at most 10",
        ),
        (
            {"environment": {"SESSION_TOKEN": "x"}},
            "environment.SESSION_TOKEN: SESSION_TOKEN is reserved: the node or AWS sets it",
        ),
        (
            {"environment": {"AWS_REGION": "x"}},
            "environment.AWS_REGION: AWS_REGION is reserved: the node or AWS sets it",
        ),
        (
            {"parameters": {"INPUT_DIR": {"type": "string"}}},
            "parameters.INPUT_DIR: INPUT_DIR is reserved: the node or AWS sets it",
        ),
        (
            {"parameters": {"x": {"type": "number", "default": True}}},
            "parameters.x.default: True is not of the parameter's type number",
        ),
        (
            {"parameters": {"x": {"type": "integer", "default": 1.5}}},
            "parameters.x.default: 1.5 is not of the parameter's type integer",
        ),
        (
            {"parameters": {"x": {"type": "string", "default": None}}},
            "parameters.x.default: None is not of the parameter's type string",
        ),
        (
            {"parameters": {"x": {"type": "text"}}},
            "parameters.x.type: 'text' is refused: input should be 'number', 'integer', 'string' or",
        ),
        (
            {"parameters": {"x": {"type": "string"}}, "environment": {"x": "y"}},
            "environment.x: is also a parameter, which has the same name in the environment",
        ),
    ],
)
def test_a_processors_mistake_is_one_line_with_its_key(root: Path, keys: dict[str, Any], line: str) -> None:
    [found] = processor_refused(root, **keys)
    assert found.startswith(line)


def test_lambda_takes_no_images_from_elsewhere(root: Path) -> None:
    foreign = {"name": "mask", "image": f"docker.io/team/mask@{DIGEST}", "computeTypes": ["lambda"]}
    [line] = refused(root, processors=[foreign])
    assert line.endswith("cannot run on Lambda: it takes images of ECR in us-east-1 only")
    own = {**foreign, "image": f"123456789012.dkr.ecr.us-east-1.amazonaws.com/mask@{DIGEST}"}
    assert load(root, processors=[own]).processors[0].on_lambda


def test_a_lambda_processors_name_must_fit_behind_the_nodes(root: Path) -> None:
    long = {**BUILD, "name": "m" * 48, "computeTypes": ["lambda"]}
    [line] = refused(root, name="a-node-with-a-long-name", processors=[long])
    assert line.endswith("is too long: its function's name leaves 38 characters")


def test_names_are_given_once(root: Path) -> None:
    assert refused(root, processors=[BUILD, BUILD, {**BUILD, "name": "other"}]) == [
        "compute-node:processors[1].name: 'mask' is already the name of processors[0]"
    ]


def test_one_mistake_does_not_hide_another(root: Path) -> None:
    lines = refused(root, mode="strict", netwrok={}, processors=[{**BUILD, "cpu": 1, "retries": -1}, BUILD])
    assert [line.partition(": ")[0] for line in lines] == [
        "compute-node:mode",
        "compute-node:processors[0].cpu",
        "compute-node:processors[0].retries",
        "compute-node:netwrok",
        "compute-node:processors[1].name",
    ]


def test_a_parameter_without_a_default_is_required(root: Path) -> None:
    parameters = {"must": {"type": "number"}, "may": {"type": "number", "default": 1}}
    [processor] = load(root, processors=[{**BUILD, "parameters": parameters}]).processors
    assert {name: parameter.is_required for name, parameter in processor.parameters.items()} == {
        "must": True,
        "may": False,
    }


def test_a_configuration_cannot_be_changed(root: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(root).mode = "secure"


@given(cpu=st.integers(1, 20_000), memory=st.integers(1, 150_000))
def test_the_nearest_size_is_one_that_fargate_has(cpu: int, memory: int) -> None:
    size = TaskSize(cpu, memory)
    assert size.nearest().is_offered
    assert not size.is_offered or size.nearest() == size


def test_every_offered_size_is_its_own_nearest() -> None:
    sizes = [TaskSize(cpu, memory) for cpu, offered in MEMORY_FOR_CPU.items() for memory in offered]
    assert [size.nearest() for size in sizes] == sizes


@pytest.mark.parametrize(
    ("cpu", "smallest", "largest", "step"),
    [
        (512, 1024, 4096, 1024),
        (1024, 2048, 8192, 1024),
        (2048, 4096, 16384, 1024),
        (4096, 8192, 30720, 1024),
        (8192, 16384, 61440, 4096),
        (16384, 32768, 122880, 8192),
    ],
)
def test_fargate_offers_a_range_of_memory_for_each_cpu(cpu: int, smallest: int, largest: int, step: int) -> None:
    assert all(TaskSize(cpu, memory).is_offered for memory in (smallest, smallest + step, largest))
    assert not any(TaskSize(cpu, memory).is_offered for memory in (smallest - step, smallest + 1, largest + step))
