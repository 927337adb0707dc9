"""Speak: conversations whose customer has fallen silent -> what the bot says to them, and why it says it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from connectors.base import MessageKind
from connectors.registry import connector_class
from nlp.entities import mask
from socialcrm.database import insert_rows
from socialcrm.domain.bot import BotSession, BotTurn, CallBack, Why
from socialcrm.domain.calendar import Calendar
from socialcrm.domain.case import Origin, reference_of
from socialcrm.domain.casework import CannotMove
from socialcrm.domain.channel import Channel
from socialcrm.domain.contact import Contact
from socialcrm.domain.conversation import Conversation, ConversationEvent, EventKind
from socialcrm.domain.engagement import reply_language
from socialcrm.domain.faq import Curve
from socialcrm.domain.flow import Flow
from socialcrm.domain.message import AuthorKind, RuleTrace
from socialcrm.domain.moments import spoken
from socialcrm.domain.play import State, World, transcript
from socialcrm.domain.speak import Match, Reply, Trust, Turn, decide
from socialcrm.engine import ask, faq, hearing
from socialcrm.engine.answer import Draft, send
from socialcrm.engine.calendars import calendar_for
from socialcrm.engine.case_file import open_case_of
from socialcrm.engine.case_opening import open_case
from socialcrm.engine.hand_over import hand_over, place_in_queue
from socialcrm.engine.line import Line
from socialcrm.engine.playbook import Playbook, playbook, version_of
from socialcrm.engine.turns import FLOW, FORGOTTEN

log = logging.getLogger(__name__)
BATCH = 100


@dataclass
class Shared:
    """What the turns of one batch have in common."""

    line: Line
    now: datetime
    book: Playbook
    curve: Curve | None
    matches: Mapping[int, Match]
    """Conversation -> the entry of the FAQ that it is likest to."""
    trust: Mapping[str, Trust]
    calendars: dict[int | None, Calendar] = field(default_factory=dict)

    async def carries(self, session: AsyncSession, conversation: Conversation) -> bool:
        """Whether the conversation's channel takes answers to it."""
        channel = await session.get_one(Channel, conversation.channel_id)
        is_private = conversation.kind == MessageKind.DIRECT_MESSAGE
        return connector_class(channel.connector).can("direct_message" if is_private else "reply")

    async def calendar(self, session: AsyncSession, team_id: int | None) -> Calendar:
        """The working hours of a team."""
        if team_id not in self.calendars:
            self.calendars[team_id] = await calendar_for(session, self.line, team_id)
        return self.calendars[team_id]


async def speak(line: Line) -> int:
    """Take one batch of the bot's turns; how many were taken."""
    now = line.now()
    query = select(col(BotTurn.conversation_id)).where(col(BotTurn.due_at) <= now).order_by(col(BotTurn.due_at))
    async with line.database.read() as session:
        due = (await session.execute(query.limit(BATCH))).scalars().all()
        if not due:
            return 0
        book = await playbook(session, line)
        heard = await hearing.written(session, due)
        curve = await faq.curve(session, line) if book.plan.answers else None
        trust = await faq.trust(session, [message.intent for found in heard.values() for message in found])
    matches = await hearing.matches(line, heard, curve is not None and curve.threshold(book.plan.faq_bar) is not None)
    shared = Shared(line, now, book, curve, matches, trust)
    newest = {number: messages[-1].id for number, messages in heard.items()}
    async with line.database.write() as session:
        taken = await _claim(session, due, now)
        heard = await hearing.written(session, [conversation.id or 0 for conversation, _ in taken])
        contacts = await _contacts(session, [conversation for conversation, _ in taken])
        said = await hearing.said(session, [conversation.id or 0 for conversation, _ in taken], now)
        done = 0
        for conversation, turn in taken:
            number, contact = conversation.id or 0, contacts[conversation.contact_id]
            messages = heard.get(number, [])
            if messages and messages[-1].id != newest.get(number):
                continue  # another message came meanwhile: read with it in the next round
            done += 1
            try:
                async with line.database.savepoint(session):
                    await _one(session, shared, conversation, contact, turn, messages, said.get(number, hearing.Said()))
            except Exception:
                log.exception("the bot cannot answer in conversation %s: left to people", number)
                await _give_up(session, shared, number, messages)
        await line.live.publish(session, "message", [c.id or 0 for c, _ in taken], now)
    if done:
        line.live.ring()
    return done


async def _claim(session: AsyncSession, due: Sequence[int], now: datetime) -> Sequence[tuple[Conversation, BotTurn]]:
    """Those of these conversations whose turn is still due, locked; what another process works on is left to it."""
    query = (
        select(Conversation, BotTurn)
        .join(BotTurn, col(BotTurn.conversation_id) == col(Conversation.id))
        .where(col(Conversation.id).in_(due), col(BotTurn.due_at) <= now)
        .order_by(col(Conversation.id))
        .with_for_update(of=Conversation, skip_locked=True, key_share=True)
    )
    return [(row[0], row[1]) for row in (await session.execute(query)).all()]


