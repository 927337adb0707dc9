"""Tests of the connectors; the contract's assertions should explain themselves as those of tests do."""

import pytest

pytest.register_assert_rewrite(*(f"tests.connectors.{name}" for name in ("contract", "webhooks", "sending", "polling")))
