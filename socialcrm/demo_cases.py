"""What the demo company's agents and customers do with complaints."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.case import Case, CaseStatus, Cause, Redress
from socialcrm.domain.casework import ACTIVE
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.people import Agent
from socialcrm.domain.question import Question
from socialcrm.engine import ask, case_file, case_links, cases
from socialcrm.engine.line import Line

CAUSES = {
    "outage": (Cause.PRODUCT, Redress.REPAIR),
    "quality": (Cause.PRODUCT, Redress.APOLOGY),
    "delay": (Cause.PROCESS, Redress.APOLOGY),
    "lost": (Cause.SUPPLIER, Redress.REPLACEMENT),
    "billing": (Cause.SYSTEM, Redress.REFUND),
    "account": (Cause.INFORMATION, Redress.NONE),
    "service": (Cause.STAFF, Redress.CREDIT),
}
"""Reason of a complaint -> what was behind it, and what the customer got."""


async def solve(session: AsyncSession, line: Line, conversation: Conversation, agent: Agent) -> None:
    """An agent believes that the complaint of a conversation is solved."""
    found = await case_file.open_case_of(session, conversation)
    case = await case_file.lock(session, found.id or 0) if found else None
    if case is None or case.status not in ACTIVE:
        return
    cause, redress = CAUSES.get(case.reason, (Cause.OUTSIDE, Redress.APOLOGY))
    await case_links.edit(session, line, case, agent, {"cause": cause.value, "redress": redress.value})
    await cases.resolve(session, line, case, agent)


async def confirm(session: AsyncSession, line: Line, conversation: Conversation, *, is_solved: bool) -> None:
    """The customer answers whether it is solved."""
    query = (
        select(Question)
        .join(Case, col(Case.id) == col(Question.subject_id))
        .where(
            col(Question.kind) == cases.KIND,
            col(Case.conversation_id) == conversation.id,
            col(Case.status) == CaseStatus.RESOLVED.value,
        )
        .order_by(col(Question.id).desc())
        .limit(1)
    )
    question = (await session.execute(query)).scalar_one_or_none()
    locked = await ask.locked(session, question.token) if question else None
    if locked is not None:
        await ask.take(session, line, locked, "yes" if is_solved else "no")
