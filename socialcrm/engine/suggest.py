"""Suggest: what a customer asks -> the FAQ's answer to it, and what agents answered when the like was asked before."""

import asyncio
import heapq
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache

from sqlalchemy import Integer, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from nlp.duplicates import group
from nlp.suggest import Hit, Index, unpack
from socialcrm.database import insert_rows
from socialcrm.domain.contact import Contact
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.engagement import Question, reply_language, word_set
from socialcrm.domain.message import Analysis, Delivery, Direction, Message
from socialcrm.domain.people import Agent
from socialcrm.domain.rule import RuleSuggestion
from socialcrm.domain.suggestion import Dismissal, Suggestion
from socialcrm.engine.learn import asked, encoded, filled, known_vectors, likeness, private, text_hash
from socialcrm.engine.line import Line

SHOWN = 3
CANDIDATES = 100
GIVEN_UP = 3
"""Conversations in which an answer was no help, after which it is suggested nowhere."""
NO_QUESTION = ("praise", "spam")
SURE = 0.5
LATELY = 20
"""Messages of ours in a conversation: none of them is suggested again."""
LOOK_BACK = timedelta(minutes=5)
"""Rows can become visible in another order than they were stamped in: a little of the past is read again."""

_WORD = re.compile(r"[^\W\d_]{3,}")

Key = tuple[str, int]
"""("answer", number of the message) or ("faq", place of the text)."""


@dataclass(frozen=True)
class Offer:
    """An answer to choose: from the FAQ, or given before (`at` is when), without personal data."""

    source: str
    """ "faq:" and the entry's id, or "answer:" and the message's number."""
    text: str
    score: float
    """From 0.5, just worth showing, to 1, the same words."""
    at: datetime | None = None
    count: int = 1
    """How many near-identical answers it stands for."""


async def dismiss(session: AsyncSession, conversation_id: int, source: str, agent: Agent, now: datetime) -> None:
    """Suggest this no more in this conversation; twice is once."""
    query = select(col(Dismissal.id)).where(
        col(Dismissal.conversation_id) == conversation_id, col(Dismissal.source) == source
    )
    if (await session.execute(query)).first() is None:
        session.add(Dismissal(conversation_id=conversation_id, source=source, agent_id=agent.id or 0, made_at=now))


class Suggestions:
    """Finds answers to choose from. Loaded when first asked, and kept up to date from the rows at each question."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._likeness = likeness(line)
        self._index: Index[Key] = Index(self._likeness)
        self._faq: list[Question] = []
        """The entry of each text of the FAQ."""
        self._answers: list[int] = []
        """The answers in the index, as a heap: the oldest first."""
        self._read_at: datetime | None = None
        self._turn = asyncio.Lock()

    async def offers(self, conversation_id: int) -> list[Offer]:
        """At most SHOWN answers to what the customer of a conversation asks now, the likest first."""
        if not self._line.settings.suggestion.is_on:
            return []
        async with self._line.database.read() as session:
            text = private(await asked(session, conversation_id))
            if not text or await _wants_nothing(session, conversation_id):
                return []
        await self._refresh()
        hits = await asyncio.to_thread(self._index.nearest, text, CANDIDATES, self._likeness.floor)
        async with self._line.database.read() as session:
            conversation = await session.get_one(Conversation, conversation_id)
            floor = self._likeness.question_floor
            near = {h.key[1]: _shown(h.score, floor) for h in hits if h.key[0] == "answer" and h.score >= floor}
            found = [*self._from_faq(conversation, text, hits), *await _from_answers(session, conversation, near)]
            found += await _from_rules(session, conversation_id)
            useless = await _useless(session, conversation_id, [offer.source for offer in found])
            said = await _said(session, conversation_id)
        found = [offer for offer in found if offer.source not in useless]
        return _distinct(said, sorted(found, key=lambda offer: -offer.score))[:SHOWN]

    def _from_faq(self, conversation: Conversation, text: str, hits: Iterable[Hit[Key]]) -> list[Offer]:
        scores: dict[str, float] = {}
        entries = {one.id: one for one in self._faq}
        for hit in hits:
            if hit.key[0] == "faq":
                scores.setdefault(self._faq[hit.key[1]].id, hit.score)
        if entry := self._line.engagement.question(word_set(text)):  # in its very words
            scores[entry.id] = 1.0
        default, floor = self._line.settings.engagement.default_language, self._likeness.floor
        return [
            Offer(f"faq:{key}", _answer_of(entries[key], conversation.language, default), _shown(score, floor))
            for key, score in scores.items()
        ]

    async def _refresh(self) -> None:
        """Bring the index up to date with the rows."""
        async with self._turn:
            if self._read_at is None:
                await self._load_faq()
            most = self._line.settings.suggestion.answers
            query = (
                select(col(Suggestion.message_id), col(Suggestion.vector))
                .where(col(Suggestion.model) == self._likeness.name, col(Suggestion.message_id).is_not(None))
                .order_by(col(Suggestion.message_id).desc())
                .limit(most)
            )
            if self._read_at is not None:
                query = query.where(col(Suggestion.encoded_at) >= self._read_at - LOOK_BACK)
            now = self._line.now()
            async with self._line.database.read() as session:
                rows = [(number or 0, vector) for number, vector in (await session.execute(query)).all() if vector]
            self._read_at = now
            await asyncio.to_thread(self._take, rows, most)

    def _take(self, rows: Sequence[tuple[int, bytes]], most: int) -> None:
        new = [number for number, _ in rows if ("answer", number) not in self._index]
        self._index.put([("answer", number) for number, _ in rows], unpack([vector for _, vector in rows]))
        for number in new:
            heapq.heappush(self._answers, number)
        old = [heapq.heappop(self._answers) for _ in range(len(self._answers) - most)]
        self._index.remove([("answer", number) for number in old])

    async def _load_faq(self) -> None:
        """Put the FAQ's texts into the index; their vectors are kept in rows, so that a restart encodes nothing."""
        line, model = self._line, self._likeness
        pairs = [(entry, text) for entry in line.engagement.questions for text in _texts_of(entry)]
        texts = [text for _, text in pairs]
        is_faq = col(Suggestion.message_id).is_(None)
        async with line.database.read() as session:
            known = await known_vectors(session, model, texts)
        new = list(dict.fromkeys(text for text in texts if text not in known))
        if new:
            known |= await encoded(model, new)
            async with line.database.write() as session:
                kept = [text_hash(text) for text in texts]
                is_old = or_(col(Suggestion.model) != model.name, col(Suggestion.text_hash).not_in(kept))
                await session.execute(delete(Suggestion).where(is_faq, is_old))
                await insert_rows(session, Suggestion, [filled(text, known[text], model, line.now()) for text in new])
        self._faq = [entry for entry, _ in pairs]
        keys = [("faq", place) for place in range(len(pairs))]
        self._index.put(keys, unpack([known[text] for text in texts]))