async def _contacts(session: AsyncSession, conversations: Sequence[Conversation]) -> dict[int, Contact]:
    query = (
        select(Contact)
        .where(col(Contact.id).in_({c.contact_id for c in conversations}))
        .order_by(col(Contact.id))
        .with_for_update(key_share=True)
    )
    return {contact.id or 0: contact for contact in (await session.execute(query)).scalars()}


async def _one(
    session: AsyncSession,
    shared: Shared,
    conversation: Conversation,
    contact: Contact,
    turn: BotTurn,
    messages: Sequence[hearing.Written],
    said: hearing.Said,
) -> None:
    """Decide about one conversation, then do it."""
    row = await session.get(BotSession, conversation.id)
    state, flow = await _state(session, shared, row)
    talks = bool(state or shared.book.starting or turn.why == Why.ASKED_FOR_PERSON)
    world = await world_of(session, shared, conversation, contact, talks=talks)
    newest = messages[-1] if messages else None
    settings = shared.line.settings.engagement
    window = timedelta(hours=settings.auto_answer_window_hours)
    threshold = shared.curve.threshold(shared.book.plan.faq_bar) if shared.curve else None
    repeats = await hearing.repeats(session, conversation) if said.by_bot else 1
    told = Turn(
        handler=conversation.handler,
        is_bot=contact.is_bot,
        heard=hearing.as_heard(messages, repeats) if messages else None,
        picked=row.picked if row else "",
        wants_person=turn.why == Why.ASKED_FOR_PERSON,
        state=state,
        flow=flow,
        is_invited=bool(row and row.is_invited),
        is_first=said.count == 0,
        is_limited=bool(contact.auto_answered_at and shared.now - contact.auto_answered_at < window),
        has_spoken=said.by_bot > 0,
        said_lately=said.lately,
        match=shared.matches.get(conversation.id or 0),
        threshold=threshold.score if threshold else None,
        trust=shared.trust.get(newest.intent, Trust(0, 0)) if newest else Trust(0, 0),
        starting=shared.book.starting,
        window_hours=settings.auto_answer_window_hours,
        can_answer=await shared.carries(session, conversation),
    )
    reply = decide(told, world, shared.book.plan)
    await _carry_out(session, shared, conversation, contact, row, told, reply, world, newest)
    await session.delete(turn)
    await session.flush()


async def _state(session: AsyncSession, shared: Shared, row: BotSession | None) -> tuple[State | None, Flow | None]:
    """The question that is open, in the version of its flow."""
    if row is None or not row.step or shared.now - row.changed_at > FORGOTTEN:
        return None, None
    ended = select(col(ConversationEvent.id)).where(
        col(ConversationEvent.conversation_id) == row.conversation_id,
        col(ConversationEvent.kind) == EventKind.RESOLVED.value,
        col(ConversationEvent.at) >= row.changed_at,
    )
    if (await session.execute(ended.limit(1))).first():
        return None, None
    flow = await version_of(session, shared.book, row.flow, row.version_id)
    return (State(row.flow, row.step, row.kept, row.tries), flow) if flow else (None, None)


async def world_of(
    session: AsyncSession, shared: Shared, conversation: Conversation, contact: Contact, *, talks: bool
) -> World:
    """What a flow is played in, for one conversation. Case and place are looked up only where it `talks` of them."""
    line, now, plan = shared.line, shared.now, shared.book.plan
    settings = line.settings.engagement
    language = reply_language(contact.language or conversation.language, settings.default_language)
    calendar = await shared.calendar(session, conversation.team_id)
    zone = ZoneInfo(settings.time_zone)
    opening = calendar.next_opening(now)
    case = await open_case_of(session, conversation) if talks else None
    newest = await hearing.newest_number(session, conversation) if talks and case is None else 0
    is_private = conversation.kind == MessageKind.DIRECT_MESSAGE
    place = await place_in_queue(session, conversation) if talks else 1
    return World(
        flows=shared.book.flows,
        answers={entry.id: entry.answers for entry in line.engagement.questions},
        reply=lambda key: plan.texts.get(key, {}).get(language) or line.engagement.replies[language][key],
        language=language,
        default_language=settings.default_language,
        now=now,
        zone=zone,
        calendar=calendar,
        given={
            "name": contact.name if is_private else mask(contact.name),
            "company": line.settings.company,
            "url": line.settings.public_url,
            "opening": spoken(opening, now, zone, language) if opening else "",
            "place": str(place) if place > 1 else "",
        },
        reference=case.reference if case else reference_of(newest) if newest else "",
    )


