"""Images from build contexts: what the Dockerfile says, which files, which packages, and nothing that changes later."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from local.container.context import Context
from local.container.dockerfile import DockerfileError, parse
from local.container.environments import unsatisfied
from local.images import ImageError, ImageNotFoundError, Images

if TYPE_CHECKING:
    from pathlib import Path

REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/node/p"
DOCKERFILE = 'FROM python:3.12-slim\nWORKDIR /app\nCOPY . .\nENTRYPOINT ["python", "main.py"]\n'


@pytest.fixture
def context(tmp_path):
    directory = tmp_path / "context"
    directory.mkdir()
    (directory / "main.py").write_text("print('one')\n")
    (directory / "Dockerfile").write_text(DOCKERFILE)
    return directory


@pytest.fixture
def images(tmp_path):
    return Images(tmp_path / "cache")


def wheel(directory: Path, name: str) -> Path:
    """A package without dependencies, so that pip needs no index."""
    path = directory / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", "WORD = 'packed'\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def test_an_image_is_named_by_its_digest_and_says_how_to_run(images, context):
    uri = images.build(REPOSITORY, context)
    repository, _, digest = uri.partition("@sha256:")
    assert repository == REPOSITORY
    assert len(digest) == 64
    image = images.resolve(uri)
    assert image.argv == [sys.executable, "main.py"]
    assert image.command_line(("--fast",)) == [sys.executable, "main.py", "--fast"]
    assert image.command_line(("x",), entrypoint=("sh", "-c")) == ["sh", "-c", "x"]
    assert (image.workdir, image.env, image.digest) == ("/app", {}, f"sha256:{digest}")
    assert (image.host_workdir / "main.py").read_text() == "print('one')\n"


def test_the_same_context_is_the_same_image_wherever_it_lies(images, context, tmp_path):
    first = images.build(REPOSITORY, context)
    moved = context.rename(tmp_path / "moved")
    (moved / "main.py").touch()
    assert images.build(REPOSITORY, moved) == first


@pytest.mark.parametrize("change", ["content", "mode", "name", "dockerfile"])
def test_each_change_of_a_context_makes_another_image(images, context, change):
    first = images.build(REPOSITORY, context)
    if change == "content":
        (context / "main.py").write_text("print('two')\n")
    elif change == "mode":
        (context / "main.py").chmod(0o755)
    elif change == "name":
        (context / "main.py").rename(context / "other.py")
    else:
        (context / "Dockerfile").write_text(DOCKERFILE + "ENV A=1\n")
    assert images.build(REPOSITORY, context) != first


def test_later_edits_leave_a_built_image_as_it_was(images, context):
    uri = images.build(REPOSITORY, context)
    (context / "main.py").write_text("print('edited')\n")
    (context / "new.py").write_text("")
    tree = images.resolve(uri).host_workdir
    assert (tree / "main.py").read_text() == "print('one')\n"
    assert not (tree / "new.py").exists()


def test_an_image_outlives_the_process_that_built_it(images, context):
    uri = images.build(REPOSITORY, context)
    assert Images(images.cache).resolve(uri).argv == images.resolve(uri).argv


@pytest.mark.parametrize("uri", ["", "ubuntu:24.04", f"{REPOSITORY}@sha256:{'0' * 64}", f"{REPOSITORY}:latest"])
def test_an_image_that_was_not_built_here_is_not_found(images, uri):
    with pytest.raises(ImageNotFoundError, match="only images built here"):
        images.resolve(uri)


def test_dockerignore_leaves_files_out_of_the_image_and_of_its_digest(images, context):
    (context / ".dockerignore").write_text("# data\n*.log\n**/secret\ndata/*\n!data/kept.txt\n")
    for path in ("a.log", "deep/secret", "deep/open", "data/x.bin", "data/kept.txt", "__pycache__/m.pyc", "deep/a.log"):
        (context / path).parent.mkdir(exist_ok=True)
        (context / path).write_text(path)
    names = {path.as_posix() for path in Context(context).files}
    assert names == {".dockerignore", "Dockerfile", "main.py", "deep/open", "deep/a.log", "data/kept.txt"}
    uri = images.build(REPOSITORY, context)
    (context / "a.log").write_text("changed")
    assert images.build(REPOSITORY, context) == uri


@pytest.mark.parametrize(
    ("copy", "expected"),
    [
        ("COPY main.py .", {"app/main.py"}),
        ("COPY main.py renamed.py", {"app/renamed.py"}),
        ("COPY main.py /opt/tool/", {"opt/tool/main.py"}),
        ("COPY lib /app/lib", {"app/lib/a.py", "app/lib/b.txt"}),
        ("COPY lib/ .", {"app/a.py", "app/b.txt"}),
        ("COPY lib/*.py ./", {"app/a.py"}),
        ('COPY ["main.py", "lib/a.py", "./both/"]', {"app/both/main.py", "app/both/a.py"}),
        ("COPY --chmod=444 --chown=1000:1000 main.py ./", {"app/main.py"}),
        ("ADD main.py ./", {"app/main.py"}),
    ],
)
def test_copy_lays_files_out_as_docker_does(images, context, copy, expected):
    (context / "lib").mkdir()
    (context / "lib/a.py").write_text("")
    (context / "lib/b.txt").write_text("")
    (context / "Dockerfile").write_text(f"FROM python:3.12\nWORKDIR /app\n{copy}\nCMD python\n")
    image = images.resolve(images.build(REPOSITORY, context))
    root = image.host_workdir.parent
    assert {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()} == expected


def test_executability_survives(images, context):
    (context / "main.py").chmod(0o755)
    tree = images.resolve(images.build(REPOSITORY, context)).host_workdir
    assert (tree / "main.py").stat().st_mode & 0o777 == 0o755
    assert (tree / "Dockerfile").stat().st_mode & 0o777 == 0o644


def test_a_dockerfile_is_read_with_its_quirks():
    text = """# syntax=docker/dockerfile:1
