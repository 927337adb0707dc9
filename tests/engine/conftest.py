"""Channels whose platform does what a test says."""

from collections.abc import Iterator

import pytest

from connectors.registry import CONNECTORS
from tests.engine.scripted import SCRIPTS


@pytest.fixture(autouse=True)
def scripted_connectors(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("scripted", "forgetful", "polled", "versatile", "public", "unbuttoned"):
        monkeypatch.setitem(CONNECTORS, name, f"tests.engine.scripted:{name.title()}Connector")
    yield
    SCRIPTS.clear()
