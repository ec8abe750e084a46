"""Puts other code in the place of moto's while the embedded AWS runs."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    from contextlib import ExitStack


class Patches:
    """Replacements that last until the stack closes."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def replace(self, owner: Any, name: str, value: Any) -> Any:
        """Set `owner.name`; returns what was there. Raises AttributeError where there was nothing to correct."""
        original = getattr(owner, name)
        self._stack.enter_context(patch.object(owner, name, value))
        return original

    def replace_everywhere(self, package: str, name: str, original: Any, value: Any) -> None:
        """Set a name in each loaded module of `package` that imported `original` under it."""
        for module_name, module in list(sys.modules.items()):
            if module_name.startswith(package) and module is not None and vars(module).get(name) is original:
                self.replace(module, name, value)

    def add(self, owner: Any, name: str, value: Any) -> None:
        """Set `owner.name` where `owner` has none of its own, at most one that it inherits."""
        self._stack.enter_context(patch.object(owner, name, value, create=True))

    def quiet(self, logger: str, level: int) -> None:
        """Hold back a logger's messages below `level`."""
        found = logging.getLogger(logger)
        self._stack.callback(found.setLevel, found.level)
        found.setLevel(level)
