"""Answers that everybody can read give nothing of the customer away, and messages say when they look like spam."""

from collections.abc import AsyncIterator

import pytest

from socialcrm.domain.rows import Conversation, Message
from socialcrm.engine.line import Line
from tests.web.browser import Site, site

THEIRS = "appelez-moi au 0550 12 34 56 ou karim@example.com"


@pytest.fixture
async def here(line: Line) -> AsyncIterator[Site]:
    async with site(line) as opened:
        yield opened


async def asked(here: Site, kind: str = "comment", name: str = "Lyes") -> Conversation:
    """A conversation in which the customer gave a phone number and an address."""
    conversation = await here.conversation(THEIRS, name=name)
    async with here.line.database.write() as session:
        (await session.get_one(Conversation, conversation.id)).kind = kind
    return conversation


async def sent(here: Site, conversation: Conversation) -> int:
    """How many texts went out."""
    async with here.line.database.read() as session:
        return (await session.get_one(Conversation, conversation.id)).message_count - 1


@pytest.mark.parametrize(
    "text", ["On vous appelle au +213550123456", "écrit à KARIM@example.com", "votre carte 4539 1488 0343 6467"]
)
async def test_a_public_answer_with_the_customers_data_is_refused_until_it_is_meant(here: Site, text: str) -> None:
    browser = await here.signed_in(await here.agent())
    conversation = await asked(here)
    answer = await browser.post(f"/inbox/{conversation.id}/answer", {"text": text, "key": "k"})
    assert answer.status == 422
    assert "With personal data" in await answer.text()
    assert await sent(here, conversation) == 0
    meant = {"text": text, "key": "k", "publish": "yes"}
    assert (await browser.post(f"/inbox/{conversation.id}/answer", meant)).status == 303
    assert await sent(here, conversation) == 1


@pytest.mark.parametrize("text", ["Appelez le 021 98 76 54 ou aide@wasla.example", "Bonjour, on regarde tout de suite"])
async def test_our_own_number_and_address_are_no_secret(here: Site, text: str) -> None:
    browser = await here.signed_in(await here.agent())
    conversation = await asked(here)
    assert (await browser.post(f"/inbox/{conversation.id}/answer", {"text": text, "key": "k"})).status == 303


async def test_a_name_that_is_a_number_is_the_customers_too(here: Site) -> None:
    browser = await here.signed_in(await here.agent())
    conversation = await asked(here, name="0661 99 88 77")
    answer = await browser.post(f"/inbox/{conversation.id}/answer", {"text": "au 0661998877 ?", "key": "k"})
    assert answer.status == 422


async def test_private_answers_and_notes_may_have_personal_data(here: Site) -> None:
    browser = await here.signed_in(await here.agent())
    private, public = await asked(here, "direct_message"), await asked(here)
    form = {"text": "On vous appelle au 0550123456", "key": "k"}
    assert (await browser.post(f"/inbox/{private.id}/answer", form)).status == 303
    assert (await browser.post(f"/inbox/{public.id}/answer", {**form, "mode": "note"})).status == 303
    assert "publish" not in await browser.text(f"/inbox/{private.id}")
    assert 'name="publish"' in await browser.text(f"/inbox/{public.id}")


async def test_messages_that_look_like_spam_or_insult_have_a_tag_that_says_why(here: Site) -> None:
    spam = "Gagnez de l'argent depuis chez vous https://bit.ly/3xYz"
    conversation = await here.conversation(spam, "bande d'escrocs", "la connexion ta3kom mayta")
    browser = await here.signed_in(await here.agent())
    page = await browser.text(f"/inbox/{conversation.id}")
    assert page.count("Looks like spam") == page.count("Harsh words") == 1
    assert "a shortened link (bit.ly)" in page
    async with here.line.database.write() as session:
        session.add(
            Message(
                conversation_id=conversation.id or 0,
                channel_id=conversation.channel_id,
                contact_id=conversation.contact_id,
                direction="out",
                kind="direct_message",
                author_kind="agent",
                text=spam,
                sent_at=here.line.now(),
                received_at=here.line.now(),
            )
        )
    assert (await browser.text(f"/inbox/{conversation.id}")).count("Looks like spam") == 1
