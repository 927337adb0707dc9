"""Tests of the connectors; the contract's assertions should explain themselves as those of tests do."""

import pytest

pytest.register_assert_rewrite("tests.connectors.contract", "tests.connectors.polling")
