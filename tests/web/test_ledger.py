"""The ledger's page: the account in words, what could not be read, and reading it again."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import insert, select
from sqlmodel import col

from socialcrm.domain.ledger import Fate, RawEventRow
from socialcrm.domain.rows import Channel, Contact, Conversation, Message, OutboxItem
from socialcrm.engine.line import Line
from tests.web.desk import Desk, desk


@pytest.fixture
async def admin(line: Line) -> AsyncIterator[Desk]:
    async with desk(line) as admin:
        await admin.sign_in()
        yield admin


async def receive(
    admin: Desk, channel: Channel, fate: str, payload: str = "{}", count: int = 1, **values: object
) -> None:
    row = {
        "channel_id": channel.id,
        "payload": payload,
        "received_at": admin.line.now(),
        "fate": fate,
        "reason": "",
        **values,
    }
    async with admin.line.database.write() as session:
        await session.execute(insert(RawEventRow), [{"external_id": None, "line_number": None, **row}] * count)


async def fates(admin: Desk) -> list[str]:
    async with admin.line.database.read() as session:
        return list((await session.execute(select(col(RawEventRow.fate)).order_by(col(RawEventRow.id)))).scalars())


async def test_an_empty_ledger_is_balanced_and_says_what_it_is_for(admin: Desk) -> None:
    status, text = await admin.get("/ledger")
    assert status == 200
    assert "Balanced: nothing was lost" in text


async def test_the_account_counts_every_fate_overall_and_per_channel(admin: Desk) -> None:
    shop, mail = await admin.channel(name="shop"), await admin.channel(name="mail")
    for number, fate in enumerate(Fate, 1):
        await receive(admin, shop, fate, count=number)
    await receive(admin, mail, Fate.STORED, count=4)
    _, text = await admin.get("/ledger")
    plain = " ".join(text.split())
    for number, word in (
        (19, "received"),
        (6, "stored"),
        (3, "duplicate"),
        (4, "ignored"),
        (5, "dead"),
        (1, "waiting"),
    ):
        assert f"<strong>{number}</strong><span>{word}</span>" in plain
    assert text.count("Balanced</span>") == 2


async def test_a_fate_that_nobody_knows_makes_the_account_unbalanced(admin: Desk) -> None:
    await receive(admin, await admin.channel(), "lost")
    _, text = await admin.get("/ledger")
    assert "Not balanced: some events are not accounted for" in text


async def test_a_dead_letter_shows_its_reason_line_and_payload_without_running_it(admin: Desk) -> None:
    channel = await admin.channel()
    payload = '{"text": "<script>alert(1)</script>", "name": "\\u0633\\u0645\\u064a\\u0631", "half": "\\ud800"}'
    await receive(admin, channel, Fate.DEAD, payload, reason="text: 100% <b>wrong</b>", line_number=17)
    _, text = await admin.get("/ledger")
    assert "text: 100% &lt;b&gt;wrong&lt;/b&gt;" in text
    assert "line 17 of the archive" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "سمير" in text
    assert "<script>alert" not in text


@pytest.mark.parametrize("payload", ['"' + "x" * 200_000 + '"', "[" * 100_000, "not json"])
async def test_a_strange_payload_is_shown_within_bounds(admin: Desk, payload: str) -> None:
    await receive(admin, await admin.channel(), Fate.DEAD, payload)
    status, text = await admin.get("/ledger")
    assert (status, len(text) < 80_000) == (200, True)


async def test_lists_are_paged_without_gaps(admin: Desk) -> None:
    await receive(admin, await admin.channel(), Fate.IGNORED, count=120)
    seen: list[str] = []
    path = "/ledger?fate=ignored"
    while path:
        _, text = await admin.get(path)
        seen += [part.split("<")[0] for part in text.split("<span>#")[1:]]
        path = text.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&") if 'rel="next"' in text else ""
    assert len(seen) == len(set(seen)) == 120


async def test_one_dead_letter_is_read_again_and_the_others_stay(admin: Desk) -> None:
    channel = await admin.channel()
    await receive(admin, channel, Fate.DEAD, count=2)
    await receive(admin, channel, Fate.STORED)
    status, text = await admin.post("/ledger/replay", {"event": "1"})
    assert (status, "1 dead letter is being read again" in text) == (200, True)
    assert await fates(admin) == ["waiting", "dead", "stored"]
    _, text = await admin.post("/ledger/replay", {"event": "3"})
    assert "0 dead letters are being read again" in text
    assert await fates(admin) == ["waiting", "dead", "stored"]


async def test_all_dead_letters_are_read_again_at_once(admin: Desk) -> None:
    channel = await admin.channel()
    await receive(admin, channel, Fate.DEAD, count=3)
    await receive(admin, channel, Fate.IGNORED)
    _, text = await admin.post("/ledger/replay", {"all": "yes"})
    assert "3 dead letters are being read again" in text
    assert await fates(admin) == ["waiting"] * 3 + ["ignored"]


@pytest.mark.parametrize("form", [{}, {"event": "9" * 40}, {"all": "no"}])
async def test_reading_again_what_was_not_chosen_is_refused(admin: Desk, form: dict[str, str]) -> None:
    await receive(admin, await admin.channel(), Fate.DEAD)
    assert (await admin.post("/ledger/replay", form))[0] == 400
    assert await fates(admin) == ["dead"]


@pytest.mark.parametrize("query", ["fate=stored", "outbox=sent", "fate=x"])
async def test_there_is_no_list_of_what_needs_nobody(admin: Desk, query: str) -> None:
    assert (await admin.get(f"/ledger?{query}"))[0] == 404


@pytest.mark.parametrize("query", ["before=x", "before=-1", "channel=%00", "before=" + "9" * 30])
async def test_a_damaged_address_is_a_sentence(admin: Desk, query: str) -> None:
    assert (await admin.get(f"/ledger?{query}"))[0] == 400


async def test_texts_that_were_not_delivered_are_listed_with_the_platforms_words(admin: Desk) -> None:
    channel = await admin.channel()
    now = admin.line.now()
    async with admin.line.database.write() as session:
        contact = Contact(name="Karim", created_at=now)
        session.add(contact)
        await session.flush()
        conversation = Conversation(
            channel_id=channel.id or 0,
            contact_id=contact.id or 0,
            thread_key="t",
            kind="direct_message",
            opened_at=now,
            last_message_at=now,
        )
        session.add(conversation)
        await session.flush()
        message = Message(
            conversation_id=conversation.id or 0,
            channel_id=channel.id or 0,
            contact_id=contact.id or 0,
            direction="out",
            kind="direct_message",
            author_kind="agent",
            text="bonjour",
            sent_at=now,
            received_at=now,
        )
        session.add(message)
        await session.flush()
        session.add(
            OutboxItem(
                key="k",
                channel_id=channel.id or 0,
                conversation_id=conversation.id or 0,
                message_id=message.id or 0,
                action="direct_message",
                status="failed",
                created_at=now,
                due_at=now,
                reason="Forbidden: bot was blocked",
            )
        )
    _, text = await admin.get("/ledger?outbox=failed")
    assert "Forbidden: bot was blocked" in text
    assert f"/inbox/{conversation.id}" in text
    _, text = await admin.get("/ledger?outbox=unknown")
    assert "Forbidden" not in text


async def test_supervisors_look_and_do_not_touch_and_agents_do_not_look(admin: Desk) -> None:
    await receive(admin, await admin.channel(), Fate.DEAD)
    await admin.sign_in("supervisor")
    status, text = await admin.get("/ledger")
    assert (status, "/ledger/replay" in text) == (200, False)
    assert (await admin.post("/ledger/replay", {"all": "yes"}))[0] == 403
    for role in ("agent", "analyst"):
        await admin.sign_in(role)
        assert (await admin.get("/ledger"))[0] == 403
    assert await fates(admin) == ["dead"]
