"""Hearing: what was written in a conversation since anybody answered, and the entry of the FAQ that it asks for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Integer, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.bot import BotTurn
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.message import Analysis, AuthorKind, Direction, Message
from socialcrm.domain.phrases import word_set
from socialcrm.domain.speak import SAME, Heard, Match
from socialcrm.engine import faq
from socialcrm.engine.learn import private
from socialcrm.engine.line import Line

HOUR = timedelta(hours=1)
READ_CHARS = 1000
NOT_READ = ("complaint", "praise", "spam")
"""Intents that are not worth asking the encoder about when they are sure."""
FEWEST = 2
"""Words, beside masked numbers and addresses, that can be a question."""
_WORD = re.compile(r"[^\W\d_]{2,}")
_MASK = re.compile(r"\[\w+\]")


@dataclass(frozen=True)
class Written:
    """A message of the customer as the bot reads it."""

    id: int
    conversation_id: int
    external_id: str | None
    text: str
    kind: str
    is_found: bool
    is_late: bool
    language: str
    intent: str
    is_intent_sure: bool
    is_complaint: bool


@dataclass(frozen=True)
class Said:
    """What we wrote in a conversation so far."""

    count: int = 0
    by_bot: int = 0
    lately: int = 0


async def written(session: AsyncSession, conversations: Sequence[int]) -> dict[int, list[Written]]:
    """What was written in each conversation since its turn was noted, oldest first."""
    query = (
        select(
            col(Message.id),
            col(Message.conversation_id),
            col(Message.external_id),
            col(Message.text),
            col(Message.kind),
            col(Message.is_found),
            col(Message.is_late),
            col(Analysis.language),
            col(Analysis.intent),
            col(Analysis.unsure),
            col(Analysis.is_complaint),
        )
        .join(BotTurn, col(BotTurn.conversation_id) == col(Message.conversation_id))
        .join(Analysis, col(Analysis.message_id) == col(Message.id))
        .where(
            col(Message.conversation_id).in_(conversations),
            col(Message.id) >= col(BotTurn.first_message_id),
            col(Message.direction) == Direction.IN.value,
            col(Message.deleted_at).is_(None),
        )
        .order_by(col(Message.id))
    )
    found: dict[int, list[Written]] = {}
    for row in (await session.execute(query)).all():
        unsure = row[9] or []
        complains = bool(row[10]) and "complaint" not in unsure
        message = Written(row[0] or 0, *row[1:9], is_intent_sure="intent" not in unsure, is_complaint=complains)
        found.setdefault(message.conversation_id, []).append(message)
    return found


async def matches(line: Line, found_texts: Mapping[int, Sequence[Written]], has_threshold: bool) -> dict[int, Match]:
    """The FAQ's entry that each conversation asks for: in its very words, else the likest one to the encoder."""
    found: dict[int, Match] = {}
    texts: dict[int, str] = {}
    for number, messages in found_texts.items():
        text = _text(messages)
        if match := faq.exact(line.engagement, text):
            found[number] = match
        elif has_threshold and any(not (m.is_intent_sure and m.intent in NOT_READ) for m in messages):
            texts[number] = private(text)
    worth = {number: text for number, text in texts.items() if len(_WORD.findall(_MASK.sub(" ", text))) >= FEWEST}
    return found | await faq.nearest(line, worth)


async def said(session: AsyncSession, conversations: Sequence[int], now: datetime) -> dict[int, Said]:
    is_bot = col(Message.author_kind) == AuthorKind.BOT.value
    query = (
        select(
            col(Message.conversation_id),
            func.count(),
            func.sum(is_bot.cast(Integer)),
            func.sum((is_bot & (col(Message.sent_at) > now - HOUR)).cast(Integer)),
        )
        .where(col(Message.conversation_id).in_(conversations), col(Message.direction) == Direction.OUT.value)
        .group_by(col(Message.conversation_id))
    )
    rows = (await session.execute(query)).all()
    return {number: Said(count, int(bot or 0), int(lately or 0)) for number, count, bot, lately in rows}


async def repeats(session: AsyncSession, conversation: Conversation) -> int:
    """How often the newest words of the customer stand in a row."""
    query = (
        select(col(Message.text))
        .where(col(Message.conversation_id) == conversation.id, col(Message.direction) == Direction.IN.value)
        .order_by(col(Message.id).desc())
        .limit(SAME + 1)
    )
    texts = (await session.execute(query)).scalars().all()
    same = 0
    while same < len(texts) and texts[same] == texts[0]:
        same += 1
    return same


async def newest_number(session: AsyncSession, conversation: Conversation) -> int:
    query = select(func.max(Message.id)).where(
        col(Message.conversation_id) == conversation.id, col(Message.direction) == Direction.IN.value
    )
    return await session.scalar(query) or 0


def _text(messages: Sequence[Written]) -> str:
    return "\n".join(message.text for message in messages)[-READ_CHARS:]


def as_heard(messages: Sequence[Written], same_count: int) -> Heard:
    newest = messages[-1]
    text = _text(messages)
    return Heard(
        text=text,
        words=word_set(text),
        kind=newest.kind,
        language=newest.language,
        intent=newest.intent,
        is_intent_sure=newest.is_intent_sure,
        is_complaint=any(message.is_complaint for message in messages),
        is_found=all(message.is_found for message in messages),
        is_late=newest.is_late,
        same_count=same_count,
    )
