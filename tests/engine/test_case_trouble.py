"""Cases when things go wrong: killed between and within steps, several processes, several people at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from nlp.pipeline import Pipeline
from socialcrm.app import open_line
from socialcrm.domain.case import Outcome
from socialcrm.domain.casework import CannotMove
from socialcrm.domain.rows import Case, CaseEvent, Conversation, NewsTelling, OutboxItem
from socialcrm.engine import answer, case_file, cases, news
from socialcrm.engine.follow import follow
from socialcrm.engine.ingest import ingest
from socialcrm.engine.line import Line
from socialcrm.engine.schedule import drain
from tests.engine.casework import do, events
from tests.engine.test_cases import everybody, quiet
from tests.engine.test_triage import COMPLAINTS
from tests.story import Clock, Story, line_with

on_postgresql = pytest.mark.parametrize("fresh_database", ["postgresql"], indirect=True)
COMPLAINT = "Mon internet est en panne depuis trois jours, c'est inadmissible !"


@asynccontextmanager
async def processes(line: Line, pipeline: Pipeline, count: int) -> AsyncIterator[list[Line]]:
    """The line and others beside it on the same database, each with connections of its own."""
    async with AsyncExitStack() as stack:
        others = [
            await stack.enter_async_context(open_line(line.settings, now=line.now, pipeline=pipeline))
            for _ in range(count - 1)
        ]
        yield [line, *others]


class Killed(BaseException):
    """The process ends here."""


async def test_killed_at_any_write_and_started_again_it_ends_in_the_same_state(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A case goes through delay, question, reminder and silence; at each text that it writes the process is killed once
    before the commit."""
    clock = Clock()
    line = quiet(line, clock, remind_days=1, silence_days=3, most_notices=1)
    story = await Story.begin(line)
    agent = await story.agent("Amina")
    await story.customer_writes(COMPLAINT, kind="comment", thread="post")
    await story.customer_writes("voilà", thread="private")
    write, killed = answer.send, set[str]()

    async def send(session: AsyncSession, draft: answer.Draft, now: object) -> object:
        message = await write(session, draft, now)  # type: ignore[arg-type]
        if draft.key.startswith("case:") and draft.key not in killed:
            killed.add(draft.key)
            raise Killed
        return message

    for module in ("answer", "ask", "follow"):
        monkeypatch.setattr(f"socialcrm.engine.{module}.send", send)

    async def persist() -> None:
        for _ in range(4):
            with suppress(Killed):
                await drain(line)

    case = await story.case()
    assert case.notice_at
    clock.at = case.notice_at
    await persist()
    for _ in range(2):
        try:
            await do(story, lambda s, line, case: cases.resolve(s, line, case, agent), drains=False)
            break
        except Killed:
            assert (await story.case()).status == "open", "half of a step is no step"
    for _ in range(5):
        clock.forward(days=1)
        await persist()
    case = await story.case()
    assert (case.status, case.outcome, case.follow_at) == ("closed", "silent", None)
    kinds = [event.kind for event in await events(story)]
    assert kinds == ["opened", "acknowledged", "delayed", "moved", "asked", "reminded", "closed", "public"]
    keys = [item.key for item in await story.rows(OutboxItem) if item.key.startswith("case:")]
    assert len(keys) == len(set(keys)) == len(killed) == 5
    assert {status for status, _ in await story.outbox()} == {"sent"}


@on_postgresql
async def test_what_is_due_of_many_cases_is_done_once_by_many_processes(line: Line, pipeline: Pipeline) -> None:
    clock = Clock()
    line = quiet(line, clock)
    story = await Story.begin(line)
    agent = await story.agent("Amina")
    for number in range(12):
        await story.customer_writes(COMPLAINT, author=f"a{number}", drains=False)
    await drain(line)
    opened = await story.rows(Case)
    async with line.database.write() as session:
        found = await news.open_incident(session, line, "Panne", [case.id or 0 for case in opened], agent)
        await news.publish(session, line, found, {"fr": "On répare."}, agent)
    clock.at = max(case.notice_at for case in opened if case.notice_at)
    async with processes(line, pipeline, 3) as lines:
        while any(await asyncio.gather(*(follow(each) for each in lines))):
            pass
    told = [event for event in await story.rows(CaseEvent) if event.kind in ("delayed", "news")]
    assert len(told) == 2 * len(opened)
    assert all(event.message_id for event in told)
    assert {row.status for row in await story.rows(NewsTelling)} == {"sent"}
    keys = [item.key for item in await story.rows(OutboxItem)]
    assert len(keys) == len(set(keys)) == 3 * len(opened)


