"""Casebook: the cases of those who wrote a batch of messages: opened, joined, taken up again; written at its end."""

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from connectors.base import MessageKind
from socialcrm.database import insert_rows
from socialcrm.domain.case import (
    ALPHABET,
    Case,
    CaseConversation,
    CaseEvent,
    CaseStatus,
    CaseStep,
    WaitsFor,
    as_reference,
)
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.message import Analysis
from socialcrm.domain.outbox import OutboxItem
from socialcrm.domain.phrases import word_set
from socialcrm.engine.case_file import note
from socialcrm.engine.case_opening import Opening, draft, open_all
from socialcrm.engine.cases import begin, reopen
from socialcrm.engine.line import Line

REFERENCE = re.compile(rf"(?<!\w)[{ALPHABET}]{{3}}-[{ALPHABET}]{{3}}-[{ALPHABET}](?!\w)", re.IGNORECASE)


@dataclass(frozen=True)
class Heard:
    """A message in a conversation that may have a case."""

    conversation: Conversation
    contact_id: int
    is_complaint: bool
    references: tuple[str, ...]


@dataclass
class CaseBook:
    """What is known of cases while a batch is decided."""

    line: Line
    now: datetime
    here: dict[int, list[Case]] = field(default_factory=dict)
    """Conversation -> its cases that are not closed, the newest first."""
    theirs: defaultdict[int, list[Case]] = field(default_factory=lambda: defaultdict(list))
    """Person -> the same, wherever they began."""
    openings: list[Opening] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    links: list[tuple[Case, int]] = field(default_factory=list)
    told: dict[str, Case] = field(default_factory=dict)
    """Key of an acknowledgement -> the case whose reference stands in it."""

    @classmethod
    async def load(cls, session: AsyncSession, line: Line, conversations: Sequence[Conversation]) -> "CaseBook":
        """The cases of these conversations and of their people. They are locked, after the conversations."""
        book = cls(line, line.now())
        numbers = [c.id for c in conversations]
        pairs = select(col(CaseConversation.conversation_id), col(CaseConversation.case_id)).where(
            col(CaseConversation.conversation_id).in_(numbers)
        )
        linked = (await session.execute(pairs)).all()
        people = {c.contact_id for c in conversations}
        query = (
            select(Case)
            .where(
                col(Case.status) != CaseStatus.CLOSED.value,
                or_(col(Case.contact_id).in_(people), col(Case.id).in_({number for _, number in linked})),
            )
            .order_by(col(Case.id))
            .with_for_update(key_share=True)
        )
        found = {case.id: case for case in (await session.execute(query)).scalars()}
        for case in sorted(found.values(), key=lambda each: -(each.id or 0)):
            book.theirs[case.contact_id].append(case)
        for conversation_id, number in sorted(linked, key=lambda row: -int(row[1])):
            if number in found:
                book.here.setdefault(conversation_id, []).append(found[number])
        return book

    def of(self, conversation: Conversation, contact_id: int) -> Case | None:
        """The case that a person has in a conversation; under a public comment others have their own."""
        cases = self.here.get(conversation.id or 0, [])
        if conversation.kind == MessageKind.DIRECT_MESSAGE:
            return cases[0] if cases else None
        return next((case for case in cases if case.contact_id == contact_id), None)

    async def open(
        self, session: AsyncSession, conversation: Conversation, message_id: int, contact_id: int, text: str
    ) -> tuple[Case, bool]:
        """The case for a complaint, and whether it is a new one: not where the same person complains of the same thing
        already, here or elsewhere."""
        if known := self.of(conversation, contact_id):
            return known, False
        if same := await self._same(session, message_id, contact_id):
            self.links.append((same, conversation.id or 0))
            self.here.setdefault(conversation.id or 0, []).insert(0, same)
            return same, False
        case = draft(conversation, message_id, contact_id, self.now)
        self.openings.append(Opening(case, conversation, word_set(text)))
        self.here.setdefault(conversation.id or 0, []).insert(0, case)
        self.theirs[contact_id].insert(0, case)
        return case, True

    def hears(self, conversation: Conversation, contact_id: int, text: str, *, is_complaint: bool) -> None:
        """Somebody wrote: their case goes on where it waited for them, comes back where they complain again, and takes
        in the conversation where they write its reference."""
        quoted = REFERENCE.findall(text) if "-" in text else []
        references = tuple(filter(None, map(as_reference, quoted)))
        case = self.of(conversation, contact_id)
        is_waited_for = case is not None and (
            case.waits_for == WaitsFor.CUSTOMER or (is_complaint and case.status == CaseStatus.RESOLVED)
        )
        if references or is_waited_for:
            self.heard.append(Heard(conversation, contact_id, is_complaint, references))

    def acknowledges(self, conversation: Conversation, contact_id: int, key: str) -> None:
        """An answer with the key carries the reference of the case."""
        if case := self.of(conversation, contact_id):
            self.told[key] = case

    async def write(self, session: AsyncSession) -> None:
        """Everything that was decided; after the answers are written."""
        await self._know_why(session)
        await open_all(session, self.line, self.openings)
        for heard in self.heard:
            await self._take_up(session, heard)
        links = {(case.id, number): case for case, number in self.links}
        rows = [{"case_id": case, "conversation_id": number, "linked_at": self.now} for case, number in links]
        await insert_rows(session, CaseConversation, rows)
        steps = [
            self._step(case, CaseStep.LINKED, data={"conversation_id": number, "how": "same"})
            for (_, number), case in links.items()
        ]
        steps += await self._acknowledgements(session)
        await insert_rows(session, CaseEvent, steps)

    async def _same(self, session: AsyncSession, message_id: int, contact_id: int) -> Case | None:
        since = self.now - timedelta(days=self.line.settings.cases.link_days)
        open_ones = [case for case in self.theirs[contact_id] if case.opened_at >= since]
        if not open_ones:
            return None
        reasons = await self._reasons(session, [message_id, *(c.message_id for c in open_ones if not c.reason)])
        reason = reasons.get(message_id, "")
        for case in open_ones:
            known = case.reason or reasons.get(case.message_id, "")
            if not reason or not known or reason == known:
                return case
        return None

    async def _reasons(self, session: AsyncSession, numbers: Collection[int]) -> dict[int, str]:
        query = select(col(Analysis.message_id), col(Analysis.reason)).where(
            col(Analysis.message_id).in_(numbers), col(Analysis.is_complaint)
        )
        return {number: reason or "" for number, reason in (await session.execute(query)).all()}

    async def _know_why(self, session: AsyncSession) -> None:
        """Fill in the reasons and intents that the model found."""
        numbers = {opening.case.message_id for opening in self.openings}
        if not numbers:
            return
        query = select(Analysis).where(col(Analysis.message_id).in_(numbers))
        found = {analysis.message_id: analysis for analysis in (await session.execute(query)).scalars()}
        known = []
        for opening in self.openings:
            analysis = found.get(opening.case.message_id)
            opening.case.reason = (analysis.reason or "") if analysis and analysis.is_complaint else ""
            intent = analysis.intent if analysis else ""
            known.append(Opening(opening.case, opening.conversation, opening.words, intent))
        self.openings = known

    async def _take_up(self, session: AsyncSession, heard: Heard) -> None:
        case = self.of(heard.conversation, heard.contact_id)
        if case is not None and case.id is not None:
            if case.waits_for == WaitsFor.CUSTOMER:
                await begin(session, self.line, case, None)
            elif heard.is_complaint and case.status == CaseStatus.RESOLVED:
                await reopen(session, self.line, case, None, because="complained", where=heard.conversation)
        for reference in heard.references:
            await self._quoted(session, heard, reference)

    async def _quoted(self, session: AsyncSession, heard: Heard, reference: str) -> None:
        """A reference stands in a message: of the writer's own case, which takes the conversation in, or of somebody
        else's, which only keeps that it was written."""
        number = heard.conversation.id or 0
        mine = next((case for case in self.theirs[heard.contact_id] if case.reference == reference), None)
        if mine is not None:
            if all(case is not mine for case in self.here.get(number, [])):
                self.here.setdefault(number, []).append(mine)
                self.links.append((mine, number))
            return
        case = (await session.execute(select(Case).where(col(Case.reference) == reference))).scalar_one_or_none()
        if case is not None and case.contact_id != heard.contact_id:
            note(session, self.line, case, CaseStep.QUOTED, None, None, conversation_id=number)

    async def _acknowledgements(self, session: AsyncSession) -> list[dict[str, object]]:
        if not self.told:
            return []
        query = select(col(OutboxItem.key), col(OutboxItem.message_id)).where(col(OutboxItem.key).in_(self.told))
        numbers = {key: number for key, number in (await session.execute(query)).all()}
        steps = []
        for key, case in self.told.items():
            if case.acknowledged_at is None:
                case.acknowledged_at = self.now
                steps.append(self._step(case, CaseStep.ACKNOWLEDGED, message_id=numbers.get(key)))
        return steps

    def _step(self, case: Case, kind: CaseStep, **values: object) -> dict[str, object]:
        return {"case_id": case.id, "at": self.now, "kind": kind.value, "data": {}, "message_id": None, **values}
