"""Survey: each resolution is followed by one CSAT question, and its answer is kept."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from connectors.base import Button
from socialcrm.domain.channel import Channel
from socialcrm.domain.columns import constant
from socialcrm.domain.contact import Contact
from socialcrm.domain.conversation import Conversation, ConversationEvent, ConversationStatus, EventKind
from socialcrm.domain.engagement import reply_language
from socialcrm.domain.message import AuthorKind
from socialcrm.domain.survey import Resolution, ResolutionSurvey, Survey, is_closed
from socialcrm.domain.words import clean
from socialcrm.engine.answer import Draft, send
from socialcrm.engine.line import Line
from socialcrm.secrets import new_token

SCORES = range(1, 6)
VALUE = "csat"


async def survey(line: Line) -> int:
    """Ask after resolutions whose delay has passed. A conversation that was reopened meanwhile is not asked about."""
    now = line.now()
    settings = line.settings.survey
    query = (
        select(Resolution)
        .where(
            col(Resolution.survey) == constant(ResolutionSurvey.DUE),
            col(Resolution.resolved_at) <= now - timedelta(seconds=settings.delay_seconds),
        )
        .order_by(col(Resolution.resolved_at))
        .limit(line.settings.line.batch)
        .with_for_update(skip_locked=True)
    )
    async with line.database.write() as session:
        due = (await session.execute(query)).scalars().all()
        for resolution in due:
            conversation = await session.get_one(Conversation, resolution.conversation_id)
            contact = await session.get_one(Contact, conversation.contact_id)
            # Of one that was reopened meanwhile only the last resolution counts.
            is_last = conversation.resolved_at == resolution.resolved_at
            is_resolved = conversation.status == ConversationStatus.RESOLVED and is_last
            is_asked = settings.is_on and is_resolved and not contact.is_bot
            resolution.survey = ResolutionSurvey.SENT if is_asked else ResolutionSurvey.SKIPPED
            if is_asked:
                await _ask(session, line, resolution, conversation, contact)
        await line.live.publish(session, "survey", (r.conversation_id for r in due), now)
    if due:
        line.live.ring()
    return len(due)


async def pressed(session: AsyncSession, line: Line, value: str) -> bool:
    """A button under a survey was pressed; False when it is not one of ours."""
    kind, _, rest = value.partition(":")
    token, _, number = rest.rpartition(":")
    if kind != VALUE or not (number.isascii() and number.isdecimal()):
        return False
    return await score(session, line, token, int(number)) is not None


async def score(session: AsyncSession, line: Line, token: str, number: int) -> Survey | None:
    """Keep a score from 1 to 5; the first one counts. The survey, or None when there is none with this token."""
    row = await _by_token(session, token)
    now = line.now()
    if row is None or number not in SCORES:
        return None
    if not is_closed(row, now):
        row.score, row.answered_at = number, now
        session.add(
            ConversationEvent(
                conversation_id=row.conversation_id, at=now, kind=EventKind.SURVEY_ANSWERED, data={"score": number}
            )
        )
        await _say(session, line, row, "survey_comment")
        await session.flush()
        await line.live.publish(session, "survey", [row.conversation_id], now)
    return row


async def comment(session: AsyncSession, line: Line, token: str, text: str) -> Survey | None:
    """Keep the words that go with a score; the first ones count."""
    row = await _by_token(session, token)
    if row is not None and row.score is not None and not row.comment and clean(text).strip():
        row.comment, row.commented_at = clean(text).strip(), line.now()
        await session.flush()
        await line.live.publish(session, "survey", [row.conversation_id], line.now())
    return row


async def asked_for_comment(
    session: AsyncSession, line: Line, conversations: Sequence[Conversation], now: datetime
) -> dict[int, Survey]:
    """Resolved conversations in which a score was just given and a comment may follow: number -> survey."""
    since = now - timedelta(minutes=line.settings.survey.comment_minutes)
    numbers = [c.id for c in conversations if c.status == ConversationStatus.RESOLVED]
    if not numbers:
        return {}
    query = select(Survey).where(
        col(Survey.conversation_id).in_(numbers), col(Survey.answered_at) > since, col(Survey.comment) == ""
    )
    return {row.conversation_id: row for row in (await session.execute(query)).scalars()}


async def comment_in_chat(session: AsyncSession, line: Line, row: Survey, text: str) -> None:
    """A text that follows a score is the survey's comment; it stays a message too, so nothing is lost."""
    await comment(session, line, row.token, text)
    await _say(session, line, row, "survey_thanks")


async def _ask(
    session: AsyncSession, line: Line, resolution: Resolution, conversation: Conversation, contact: Contact
) -> None:
    now = line.now()
    language = reply_language(contact.language, line.settings.engagement.default_language)
    row = Survey(
        token=new_token(),
        resolution_id=resolution.id or 0,
        conversation_id=resolution.conversation_id,
        contact_id=conversation.contact_id,
        channel_id=conversation.channel_id,
        agent_id=resolution.agent_id,
        team_id=resolution.team_id,
        language=language,
        sent_at=now,
        expires_at=now + timedelta(days=line.settings.survey.expires_days),
    )
    session.add(row)
    channel = await session.get_one(Channel, conversation.channel_id)
    if line.channels.open(channel).limits.buttons >= len(SCORES):
        text = line.engagement.reply(language, "survey_question")
        buttons = [Button(line.engagement.reply(language, f"csat_{n}"), f"{VALUE}:{row.token}:{n}") for n in SCORES]
    else:
        text = line.engagement.reply(language, "survey_link", url=f"{line.settings.public_url}/s/{row.token}")
        buttons = []
    key = f"survey:{resolution.id}"
    await send(session, Draft(conversation, text, key, AuthorKind.SURVEY, buttons=buttons), now)
    session.add(ConversationEvent(conversation_id=resolution.conversation_id, at=now, kind=EventKind.SURVEY_SENT))
    await session.flush()


async def _say(session: AsyncSession, line: Line, row: Survey, key: str) -> None:
    """A word in the channel after a score or a comment, where the survey had buttons there."""
    channel = await session.get_one(Channel, row.channel_id)
    if line.channels.open(channel).limits.buttons < len(SCORES):
        return
    conversation = await session.get_one(Conversation, row.conversation_id)
    text = line.engagement.reply(row.language, key)
    name = f"{key}:{row.resolution_id}"
    await send(session, Draft(conversation, text, name, AuthorKind.SURVEY), line.now())


async def _by_token(session: AsyncSession, token: str) -> Survey | None:
    query = select(Survey).where(col(Survey.token) == token).with_for_update()
    return (await session.execute(query)).scalar_one_or_none()
