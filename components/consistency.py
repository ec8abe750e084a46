"""Checks between settings. They look at whatever is well formed, so that one mistake does not hide another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from components.mistakes import key_of
from components.modes import MODES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

Raw = dict[str, Any]
Finding = tuple[tuple[int | str, ...], str]
BUCKET_LIMIT = 63  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
FUNCTION_LIMIT = 64  # https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
ACCOUNT_DIGITS = 12


def lines(namespace: str, given: Raw, root: Path) -> list[str]:
    """One line for each mistake that lies between settings; build contexts are relative to `root`."""
    checks: tuple[Callable[[Raw, Path], Iterable[Finding]], ...] = (
        _names_fit,
        _name_is_no_prefix,
        _mode_fits,
        _names_differ,
        _functions_fit,
        _builds_exist,
        _images_run_on_lambda,
        _names_do_not_clash,
    )
    return [f"{key_of(namespace, place)}: {text}" for check in checks for place, text in check(given, root)]


def _processors(given: Raw) -> Iterator[tuple[int, Raw]]:
    listed = given.get("processors")
    yield from (
        (i, item) for i, item in enumerate(listed if isinstance(listed, list) else []) if isinstance(item, dict)
    )


def _texts(items: object) -> list[str]:
    """The texts of a list, or the keys of an object; nothing of anything else."""
    return [item for item in items if isinstance(item, str)] if isinstance(items, list | dict) else []


def _names_fit(given: Raw, _root: Path) -> Iterator[Finding]:
    name, region = given.get("name"), given.get("region")
    if isinstance(name, str) and isinstance(region, str):
        limit = BUCKET_LIMIT - len(f"-results--{region}") - ACCOUNT_DIGITS
        if len(name) > limit:
            yield ("name",), f"{name!r} is too long: bucket names leave {limit} characters in {region}"


def _name_is_no_prefix(given: Raw, _root: Path) -> Iterator[Finding]:
    name = given.get("name")
    if isinstance(name, str) and "-p-" in f"{name}-":
        # A node `a` may invoke a-p-*, its processors. A node `a-p` would have functions among them.
        yield ("name",), f"{name!r} may not have p as a word of its own: it marks the functions of processors"


def _mode_fits(given: Raw, _root: Path) -> Iterator[Finding]:
    facts = MODES.get(given.get("mode", "basic"))
    if facts is None:
        return
    if facts.llm_needs_baa and given.get("enableLLMAccess") is True and given.get("baaAcknowledged") is not True:
        yield ("baaAcknowledged",), f"must be true for enableLLMAccess in mode {given['mode']}"
    network = given.get("network")
    if facts.network == "default-vpc" and isinstance(network, dict) and network.get("cidr") is not None:
        yield ("network", "cidr"), f"{network['cidr']!r} has no meaning in the account's default VPC"


def _names_differ(given: Raw, _root: Path) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, item in _processors(given):
        if isinstance(name := item.get("name"), str) and first.setdefault(name, index) != index:
            yield ("processors", index, "name"), f"{name!r} is already the name of processors[{first[name]}]"


def _on_lambda(item: Raw) -> bool:
    return "lambda" in _texts(item.get("computeTypes"))


def _functions_fit(given: Raw, _root: Path) -> Iterator[Finding]:
    node = given.get("name")
    for index, item in _processors(given):
        if isinstance(node, str) and isinstance(name := item.get("name"), str) and _on_lambda(item):
            limit = FUNCTION_LIMIT - len(f"{node}-p-")
            if len(name) > limit:
                yield (
                    ("processors", index, "name"),
                    f"{name!r} is too long: its function's name leaves {limit} characters",
                )


def _builds_exist(given: Raw, root: Path) -> Iterator[Finding]:
    for index, item in _processors(given):
        if isinstance(build := item.get("build"), str) and build and not (root / build / "Dockerfile").is_file():
            yield ("processors", index, "build"), f"{build!r} is no folder with a Dockerfile"


def _images_run_on_lambda(given: Raw, _root: Path) -> Iterator[Finding]:
    region = given.get("region")
    for index, item in _processors(given):
        image = item.get("image")
        if isinstance(image, str) and _on_lambda(item) and f".dkr.ecr.{region}.amazonaws.com" not in image:
            yield (
                ("processors", index, "image"),
                f"{image!r} cannot run on Lambda: it takes images of ECR in {region} only",
            )


def _names_do_not_clash(given: Raw, _root: Path) -> Iterator[Finding]:
    for index, item in _processors(given):
        for name in sorted({*_texts(item.get("parameters"))} & {*_texts(item.get("environment"))}):
            yield (
                ("processors", index, "environment", name),
                "is also a parameter, which has the same name in the environment",
            )
