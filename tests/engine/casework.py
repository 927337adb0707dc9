"""What agents and customers do with cases, for tests that read as stories."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.case import Case, CaseEvent
from socialcrm.engine import case_file
from socialcrm.engine.line import Line
from socialcrm.engine.schedule import drain
from tests.story import Story

Deed = Callable[[AsyncSession, Line, Case], Awaitable[Any]]


async def do(story: Story, deed: Deed, case_id: int | None = None, *, drains: bool = True) -> Any:
    """Somebody does something with a case, by default with the newest one."""
    number = case_id or (await story.case()).id or 0
    async with story.line.database.write() as session:
        case = await case_file.lock(session, number)
        assert case is not None
        found = await deed(session, story.line, case)
    if drains:
        await drain(story.line)
    return found


async def steps(story: Story, case_id: int | None = None) -> list[str]:
    """What happened to a case, in order; with a + where the customer was told, with a - where that was not possible."""
    return [
        event.kind + ("+" if event.message_id else "-" if event.untold else "")
        for event in await events(story, case_id)
    ]


async def events(story: Story, case_id: int | None = None) -> Sequence[CaseEvent]:
    """The rows of them."""
    number = case_id or (await story.case()).id or 0
    async with story.line.database.read() as session:
        query = select(CaseEvent).where(col(CaseEvent.case_id) == number).order_by(col(CaseEvent.id))
        return (await session.execute(query)).scalars().all()


def last_text(story: Story) -> str:
    """What the customer was sent last."""
    return str(story.sent()[-1]["text"])


def buttons(story: Story) -> dict[str, str]:
    """The newest buttons: label -> value."""
    shown = next(row for row in reversed(story.sent()) if row["buttons"])
    return {label: value for label, value in shown["buttons"]}
