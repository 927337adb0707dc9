"""Every registered connector comes with its module, page and contract test, and the page of all is true."""

from pathlib import Path

import pytest

from connectors.abilities import updated
from connectors.registry import CONNECTORS, connector_class
from tests.connectors.contract import missing_pieces

INDEX = Path(__file__).parents[2] / "docs" / "connectors" / "index.md"


@pytest.mark.parametrize("name", sorted(CONNECTORS))
def test_a_registered_connector_has_all_its_pieces(name: str) -> None:
    assert missing_pieces(name) == []


def test_the_table_of_abilities_is_what_the_classes_say() -> None:
    page = INDEX.read_text(encoding="utf-8")
    assert page == updated(page), "run: python -m connectors.abilities docs/connectors/index.md"


def test_every_connector_page_is_linked_from_the_index() -> None:
    page = INDEX.read_text(encoding="utf-8")
    assert [name for name in CONNECTORS if f"({name}.md)" not in page] == []


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="telegram"):
        connector_class("pigeon")
