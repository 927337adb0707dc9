"""Survey: each resolution is followed by at most one survey, asked in the channel or by link; who answers is in
`survey_answers`."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from connectors.base import Connector, MessageKind
from socialcrm.domain.case import Case
from socialcrm.domain.channel import Channel
from socialcrm.domain.columns import constant
from socialcrm.domain.contact import Contact, Identity
from socialcrm.domain.conversation import Conversation, ConversationEvent, ConversationStatus, EventKind
from socialcrm.domain.engagement import reply_language
from socialcrm.domain.message import AuthorKind, Direction, Message
from socialcrm.domain.people import Team
from socialcrm.domain.question import Question
from socialcrm.domain.survey import Resolution, ResolutionSurvey, Skipped, Survey, SurveyForm
from socialcrm.domain.survey_form import Form, Occasion, after_quiet, choose, open_items
from socialcrm.engine import cases, survey_forms
from socialcrm.engine.answer import heard_at, private_answer, takes_private
from socialcrm.engine.ask import ask_again, lock_conversation
from socialcrm.engine.line import Line
from socialcrm.engine.survey_answers import asked_for_comment, comment, comment_in_chat, pressed, score
from socialcrm.engine.survey_questions import KIND, put
from socialcrm.secrets import new_token

__all__ = ["asked_for_comment", "comment", "comment_in_chat", "pressed", "score", "survey"]

log = logging.getLogger(__name__)
PATIENCE = timedelta(hours=24)
"""So long a survey waits for the answer to "is it solved?": nobody is asked two things at once."""
LOOK_AGAIN = timedelta(minutes=5)


async def survey(line: Line) -> int:
    """Ask after resolutions whose time has come, and remind those who did not answer."""
    taken = await _invite(line) + await _remind(line)
    if taken:
        line.live.ring()
    return taken


async def _invite(line: Line) -> int:
    now = line.now()
    waiting = select(Resolution).where(
        col(Resolution.survey) == constant(ResolutionSurvey.DUE),
        or_(col(Resolution.survey_after_at).is_(None), col(Resolution.survey_after_at) <= now),
    )
    if not await line.database.has(waiting):
        return 0
    query = waiting.order_by(col(Resolution.id)).limit(line.settings.line.batch).with_for_update(skip_locked=True)
    async with line.database.write() as session:
        due = (await session.execute(query)).scalars().all()
        if not due:
            return 0
        forms = await survey_forms.active(session, line)
        # Conversations before people, as everywhere; people too, so that nobody gets two surveys from two processes.
        numbers = {resolution.conversation_id for resolution in due}
        locked = select(Conversation).where(col(Conversation.id).in_(numbers)).order_by(col(Conversation.id))
        found = (await session.execute(locked.with_for_update(key_share=True))).scalars().all()
        conversations = {c.id: c for c in found}
        people = select(Contact).where(col(Contact.id).in_({c.contact_id for c in found})).order_by(col(Contact.id))
        contacts = {c.id: c for c in (await session.execute(people.with_for_update(key_share=True))).scalars().all()}
        for resolution in due:
            conversation = conversations[resolution.conversation_id]
            skipped = await _one(session, line, forms, resolution, conversation, contacts[conversation.contact_id])
            if skipped is not None:
                resolution.survey, resolution.survey_reason = ResolutionSurvey.SKIPPED, skipped.value
        await session.flush()
        await line.live.publish(session, "survey", (r.conversation_id for r in due), now)
    return len(due)


async def _one(
    session: AsyncSession,
    line: Line,
    forms: Sequence[tuple[SurveyForm | None, Form]],
    resolution: Resolution,
    conversation: Conversation,
    contact: Contact,
) -> Skipped | None:
    """Ask after one resolution, now or when its time comes; why not, if never."""
    now = line.now()
    if not line.settings.survey.is_on:
        return Skipped.OFF
    # Of a conversation that was reopened meanwhile only the last resolution counts.
    if conversation.status != ConversationStatus.RESOLVED or conversation.resolved_at != resolution.resolved_at:
        return Skipped.REOPENED
    if contact.is_bot:
        return Skipped.BOT
    channel = await session.get_one(Channel, conversation.channel_id)
    occasion = await _occasion(session, line, resolution, conversation, contact, channel)
    chosen = choose([(row.id or 0 if row else survey_forms.STANDARD, form) for row, form in forms], occasion)
    if isinstance(chosen, Skipped):
        return chosen
    row, form = next((row, form) for row, form in forms if (row.id or 0 if row else 0) == chosen[0])
    zone = ZoneInfo(line.settings.engagement.time_zone)
    delay = timedelta(minutes=form.sending.delay_minutes)
    resolution.survey_after_at = after_quiet(max(resolution.resolved_at + delay, now), form.sending.quiet, zone)
    if resolution.survey_after_at > now:
        return None
    if now < resolution.resolved_at + delay + PATIENCE and await _is_asked_about_case(session, conversation, now):
        resolution.survey_after_at = now + LOOK_AGAIN
        return None
    connector = line.channels.open(channel)
    to = None
    if conversation.kind != MessageKind.DIRECT_MESSAGE:
        to = await _comment_to_answer(session, connector, conversation, now)
    refused = await _refused(session, form, conversation, connector, to, now)
    if refused is None:
        await _send(session, line, row, form, occasion, resolution, conversation, connector, to)
        resolution.survey = ResolutionSurvey.SENT
    return refused


async def _is_asked_about_case(session: AsyncSession, conversation: Conversation, now: datetime) -> bool:
    """Whether this person has yet to say whether their complaint is solved."""
    open_question = select(col(Question.id)).where(
        col(Question.kind) == cases.KIND,
        col(Question.contact_id) == conversation.contact_id,
        col(Question.answered_at).is_(None),
        col(Question.expires_at) > now,
    )
    return (await session.execute(open_question.limit(1))).first() is not None


async def _occasion(
    session: AsyncSession,
    line: Line,
    resolution: Resolution,
    conversation: Conversation,
    contact: Contact,
    channel: Channel,
) -> Occasion:
    by_hand = select(col(Message.id)).where(
        col(Message.conversation_id) == conversation.id, col(Message.author_kind) == AuthorKind.AGENT.value
    )
    with_case = select(col(Case.id)).where(col(Case.conversation_id) == conversation.id)
    team = await session.get(Team, resolution.team_id) if resolution.team_id else None
    is_by_bot = resolution.agent_id is None and (await session.execute(by_hand.limit(1))).first() is None
    language = contact.language or conversation.language
    return Occasion(
        resolution_id=resolution.id or 0,
        connector=channel.connector,
        channel_key=channel.key,
        team=team.key if team else "",
        language=reply_language(language, line.settings.engagement.default_language),
        is_by_bot=is_by_bot,
        has_case=(await session.execute(with_case.limit(1))).first() is not None,
        is_public=conversation.kind != MessageKind.DIRECT_MESSAGE,
    )


async def _comment_to_answer(
    session: AsyncSession, connector: Connector, conversation: Conversation, now: datetime
) -> Message | None:
    """The newest public comment whose author may be written to in private, where the channel can do that."""
    query = select(Message).where(
        col(Message.conversation_id) == conversation.id,
        col(Message.contact_id) == conversation.contact_id,
        col(Message.direction) == Direction.IN.value,
    )
    message = (await session.execute(query.order_by(col(Message.id).desc()).limit(1))).scalar_one_or_none()
    if message is None or not takes_private(type(connector), message):
        return None
    hours = connector.limits.private_reply_hours
    if hours is not None and (now > message.sent_at + timedelta(hours=hours) or await private_answer(session, message)):
        return None
    return message


async def _refused(
    session: AsyncSession,
    form: Form,
    conversation: Conversation,
    connector: Connector,
    to: Message | None,
    now: datetime,
) -> Skipped | None:
    """Why a survey that is due cannot be sent to this person now."""
    if not open_items(form, {})[0]:
        return Skipped.EMPTY
    if conversation.kind != MessageKind.DIRECT_MESSAGE and to is None:
        return Skipped.PUBLIC
    stopped = select(col(Identity.id)).where(
        col(Identity.contact_id) == conversation.contact_id,
        col(Identity.channel_id) == conversation.channel_id,
        col(Identity.stopped_at).is_not(None),
    )
    if (await session.execute(stopped.limit(1))).first():
        return Skipped.STOPPED
    since = now - timedelta(days=form.sending.rest_days)
    recent = select(col(Survey.id)).where(
        col(Survey.contact_id) == conversation.contact_id, col(Survey.sent_at) > since
    )
    if form.sending.rest_days and (await session.execute(recent.limit(1))).first():
        return Skipped.ASKED_RECENTLY
    if to is None and await _is_late(session, connector, conversation, now):
        return Skipped.WINDOW
    return None


async def _is_late(session: AsyncSession, connector: Connector, conversation: Conversation, now: datetime) -> bool:
    """Whether the channel takes no text of ours any more: a template carries no question with its buttons."""
    if connector.limits.window_hours is None:
        return False
    heard = await heard_at(session, conversation)
    window = connector.window(heard) if heard else None
    return window is not None and now > window.closes_at


async def _send(
    session: AsyncSession,
    line: Line,
    form_row: SurveyForm | None,
    form: Form,
    occasion: Occasion,
    resolution: Resolution,
    conversation: Conversation,
    connector: Connector,
    to: Message | None,
) -> None:
    now, sending = line.now(), form.sending
    zone = ZoneInfo(line.settings.engagement.time_zone)
    remind_at = after_quiet(now + timedelta(hours=sending.remind_hours), sending.quiet, zone)
    expires_at = now + timedelta(days=sending.expires_days)
    row = Survey(
        token=new_token(),
        resolution_id=resolution.id or 0,
        conversation_id=resolution.conversation_id,
        contact_id=conversation.contact_id,
        channel_id=conversation.channel_id,
        agent_id=resolution.agent_id,
        team_id=resolution.team_id,
        is_by_bot=occasion.is_by_bot,
        form_id=form_row.id if form_row else None,
        form_version=form_row.version if form_row else 0,
        kind=form.kind,
        language=occasion.language,
        sent_at=now,
        expires_at=expires_at,
        remind_at=remind_at if sending.remind_hours and to is None and remind_at < expires_at else None,
    )
    session.add(row)
    await session.flush()
    await put(session, line, row, form, open_items(form, {})[0][0], conversation, connector, to=to, is_first=True)
    session.add(
        ConversationEvent(
            conversation_id=resolution.conversation_id, at=now, kind=EventKind.SURVEY_SENT, data={"kind": form.kind}
        )
    )
    await session.flush()


async def _remind(line: Line) -> int:
    """Ask once more those who said nothing. The time is taken away first, so that nobody is reminded twice."""
    now = line.now()
    query = select(col(Survey.id), col(Survey.conversation_id)).where(col(Survey.remind_at) <= now)
    async with line.database.read() as session:
        due = (await session.execute(query.order_by(col(Survey.remind_at)).limit(line.settings.line.batch))).all()
    taken = 0
    for number, conversation_id in due:
        async with line.database.write() as session:
            conversation = await lock_conversation(session, conversation_id)
            locked = select(Survey).where(col(Survey.id) == number, col(Survey.remind_at) <= now).with_for_update()
            row = (await session.execute(locked)).scalar_one_or_none()
            if row is not None:
                taken += 1
                await _remind_one(session, line, row, conversation)
    return taken


async def _remind_one(session: AsyncSession, line: Line, row: Survey, conversation: Conversation) -> None:
    now, row.remind_at = line.now(), None
    form = await survey_forms.form_of(session, line, row)
    later = after_quiet(now, form.sending.quiet, ZoneInfo(line.settings.engagement.time_zone))
    if later > now:
        row.remind_at = later if later < row.expires_at else None
        return
    connector = line.channels.open(await session.get_one(Channel, row.channel_id))
    if (
        row.answered_at is not None
        or now >= row.expires_at
        or not line.settings.survey.is_on
        or conversation.status != ConversationStatus.RESOLVED
        or await _is_late(session, connector, conversation, now)
    ):
        return
    query = (
        select(Question)
        .where(col(Question.kind) == KIND, col(Question.subject_id) == row.id, col(Question.answered_at).is_(None))
        .order_by(col(Question.id).desc())
        .limit(1)
    )
    question = (await session.execute(query)).scalar_one_or_none()
    if question is None:
        return
    again = f"{survey_forms.wording(line, form, row.language).reply('survey_reminder')}\n{question.text}"
    await ask_again(session, line, question, again, f"remind:{row.resolution_id}", AuthorKind.SURVEY)
    row.reminded_at = now
    session.add(
        ConversationEvent(
            conversation_id=row.conversation_id, at=now, kind=EventKind.SURVEY_SENT, data={"is_reminder": True}
        )
    )
    await session.flush()
    await line.live.publish(session, "survey", [row.conversation_id], now)
