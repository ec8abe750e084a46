"""A test that is never collected looks like coverage."""

from __future__ import annotations

import ast
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "tests").rglob("*.py"))


def has_tests(module: Path) -> bool:
    tree = ast.parse(module.read_text())
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        for node in ast.walk(tree)
    )


def test_every_module_with_tests_bears_a_name_that_pytest_collects():
    # GIVEN pytest's own patterns for names, which the project does not change
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert not {"python_files", "norecursedirs", "collect_ignore"} & settings.keys()
    assert settings["testpaths"] == ["tests"]
    # THEN whatever holds tests is named so, and what is named so holds tests
    with_tests = {module for module in MODULES if has_tests(module)}
    collected = {module for module in MODULES if module.name.startswith("test_")}
    assert with_tests == collected


def test_no_two_test_modules_outside_packages_share_a_name():
    # THEN none hides another: a folder without __init__.py gives its modules to one common namespace
    tests = (module for module in MODULES if module.name.startswith("test_"))
    names = Counter(module.stem for module in tests if not (module.parent / "__init__.py").exists())
    assert {name for name, count in names.items() if count > 1} == set()
