"""Eleven channels at once in a flood, with duplicates, oddities and servers that break: each thing happens once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from sqlalchemy import func, select
from sqlmodel import col

from config.settings import load_settings
from connectors.registry import connector_class
from nlp.pipeline import Pipeline
from socialcrm.app import open_line
from socialcrm.domain.rows import Agent, Channel, Message, OutboxItem, RawEventRow, Team, TeamMember
from socialcrm.engine import ledger
from socialcrm.engine.line import Line
from socialcrm.engine.schedule import Timetable
from socialcrm.web.connecting import reconnect
from tests.engine import shops
from tests.engine.shops import EACH, PEOPLE, Hook, Shop
from tests.servers.mail import MailServer, mail_devel
from tests.servers.platform import LOST, SILENCE, Answer, Call, serving
from tests.story import TEAMS, Clock
from tests.teaching import Archive
from tests.web.desk import Desk, desk


class Street:
    """The eleven shops on one line."""

    def __init__(self, line: Line, clock: Clock, all_shops: Sequence[Shop]) -> None:
        self.line, self.clock = line, clock
        self.shops = {shop.kind: shop for shop in all_shops}
        self.numbers: dict[str, int] = {}

    async def open(self, addresses: dict[str, str]) -> None:
        """Connect all channels; their keys are their kinds."""
        now = self.line.now()
        async with self.line.database.write() as session:
            for kind, shop in self.shops.items():
                settings = {**shop.settings, **({"api_url": addresses[kind]} if kind in addresses else {})}
                made = self.line.vault.encrypt(shop.credentials)
                row = Channel(connector=kind, key=kind, name=kind, created_at=now, changed_at=now)
                row.settings, row.credentials = settings, made
                session.add(row)
                await session.flush()
                self.numbers[kind] = row.id or 0
            teams = [Team(key=key, name=key.title()) for key in TEAMS]
            agent = Agent(email="amina@shop.example", name="Amina", role="agent", presence="online", created_at=now)
            session.add_all([*teams, agent])
            await session.flush()
            session.add(TeamMember(team_id=teams[0].id or 0, agent_id=agent.id or 0))
            archive = Archive(session, now)  # in public only what people found right often enough is answered
            judged = await archive.messages(30, channel="judged", intent="question")
            await archive.say(judged, "intent", "question", "question")

    async def channel(self, kind: str) -> Channel:
        """The row as it is now."""
        async with self.line.database.read() as session:
            return await session.get_one(Channel, self.numbers[kind])

    async def is_read(self, kind: str) -> bool:
        """Whether its first poll is over."""
        return (await self.channel(kind)).cursor is not None

    async def counts(self, kind: str) -> ledger.LedgerCounts:
        """The account of one channel."""
        async with self.line.database.read() as session:
            return await ledger.counts(session, self.numbers[kind])

    async def outbox(self, kind: str) -> dict[str, int]:
        """How many items are in each state."""
        query = select(col(OutboxItem.status), func.count()).where(col(OutboxItem.channel_id) == self.numbers[kind])
        async with self.line.database.read() as session:
            rows = (await session.execute(query.group_by(col(OutboxItem.status)))).all()
        return {str(status): number for status, number in rows}

    async def has_read(self, kind: str) -> bool:
        """Whether everything that its customers wrote is through the line."""
        query = select(func.count()).select_from(Message).where(col(Message.channel_id) == self.numbers[kind])
        async with self.line.database.read() as session:
            done = await session.scalar(query.where(col(Message.direction) == "in", col(Message.step) == "done"))
            waiting = await session.scalar(
                select(func.count())
                .select_from(RawEventRow)
                .where(col(RawEventRow.channel_id) == self.numbers[kind], col(RawEventRow.fate) == "waiting")
            )
        return (done, waiting) == (PEOPLE * EACH, 0)

    async def is_quiet(self, kind: str) -> bool:
        """Whether all of it is read, and nothing waits to go out."""
        outbox = await self.outbox(kind)
        return await self.has_read(kind) and not outbox.get("waiting") and not outbox.get("sending")

    async def is_waiting(self, kind: str) -> bool:
        """Whether an answer to each customer waits to go out."""
        return await self.outbox(kind) == {"waiting": PEOPLE}

    async def quiet(self, *kinds: str) -> None:
        """Wait until all of them are."""
        await until(lambda: self._all_quiet(kinds), f"{kinds} to be done")

    async def _all_quiet(self, kinds: Sequence[str]) -> bool:
        return all([await self.is_quiet(kind) for kind in kinds])


async def until(what: Callable[[], Awaitable[bool]], name: str) -> None:
    try:
        async with asyncio.timeout(180):  # of a machine that does other things as well
            while not await what():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"waited in vain for {name}") from None


@pytest.fixture(scope="module")
def mailboxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    with mail_devel(tmp_path_factory.mktemp("mail-devel")) as server:
        yield server


@pytest.fixture
async def street(database_url: str, tmp_path: Path, pipeline: Pipeline, mailboxes: MailServer) -> AsyncIterator[Street]:
    settings = load_settings(
        storage={"folder": str(tmp_path / "data"), "database": database_url},
        line={"idle_seconds": 0.05},
        bot={"settle_seconds": 0},
        web={"public_url": shops.PUBLIC_URL},
        survey={"is_on": False},
    )
    clock = Clock(datetime.now(UTC))
    makers = (shops.api, shops.kannel, shops.twilio, shops.facebook, shops.whatsapp, shops.telegram)
    all_shops = [make() for make in (*makers, shops.x, shops.youtube, shops.bluesky, shops.feed)]
    for box in (shops.MAILBOX, *(f"p{p}@mail.test" for p in range(PEOPLE))):
        await mailboxes.empty(box, "INBOX", "Sent")
    all_shops.append(shops.email(mailboxes))
    async with AsyncExitStack() as stack:
        line = await stack.enter_async_context(open_line(settings, now=clock, pipeline=pipeline))
        street = Street(line, clock, all_shops)
        addresses = {}
        for shop in all_shops:
            if shop.handle is None:
                continue
            app = web.Application()
            is_graph = isinstance(shop.platform, shops.GraphServer)
            route = r"/v{version:\d+\.\d+}/{path:.+}" if is_graph else "/{path:.*}"
            app.router.add_route("*", route, shop.handle)
            addresses[shop.kind] = await stack.enter_async_context(serving(app))
        await street.open(addresses)
        yield street


@asynccontextmanager
async def at_work(street: Street) -> AsyncIterator[None]:
    """Our own loops, as `serve` runs them."""
    timetable = Timetable(street.line)
    await timetable.start()
    try:
        yield
    finally:
        street.shops["x"].platform.end()
        await timetable.stop()


async def call(caller: Desk, kind: str, hook: Hook) -> int:
    answer = await caller.ask("POST", f"/hooks/{kind}", params=hook.query, data=hook.body, headers=hook.headers)
    return answer.status


async def test_eleven_channels_in_a_flood_do_everything_once_whatever_breaks(street: Street) -> None:
    line, shop = street.line, street.shops
    asks_x, asks_feed, asks_sms, asks_twilio = (
        shop[kind].platform.answer for kind in ("x", "feed", "kannel", "twilio")
    )
    lost: list[str] = []

    def cut_off(sms: Call) -> Answer:
        """Two messages are taken, and the line breaks before the platform can say so."""
        if len(lost) < 2:
            lost.append(sms.headers["x-kannel-to"])
            return LOST
        return asks_sms(sms)

    shop["kannel"].platform.answer = cut_off
    shop["x"].platform.answer = SILENCE
    shop["feed"].platform.answer = LOST
    shop["twilio"].platform.answer = Answer(429, {"message": "Too many"}, {"Retry-After": "600"})
    shop["whatsapp"].platform.refusals["messages"] = (401, {"message": "Session has expired", "code": 190})

    async with at_work(street), desk(line) as caller:
        calls = [(kind, hook) for kind, each in shop.items() for hook in [*each.hooks, *each.odd, *each.hooks]]
        statuses = await asyncio.gather(*(call(caller, kind, hook) for kind, hook in calls))
        assert set(statuses) == {200}
        await until(lambda: street.is_read("email"), "the mailbox to be opened")
        await shops.delivered(shop["email"].platform)
        street.clock.forward(seconds=2)  # until the next poll

        # Who waits holds nobody up: X is silent, Twilio said ten minutes, the feed is away, WhatsApp is signed out.
        await street.quiet("api", "kannel", "facebook", "youtube", "bluesky", "telegram", "email")
        await until(lambda: street.has_read("whatsapp"), "WhatsApp's messages to be read")
        await until(lambda: street.is_waiting("twilio"), "Twilio's answers to wait")
        await until(lambda: street.is_waiting("whatsapp"), "WhatsApp's answers to wait")
        assert (await street.counts("x")).received == (await street.counts("feed")).received == 0
        signed_out = await street.channel("whatsapp")
        assert signed_out.status == "signed_out"
        assert not shop["whatsapp"].answered()
        assert not shop["twilio"].answered()

        # They come back.
        shop["x"].platform.answer, shop["feed"].platform.answer = asks_x, asks_feed
        shop["x"].platform.end()
        shop["twilio"].platform.answer = asks_twilio
        shop["whatsapp"].platform.refusals.clear()
        known = connector_class("whatsapp")
        shop["whatsapp"].platform.scopes = [*getattr(known, "permissions", ())]
        form = {field.key: field.default for field in known.fields}
        await reconnect(line, signed_out, known, {**form, **shop["whatsapp"].settings})
        street.clock.forward(seconds=700)
        await street.quiet(*shop)

    for kind, each in shop.items():
        book = await street.counts(kind)
        assert book.is_balanced, kind
        assert (book.stored, book.waiting) == (PEOPLE * EACH, 0), kind
        assert book.dead == {"api": 2, "telegram": 1}.get(kind, len(each.odd)), kind
        assert book.duplicate >= len(each.hooks) + (kind in ("telegram", "email")), kind
        assert (await street.channel(kind)).status == "active", kind
        assert set(each.answered().values()) <= {1}, f"{kind} was told something twice"
    for kind in ("api", "telegram", "x", "whatsapp", "twilio", "email"):
        assert len(shop[kind].answered()) == PEOPLE, f"each customer of {kind} is answered"
    assert await street.outbox("kannel") == {"sent": PEOPLE - 2, "unknown": 2}
    assert not set(lost) & set(shop["kannel"].answered()), "what may have arrived is not sent again"
