"""Later: what rules left for later, when its time has come: going on after a wait, waking up, hiding, mails."""

import logging
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from connectors.base import ConnectorError
from connectors.smtp import SmtpServer, send_mail
from socialcrm.domain.conversation import Conversation, ConversationStatus, EventKind
from socialcrm.domain.message import Direction, Message
from socialcrm.domain.people import Agent, Role, TeamMember
from socialcrm.domain.rule import RuleTask, TaskKind, TaskStatus
from socialcrm.domain.rulebook import RuleError, read_actions
from socialcrm.domain.triage import Decision, plan
from socialcrm.engine import react
from socialcrm.engine.act import CannotAct, Deed, act
from socialcrm.engine.assign import enqueue
from socialcrm.engine.carry_out import Occasion, carry_out, open_batch
from socialcrm.engine.line import Line

log = logging.getLogger(__name__)
INSIDE = (TaskKind.GO_ON, TaskKind.WAKE)
"""Done in our own rows, in one transaction."""
OUTSIDE = (TaskKind.HIDE, TaskKind.MAIL)
"""Done somewhere else: claimed first, told after."""
LEASE = timedelta(minutes=2)
AGAIN = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30))
LATER = "later"


async def go_on(line: Line) -> int:
    """Do what is due in our own rows; when something in it breaks, one by one."""
    if not await line.database.has(_due(line, INSIDE)):
        return 0
    try:
        return await _go_on(line, line.settings.line.batch)
    except Exception:
        log.exception("what rules left for later could not be done; taking it one by one")
        return await _go_on(line, 1, is_last=True)


async def _go_on(line: Line, limit: int, *, is_last: bool = False) -> int:
    async with line.database.write() as session:
        tasks = await _claim(session, line, INSIDE, limit)
        found = await react.locked(session, [task.conversation_id for task in tasks])
        try:
            async with line.database.savepoint(session):
                await _take(session, line, tasks, found)
        except Exception as error:
            if not is_last:
                raise
            log.exception("task %s could not be done", tasks[0].id)
            tasks = [await session.get_one(RuleTask, tasks[0].id, populate_existing=True)]
            _settle(line, tasks[0], TaskStatus.FAILED, f"internal error: {type(error).__name__}")
    if tasks:
        line.live.ring()
    return len(tasks)


def _due(line: Line, kinds: Sequence[TaskKind]) -> Select[RuleTask]:
    return select(RuleTask).where(
        col(RuleTask.status).in_((TaskStatus.WAITING.value, TaskStatus.DOING.value)),
        col(RuleTask.kind).in_([kind.value for kind in kinds]),
        col(RuleTask.due_at) <= line.now(),
    )


async def _claim(session: AsyncSession, line: Line, kinds: Sequence[TaskKind], limit: int) -> Sequence[RuleTask]:
    query = _due(line, kinds).order_by(col(RuleTask.due_at), col(RuleTask.id)).limit(limit)
    return (await session.execute(query.with_for_update(skip_locked=True))).scalars().all()


async def _take(session: AsyncSession, line: Line, tasks: Sequence[RuleTask], found: dict[int, Conversation]) -> None:
    if not tasks:
        return
    batch = await open_batch(session, line, list(found.values()))
    newest = await react.newest_messages(session, list(found.values()))
    for task in tasks:
        conversation = found[task.conversation_id]
        if task.kind == TaskKind.WAKE:
            if conversation.status == ConversationStatus.SNOOZED:
                conversation.status = ConversationStatus.OPEN
                batch.event(conversation, EventKind.RESUMED)
                if conversation.agent_id is None:
                    enqueue(conversation, line)
            _settle(line, task, TaskStatus.DONE)
            continue
        if task.is_for_silence and await _has_written(session, task):
            _settle(line, task, TaskStatus.CANCELLED, "the customer wrote")
            continue
        try:
            actions = read_actions(task.payload["actions"], f"Rule {task.rule!r}")
        except RuleError as error:
            _settle(line, task, TaskStatus.FAILED, str(error))
            continue
        decision = Decision()
        did = plan(decision, task.rule_id or 0, task.rule, actions, int(task.payload.get("place", 0)))
        decision.note(task.rule, True, "the time that it waited is over", did)
        occasion = Occasion(LATER, f"task:{task.id}", task.depth)
        subject = newest.get(task.conversation_id, (None, None))[0]
        await carry_out(session, batch, conversation, subject, decision, occasion)
        batch.runs.append(react.run(batch, conversation, occasion, decision))
        _settle(line, task, TaskStatus.DONE)
    await batch.write(session)
    await line.live.publish(session, "conversation", found, batch.now)


