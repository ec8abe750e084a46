"""The part of a Dockerfile that decides how a processor runs: its files, environment, packages and command."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from dataclasses import dataclass, field

SHELL = ("/bin/sh", "-c")
# Nothing here changes what the process does; it runs as an ordinary user in any case.
WITHOUT_EFFECT = frozenset({"USER", "LABEL", "EXPOSE", "MAINTAINER", "ARG"})
_VARIABLE = re.compile(r"\$(?:(?P<plain>\w+)|\{(?P<braced>\w+)(?::-(?P<default>[^}]*))?\})")
_LAMBDA_BASE = re.compile(r"public\.ecr\.aws/(?:lambda|sam)/|amazon/aws-lambda-")
_PIP = re.compile(r"^(?:\S*/)?(?:pip3?|uv\s+pip|python[\d.]*\s+-m\s+pip)\s+install\s")
_OPTIONS_WITH_VALUE = frozenset({"-i", "--index-url", "--extra-index-url", "-t", "--target", "-f", "--find-links"})


class DockerfileError(ValueError):
    """A Dockerfile that cannot be understood; the message names the line."""


@dataclass(frozen=True)
class Copy:
    """`COPY sources… destination`, the destination absolute; a trailing `/` marks a directory."""

    sources: tuple[str, ...]
    destination: str
    line: int


@dataclass
class Dockerfile:
    """What the last stage of a Dockerfile says."""

    workdir: str = "/"
    environment: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    requirement_files: list[str] = field(default_factory=list)  # absolute paths in the image
    requirements: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)  # what is not imitated, with its line


def parse(text: str) -> Dockerfile:
    """Read a Dockerfile.

    Raises DockerfileError where there is no FROM or an instruction is malformed.
    """
    result: Dockerfile | None = None
    arguments: dict[str, str] = {}
    for line, instruction, rest in _instructions(text):
        if instruction == "ARG":
            name, _, default = rest.partition("=")
            arguments[name.strip()] = default.strip().strip("'\"")
        elif instruction == "FROM":
            earlier = result
            result = _base(_substitute(rest, arguments))
            if earlier is not None:
                result.ignored.append(f"the stages before line {line}")
        elif result is None:
            raise DockerfileError(f"line {line}: {instruction} before FROM")
        else:
            _apply(result, line, instruction, rest, arguments)
    if result is None:
        raise DockerfileError("no FROM instruction")
    return result


def _base(image: str) -> Dockerfile:
    """What the base image contributes; only AWS's own Lambda images set more than the defaults."""
    if _LAMBDA_BASE.match(image):
        root = "/var/task"
        entrypoint = ["python", "-m", "awslambdaric"]
        return Dockerfile(workdir=root, environment={"LAMBDA_TASK_ROOT": root}, entrypoint=entrypoint)
    return Dockerfile()


def _apply(result: Dockerfile, line: int, instruction: str, rest: str, arguments: dict[str, str]) -> None:
    variables = arguments | result.environment
    if instruction == "WORKDIR":
        result.workdir = posixpath.normpath(posixpath.join(result.workdir, _substitute(rest.strip("\"'"), variables)))
    elif instruction == "ENV":
        result.environment |= _environment(line, rest, variables)
    elif instruction in {"COPY", "ADD"}:
        _copy(result, line, rest, variables)
    elif instruction == "ENTRYPOINT":
        result.entrypoint, result.command = _command(rest), []
    elif instruction == "CMD":
        result.command = _command(rest)
    elif instruction == "RUN":
        _run(result, line, _substitute(rest, variables))
    elif instruction not in WITHOUT_EFFECT:
        result.ignored.append(f"line {line}: {instruction} {rest}")


def _instructions(text: str) -> list[tuple[int, str, str]]:
    """The instructions with their line numbers, continuation lines joined and comments dropped."""
    found: list[tuple[int, str, str]] = []
    pending, start = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        stripped = raw.strip()
        if stripped.startswith("#") or (not stripped and not pending):
            continue
        start = start or number
        pending += raw.rstrip().removesuffix("\\") + " " if raw.rstrip().endswith("\\") else raw
        if raw.rstrip().endswith("\\"):
            continue
        instruction, _, rest = pending.strip().partition(" ")
        found.append((start, instruction.upper(), rest.strip()))
        pending, start = "", 0
    return found


def _substitute(text: str, variables: dict[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match["plain"] or match["braced"]
        return variables.get(name) or match["default"] or ""

    return _VARIABLE.sub(value, text)


def _environment(line: int, rest: str, variables: dict[str, str]) -> dict[str, str]:
    if re.match(r"\w+\s+[^=]", rest) and not re.match(r"\w+=", rest):
        name, _, value = rest.partition(" ")  # the old form, ENV NAME value
        return {name: _substitute(value.strip(), variables)}
    try:
        pairs = [word.partition("=") for word in shlex.split(rest)]
    except ValueError as error:
        raise DockerfileError(f"line {line}: ENV {rest}: {error}") from error
    return {name: _substitute(value, variables) for name, _, value in pairs}


def _words(rest: str) -> list[str]:
    return [str(word) for word in json.loads(rest)] if rest.startswith("[") else shlex.split(rest)


def _copy(result: Dockerfile, line: int, rest: str, variables: dict[str, str]) -> None:
    words = _words(_substitute(rest, variables))
    flags = [word for word in words if word.startswith("--")]
    paths = [word for word in words if not word.startswith("--")]
    minimum = 2
    if len(paths) < minimum:
        raise DockerfileError(f"line {line}: COPY {rest}: needs a source and a destination")
    if any(flag.startswith("--from") for flag in flags) or any("://" in path for path in paths):
        result.ignored.append(f"line {line}: COPY {rest}")
        return
    *sources, destination = paths
    absolute = posixpath.normpath(posixpath.join(result.workdir, destination))
    is_directory = destination.endswith(("/", ".")) or len(sources) > 1
    result.copies.append(Copy(tuple(sources), absolute + "/" * (is_directory and absolute != "/"), line))


def _command(rest: str) -> list[str]:
    if rest.startswith("["):
        try:
            return [str(word) for word in json.loads(rest)]
        except ValueError:
            pass  # Docker, too, takes what is not a JSON array for the shell form
    return [*SHELL, rest]


def _run(result: Dockerfile, line: int, rest: str) -> None:
    for command in re.split(r"&&|;", rest):
        words = command.strip()
        if _PIP.match(words):
            _pip_install(result, shlex.split(_PIP.sub("", words)))
        elif words:
            result.ignored.append(f"line {line}: RUN {words}")


def _pip_install(result: Dockerfile, words: list[str]) -> None:
    remaining = iter(words)
    for word in remaining:
        if word in {"-r", "--requirement"}:
            result.requirement_files.append(posixpath.join(result.workdir, next(remaining, "")))
        elif word.startswith("--requirement="):
            result.requirement_files.append(posixpath.join(result.workdir, word.partition("=")[2]))
        elif word in _OPTIONS_WITH_VALUE:
            next(remaining, None)
        elif not word.startswith("-") and word not in {"pip", "setuptools", "wheel"}:
            result.requirements.append(word)
