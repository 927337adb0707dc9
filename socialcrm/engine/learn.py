"""Learn: agents' answers -> the vector of what the customer had written before each, for `suggest` to find."""

import asyncio
import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from nlp.entities import PERSONAL, mask
from nlp.signs import Kind
from nlp.suggest import Likeness, pack
from socialcrm.database import update_rows
from socialcrm.domain.case import ALPHABET
from socialcrm.domain.message import AuthorKind, Direction, Message
from socialcrm.domain.suggestion import Suggestion
from socialcrm.engine.line import Line

BATCH = 32
"""Texts that are encoded together; few, so that who waits for an analysis hardly notices."""
ASKED = 3
"""Messages of the customer that are read as one question: the newest that no person has answered."""
ASKED_CHARS = 1000
SHORT = 3
"""An answer of fewer words ("ok, merci") is not worth suggesting."""
HIDDEN: frozenset[Kind] = PERSONAL | frozenset[Kind]({"order", "case"})

CASE = re.compile(rf"(?<!\w)[{ALPHABET}]{{3}}-[{ALPHABET}]{{3}}-[{ALPHABET}](?!\w)")
"""A reference of one of our cases in a text."""
_WORD = re.compile(r"[^\W\d_]{2,}")


def likeness(line: Line) -> Likeness:
    """How alike texts are to the model of this line."""
    return Likeness(line.pipeline.encoder)


async def learn(line: Line) -> int:
    """Encode one batch of what customers had written before agents answered, the newest first; how many were taken.

    Takes rows whose vector is of another model or not there yet. Nothing is locked meanwhile: of two processes that
    take the same rows one has worked in vain.
    """
    model = likeness(line)
    query = (
        select(col(Suggestion.id), col(Suggestion.message_id))
        .where(col(Suggestion.message_id).is_not(None))
        .where(or_(col(Suggestion.model) < model.name, col(Suggestion.model) > model.name))
        .order_by(col(Suggestion.id).desc())
        .limit(BATCH)
    )
    async with line.database.read() as session:
        rows = [(number, answer or 0) for number, answer in (await session.execute(query)).all()]
        if not rows:
            return 0
        texts = [await _asked_before(session, answer) for _, answer in rows]
        known = await known_vectors(session, model, texts)
    known |= await encoded(model, [text for text in texts if text and text not in known])
    now = line.now()
    changed = [
        {"id": number, **filled(text, known.get(text, b""), model, now)}
        for (number, _), text in zip(rows, texts, strict=True)
    ]
    async with line.database.write() as session:
        await update_rows(session, Suggestion, changed)
    return len(rows)


async def asked(session: AsyncSession, conversation_id: int, until: int | None = None) -> str:
    """What the customer wrote since a person last answered, of it the newest; "" when nothing waits for an answer.

    With `until`, a message's number, as it was at that message.
    """
    theirs = col(Message.conversation_id) == conversation_id
    answered = select(func.max(Message.id)).where(
        theirs,
        col(Message.direction) == Direction.OUT,
        col(Message.author_kind).in_((AuthorKind.AGENT, AuthorKind.SELF)),
    )
    query = select(col(Message.text)).where(
        theirs, col(Message.direction) == Direction.IN, col(Message.deleted_at).is_(None), col(Message.text) != ""
    )
    if until is not None:
        answered = answered.where(col(Message.id) < until)
        query = query.where(col(Message.id) <= until)
    since = (await session.scalar(answered)) or 0
    query = query.where(col(Message.id) > since).order_by(col(Message.id).desc()).limit(ASKED)
    texts = (await session.execute(query)).scalars().all()
    return "\n".join(reversed(texts))[-ASKED_CHARS:]


def private(text: str) -> str:
    """The text without numbers that say who somebody is, and without those of orders and cases."""
    return mask(text, HIDDEN, case=CASE)


async def known_vectors(session: AsyncSession, model: Likeness, texts: Sequence[str]) -> dict[str, bytes]:
    """text -> vector, of the texts that this model has encoded before."""
    by_hash = {text_hash(text): text for text in texts if text}
    query = select(col(Suggestion.text_hash), col(Suggestion.vector)).where(
        col(Suggestion.text_hash).in_(by_hash), col(Suggestion.model) == model.name
    )
    return {by_hash[key]: vector for key, vector in (await session.execute(query)).all() if vector}


async def encoded(model: Likeness, texts: Iterable[str]) -> dict[str, bytes]:
    """text -> vector, made in a thread a batch at a time, so that others get their turn in between."""
    distinct = list(dict.fromkeys(texts))
    found: dict[str, bytes] = {}
    for start in range(0, len(distinct), BATCH):
        batch = distinct[start : start + BATCH]
        found |= zip(batch, pack(await asyncio.to_thread(model.vectors, batch)), strict=True)
    return found


def filled(text: str, vector: bytes, model: Likeness, now: datetime) -> dict[str, object]:
    """The columns of a row that is not waiting any more."""
    return {"text_hash": text_hash(text), "vector": vector, "model": model.name, "encoded_at": now}


def text_hash(text: str) -> str:
    """A name for a text of any length."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


async def _asked_before(session: AsyncSession, answer_id: int) -> str:
    """What the customer had written before an answer, without personal data; "" when the answer is no use again."""
    answer = await session.get_one(Message, answer_id)
    if answer.deleted_at or answer.answers_id is None or len(_WORD.findall(answer.text)) < SHORT:
        return ""
    return private(await asked(session, answer.conversation_id, answer.answers_id))
