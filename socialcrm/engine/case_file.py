"""Case file: a case locked for a change, its steps kept, and everybody concerned told of them."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.case import Case, CaseConversation, CaseEvent, CaseStatus, CaseStep
from socialcrm.domain.channel import Channel
from socialcrm.domain.conversation import Conversation, ConversationEvent, EventKind
from socialcrm.domain.people import Agent
from socialcrm.domain.sla import Notice
from socialcrm.engine import tell
from socialcrm.engine.line import Line
from socialcrm.engine.tell import Told


async def lock(session: AsyncSession, case_id: int) -> Case | None:
    """A case that nobody else changes until the session ends."""
    return next(iter(await lock_all(session, [case_id])), None)


async def lock_all(session: AsyncSession, numbers: Sequence[int]) -> Sequence[Case]:
    """Several cases at once, in the order of their numbers.

    Everybody locks in this order: the conversations in which something may be said for the cases, by their numbers,
    then the cases by theirs. The steps of the line hold a conversation before they look for its case, so nobody ever
    waits in a circle.
    """
    found = (await session.execute(select(Case).where(col(Case.id).in_(numbers)))).scalars().all()
    where = {number for case in found for number in await tell.places(session, case)}
    conversations = (
        select(Conversation)
        .where(col(Conversation.id).in_(where))
        .order_by(col(Conversation.id))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    await session.execute(conversations)
    cases = select(Case).where(col(Case.id).in_([case.id for case in found])).order_by(col(Case.id))
    cases = cases.with_for_update(key_share=True).execution_options(populate_existing=True)
    return (await session.execute(cases)).scalars().all()


async def open_case_of(session: AsyncSession, conversation: Conversation) -> Case | None:
    """The newest case of a conversation that is not closed."""
    query = (
        select(Case)
        .join(CaseConversation, col(CaseConversation.case_id) == col(Case.id))
        .where(col(CaseConversation.conversation_id) == conversation.id, col(Case.status) != CaseStatus.CLOSED.value)
        .order_by(col(Case.id).desc())
        .limit(1)
    )
    return (await session.execute(query)).scalar_one_or_none()


def note(
    session: AsyncSession,
    line: Line,
    case: Case,
    kind: CaseStep,
    by: Agent | None,
    told: Told | None = None,
    **data: object,
) -> None:
    """Keep a step of a case."""
    session.add(
        CaseEvent(
            case_id=case.id or 0,
            at=line.now(),
            kind=kind,
            agent_id=by.id if by else None,
            data=data,
            message_id=told.message.id if told and told.message else None,
            untold=told.untold if told else "",
        )
    )


async def notify(session: AsyncSession, line: Line, case: Case, kind: str, name: str) -> None:
    """Let the owner of a case know of something, else who has its conversation; once for each `name`."""
    conversation = await session.get_one(Conversation, case.conversation_id)
    agent_id = case.agent_id or conversation.agent_id
    key = f"{key_of(case, name)}:{agent_id}"
    if agent_id is None or (await session.execute(select(col(Notice.id)).where(col(Notice.key) == key))).first():
        return
    data = {"reference": case.reference, "due_at": case.due_at.isoformat()}
    number = case.conversation_id
    session.add(Notice(key=key, agent_id=agent_id, conversation_id=number, kind=kind, data=data, at=line.now()))


async def told_of(
    session: AsyncSession,
    line: Line,
    case: Case,
    by: Agent | None,
    tells: str,
    text: str,
    name: str,
    where: Conversation | None = None,
) -> Told | None:
    """Tell the standard text, or the agent's own; None where nothing is to be told."""
    if not tells:
        return None
    own = bool(text.strip())
    words = text.strip() or tell.in_words(line, await tell.language_of(session, line, case), tells, case)
    if where is not None and (connector := tell.opened(line, await session.get_one(Channel, where.channel_id))):
        return await tell.say(session, line, tell.Place(where, connector), words, key_of(case, name), by=by, own=own)
    return await tell.tell(session, line, case, words, key_of(case, name), by=by, own=own)


def key_of(case: Case, name: str) -> str:
    """The same step of the same round of a case is told once."""
    return f"case:{case.id}:{name}:{case.reopened_count}"


def tell_thread(session: AsyncSession, line: Line, case: Case, by: Agent | None) -> None:
    """Let the thread, and the rules that follow it, know where the case is now."""
    session.add(
        ConversationEvent(
            conversation_id=case.conversation_id,
            at=line.now(),
            kind=EventKind.CASE_MOVED,
            agent_id=by.id if by else None,
            data={"reference": case.reference, "case_id": case.id, "status": case.status, "outcome": case.outcome},
        )
    )


async def changed(session: AsyncSession, line: Line, case: Case) -> None:
    """Let open pages know of it."""
    await session.flush()
    await line.live.publish(session, "conversation", [case.conversation_id], line.now())
