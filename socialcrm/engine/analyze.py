"""Analyze: messages without an analysis -> language, sentiment, complaint, intent, with scores and model."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from nlp.pipeline import FIELDS, Document, Pipeline, Prediction
from socialcrm.domain.columns import constant
from socialcrm.domain.message import Analysis, Message, Step
from socialcrm.domain.teaching import Correction, SampleItem
from socialcrm.engine.line import Line

log = logging.getLogger(__name__)
NOBODY_KNOWS = Prediction("other", 0.0, {}, "none")


async def analyze(line: Line) -> int:
    """Take one batch; the pipeline works in a thread, so that the event loop goes on."""
    waiting = select(col(Message.id)).where(col(Message.step) == constant(Step.ANALYZE))
    if not await line.database.has(waiting):
        return 0
    query = (
        waiting.add_columns(col(Message.text))
        .order_by(col(Message.id))
        .limit(line.settings.line.batch)
        .with_for_update(skip_locked=True, key_share=True)
    )
    await line.model.refresh()
    async with line.database.write() as session:
        rows = [(number, text) for number, text in (await session.execute(query)).all() if number is not None]
        if not rows:
            return 0
        documents = await asyncio.to_thread(understand, line.pipeline, [text for _, text in rows])
        thresholds = line.settings.understanding.thresholds.model_dump()
        found = [_row(n, d, thresholds, line.now()) for (n, _), d in zip(rows, documents, strict=True)]
        numbers = [number for number, _ in rows]
        if await _forget(session, numbers):  # of edited messages
            await _forget_judgements(session, numbers)
        await session.execute(insert(Analysis), found)
        await session.execute(update(Message).where(col(Message.id).in_(numbers)).values(step=Step.TRIAGE.value))
    return len(rows)


async def _forget(session: AsyncSession, numbers: Sequence[int]) -> int:
    """Delete the analyses of these messages; how many there were."""
    done = await session.execute(delete(Analysis).where(col(Analysis.message_id).in_(numbers)))
    return cast("CursorResult[Any]", done).rowcount


async def _forget_judgements(session: AsyncSession, numbers: Sequence[int]) -> None:
    """What people said of a text says nothing of the one that took its place."""
    await session.execute(delete(Correction).where(col(Correction.message_id).in_(numbers)))
    again = update(SampleItem).where(col(SampleItem.message_id).in_(numbers))
    await session.execute(again.values(labelled_at=None))


def understand(pipeline: Pipeline, texts: Sequence[str]) -> list[Document]:
    """Analyse a batch; when the pipeline breaks on it, one by one, and nothing is known of the text at fault."""
    try:
        return pipeline.analyze(texts)
    except Exception:
        log.exception("a batch could not be analysed")
        if len(texts) == 1:
            return [Document(texts[0])]
        return [understand(pipeline, [text])[0] for text in texts]


def _row(number: int, document: Document, thresholds: dict[str, float], now: datetime) -> dict[str, object]:
    found = {field: getattr(document, field) or NOBODY_KNOWS for field in FIELDS}
    is_complaint = found["complaint"].label == "complaint"
    unsure = [field for field, p in found.items() if p.score < thresholds.get(field, 0.0)]
    return {
        "message_id": number,
        "language": found["language"].label,
        "language_score": found["language"].score,
        "sentiment": found["sentiment"].label if document.sentiment else "neutral",
        "sentiment_score": found["sentiment"].score,
        "is_complaint": is_complaint,
        "complaint_score": found["complaint"].score,
        "intent": found["intent"].label,
        "intent_score": found["intent"].score,
        "reason": document.reason.label if document.reason else None,
        "reason_score": document.reason.score if document.reason else None,
        "scores": {field: {k: round(v, 4) for k, v in p.scores.items()} for field, p in found.items()},
        "unsure": [field for field in unsure if field != "reason" or is_complaint],
        "model": found["sentiment"].model.rpartition("/")[0] or found["sentiment"].model,
        "analyzed_at": now,
    }
