"""`--input`, `--param`, `--compute` and the workflow file: what is sent, and what is refused before anything is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cli.errors import CliError, UsageError
from cli.inputs import LARGEST_UPLOAD, parse_inputs, split_input
from cli.parameters import parse_assignments, parse_compute, run_parameters
from cli.workflow import load_workflow, parse_yaml

WORKFLOW = {
    "name": "w",
    "processors": [
        {"id": "align", "processor": "realign"},
        {"id": "mask.one", "processor": "brain-mask", "parameters": {"threshold": 0.4}},
        {"id": "mask", "processor": "brain-mask"},
    ],
}
PROCESSORS = [
    {"name": "realign", "parameters": {"label": {"type": "string"}, "rounds": {"type": "integer"}}},
    {
        "name": "brain-mask",
        "parameters": {
            "threshold": {"type": "number"},
            "fill": {"type": "boolean"},
            "label": {"type": "string"},
        },
    },
]


def applied(*given: str) -> dict[str, Any]:
    """Return the request's parameters."""
    return run_parameters(parse_assignments(given, WORKFLOW), WORKFLOW, PROCESSORS)


class TestInputs:
    def test_a_file_keeps_its_name_and_a_directory_gives_its_contents(self, tmp_path: Path) -> None:
        (tmp_path / "scan.nii").write_bytes(b"12345")
        (tmp_path / "d" / "e").mkdir(parents=True)
        (tmp_path / "d" / "e" / "x").write_bytes(b"")
        (tmp_path / "d" / ".hidden").write_bytes(b"1")
        inputs = parse_inputs([str(tmp_path / "scan.nii"), str(tmp_path / "d")])
        assert [(file.path, file.size) for file in inputs.local] == [("scan.nii", 5), (".hidden", 1), ("e/x", 0)]

    def test_a_path_after_the_equals_sign_renames_a_file_and_prefixes_a_directory(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "b").write_text("x")
        given = [f"{tmp_path}/a/b=sub/c", f"{tmp_path}/a/b=folder/", f"{tmp_path}/a=deep/er"]
        assert [file.path for file in parse_inputs(given).local] == ["sub/c", "folder/b", "deep/er/b"]

    def test_s3_uris_are_passed_on(self) -> None:
        inputs = parse_inputs(["s3://b/prefix/", "s3://b/key=as/this"])
        assert inputs.local == ()
        assert inputs.remote == ({"uri": "s3://b/prefix/"}, {"uri": "s3://b/key", "path": "as/this"})

    def test_a_folder_for_an_s3_uri_is_spelled_as_the_node_wants_it(self) -> None:
        remote = parse_inputs(["s3://b/p/=in/", "s3://b/x/key=in/"]).remote
        assert [entry["path"] for entry in remote] == ["in", "in/key"]
        with pytest.raises(UsageError, match="not a relative path"):
            parse_inputs(["s3://b/key=../up"])

    def test_equals_signs_of_a_key_or_a_path_survive(self, tmp_path: Path) -> None:
        assert split_input("s3://b/year=2026/x=") == ("s3://b/year=2026/x", None)
        path = tmp_path / "sub=01"
        path.write_text("x")
        assert split_input(str(path)) == (str(path), None)

    def test_two_inputs_of_one_name_are_both_named(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "scan").write_text("x")
        with pytest.raises(UsageError, match=r"two inputs would be 'scan' .*/a/scan and .*/b/scan"):
            parse_inputs([f"{tmp_path}/a/scan", f"{tmp_path}/b/scan"])

    def test_what_is_too_large_for_one_upload_is_told_the_way_by_s3(self, tmp_path: Path) -> None:
        big = tmp_path / "big.nii"
        with big.open("wb") as file:
            os.truncate(file.fileno(), LARGEST_UPLOAD + 1)
        with pytest.raises(CliError, match=r"big\.nii is 5\.0 GiB: an upload can be at most 5\.0 GiB") as caught:
            parse_inputs([str(big)])
        assert "aws s3 cp" in str(caught.value.hint)

    @pytest.mark.parametrize("path", ["/abs", "../up", "a/../b", "a//b", "./a"])
    def test_a_path_that_is_not_relative_below_the_inputs_is_refused(self, path: str, tmp_path: Path) -> None:
        (tmp_path / "f").write_text("x")
        with pytest.raises(UsageError, match="not a relative path"):
            parse_inputs([f"{tmp_path}/f={path}"])

    def test_a_missing_file_an_empty_directory_and_a_pipe_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(CliError, match="no file or directory"):
            parse_inputs([str(tmp_path / "nothing")])
        (tmp_path / "empty").mkdir()
        with pytest.raises(CliError, match="has no files"):
            parse_inputs([str(tmp_path / "empty")])
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(CliError, match="neither a file nor a directory"):
            parse_inputs([str(tmp_path / "pipe")])
        with pytest.raises(CliError, match="not a regular file"):
            parse_inputs([str(tmp_path)])
        with pytest.raises(UsageError, match="empty"):
            parse_inputs([""])

    def test_links_are_followed_but_not_in_circles(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "real" / "x").write_text("x")
        (tmp_path / "tree").mkdir()
        (tmp_path / "tree" / "link").symlink_to(tmp_path / "real")
        assert [file.path for file in parse_inputs([str(tmp_path / "tree")]).local] == ["link/x"]
        (tmp_path / "real" / "loop").symlink_to(tmp_path / "real")
        with pytest.raises(CliError, match="a link to a directory above it"):
            parse_inputs([str(tmp_path / "tree")])