@on_postgresql
async def test_two_agents_close_while_the_customer_answers(line: Line, pipeline: Pipeline) -> None:
    """Whoever comes first, the case ends in one piece: closed once, or reopened because the customer said no."""
    line = quiet(line)
    story, agent, _ = await everybody(line, "echo")
    for case in await story.rows(Case):
        await do(story, lambda s, line, case: cases.resolve(s, line, case, agent), case.id, drains=False)
    await drain(line)
    shown = {row["thread"]: [value for _, value in row["buttons"]] for row in story.sent() if row["buttons"]}
    ends = {"fr": 0, "ar": 1, "en": 0, "arq-Arab": 1, "arq-Latn": 1}

    async def close(line: Line, number: int) -> str:
        try:
            async with line.database.write() as session:
                case = await case_file.lock(session, number)
                assert case
                await cases.close(session, line, case, agent, Outcome.WITHDRAWN, tells="case_closed")
        except CannotMove:
            return "late"
        return "closed"

    async with processes(line, pipeline, 3) as lines:
        for case, language in zip(await story.rows(Case), COMPLAINTS, strict=True):
            place = ends[language]
            event = {"id": f"press-{language}", "author": language, "button": shown[language][place]}
            await story.platform_says([event], drains=False)
            number = case.id or 0
            found = await asyncio.gather(close(lines[0], number), close(lines[1], number), ingest(lines[2]))
            assert found[:2].count("closed") <= 1 + place, "twice only if the customer's no came in between"
        await drain(line)
    for case, language in zip(await story.rows(Case), COMPLAINTS, strict=True):
        place = ends[language]
        kinds = [event.kind for event in await events(story, case.id)]
        assert kinds.count("answered") == 1, language
        if place == 0:
            assert (case.status, case.outcome in ("confirmed", "withdrawn")) == ("closed", True)
            assert kinds.count("closed") == 1
        else:
            # an agent may close it again after the customer's no; the no itself is never lost
            assert kinds.count("reopened") == 1
            assert case.status == ("working" if kinds[-1] != "closed" else "closed")
    assert {status for status, _ in await story.outbox()} == {"sent"}


@on_postgresql
async def test_agents_and_the_line_never_wait_in_a_circle(line: Line, pipeline: Pipeline) -> None:
    """One person writes in four conversations while agents move their case: no deadlock, one case, every message."""
    line = quiet(line_with(line, None, line={"batch": 3}))
    story = await Story.begin(line)
    agent = await story.agent("Amina")
    await story.customer_writes(COMPLAINT, thread="t0")
    for number in range(1, 4):
        await story.customer_writes(COMPLAINT, thread=f"t{number}")
    number = (await story.case()).id or 0

    async def move(line: Line, _: int) -> None:
        try:
            async with line.database.write() as session:
                case = await case_file.lock(session, number)
                assert case
                if case.status == "working":
                    await cases.wait(session, line, case, agent, cases.WaitsFor.CUSTOMER, tells=True)
                else:
                    await cases.begin(session, line, case, agent, tells=True)
        except CannotMove:
            pass

    async with processes(line, pipeline, 3) as lines, asyncio.timeout(60):
        for turn in range(4):
            for place in range(4):
                await story.customer_writes(f"et alors ? message {turn}", thread=f"t{place}", drains=False)
            await asyncio.gather(drain(lines[0]), drain(lines[1]), *(move(lines[2], n) for n in range(3)))
        await drain(line)
    assert len(await story.rows(Case)) == 1
    assert len(await story.rows(Conversation)) == 4
    assert len(await story.messages()) == 20
    assert {m.step for m in await story.messages()} == {"done"}
