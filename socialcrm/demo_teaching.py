"""What the demo's people said of its messages: the predictions are the model's, the labels come from labels.jsonl."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.conversation import Conversation
from socialcrm.domain.message import Analysis, Direction, Message
from socialcrm.domain.people import Agent, Role
from socialcrm.domain.teaching import LABELS, SampleItem, Source, label_of, questions
from socialcrm.domain.week import Week
from socialcrm.engine import sample
from socialcrm.engine.correct import confirm, correct
from socialcrm.engine.line import Line

LEFT = 8
"""Messages of the newest sample that are left for whoever looks at the demo."""
EVERY = 3
"""Of the messages that were read wrongly, agents have corrected one in so many; they confirm far fewer."""


async def teach(line: Line, labels: Path) -> None:
    """Judge two samples and correct a part of the inbox, all of it in one transaction."""
    truth = {row["text"]: row for row in map(json.loads, labels.read_text(encoding="utf-8").splitlines())}
    this_week = Week.of(line.now(), ZoneInfo(line.settings.engagement.time_zone))
    async with line.database.write() as session:
        for week in (this_week.before(), this_week):
            await sample.draw(session, week)
        await _judge(session, line, truth)
        await _correct(session, line, truth)


async def _judge(session: AsyncSession, line: Line, truth: dict[str, Any]) -> None:
    judge = (await session.execute(select(Agent).where(col(Agent.role) == Role.SUPERVISOR).limit(1))).scalar_one()
    query = select(SampleItem, Message).join(Message, col(Message.id) == col(SampleItem.message_id))
    items = (await session.execute(query.order_by(col(SampleItem.week), col(SampleItem.place)))).all()
    for item, message in items[:-LEFT]:
        if message.text not in truth:  # a comment after a survey
            continue
        await correct(session, line, message, _labels(truth[message.text]), judge, Source.SAMPLE)
        item.agent_id, item.labelled_at = judge.id, line.now()


async def _correct(session: AsyncSession, line: Line, truth: dict[str, Any]) -> None:
    judged = select(col(SampleItem.message_id))
    query = (
        select(Message, Analysis, Agent)
        .join(Analysis, col(Analysis.message_id) == col(Message.id))
        .join(Conversation, col(Conversation.id) == col(Message.conversation_id))
        .join(Agent, col(Agent.id) == col(Conversation.agent_id))
        .where(col(Message.direction) == Direction.IN.value, col(Message.id).not_in(judged))
        .order_by(col(Message.id))
    )
    for message, analysis, agent in (await session.execute(query)).all():
        known = truth.get(message.text)
        if known is None or analysis.message_id % EVERY:
            continue
        wrong = {field: label for field, label in _labels(known).items() if label != label_of(analysis, field)}
        then = replace(line, now=partial(_later, message.sent_at))
        if wrong:
            await correct(session, then, message, wrong, agent, Source.INBOX)
        elif analysis.message_id % (4 * EVERY) == 0:
            await confirm(session, then, message, agent)


def _later(at: datetime) -> datetime:
    return at + timedelta(minutes=5)


def _labels(row: dict[str, Any]) -> dict[str, str]:
    return {field: row[field] for field in questions(row) if field in LABELS}
