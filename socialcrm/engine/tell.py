"""Tell: what the customer of a case is told, where, and in which words. Private things never stand in public."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from babel.dates import format_date
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from connectors.base import Connector, MessageKind
from nlp.entities import mask
from socialcrm.domain.case import Case, CaseConversation
from socialcrm.domain.channel import Channel
from socialcrm.domain.contact import Contact, Identity
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.engagement import reply_language
from socialcrm.domain.message import AuthorKind, Message
from socialcrm.domain.people import Agent
from socialcrm.engine import answer
from socialcrm.engine.answer import Draft
from socialcrm.engine.line import Line
from socialcrm.secrets import KeyLost

LOCALES = {"fr": "fr", "ar": "ar_DZ", "en": "en_GB", "arq-Arab": "ar_DZ", "arq-Latn": "fr"}
_AT = {"fr": "{day} à {time}", "en": "{day}, {time}", "ar": "{day} على الساعة {time}", "arq-Arab": "{day} على {time}"}
MOST_PLACES = 5


@dataclass(frozen=True)
class Place:
    """Where a customer is told something: in a private conversation, in private under a comment, or in public."""

    conversation: Conversation
    connector: Connector
    to: Message | None = None

    @property
    def is_public(self) -> bool:
        """Whether everybody reads it."""
        return self.to is None and self.conversation.kind != MessageKind.DIRECT_MESSAGE


@dataclass(frozen=True)
class Told:
    """What became of a telling: the message, or why there is none (a word of `UNTOLD` on the pages)."""

    message: Message | None = None
    untold: str = ""


async def places(session: AsyncSession, case: Case) -> Sequence[int]:
    """The conversations in which something may be written for a case, in the order of their numbers: those that belong
    to it, and the same person's private ones on the channel where it began. Whoever changes a case locks these first:
    see `engine.case_file.lock`."""
    linked = select(col(CaseConversation.conversation_id)).where(col(CaseConversation.case_id) == case.id)
    home = select(col(Conversation.channel_id)).where(col(Conversation.id) == case.conversation_id).scalar_subquery()
    private = (
        select(col(Conversation.id))
        .where(
            col(Conversation.contact_id) == case.contact_id,
            col(Conversation.kind) == MessageKind.DIRECT_MESSAGE.value,
            col(Conversation.channel_id) == home,
        )
        .order_by(col(Conversation.id).desc())
        .limit(MOST_PLACES)
    )
    query = select(col(Conversation.id)).where(
        or_(col(Conversation.id).in_(linked), col(Conversation.id).in_(private.subquery().select()))
    )
    found = (await session.execute(query.order_by(col(Conversation.id)))).scalars()
    return [number for number in found if number is not None]


async def place_of(session: AsyncSession, line: Line, case: Case) -> Place | str:
    """Where the customer of a case is best told something; a word that says why nowhere."""
    contact = await session.get_one(Contact, case.contact_id)
    if contact.is_bot:
        return "bot"
    query = (
        select(Conversation, Channel)
        .join(Channel, col(Channel.id) == col(Conversation.channel_id))
        .where(col(Conversation.id).in_(await places(session, case)), col(Conversation.contact_id) == case.contact_id)
        .order_by(col(Conversation.last_message_at).desc(), col(Conversation.id).desc())
    )
    rows = [(row[0], row[1]) for row in (await session.execute(query)).all()]
    stopped = await _stopped(session, case.contact_id)
    why = "stopped" if rows and all(channel.id in stopped for _, channel in rows) else ""
    for conversation, channel in rows:
        if channel.id in stopped or (connector := opened(line, channel)) is None:
            continue
        if conversation.kind != MessageKind.DIRECT_MESSAGE or not connector.can("direct_message"):
            continue
        heard = await answer.heard_at(session, conversation)
        if _takes(connector, heard, line.now()):
            return Place(conversation, connector)
        why = "window"
    return await _in_public(session, line, case, rows, stopped) or why or "public"


async def comment_place(session: AsyncSession, line: Line, conversation: Conversation) -> Place | str:
    """Under the comments of a public conversation, where what is written is fit for everybody; else why not."""
    if conversation.kind == MessageKind.DIRECT_MESSAGE:
        return "public"
    channel = await session.get_one(Channel, conversation.channel_id)
    connector = opened(line, channel)
    stopped = await _stopped(session, conversation.contact_id)
    if channel.id in stopped:
        return "stopped"
    return Place(conversation, connector) if connector and connector.can("reply") else "public"


async def _in_public(
    session: AsyncSession, line: Line, case: Case, rows: Sequence[tuple[Conversation, Channel]], stopped: set[int]
) -> Place | None:
    """Under the comment: in private where that is possible, in public only where the settings let us."""
    message = await session.get_one(Message, case.message_id)
    for conversation, channel in rows:
        connector = opened(line, channel)
        if connector is None or channel.id in stopped or conversation.kind == MessageKind.DIRECT_MESSAGE:
            continue
        if conversation.id == message.conversation_id and await _takes_private(session, connector, message, line.now()):
            return Place(conversation, connector, message)
        if line.settings.cases.tell_in_public and connector.can("reply") and message.deleted_at is None:
            return Place(conversation, connector)
    return None


async def _takes_private(session: AsyncSession, connector: Connector, message: Message, now: datetime) -> bool:
    hours = connector.limits.private_reply_hours
    if not answer.takes_private(type(connector), message):
        return False
    if hours is None:
        return True
    return now <= message.sent_at + timedelta(hours=hours) and await answer.private_answer(session, message) is None


def _takes(connector: Connector, heard: datetime | None, now: datetime) -> bool:
    """Whether an automatic text may go out now: the time that platforms give people is not ours."""
    window = connector.window(heard) if heard else None
    return window is None or now <= window.closes_at or window.has_template


async def _stopped(session: AsyncSession, contact_id: int) -> set[int]:
    query = select(col(Identity.channel_id)).where(
        col(Identity.contact_id) == contact_id, col(Identity.stopped_at).is_not(None)
    )
    return set((await session.execute(query)).scalars())


def opened(line: Line, channel: Channel) -> Connector | None:
    """The connector of a channel; None where it cannot be opened now."""
    try:
        return line.channels.open(channel)
    except (KeyLost, KeyError):
        return None


async def tell(
    session: AsyncSession, line: Line, case: Case, text: str, key: str, *, by: Agent | None = None, own: bool = False
) -> Told:
    """Write `text` to the customer of a case, once for each `key`; `own` when the agent chose the words. The case and
    its conversations are locked."""
    place = await place_of(session, line, case)
    if isinstance(place, str):
        return Told(untold=place)
    return await say(session, line, place, text, key, by=by, own=own)


async def say(
    session: AsyncSession, line: Line, place: Place, text: str, key: str, *, by: Agent | None = None, own: bool = False
) -> Told:
    """Write `text` at a place; in public without phone numbers, addresses and the like."""
    text = fit(place, text)
    kind = MessageKind.DIRECT_MESSAGE if place.to else place.conversation.kind
    if place.connector.length(text) > place.connector.limits.text_length_of(kind):
        return Told(untold="long")
    author = AuthorKind.AGENT if own and by else AuthorKind.RULE
    draft = Draft(place.conversation, text, key, author, by.id if own and by else None, to=place.to)
    message = await answer.send(session, draft, line.now())
    await line.live.publish(session, "message", [message.conversation_id], line.now())
    return Told(message)


def fit(place: Place, text: str) -> str:
    """A text as it may stand at a place."""
    return mask(text) if place.is_public else text


async def language_of(session: AsyncSession, line: Line, case: Case) -> str:
    """Which of our languages the customer of a case is told things in."""
    contact = await session.get_one(Contact, case.contact_id)
    home = await session.get_one(Conversation, case.conversation_id)
    return reply_language(contact.language or home.language, line.settings.engagement.default_language)


def in_words(line: Line, language: str, key: str, case: Case, **values: object) -> str:
    """The standard text `key` about a case."""
    more = {
        "reference": case.reference,
        "due": say_when(case.due_at, language, zone_of(line)),
        "name": "",
        "minutes": "",
    }
    more |= {"company": line.settings.company, "url": line.settings.public_url, "team": ""}
    return line.engagement.reply(language, key, **{**more, **values})


def zone_of(line: Line) -> ZoneInfo:
    """The clocks of the company."""
    return ZoneInfo(line.settings.engagement.time_zone)


def say_when(at: datetime, language: str, zone: ZoneInfo) -> str:
    """A time as people say it: "le mardi 24 novembre à 16:00"."""
    local = at.astimezone(zone)
    day = format_date(local, "EEEE d MMMM", locale=LOCALES[language])
    if LOCALES[language] == "fr":
        day = f"le {day}"
    return _AT.get(language, _AT["fr"]).format(day=day, time=f"{local:%H:%M}")