ARG TAG=3.12
FROM python:${TAG}-slim AS base
ENV A=1 B="two words" \\
    # a comment within
    C=$A
ENV OLD form with spaces
WORKDIR /srv
WORKDIR app
LABEL x=y
EXPOSE 80
USER 1000
ENV D=${MISSING:-fallback}/${A}
ENTRYPOINT python -u $A
CMD ["ignored", "by", "shell form"]
"""
    result = parse(text)
    # A variable of the same instruction is not known to it yet.
    assert result.environment == {"A": "1", "B": "two words", "C": "", "OLD": "form with spaces", "D": "fallback/1"}
    assert result.workdir == "/srv/app"
    assert result.entrypoint == ["/bin/sh", "-c", "python -u $A"]
    assert result.command == ["ignored", "by", "shell form"]
    assert result.ignored == []


def test_an_entrypoint_forgets_the_command_before_it():
    assert parse('FROM a\nCMD ["x"]\nENTRYPOINT ["y"]\n').command == []


def test_lambda_base_images_bring_their_entry_point():
    result = parse('FROM public.ecr.aws/lambda/python:3.12\nCOPY a.py ${LAMBDA_TASK_ROOT}\nCMD ["a.handler"]\n')
    assert result.entrypoint == ["python", "-m", "awslambdaric"]
    assert result.copies[0].destination == "/var/task"
    assert result.command == ["a.handler"]


def test_pip_installs_are_understood_and_other_commands_named():
    result = parse(
        "FROM python:3.12\nWORKDIR /w\nRUN apt-get update && apt-get install -y gcc\n"
        "RUN pip install --no-cache-dir -r requirements.txt 'numpy>=1' --index-url https://x/y && rm -rf /tmp/x\n"
        "RUN python -m pip install --upgrade pip\nHEALTHCHECK CMD true\n"
    )
    assert result.requirement_files == ["/w/requirements.txt"]
    assert result.requirements == ["numpy>=1"]
    assert result.ignored == [
        "line 3: RUN apt-get update",
        "line 3: RUN apt-get install -y gcc",
        "line 4: RUN rm -rf /tmp/x",
        "line 6: HEALTHCHECK CMD true",
    ]


def test_what_a_build_ignores_is_said_once(images, context):
    said = []
    (context / "Dockerfile").write_text(DOCKERFILE + "RUN make\nSTOPSIGNAL SIGINT\n")
    images.build(REPOSITORY, context, said.append)
    assert len(said) == 1
    assert "line 5: RUN make; line 6: STOPSIGNAL SIGINT" in said[0]
    images.build(REPOSITORY, context, said.append)
    assert len(said) == 1


@pytest.mark.parametrize(
    ("dockerfile", "message"),
    [
        ("", "no FROM instruction"),
        ("WORKDIR /x\nFROM a\n", "line 1: WORKDIR before FROM"),
        ("FROM a\nCOPY x\n", "line 2: COPY x: needs a source and a destination"),
        ("FROM a\nCOPY absent.py .\n", "line 2: COPY absent.py: not in the build context"),
        ("FROM a\nRUN pip install -r absent.txt\n", "requirements file absent.txt: not in the image"),
    ],
)
def test_a_mistake_in_a_dockerfile_is_named_with_its_line(images, context, dockerfile, message):
    (context / "Dockerfile").write_text(dockerfile)
    with pytest.raises(ImageError, match=message) as caught:
        images.build(REPOSITORY, context)
    assert str(context) in str(caught.value)
    assert not list((images.cache / "images").glob("*")) or not list((images.cache / "images").glob("[0-9a-f]*"))


def test_a_context_without_dockerfile_or_that_is_no_directory_is_refused(images, tmp_path, context):
    (context / "Dockerfile").unlink()
    with pytest.raises(ImageError, match="no Dockerfile"):
        images.build(REPOSITORY, context)
    with pytest.raises(ImageError, match="not a directory"):
        images.build(REPOSITORY, tmp_path / "absent")


def test_before_from_nothing_may_stand_but_arguments():
    with pytest.raises(DockerfileError):
        parse("ENV A=1\nFROM x\n")


@pytest.mark.parametrize(
    ("line", "met"),
    [
        ("boto3", True),
        ("boto3>=1.2,<99", True),
        ("boto3==0.0.1", False),
        ("no-such-package-here", False),
        ("no-such-package-here; python_version < '3'", True),
        ("moto[s3]>=5 --hash=sha256:abc", True),
        ("moto[no-such-extra]", True),
        ("-e .", False),
        ("--extra-index-url https://example.org", False),
        ("thing @ file:///thing.whl", False),
    ],
)
def test_requirements_are_held_against_this_interpreter(line, met):
    assert unsatisfied([line]) == ([] if met else [line])


def test_what_an_extra_asks_for_is_needed_too(tmp_path, monkeypatch):
    information = tmp_path / "fancy-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: fancy\nVersion: 1.0\nRequires-Dist: packaging\n"
        "Requires-Dist: absent-package ; extra == 'more'\nRequires-Dist: boto3 ; extra == 'aws'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert unsatisfied(["fancy", "fancy[aws]", "fancy[aws,more]"]) == ["fancy[aws,more]"]


def test_missing_packages_come_from_the_requirements_file_into_an_environment_that_is_kept(images, context):
    packed = wheel(context.parent, "compute_node_tiny")
    (context / "more.txt").write_text(f"compute_node_tiny @ {packed.as_uri()}  # local\n")
    (context / "requirements.txt").write_text("-r more.txt\n\n# a comment\n")
    (context / "Dockerfile").write_text(
        "FROM python:3.12\nWORKDIR /app\nCOPY *.txt ./\nRUN pip install -r requirements.txt\n"
        'COPY main.py .\nENTRYPOINT ["python3", "main.py"]\n'
    )
    said = []
    image = images.resolve(images.build(REPOSITORY, context, said.append))
    assert any("installing packages" in line for line in said)
    assert any("Successfully installed" in line for line in said)
    assert image.python.is_relative_to(images.cache)
    shown = subprocess.run(
        [image.argv[0], "-c", "import compute_node_tiny; print(compute_node_tiny.WORD)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "packed\n"

    said.clear()
    (context / "main.py").write_text("print('another image, the same packages')\n")
    again = images.resolve(images.build(REPOSITORY, context, said.append))
    assert said == []
    assert again.python == image.python
    assert again.digest != image.digest


def test_packages_that_cannot_be_installed_fail_the_build_with_pips_words(images, context):
    (context / "Dockerfile").write_text(DOCKERFILE + "RUN pip install 'x @ file:///absent/x-1.0-py3-none-any.whl'\n")
    with pytest.raises(ImageError, match="No such file or directory"):
        images.build(REPOSITORY, context)
