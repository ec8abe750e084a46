"""The fixture of the tests that need an embedded account."""

from __future__ import annotations

import pytest
from embedded_account import EmbeddedAccount


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    made = EmbeddedAccount(tmp_path_factory.mktemp("account"))
    yield made
    made.close()
