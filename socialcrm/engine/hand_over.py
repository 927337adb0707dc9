"""Hand over: a conversation goes from the bot to people, with what the bot learned; and its place in their queue."""

from collections.abc import Mapping

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.bot import BotSession
from socialcrm.domain.contact import Contact
from socialcrm.domain.conversation import Conversation, ConversationEvent, ConversationStatus, EventKind, Handler
from socialcrm.domain.engagement import reply_language
from socialcrm.domain.message import AuthorKind
from socialcrm.domain.people import Agent
from socialcrm.domain.reading import filled
from socialcrm.domain.speak import Turn
from socialcrm.domain.words import preview
from socialcrm.engine import ask
from socialcrm.engine.answer import Draft, send
from socialcrm.engine.assign import assign, enqueue
from socialcrm.engine.line import Line
from socialcrm.engine.playbook import playbook
from socialcrm.engine.turns import FLOW


async def hand_over(
    session: AsyncSession,
    line: Line,
    conversation: Conversation,
    row: BotSession | None,
    why: str,
    told: Turn | None = None,
    kept: Mapping[str, str] | None = None,
    agent_id: int | None = None,
) -> None:
    """Give a conversation to people, with what the bot learned. One that people have already only gets the summary."""
    data = {
        "why": why,
        "asked": preview(told.heard.text, 300) if told and told.heard else "",
        "kept": dict(kept or (row.kept if row else {})),
        "flow": (told.state.flow if told and told.state else row.flow) if row else "",
    }
    if conversation.handler == Handler.BOT:
        conversation.handler = Handler.HUMAN
        session.add(
            ConversationEvent(
                conversation_id=conversation.id or 0,
                at=line.now(),
                kind=EventKind.HANDED_OVER,
                agent_id=agent_id,
                data=data,
            )
        )
    else:
        events = (
            select(ConversationEvent)
            .where(
                col(ConversationEvent.conversation_id) == conversation.id,
                col(ConversationEvent.kind) == EventKind.HANDED_OVER.value,
            )
            .order_by(col(ConversationEvent.id).desc())
            .limit(1)
        )
        if event := (await session.execute(events)).scalar_one_or_none():
            event.data = {**event.data, **data}
    if conversation.agent_id is None and conversation.status == ConversationStatus.OPEN:
        enqueue(conversation, line)
    await session.flush()


async def take_over(session: AsyncSession, line: Line, conversation: Conversation, agent: Agent) -> None:
    """An agent answers from now on; who was talking with the bot is told. Nothing happens where people answer already.
    The conversation is locked."""
    if conversation.handler != Handler.BOT:
        return
    now, number = line.now(), conversation.id or 0
    row = await session.get(BotSession, number)
    if row is not None:
        await hand_over(session, line, conversation, row, "taken over", agent_id=agent.id)
    conversation.handler = Handler.HUMAN
    if conversation.agent_id is None:
        await assign(session, line, conversation, agent.id, agent)
    await line.live.publish(session, "conversation", [number], now)
    if row is None:
        return
    if row.question_key:
        await ask.close(session, FLOW, number, now)
    row.flow, row.step, row.tries, row.kept, row.picked, row.question_key = "", "", 0, {}, "", ""
    row.is_invited, row.changed_at, row.said_count = False, now, row.said_count + 1
    contact = await session.get_one(Contact, conversation.contact_id)
    language = reply_language(contact.language or conversation.language, line.settings.engagement.default_language)
    plan = (await playbook(session, line)).plan
    words = plan.texts.get("bot_taken_over", {}).get(language) or line.engagement.replies[language]["bot_taken_over"]
    text = filled(words, {"agent": agent.name, "company": line.settings.company})
    await send(session, Draft(conversation, text, f"bot:{number}:{row.said_count}", AuthorKind.BOT), now)
    await line.live.publish(session, "message", [number], now)


async def place_in_queue(session: AsyncSession, conversation: Conversation) -> int:
    """Which one it is of those of its team that wait for a person; 1 is next."""
    since = conversation.waiting_since_at
    if since is None:
        return 1
    before = select(func.count()).where(
        col(Conversation.status) == ConversationStatus.OPEN.value,
        col(Conversation.handler) == Handler.HUMAN.value,
        col(Conversation.team_id).is_not_distinct_from(conversation.team_id),
        col(Conversation.waiting_since_at) < since,
        col(Conversation.id) != conversation.id,
    )
    return (await session.scalar(before) or 0) + 1
