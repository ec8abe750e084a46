"""The example workflows: each processor as a process of its own, with nothing but its documented environment.

They run in an environment made from their own requirements, as their image would; so what needs numpy here is asked of
a small script in that environment. What this does not prove: that the Dockerfiles build.
"""

from __future__ import annotations

import csv
import graphlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.workflow import load_workflow
from config import Processor
from examples import data

ROOT = Path(__file__).resolve().parents[2]
PROCESSORS = ROOT / "examples" / "processors"
WORKFLOWS = ROOT / "examples" / "workflows"
ENVIRONMENTS = ROOT / ".build" / "environments"
STACK = yaml.safe_load((ROOT / "Pulumi.basic.yaml").read_text())["config"]["compute-node:processors"]
DECLARED = {entry["name"]: Processor.model_validate_json(json.dumps(entry), strict=True) for entry in STACK}
NAMES = sorted(path.parent.name for path in PROCESSORS.glob("*/processor.py"))


def make_environment(requirements: Path) -> Path:
    """Return the interpreter of an environment with these requirements, made once for each content."""
    digest = hashlib.sha256(f"{sys.version}\n{requirements.read_text()}".encode()).hexdigest()[:16]
    home = ENVIRONMENTS / digest
    if not (home / "complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(requirements)], check=True)
        (home / "complete").touch()
    return home / "bin" / "python"


@dataclass(frozen=True)
class Bench:
    """Runs processors and scripts in the processors' environment."""

    python: Path

    def processor(
        self, name: str, inputs: Path, outputs: Path, given: dict[str, Any]
    ) -> subprocess.CompletedProcess[str]:
        """Run a processor's entry point, in a foreign working directory."""
        outputs.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as elsewhere:
            parameters = Path(elsewhere, "parameters.json")
            parameters.write_text(json.dumps(given))
            environment = {"INPUT_DIR": inputs, "OUTPUT_DIR": outputs, "PARAMETERS_FILE": parameters}
            return subprocess.run(
                [self.python, PROCESSORS / name / "processor.py"],
                env={key: str(value) for key, value in environment.items()},
                cwd=elsewhere,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )

    def ask(self, script: str, *arguments: Path, cwd: Path | None = None) -> Any:
        """Run a script; return what it prints as JSON."""
        command = [str(self.python), "-c", script, *map(str, arguments)]
        return json.loads(subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout or "null")


@dataclass(frozen=True)
class Run:
    """A workflow's directories, laid out as a node lays them out."""

    root: Path
    inputs: Path
    workflow: dict[str, Any]
    logs: dict[str, str]

    def output(self, node: str) -> Path:
        """Return the folder that a node has written."""
        return self.root / node / "output"

    def input_of(self, entry: dict[str, Any]) -> Path:
        """Return a node's INPUT_DIR: the run's inputs, its one dependency's output, or a folder of links."""
        needs = entry.get("dependsOn", [])
        if len(needs) <= 1:
            return self.output(needs[0]) if needs else self.inputs
        folder: Path = self.root / entry["id"] / "inputs"
        folder.mkdir(parents=True, exist_ok=True)
        for need in needs:
            if not (folder / need).is_symlink():
                (folder / need).symlink_to(self.output(need))
        return folder

    def parameters(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return a node's parameters: its own before the workflow's before the processor's defaults."""
        declared = DECLARED[entry["processor"]].parameters
        defaults = {name: parameter.default for name, parameter in declared.items() if not parameter.is_required}
        shared = {name: value for name, value in self.workflow.get("parameters", {}).items() if name in declared}
        return {**defaults, **shared, **entry.get("parameters", {})}


def run_workflow(bench: Bench, name: str, inputs: Path, root: Path) -> Run:
    """Run every node of a workflow after those it depends on."""
    workflow = load_workflow(WORKFLOWS / f"{name}.yaml")
    entries = {entry["id"]: entry for entry in workflow["processors"]}
    run = Run(root, inputs, workflow, {})
    for node in graphlib.TopologicalSorter({k: e.get("dependsOn", []) for k, e in entries.items()}).static_order():
        entry = entries[node]
        done = bench.processor(entry["processor"], run.input_of(entry), run.output(node), run.parameters(entry))
        assert done.returncode == 0, f"{node}: {done.stderr}"
        run.logs[node] = done.stdout
    return run


@pytest.fixture(scope="session")
def bench() -> Bench:
    return Bench(make_environment(PROCESSORS / "realign" / "requirements.txt"))


@pytest.fixture(scope="session")
def neuro(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Run:
    inputs = tmp_path_factory.mktemp("neuro-input")
    data.neuroimaging(inputs)
    return run_workflow(bench, "neuroimaging", inputs, tmp_path_factory.mktemp("neuro"))


@pytest.fixture(scope="session")
def sun(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Run:
    inputs = tmp_path_factory.mktemp("sun-input")
    data.solar_rotation(inputs)
    return run_workflow(bench, "solar-rotation", inputs, tmp_path_factory.mktemp("sun"))


def rows_of(path: Path) -> list[dict[str, float]]:
    """Read a table of numbers; texts stay out."""
    with path.open(newline="") as file:
        return [
            {key: float(value) for key, value in row.items() if re.fullmatch(r"[-\d.]+", value)}
            for row in csv.DictReader(file, delimiter="\t")
        ]


class TestContexts:
    def test_stack_declares_every_processor_with_its_context(self) -> None:
        assert sorted(DECLARED) == NAMES
        assert all(entry.build == f"examples/processors/{name}" for name, entry in DECLARED.items())

    def test_all_share_one_environment(self) -> None:
        assert len({(PROCESSORS / name / "requirements.txt").read_text() for name in NAMES}) == 1

    @pytest.mark.parametrize("name", NAMES)
    def test_image_is_unprivileged_and_starts_the_entry_point(self, name: str) -> None:
        lines = (PROCESSORS / name / "Dockerfile").read_text().splitlines()
        assert re.fullmatch(r"FROM python:3\.12\.\d+-slim-\w+", lines[0])
        assert lines[-2:] == ["USER 1000", 'ENTRYPOINT ["python", "processor.py"]']

    @pytest.mark.parametrize("name", NAMES)
    def test_lambda_parts_are_there_exactly_where_they_are_declared(self, name: str) -> None:
        has_handler = "\ndef handler(event" in (PROCESSORS / name / "processor.py").read_text()
        has_client = "awslambdaric==" in (PROCESSORS / name / "Dockerfile").read_text()
        assert has_handler is has_client is DECLARED[name].on_lambda

    @pytest.mark.parametrize("path", sorted(WORKFLOWS.glob("*.yaml")), ids=lambda path: path.stem)
    def test_workflow_gives_what_processors_declare(self, path: Path) -> None:
        workflow = load_workflow(path)
        known: set[str] = set()
        for entry in workflow["processors"]:
            declared = DECLARED[entry["processor"]].parameters
            known |= set(declared)
            given = {**workflow.get("parameters", {}), **entry.get("parameters", {})}
            assert set(entry.get("parameters", {})) <= set(declared), entry["id"]
            assert {name for name, parameter in declared.items() if parameter.is_required} <= set(given), entry["id"]
        assert set(workflow.get("parameters", {})) <= known


class TestNeuroimaging:
    def test_motion_starts_at_the_reference_and_stays_small(self, neuro: Run) -> None:
        rows = rows_of(neuro.output("realign") / "motion.tsv")
        assert len(rows) == 20
        assert rows[0]["displacement_mm"] == 0
        assert max(abs(rows[0][f"{axis}_mm"]) for axis in "xyz") < 0.01
        assert 0 < max(row["displacement_mm"] for row in rows) < 1
        charts = json.loads((neuro.output("realign") / "section.json").read_text())["charts"]
        shown = [list(chart["series"]) for chart in charts]
        assert shown == [["x", "y", "z"], ["pitch", "roll", "yaw"], ["displacement"]]

    def test_known_motion_is_recovered(self, bench: Bench, neuro: Run, tmp_path: Path) -> None:
        # A copy moved by 2 mm to the right and 1 mm to the front, by a Fourier shift: another way than the processor's.
        script = """
import sys, nibabel, numpy
from scipy.ndimage import fourier_shift
image = nibabel.load(sys.argv[1])
still = numpy.pad(image.get_fdata()[..., 0], ((8, 8), (8, 8), (0, 0)), mode="reflect")
moved = numpy.fft.ifftn(fourier_shift(numpy.fft.fftn(still), (-0.5, 0.25, 0))).real
series = numpy.stack([still, moved], axis=-1)[8:-8, 8:-8]
nibabel.save(nibabel.Nifti1Image(series.astype("f4"), image.affine), sys.argv[2])
"""
        inputs = tmp_path / "input"
        inputs.mkdir()
        bench.ask(script, neuro.inputs / "functional.nii", inputs / "moved.nii")
        given = {"series": "*.nii", "smoothing": 4.0, "iterations": 20}
        assert bench.processor("realign", inputs, tmp_path / "out", given).returncode == 0
        row = rows_of(tmp_path / "out" / "motion.tsv")[1]
        assert [row[f"{axis}_mm"] for axis in "xyz"] == pytest.approx([2, 1, 0], abs=0.1)
        assert [row[f"{angle}_deg"] for angle in ("pitch", "roll", "yaw")] == pytest.approx([0, 0, 0], abs=0.3)

    def test_realignment_lowers_the_noise(self, bench: Bench, neuro: Run) -> None:
        script = """
import json, sys, nibabel, numpy
series = [nibabel.load(path).get_fdata()[3:-3, 3:-3] for path in sys.argv[1:]]
print(json.dumps([float(numpy.median(s.mean(axis=3) / s.std(axis=3))) for s in series]))
"""
        raw, realigned = bench.ask(script, neuro.inputs / "functional.nii", neuro.output("realign") / "realigned.nii")
        assert realigned > raw

    def test_mask_leaves_out_little_of_a_field_of_view_within_the_brain(self, bench: Bench, neuro: Run) -> None:
        script = "import sys, nibabel; print(float(nibabel.load(sys.argv[1]).get_fdata().mean()))"
        assert 0.9 < bench.ask(script, neuro.output("mask") / "mask.nii") < 1

    def test_mask_is_one_piece_without_holes(self, bench: Bench, tmp_path: Path) -> None:
        script = """
import json, sys, nibabel, numpy
x, y = numpy.indices((40, 40)) - 20
disc = (x**2 + y**2 < 144)
volume = disc * 100.0
volume[19:22, 19:22] = 0
volume[2:5, 2:5] = 100
nibabel.save(nibabel.Nifti1Image(numpy.dstack([volume] * 3), numpy.eye(4)), sys.argv[1])
print(int(disc.sum()) * 3)
"""
        inputs = tmp_path / "input"
        inputs.mkdir()
        expected = bench.ask(script, inputs / "mean.nii")
        given = {"image": "mean.nii", "threshold": 0.5, "opening": 1}
        assert bench.processor("brain-mask", inputs, tmp_path / "out", given).returncode == 0
        script = "import sys, nibabel; print(int(nibabel.load(sys.argv[1]).get_fdata().sum()))"
        assert bench.ask(script, tmp_path / "out" / "mask.nii") == pytest.approx(expected, rel=0.02)

    def test_tissues_share_the_head_as_anatomy_has_it(self, neuro: Run) -> None:
        table = json.loads((neuro.output("tissue") / "section.json").read_text())["table"]["rows"]
        shares = {row[0]: row[2] for row in table}
        assert sum(shares.values()) == pytest.approx(100, abs=0.2)
        assert 2 < shares["cerebrospinal fluid"] < shares["grey matter"] < shares["white matter"]

    def test_signal_to_noise_is_positive_in_the_mask_and_nowhere_else(self, bench: Bench, neuro: Run) -> None:
        script = """
import json, sys, nibabel
tsnr, mask = (nibabel.load(path).get_fdata() for path in sys.argv[1:])
print(json.dumps([float(tsnr[mask > 0].min()), float(tsnr[mask == 0].max())]))
"""
        lowest, outside = bench.ask(script, neuro.output("tsnr") / "tsnr.nii", neuro.output("mask") / "mask.nii")
        assert lowest > 0
        assert outside == 0
        brain, fluid, _, white = (row["median"] for row in rows_of(neuro.output("tsnr") / "tsnr.tsv"))
        assert 50 < fluid < brain < white < 200  # fluid pulsates

    def test_workflow_parameter_stands_before_the_default(self, neuro: Run) -> None:
        entry = next(entry for entry in neuro.workflow["processors"] if entry["id"] == "mask")
        assert neuro.parameters(entry)["threshold"] == 0.6 != DECLARED["brain-mask"].parameters["threshold"].default


class TestSolarRotation:
    def test_fan_out_and_in_over_eight_nodes_or_more(self, sun: Run) -> None:
        sources = [entry["id"] for entry in sun.workflow["processors"] if "dependsOn" not in entry]
        assert len(sources) >= 8
        assert next(e for e in sun.workflow["processors"] if e["id"] == "rotation")["dependsOn"] == sources

    def test_lost_pixels_are_replaced_and_the_centre_stays(self, sun: Run) -> None:
        about = [json.loads((sun.output(f"map-{hour}") / "map.json").read_text()) for hour in ("00", "06", "12")]
        assert about[0]["replaced"] > about[1]["replaced"] > 0  # the first image lacks a block of 16 pixels
        for axis in (0, 1):
            places = [image["centre"][axis] for image in about]
            assert max(places) - min(places) < 0.12

    def test_equator_turns_as_published_and_higher_latitudes_slower(self, sun: Run) -> None:
        rows = rows_of(sun.output("rotation") / "rotation.tsv")
        rates = {row["latitude_deg"]: row["sidereal_deg_per_day"] for row in rows}
        assert rates[0] == pytest.approx(14.71, abs=0.6)
        low = [rate for latitude, rate in rates.items() if abs(latitude) <= 20]
        high = [rate for latitude, rate in rates.items() if abs(latitude) >= 30]
        assert sum(high) / len(high) < sum(low) / len(low) - 0.3
        assert all(row["agreement"] > 0.9 for row in rows)

    def test_known_rotation_is_recovered(self, bench: Bench, sun: Run, tmp_path: Path) -> None:
        # One real map, turned by 13.2 degrees a day as seen from the Earth.
        script = """
import json, pathlib, sys, numpy
about = json.loads((pathlib.Path(sys.argv[1]) / "map.json").read_text())
image, longitudes = numpy.load(sys.argv[1] + "/map.npy"), numpy.array(about["longitudes"])
for hour in (0, 4, 8, 12):
    folder = pathlib.Path(sys.argv[2]) / str(hour)
    folder.mkdir(parents=True)
    turned = [numpy.interp(longitudes - 13.2 * hour / 24, longitudes, row) for row in image]
    numpy.save(folder / "map.npy", numpy.array(turned))
    (folder / "map.json").write_text(json.dumps({**about, "time": f"2004-03-01T{hour:02}:00:00.000"}))
"""
        bench.ask(script, sun.output("map-06"), tmp_path / "input")
        assert bench.processor("rotation", tmp_path / "input", tmp_path / "out", {"bandWidth": 15}).returncode == 0
        rates = [row["sidereal_deg_per_day"] for row in rows_of(tmp_path / "out" / "rotation.tsv")]
        assert rates == pytest.approx([13.2 + 0.9856] * len(rates), abs=0.1)

    def test_regions_cover_a_plausible_share_all_the_time(self, sun: Run) -> None:
        rows = rows_of(sun.output("regions") / "regions.tsv")
        assert len(rows) == 11
        assert all(4 < row["active_percent"] < 10 < row["hole_percent"] < 20 for row in rows)


class TestReport:
    @pytest.mark.parametrize(("fixture", "pictures"), [("neuro", 4), ("sun", 2)])
    def test_page_is_self_contained(self, fixture: str, pictures: int, request: pytest.FixtureRequest) -> None:
        run: Run = request.getfixturevalue(fixture)
        page = (run.output("report") / "report.html").read_text()
        assert page.count('<img src="data:image/png;base64,') == pictures
        assert not re.search(r"(src|href)=[\"'](?!data:)|@import|url\(", page)
        assert "$" not in page.split("<body>")[1]
        title = next(e for e in run.workflow["processors"] if e["id"] == "report")["parameters"]["title"]
        assert f"<h1>{title}</h1>" in page

    def test_pictures_stand_beside_it_and_tell_no_time(self, neuro: Run) -> None:
        pictures = sorted(neuro.output("report").glob("*.png"))
        assert [path.stem for path in pictures] == ["anatomy", "mask", "tissue", "tsnr"]
        for path in pictures:
            content = path.read_bytes()
            assert content.startswith(b"\x89PNG\r\n")
            assert b"tIME" not in content

    def test_texts_cannot_become_markup(self, bench: Bench, tmp_path: Path) -> None:
        section = {"title": "<b>1</b>", "text": "a & b", "order": 1, "facts": [["<i>", "<script>"]]}
        inputs = tmp_path / "input"
        inputs.mkdir()
        (inputs / "section.json").write_text(json.dumps(section))
        given = {"title": "<script>", "subtitle": ""}
        assert bench.processor("report", inputs, tmp_path / "out", given).returncode == 0
        page = (tmp_path / "out" / "report.html").read_text()
        assert [markup for markup in ("<script>", "<i>", "<b>1") if markup in page] == []
        assert "a &amp; b" in page


class TestBehaviour:
    @pytest.mark.parametrize("name", NAMES)
    def test_missing_input_is_told_with_exit_code_2(self, name: str, bench: Bench, tmp_path: Path) -> None:
        (tmp_path / "input").mkdir()
        declared = DECLARED[name].parameters
        given = {
            key: "absent.fits" if parameter.is_required else parameter.default for key, parameter in declared.items()
        }
        done = bench.processor(name, tmp_path / "input", tmp_path / "out", given)
        assert done.returncode == 2
        assert re.fullmatch(r"error: (no|0) .*\n", done.stderr), done.stderr
        assert str(tmp_path / "input") in done.stderr
        assert list((tmp_path / "out").iterdir()) == []

    @pytest.mark.parametrize("content", [b"", b"not an image", b"SIMPLE  =                    T" + b" " * 5000])
    def test_file_that_is_no_image_is_told(self, content: bytes, bench: Bench, tmp_path: Path) -> None:
        inputs = tmp_path / "input"
        inputs.mkdir()
        for name in ("broken.fits", "broken.nii"):
            (inputs / name).write_bytes(content)
        done = bench.processor("solar-map", inputs, tmp_path / "a", {"file": "broken.fits", "height": 1.02})
        assert (done.returncode, done.stderr) == (2, "error: broken.fits is not a FITS file\n")
        given = {"series": "*.nii", "smoothing": 4.0, "iterations": 12}
        done = bench.processor("realign", inputs, tmp_path / "b", given)
        assert done.returncode == 2
        assert "broken.nii" in done.stderr

    @pytest.mark.parametrize("name", NAMES)
    def test_same_input_gives_the_same_bytes(
        self, name: str, bench: Bench, tmp_path: Path, neuro: Run, sun: Run
    ) -> None:
        run, entry = next(
            (run, entry) for run in (neuro, sun) for entry in run.workflow["processors"] if entry["processor"] == name
        )
        done = bench.processor(name, run.input_of(entry), tmp_path / "again", run.parameters(entry))
        first = {path.name: path.read_bytes() for path in run.output(entry["id"]).iterdir()}
        assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == first
        assert done.stdout == run.logs[entry["id"]]

    @pytest.mark.parametrize("name", [name for name in NAMES if DECLARED[name].on_lambda])
    def test_lambda_handler_does_the_same(self, name: str, bench: Bench, tmp_path: Path, neuro: Run, sun: Run) -> None:
        run, entry = next(
            (run, entry) for run in (neuro, sun) for entry in run.workflow["processors"] if entry["processor"] == name
        )
        (tmp_path / "again").mkdir()
        event = {
            "inputDir": str(run.input_of(entry)),
            "outputDir": str(tmp_path / "again"),
            "params": run.parameters(entry),
        }
        (tmp_path / "event.json").write_text(json.dumps(event))
        script = "import json, sys, processor; processor.handler(json.load(open(sys.argv[1])), None); sys.stdout = None"
        command = [str(bench.python), "-c", script, str(tmp_path / "event.json")]
        subprocess.run(command, cwd=PROCESSORS / name, env={}, check=True, capture_output=True)
        first = {path.name: path.read_bytes() for path in run.output(entry["id"]).iterdir()}
        assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == first

    @pytest.mark.parametrize("name", NAMES)
    def test_progress_is_logged(self, name: str, neuro: Run, sun: Run) -> None:
        nodes = {entry["processor"]: (run, entry["id"]) for run in (neuro, sun) for entry in run.workflow["processors"]}
        run, node = nodes[name]
        assert run.logs[node].strip()


class TestData:
    def test_files_come_from_the_wheel_once_and_then_from_the_cache(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(data, "CACHE", tmp_path / "cache")
        first = data.solar_rotation(tmp_path / "a")
        assert [path.name for path in first] == sorted(data.SOLAR_CORONA.files)
        monkeypatch.setattr(sys, "executable", os.devnull)
        assert [path.read_bytes() for path in data.solar_rotation(tmp_path / "b")] == [p.read_bytes() for p in first]

    def test_changed_file_in_the_cache_is_replaced(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(data, "CACHE", tmp_path / "cache")
        broken = tmp_path / "cache" / "nibabel" / "functional.nii"
        broken.parent.mkdir(parents=True)
        broken.write_bytes(b"other")
        data.neuroimaging(tmp_path / "out")
        assert (tmp_path / "out" / "functional.nii").stat().st_size == 43_192

    def test_other_content_than_expected_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(data, "CACHE", tmp_path / "cache")
        files = {"functional.nii": "0" * 64}
        source = data.Source(package="nibabel", version="5.4.2", folder="nibabel/tests/data", files=files)
        with pytest.raises(data.DataError, match=r"functional\.nii has another SHA-256"):
            source.copy(tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_version_that_is_not_there_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(data, "CACHE", tmp_path / "cache")
        source = data.Source(package="nibabel", version="0.0.0", folder="x", files={"y": "0" * 64})
        with pytest.raises(data.DataError, match=r"nibabel==0\.0\.0"):
            source.copy(tmp_path / "out")
