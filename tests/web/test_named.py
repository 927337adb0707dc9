"""What a customer's message names stands under it in the inbox."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from html import unescape

import pytest

from socialcrm.engine.line import Line
from socialcrm.web.i18n import Formats
from socialcrm.web.named import names
from tests.web.browser import Site, site

TEXT = "rappelez-moi au ٠٥٥٠ ١٢ ٣٤ ٥٦ svp, commande n° 45127 payée 2 500,50 DA hier à وهران, dossier 7K3-F9P-2"


@pytest.fixture
async def here(line: Line) -> AsyncIterator[Site]:
    async with site(line) as opened:
        yield opened


def test_each_thing_is_said_once_in_its_normal_form_and_leads_where_it_is_of_use() -> None:
    at = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)  # the 2nd of March at the company
    found = names(f"{TEXT}, je répète : 45127. Aujourd'hui lundi à 14h30.", at, Formats("en", "Africa/Algiers"))
    assert [(one.kind, one.text, one.link) for one in found] == [
        ("phone", "٠٥٥٠ ١٢ ٣٤ ٥٦", "tel:+213550123456"),
        ("order", "45127", "/inbox?tab=all&q=45127"),
        ("amount", "2,500.5 DZD", ""),
        ("date", "1 Mar 2026", ""),
        ("place", "Oran", ""),
        ("case", "7K3-F9P-2", "/inbox?tab=all&q=7K3-F9P-2"),
    ]


@pytest.mark.parametrize(("text", "said"), [("le 12/03/2026", "12 Mar 2026"), ("le 12 mars", "12 March"), ("", "")])
def test_a_day_is_written_as_the_screen_writes_it(text: str, said: str) -> None:
    found = names(text, datetime(2026, 3, 1, tzinfo=UTC), Formats("en", "Africa/Algiers"))
    assert [one.text for one in found] == ([said] if said else [])


async def test_the_inbox_shows_it_under_what_the_customer_wrote(here: Site) -> None:
    browser = await here.signed_in(await here.agent())
    conversation = await here.conversation(TEXT)
    page = unescape(await browser.text(f"/inbox/{conversation.id}?tab=all"))
    assert page.count('class="named"') == 1
    assert '<a href="tel:+213550123456">' in page
    assert '<span class="named-kind">amount</span> <bdi>2,500.5 DZD</bdi>' in page
