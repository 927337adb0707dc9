"""Turns: noting that the bot may speak, a little after the last message; and taking the choices that people make."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.database import insert_rows
from socialcrm.domain.bot import BotSession, BotTurn, Why
from socialcrm.domain.conversation import Conversation, Handler
from socialcrm.domain.message import Message
from socialcrm.domain.question import Question
from socialcrm.engine.ask import TAKERS
from socialcrm.engine.line import Line

FLOW = "flow"
"""The kind of the bot's questions."""
LONGEST_WAIT = 5
"""Whoever writes on and on is answered after so many times the settle time."""
FORGOTTEN = timedelta(hours=24)
"""A question of the bot that nobody answered for so long is not open any more."""


@dataclass(frozen=True)
class Noted:
    """A message that the bot may have something to say to, and why."""

    message_id: int | None
    why: Why = Why.MESSAGE


async def note_turns(session: AsyncSession, line: Line, noted: Mapping[int, Noted], *, at_once: bool = False) -> None:
    """Have the bot speak in these conversations (locked by the caller) once they are quiet."""
    if not noted:
        return
    now, settle = line.now(), timedelta(seconds=0 if at_once else line.settings.bot.settle_seconds)
    query = select(BotTurn).where(col(BotTurn.conversation_id).in_(noted))
    known = {turn.conversation_id: turn for turn in (await session.execute(query)).scalars()}
    for number, turn in known.items():
        turn.due_at = min(now + settle, turn.noted_at + LONGEST_WAIT * settle) if settle else now
        turn.first_message_id = turn.first_message_id or noted[number].message_id
        if turn.why != Why.ASKED_FOR_PERSON:
            turn.why = noted[number].why.value
    new = [
        {
            "conversation_id": number,
            "first_message_id": one.message_id,
            "why": one.why.value,
            "noted_at": now,
            "due_at": now + settle,
        }
        for number, one in noted.items()
        if number not in known
    ]
    await session.flush()
    await insert_rows(session, BotTurn, new)


async def in_flow(session: AsyncSession, line: Line, conversations: Collection[int | None]) -> set[int]:
    """Those of these conversations in which the bot waits for an answer."""
    query = select(col(BotSession.conversation_id)).where(
        col(BotSession.conversation_id).in_(conversations),
        col(BotSession.step) != "",
        col(BotSession.changed_at) > line.now() - FORGOTTEN,
    )
    return set((await session.execute(query)).scalars()) if conversations else set()


async def take_choice(
    session: AsyncSession, line: Line, question: Question, value: str, text: str, message: Message | None
) -> bool:
    """A choice of a flow was made: the bot goes on with it at its next turn."""
    conversation = await session.get_one(Conversation, question.conversation_id)
    row = await session.get(BotSession, question.conversation_id)
    if row is None or row.question_key != question.key or conversation.handler != Handler.BOT:
        return False
    row.picked, row.changed_at = value, line.now()
    await session.flush()
    await note_turns(session, line, {row.conversation_id: Noted(None, Why.PICKED)}, at_once=True)
    line.work.set()
    return True


TAKERS[FLOW] = take_choice
