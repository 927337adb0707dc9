"""Servers and programs that a test needs and a machine may lack."""

import os
from typing import NoReturn

import pytest


def require(what: str) -> NoReturn:
    """Skip the test, naming what is absent; in CI, where everything is installed, fail instead."""
    if os.environ.get("SOCIALCRM_TEST_REQUIRE_ALL") == "1":
        pytest.fail(f"this machine lacks {what}, and nothing may be skipped here")
    pytest.skip(f"needs {what}")