def _texts_of(entry: Question) -> list[str]:
    """What an entry of the FAQ is found by."""
    return [*entry.phrases, *entry.answers.values()]


async def _wants_nothing(session: AsyncSession, conversation_id: int) -> bool:
    """Whether the customer's newest message is surely thanks or spam."""
    query = (
        select(col(Analysis.intent), col(Analysis.intent_score))
        .join(Message, col(Message.id) == col(Analysis.message_id))
        .where(col(Message.conversation_id) == conversation_id)
        .order_by(col(Message.id).desc())
        .limit(1)
    )
    row = (await session.execute(query)).first()
    return row is not None and row[0] in NO_QUESTION and row[1] >= SURE


def _answer_of(entry: Question, language: str, default: str) -> str:
    """The answer in the customer's language; where there is none in the default one, else in any."""
    wanted = (reply_language(language, default), default, *entry.answers)
    return next(entry.answers[name] for name in wanted if name in entry.answers)


def _shown(score: float, floor: float) -> float:
    """A score on the scale of offers: those of the FAQ and of earlier answers have floors of their own."""
    return 0.5 + 0.5 * (min(score, 1.0) - floor) / (1 - floor)


async def _from_answers(session: AsyncSession, conversation: Conversation, scores: Mapping[int, float]) -> list[Offer]:
    """Those of these answers that arrived in other conversations."""
    query = (
        select(Message, col(Contact.name))
        .join(Contact, col(Contact.id) == col(Message.contact_id))
        .where(
            col(Message.id).in_(scores),
            col(Message.conversation_id) != conversation.id,
            col(Message.delivery) == Delivery.SENT,
            col(Message.deleted_at).is_(None),
        )
    )
    return [
        Offer(f"answer:{m.id}", _without_name(private(m.text), name), scores[m.id or 0], m.sent_at)
        for m, name in (await session.execute(query)).all()
    ]


async def _from_rules(session: AsyncSession, conversation_id: int) -> list[Offer]:
    """What rules suggest as an answer to the customer's newest message."""
    newest = (
        select(func.max(col(Message.id)))
        .where(col(Message.conversation_id) == conversation_id, col(Message.direction) == Direction.IN.value)
        .scalar_subquery()
    )
    query = (
        select(RuleSuggestion)
        .where(col(RuleSuggestion.conversation_id) == conversation_id, col(RuleSuggestion.message_id) == newest)
        .order_by(col(RuleSuggestion.id).desc())
        .limit(SHOWN)
    )
    return [Offer(f"rule:{row.id}", row.text, 1.0) for row in (await session.execute(query)).scalars()]


async def _useless(session: AsyncSession, conversation_id: int, sources: Sequence[str]) -> set[str]:
    """Which of these were dismissed in this conversation, or in several others."""
    here = func.max((col(Dismissal.conversation_id) == conversation_id).cast(Integer))
    query = (
        select(col(Dismissal.source))
        .where(col(Dismissal.source).in_(sources))
        .group_by(col(Dismissal.source))
        .having(or_(here == 1, func.count() >= GIVEN_UP))
    )
    return set((await session.execute(query)).scalars())


async def _said(session: AsyncSession, conversation_id: int) -> Sequence[str]:
    """What we have written in a conversation lately, automatic answers too."""
    ours = (col(Message.conversation_id) == conversation_id, col(Message.direction) == Direction.OUT)
    query = select(col(Message.text)).where(*ours).order_by(col(Message.id).desc()).limit(LATELY)
    return (await session.execute(query)).scalars().all()


def _distinct(said: Sequence[str], offers: Sequence[Offer]) -> list[Offer]:
    """The first of each group of near-identical texts, and how many there are of it; none that was said already."""
    numbers = group([*said, *(offer.text for offer in offers)])
    heard = set(numbers[: len(said)])
    first: dict[int, Offer] = {}
    for number, offer in zip(numbers[len(said) :], offers, strict=True):
        if number in heard:
            continue
        known = first.get(number)
        first[number] = replace(known, count=known.count + 1) if known else offer
    return list(first.values())


def _without_name(text: str, name: str) -> str:
    """The text with the words of a name as [name]."""
    words = _WORD.findall(name)
    return _named(tuple(words)).sub("[name]", text) if words else text


@lru_cache(maxsize=1000)
def _named(words: tuple[str, ...]) -> re.Pattern[str]:
    either = "|".join(map(re.escape, words))
    return re.compile(rf"(?<!\w)(?:{either})(?:[ -](?:{either}))*(?!\w)", re.IGNORECASE)