async def _has_written(session: AsyncSession, task: RuleTask) -> bool:
    query = select(col(Message.id)).where(
        col(Message.conversation_id) == task.conversation_id,
        col(Message.direction) == Direction.IN.value,
        col(Message.id) > (task.message_id or 0),
        col(Message.received_at) >= task.made_at,
    )
    return (await session.execute(query.limit(1))).first() is not None


def _settle(line: Line, task: RuleTask, status: TaskStatus, reason: str = "") -> None:
    task.status, task.reason, task.done_at = status, reason, line.now()


async def reach_out(line: Line) -> int:
    """Do what is due somewhere else: hide comments, send mails; how many."""
    if not await line.database.has(_due(line, OUTSIDE)):
        return 0
    now = line.now()
    async with line.database.write() as session:
        tasks = await _claim(session, line, OUTSIDE, 20)
        todo = []
        for task in tasks:
            if task.status == TaskStatus.DOING and task.kind == TaskKind.MAIL:
                # Perhaps it was sent: a mail too few is better than the same one again and again.
                _settle(line, task, TaskStatus.FAILED, "we stopped while it was being sent")
                continue
            task.status, task.due_at, task.attempt_count = TaskStatus.DOING, now + LEASE, task.attempt_count + 1
            todo.append(task)
    for task in todo:
        reason, is_final = await (_hide(line, task) if task.kind == TaskKind.HIDE else _mail(line, task))
        async with line.database.write() as session:
            row = await session.get_one(RuleTask, task.id, with_for_update=True)
            if not reason:
                _settle(line, row, TaskStatus.DONE)
            elif is_final or row.attempt_count > len(AGAIN):
                _settle(line, row, TaskStatus.FAILED, reason)
            else:
                row.status, row.reason = TaskStatus.WAITING, reason
                row.due_at = line.now() + AGAIN[row.attempt_count - 1]
    return len(tasks)


async def _hide(line: Line, task: RuleTask) -> tuple[str, bool]:
    try:
        await act(line, task.message_id or 0, Deed.HIDE, None)
    except CannotAct as error:
        return str(error), False
    return "", True


async def _mail(line: Line, task: RuleTask) -> tuple[str, bool]:
    mail = line.settings.mail
    if not mail.host:
        return "no mail server is set", True
    async with line.database.read() as session:
        conversation = await session.get_one(Conversation, task.conversation_id)
        addresses = await _addresses(session, conversation, task.payload["to"])
    if not addresses:
        return "there is nobody to write to", True
    server = SmtpServer(mail.host, mail.port, mail.security, mail.username, mail.password)
    link = f"{line.settings.public_url}/inbox/{task.conversation_id}"
    text = "\n\n".join(part for part in (str(task.payload.get("text", "")), link) if part)
    sent: list[str] = list(task.payload.get("sent", []))
    reason = ""
    for address in addresses:
        if address in sent:
            continue
        try:
            await send_mail(server, mail.sender, address, str(task.payload["subject"]), f"{text}\n")
        except ConnectorError as error:
            reason = error.reason
        else:
            sent.append(address)
    if reason:
        async with line.database.write() as session:  # whoever has it is not written to again
            row = await session.get_one(RuleTask, task.id, with_for_update=True)
            row.payload = {**row.payload, "sent": sent}
    return reason, False


async def _addresses(session: AsyncSession, conversation: Conversation, names: Sequence[str]) -> list[str]:
    """Whom "admins", "supervisors", "team" and "agent" mean here."""
    found: list[str] = []
    people = select(col(Agent.email)).where(col(Agent.is_active)).order_by(col(Agent.id))
    for name in names:
        match name:
            case "admins" | "supervisors":
                role = Role.ADMIN if name == "admins" else Role.SUPERVISOR
                found += (await session.execute(people.where(col(Agent.role) == role))).scalars()
            case "team":
                members = select(col(TeamMember.agent_id)).where(col(TeamMember.team_id) == conversation.team_id)
                found += (await session.execute(people.where(col(Agent.id).in_(members)))).scalars()
            case "agent":
                found += (await session.execute(people.where(col(Agent.id) == conversation.agent_id))).scalars()
            case address:
                found.append(address)
    return list(dict.fromkeys(found))