async def _carry_out(
    session: AsyncSession,
    shared: Shared,
    conversation: Conversation,
    contact: Contact,
    row: BotSession | None,
    told: Turn,
    reply: Reply,
    world: World,
    newest: hearing.Written | None,
) -> None:
    """Write what was decided."""
    line, now, played, number = shared.line, shared.now, reply.played, conversation.id or 0
    is_talking = bool(played.texts or played.state or reply.invites)
    if row is None and (is_talking or played.hands_over):
        row = BotSession(conversation_id=number, changed_at=now)
        session.add(row)
    lines = [dict(one) for one in reply.lines]
    if played.opens_case:
        opened, more = await _open_case(session, line, conversation)
        lines += more
        if opened and opened != world.reference:  # texts are ready before the case is
            texts = tuple(text.replace(world.reference, opened) for text in played.texts)
            played = replace(played, texts=texts)
    if played.call_back and row is not None:
        await _leave_call_back(session, shared, conversation, row, played.call_back)
    if played.hands_over or told.wants_person:
        await hand_over(session, line, conversation, row, played.hands_over or "asked", told, played.kept)
    if row is not None:
        before = row.question_key
        row.picked, row.is_invited = "", reply.invites
        if played.state is not None and not played.hands_over:
            if (row.flow, row.step) == ("", "") or row.flow != played.state.flow:
                known = shared.book.known.get(played.state.flow)
                row.version_id = known.version_id if known else None
            row.flow, row.step, row.tries = played.state.flow, played.state.step, played.state.tries
            row.kept = dict(played.state.kept)
        else:
            row.flow, row.step, row.tries, row.kept, row.version_id = "", "", 0, {}, None
        row.question_key, row.changed_at = "", now
        if before:
            await ask.close(session, FLOW, number, now)
    if played.texts and row is not None:
        row.said_count += 1
        key, text = f"bot:{number}:{row.said_count}", transcript(played.texts)
        if played.choices:
            row.question_key = key
            await session.flush()
            await ask.ask(
                session,
                line,
                conversation,
                text,
                played.choices,
                kind=FLOW,
                subject_id=number,
                key=key,
                author=AuthorKind.BOT,
                expires=now + FORGOTTEN,
                language=world.language,
            )
        else:
            answers = {"answers_id": newest.id, "reply_to": newest.external_id} if newest else {}
            await send(session, Draft(conversation, text, key, AuthorKind.BOT, **answers), now)  # type: ignore[arg-type]
    if reply.counts:
        contact.auto_answered_at = now
    await _trace(session, conversation, newest, lines, now)


async def _open_case(session: AsyncSession, line: Line, conversation: Conversation) -> tuple[str, list[dict[str, Any]]]:
    """The reference of the case, and why there is none."""
    try:
        case = await open_case(session, line, conversation, origin=Origin.BOT, tells=False)
    except CannotMove as error:
        return "", [{"rule": "bot", "fired": False, "because": str(error), "did": ""}]
    return case.reference, []


async def _leave_call_back(
    session: AsyncSession,
    shared: Shared,
    conversation: Conversation,
    row: BotSession,
    wanted: tuple[str, datetime, str],
) -> None:
    phone, at, about = wanted
    key = f"bot:{conversation.id}:{row.said_count}"
    if (await session.execute(select(col(CallBack.id)).where(col(CallBack.key) == key))).first() is None:
        session.add(
            CallBack(
                key=key,
                conversation_id=conversation.id or 0,
                contact_id=conversation.contact_id,
                phone=phone,
                about=about,
                due_at=at,
                made_at=shared.now,
            )
        )


async def _trace(
    session: AsyncSession,
    conversation: Conversation,
    newest: hearing.Written | None,
    lines: Sequence[dict[str, Any]],
    now: datetime,
) -> None:
    """Add the reasons to those of the newest message."""
    number = newest.id if newest else await hearing.newest_number(session, conversation)
    if not number or not lines:
        return
    query = select(RuleTrace).where(col(RuleTrace.message_id) == number)
    trace = (await session.execute(query)).scalar_one_or_none()
    if trace is None:
        row = {"message_id": number, "conversation_id": conversation.id, "at": now, "lines": list(lines)}
        await insert_rows(session, RuleTrace, [row])
    else:
        trace.lines = [*trace.lines, *lines]


async def _give_up(session: AsyncSession, shared: Shared, number: int, messages: Sequence[hearing.Written]) -> None:
    """Leave a conversation that breaks the bot to people."""
    conversation = await session.get_one(Conversation, number, populate_existing=True)
    if turn := await session.get(BotTurn, number, populate_existing=True):
        await session.delete(turn)
    row = await session.get(BotSession, number, populate_existing=True)
    if row is not None and row.step:
        await hand_over(session, shared.line, conversation, row, "internal error: see the log")
        row.flow, row.step, row.picked, row.kept = "", "", "", {}
    line = {"rule": "bot", "fired": False, "because": "internal error: see the log", "did": "left to people"}
    await _trace(session, conversation, messages[-1] if messages else None, [line], shared.now)
    await session.flush()