class TestParameters:
    def test_a_value_is_read_as_the_type_that_the_processor_declares(self) -> None:
        given = ("label=12", "threshold=0.7", "fill=TRUE", "rounds=3", "align.label=a=b", "mask.one.threshold=1")
        assert applied(*given) == {
            "label": "12",
            "threshold": 0.7,
            "fill": True,
            "rounds": 3,
            "align.label": "a=b",
            "mask.one.threshold": 1,
        }

    def test_without_a_declaration_it_is_the_number_or_boolean_that_it_spells(self) -> None:
        given = ("a=abc", "b=null", "c=NaN", 'd="1"', "e=1e3", "f=false", "g=[1]", "h=1e999", "i=")
        assert applied(*given) == {
            "a": "abc",
            "b": "null",
            "c": "NaN",
            "d": '"1"',
            "e": 1000.0,
            "f": False,
            "g": "[1]",
            "h": "1e999",
            "i": "",
        }

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ("threshold", "is not name=value"),
            ("=1", "is not name=value"),
            ("msk.threshold=1", "has no node 'msk'"),
            ("threshold=high", "takes the type number"),
            ("threshold=true", "takes the type number"),
            ("rounds=1.5", "takes the type integer"),
            ("fill=1", "takes the type boolean"),
        ],
    )
    def test_what_cannot_be_meant_is_bad_usage(self, given: str, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            applied(given)

    def test_the_same_parameter_twice_is_bad_usage(self) -> None:
        with pytest.raises(UsageError, match=r"--param mask\.fill is given twice"):
            applied("mask.fill=true", "mask.fill=false")

    def test_compute_types_are_by_node(self) -> None:
        assert parse_compute(["mask=lambda", "mask.one=ecs"], WORKFLOW) == {"mask": "lambda", "mask.one": "ecs"}
        for given, message in (("mask", "is not node="), ("none=ecs", "no node 'none'")):
            with pytest.raises(UsageError, match=message):
                parse_compute([given], WORKFLOW)


class TestWorkflowFile:
    @pytest.mark.parametrize("name", ["neuroimaging", "solar-rotation"])
    def test_the_examples_load(self, name: str) -> None:
        path = Path(__file__).parents[2] / "examples" / "workflows" / f"{name}.yaml"
        assert load_workflow(path)["name"] == name

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("2026-11-24", "2026-11-24"),
            ("1e-3", 0.001),
            (".5", 0.5),
            ("-7", -7),
            ("0x1F", 31),
            ("1.2.3", "1.2.3"),
            ("1:30", "1:30"),
            ("010", "010"),
            ("NO", "NO"),
            ("on", "on"),
            ("true", True),
            ("~", None),
            ("", None),
        ],
    )
    def test_a_value_is_what_yaml_1_2_and_json_say(self, text: str, value: Any) -> None:
        assert parse_yaml(f"a: {text}", "w") == {"a": value}

    def test_anchors_serve(self) -> None:
        assert parse_yaml("a: &x [1]\nb: *x\nc: &m {k: 1}\nd: {<<: *m, k: 2}", "w")["d"] == {"k": 2}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("name: [1", r"w\.yaml:1:9: not valid YAML"),
            ("processors: []\nname: a\nname: b", r"w\.yaml:3:1: not valid YAML: 'name' stands twice"),
            ("[]", "no list `processors`"),
            ("name: x", "no list `processors`"),
            ("processors: [{parameters: {x: .inf}}]", r"processors\[0\]\.parameters\.x is inf"),
            ("processors: [{parameters: {1: x}}]", r"a key of processors\[0\]\.parameters is 1"),
            ("processors: [!!set {a}]", r"processors\[0\] is \{'a'\}"),
            ("a: !!python/name:os.system x", "not valid YAML"),
            ("a: \x07", "not valid YAML"),
        ],
    )
    def test_a_mistake_is_told_with_its_place(self, text: str, message: str, tmp_path: Path) -> None:
        path = tmp_path / "w.yaml"
        path.write_text(text)
        with pytest.raises(CliError, match=message):
            load_workflow(path)

    def test_a_file_that_is_not_there_or_not_text_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(CliError, match="no workflow file"):
            load_workflow(tmp_path / "none.yaml")
        (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xff")
        with pytest.raises(CliError, match=r"bytes\.yaml cannot be read"):
            load_workflow(tmp_path / "bytes.yaml")
        with pytest.raises(CliError, match="cannot be read"):
            load_workflow(tmp_path)
