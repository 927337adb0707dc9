"""How healthy a channel is, on its page: figures with units, a sentence for each thing that is wrong, watched words."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from connectors.base import RawEvent
from connectors.registry import CONNECTORS
from socialcrm.domain.channel import Channel
from socialcrm.domain.ledger import Fate, Origin, RawEventRow
from socialcrm.engine import ledger
from socialcrm.engine.ingest import ingest
from socialcrm.engine.line import Line
from tests.engine.scripted import on_one_database
from tests.story import Clock, line_with
from tests.web.desk import Desk, desk


@pytest.fixture
async def admin(line: Line, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setitem(CONNECTORS, "versatile", "tests.engine.scripted:VersatileConnector")
    monkeypatch.setitem(CONNECTORS, "scripted", "tests.engine.scripted:ScriptedConnector")
    async with desk(line_with(line, Clock())) as admin:
        await admin.sign_in()
        yield admin


async def channel(admin: Desk, connector: str = "versatile", **values: Any) -> Channel:
    journal = str(admin.line.settings.storage.folder / "health.jsonl")
    now = admin.line.now()
    known = {"poll_after_at": now, "succeeded_at": now, "received_at": now, **values}
    return await admin.channel(connector, settings={"journal": journal}, **known)


async def kept(admin: Desk, row: Channel) -> Channel:
    async with admin.line.database.read() as session:
        return await session.get_one(Channel, row.id)


async def test_delay_quota_access_and_what_waits_are_told_with_their_units(admin: Desk) -> None:
    now = admin.line.now()
    row = await channel(
        admin,
        account_name="@shop",
        token_ends_at=now + timedelta(days=20),
        probed_at=now - timedelta(hours=3),
        quota={"used": 188, "limit": 10_000, "resets_at": (now + timedelta(hours=5)).isoformat(), "unit": "units"},
    )
    async with admin.line.database.write() as session:
        sent = {"author": "lyes", "text": "salam", "sent_at": (now - timedelta(seconds=40)).isoformat()}
        await ledger.append(session, row.id or 0, [RawEvent({"id": "1", **sent})], now)
    await ingest(admin.line)
    async with admin.line.database.write() as session:
        await ledger.append(session, row.id or 0, [RawEvent({"id": "2", **sent})], now)
    _, text = await admin.get(f"/channels/{row.id}")
    words = " ".join(text.split())
    for said in (
        "<dt>Delay</dt>",
        ">40s</dd>",
        "9,812 / 10,000",
        "units left<br>anew in 5h",
        "20 days left",
        "@shop",
        "3h ago",
    ):
        assert said in words, said
    assert "Waiting to be read" in words
    assert "banner-caution" not in words, "nothing is wrong with it"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"token_ends_at": timedelta(days=3)}, "Its access ends in 3d: connect it again before."),
        ({"token_ends_at": timedelta(days=-1)}, "Its access has ended: connect it again."),
        ({"missing_scopes": ["read_more", "write"]}, "These permissions are missing: read_more, write."),
        ({"quota": {"used": 100, "limit": 100, "resets_at": None, "unit": "percent"}}, "Its quota is used up."),
        ({"credentials": "of another key"}, "The key of its credentials was lost"),
        ({"status": "signed_out", "lost_at": timedelta(hours=-2)}, "Signed out since 1 Mar 2026, 11:00:00"),
        (
            {"poll_after_at": timedelta(minutes=-50), "succeeded_at": timedelta(minutes=-50)},
            "Nothing was fetched for 50m",
        ),
        (
            {"quota": {"cap": {"used": 9_300, "limit": 10_000, "resets_at": None, "unit": "posts"}}},
            "9,300 of the 10,000 posts that may be read in a month are read.",
        ),
        ({"error": "Busy."}, "Busy."),
        ({"probe_error": "Permission is missing: read."}, "Permission is missing: read."),
        ({"backfill_since_at": timedelta(hours=-2)}, "What was missed since"),
    ],
)
@on_one_database
async def test_each_thing_that_is_wrong_has_a_sentence(admin: Desk, values: dict[str, Any], said: str) -> None:
    now = admin.line.now()
    row = await channel(admin)
    async with admin.line.database.write() as session:
        changed = await session.get_one(Channel, row.id)
        for name, value in values.items():
            setattr(changed, name, now + value if isinstance(value, timedelta) else value)
    assert said in (await admin.get(f"/channels/{row.id}"))[1]
    if "backfill_since_at" not in values:
        assert said in (await admin.get("/channels"))[1]


@on_one_database
async def test_a_webhook_that_was_never_called_and_events_that_wait_are_named(admin: Desk) -> None:
    row = await channel(admin, "api", received_at=None)
    assert "never called" not in (await admin.get(f"/channels/{row.id}"))[1], "it was connected just now"
    async with admin.line.database.write() as session:
        await ledger.append(session, row.id or 0, [RawEvent({"id": "1"})], admin.line.now())
    clock = admin.line.now
    assert isinstance(clock, Clock)
    clock.forward(minutes=40)
    await admin.sign_in()
    _, text = await admin.get("/channels")
    assert "Behind by 40m: what came waits in the ledger." in text
    clock.forward(minutes=40)
    await admin.sign_in()
    assert "The platform has never called us" in (await admin.get(f"/channels/{row.id}"))[1]


@on_one_database
async def test_polling_does_not_hide_that_the_platform_has_stopped_calling_us(admin: Desk) -> None:
    row = await admin.channel("facebook", poll_after_at=admin.line.now(), received_at=admin.line.now())
    said = "The platform does not call us, so messages come minutes late"

    async def came(fate: Fate, origin: Origin, count: int = 1) -> str:
        async with admin.line.database.write() as session:
            for _ in range(count):
                found = RawEventRow(channel_id=row.id or 0, payload="{}", received_at=admin.line.now())
                found.fate, found.origin = fate, origin
                session.add(found)
        return (await admin.get(f"/channels/{row.id}"))[1]

    assert said not in (await admin.get(f"/channels/{row.id}"))[1]
    assert said in await came(Fate.STORED, Origin.POLL)
    assert said not in await came(Fate.DUPLICATE, Origin.USUAL), "it was called, after polling had found it"
    assert said in await came(Fate.DUPLICATE, Origin.POLL, 20), "and that was long ago"
    assert said not in await came(Fate.STORED, Origin.USUAL)


async def test_watched_words_are_saved_as_a_list_and_those_that_stay_keep_their_place(admin: Desk) -> None:
    row = await channel(
        admin, watch_cursors={"#shop": {"cursor": 7, "at": "2026-03-01T11:00:00+00:00", "error": "No."}}
    )
    status, text = await admin.post(
        f"/channels/{row.id}/watch", {"words": " #shop \n\nshop   slow\n#shop\n" + "x" * 900}
    )
    after = await kept(admin, row)
    assert (status, after.settings["watch"]) == (200, ["#shop", "shop slow", "x" * 200])
    assert list(after.watch_cursors) == ["#shop"]
    assert after.settings["journal"], "other settings stay"
    assert "searched 1h ago" in text
    assert '<span class="error" dir="auto">No.</span>' in text
    await admin.post(f"/channels/{row.id}/watch", {"words": ""})
    after = await kept(admin, row)
    assert (after.settings["watch"], after.watch_cursors) == ([], {})


@on_one_database
async def test_only_admins_change_watched_words_and_only_where_the_channel_can_search(admin: Desk) -> None:
    row, deaf = await channel(admin), await channel(admin, "scripted")
    assert (await admin.post(f"/channels/{deaf.id}/watch", {"words": "shop"}))[0] == 404
    assert "Watched words" not in (await admin.get(f"/channels/{deaf.id}"))[1]
    await admin.sign_in("supervisor")
    assert (await admin.post(f"/channels/{row.id}/watch", {"words": "shop"}))[0] == 403
    _, text = await admin.get(f"/channels/{row.id}")
    assert "Watched words" in text
    assert "<textarea" not in text
