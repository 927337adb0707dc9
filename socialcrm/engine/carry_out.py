"""Carry out: what rules decided -> rows: team, labels, case, answers, notes, and what is left for later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from connectors.base import MessageKind
from nlp.entities import mask
from socialcrm.database import insert_rows
from socialcrm.domain.bot import Why
from socialcrm.domain.channel import Channel
from socialcrm.domain.contact import Contact
from socialcrm.domain.conversation import (
    Conversation,
    ConversationEvent,
    ConversationStatus,
    EventKind,
    Handler,
    Priority,
)
from socialcrm.domain.engagement import reply_language
from socialcrm.domain.message import AuthorKind, Delivery, Direction, Message
from socialcrm.domain.people import Agent, Team
from socialcrm.domain.rule import RuleFiring, RuleRun, RuleSuggestion, RuleTally, RuleTask, TaskKind
from socialcrm.domain.rulebook import (
    MESSAGE,
    Hide,
    Mail,
    Note,
    Reopen,
    Reply,
    ReplyInPrivate,
    Resolve,
    Snooze,
    Suggest,
    Text,
    Wait,
    Webhook,
    write_action,
)
from socialcrm.domain.triage import Decision, Planned, Ready, higher
from socialcrm.domain.words import clean
from socialcrm.engine import hooks
from socialcrm.engine.answer import Draft, send_all, takes_private
from socialcrm.engine.assign import enqueue
from socialcrm.engine.casebook import CaseBook
from socialcrm.engine.line import Line
from socialcrm.engine.resolve import reopen, resolve
from socialcrm.engine.turns import Noted, in_flow, note_turns

DAY = timedelta(days=1)
MOST_A_DAY = 6
"""Automatic answers to one person in a day, whatever the rules say."""


@dataclass(frozen=True)
class Subject:
    """The message that rules decide about."""

    id: int
    contact_id: int
    external_id: str | None
    kind: str
    text: str = ""
    is_late: bool = False
    is_found: bool = False


@dataclass
class Batch:
    """What the conversations of one batch have in common: read once, and written at its end."""

    line: Line
    now: datetime
    teams: dict[str, int]
    channels: dict[int, Channel]
    contacts: dict[int, Contact]
    cases: CaseBook
    agents: dict[str, int] = field(default_factory=dict)
    """E-mail address -> number."""
    drafts: list[Draft] = field(default_factory=list)
    events: list[dict[str, object]] = field(default_factory=list)
    traces: list[dict[str, object]] = field(default_factory=list)
    runs: list[dict[str, object]] = field(default_factory=list)
    tasks: list[dict[str, object]] = field(default_factory=list)
    suggestions: list[dict[str, object]] = field(default_factory=list)
    notes: list[dict[str, object]] = field(default_factory=list)
    firings: list[dict[str, object]] = field(default_factory=list)
    tally: dict[int, int] = field(default_factory=dict)
    in_flow: set[int] = field(default_factory=set)
    """Conversations in which the bot waits for an answer."""
    turns: dict[int, Noted] = field(default_factory=dict)
    """What the bot may have something to say to."""

    def event(self, conversation: Conversation, kind: EventKind, **data: object) -> None:
        """Note that something happened to a conversation."""
        self.events.append({"conversation_id": conversation.id, "at": self.now, "kind": kind.value, "data": data})

    @property
    def local_time(self) -> datetime:
        """When it is now at the company."""
        return self.now.astimezone(ZoneInfo(self.line.settings.engagement.time_zone))

    def team_name(self, number: int | None) -> str:
        """The key of a team."""
        return next((key for key, one in self.teams.items() if one == number), "")

    def agent_name(self, number: int | None) -> str:
        """The address of an agent."""
        return next((key for key, one in self.agents.items() if one == number), "")

    async def write(self, session: AsyncSession) -> None:
        """Everything that the decisions of a batch added, but the traces."""
        await send_all(session, self.drafts, self.now)
        await self.cases.write(session)
        await insert_rows(session, ConversationEvent, self.events)
        await insert_rows(session, Message, self.notes)
        await insert_rows(session, RuleTask, self.tasks)
        await insert_rows(session, RuleSuggestion, self.suggestions)
        await insert_rows(session, RuleRun, self.runs)
        await insert_rows(session, RuleFiring, self.firings)
        counts = [{"rule_id": rule, "at": self.now, "count": count} for rule, count in self.tally.items()]
        await insert_rows(session, RuleTally, counts)
        await note_turns(session, self.line, self.turns)


async def open_batch(session: AsyncSession, line: Line, conversations: Sequence[Conversation]) -> Batch:
    """What these conversations have in common."""
    # Locked, so that two processes with a conversation of one person each do not both answer them.
    contacts = (
        select(Contact)
        .where(col(Contact.id).in_({c.contact_id for c in conversations}))
        .order_by(col(Contact.id))
        .with_for_update(key_share=True)
    )
    channels = select(Channel).where(col(Channel.id).in_({c.channel_id for c in conversations}))
    agents = select(col(Agent.email), col(Agent.id)).where(col(Agent.is_active))
    return Batch(
        line,
        line.now(),
        {t.key: t.id for t in (await session.execute(select(Team))).scalars() if t.id is not None},
        {c.id: c for c in (await session.execute(channels)).scalars() if c.id is not None},
        {c.id: c for c in (await session.execute(contacts)).scalars() if c.id is not None},
        await CaseBook.load(session, line, conversations),
        {email: number or 0 for email, number in (await session.execute(agents)).all()},
        in_flow=await in_flow(session, line, [c.id for c in conversations]),
    )


@dataclass(frozen=True)
class Occasion:
    """Why rules were tried: the event, its key (once for each), and how many rules stand behind it."""

    event: str
    key: str
    depth: int = 0
    minutes: float = 0.0
    """Of a silence."""


def remember(batch: Batch, conversation: Conversation, decision: Decision, occasion: Occasion) -> None:
    """Count what fired; of limited rules also on whom."""
    for rule in decision.fired:
        if not rule.id:
            continue
        batch.tally[rule.id] = batch.tally.get(rule.id, 0) + 1
        if rule.body.is_limited:
            batch.firings.append(firing(batch, rule, conversation, occasion.key))


def firing(batch: Batch, rule: Ready, conversation: Conversation, key: str) -> dict[str, object]:
    """The row that a rule fired."""
    return {
        "key": f"{rule.id}:{key}",
        "rule_id": rule.id,
        "conversation_id": conversation.id,
        "contact_id": conversation.contact_id,
        "at": batch.now,
    }


async def carry_out(
    session: AsyncSession,
    batch: Batch,
    conversation: Conversation,
    subject: Subject | None,
    decision: Decision,
    occasion: Occasion,
) -> None:
    """Do what was decided about one conversation."""
    is_message = occasion.event == MESSAGE
    is_with_person = is_message and conversation.handler == Handler.HUMAN
    is_new_case = decision.opens_case and not _has_case(batch, conversation, subject)  # always acknowledged
    _settle(batch, conversation, decision, is_message)
    if subject is not None:
        await _open_case(session, batch, conversation, subject, decision, occasion)
    elif decision.opens_case:
        decision.note("case", False, "there is no message that the complaint could be about")
    said = len(batch.drafts)
    if is_with_person and not is_new_case and decision.reply:
        decision.note("automatic answer", False, "a person is looking after this conversation")
    else:
        await _answer(session, batch, conversation, subject, decision, occasion)
    if is_message and subject is not None:
        _note_turn(batch, conversation, subject, decision, is_with_person, len(batch.drafts) > said)
    for planned in decision.others:
        await _do(session, batch, conversation, subject, decision, planned, occasion)
    remember(batch, conversation, decision, occasion)
    if is_message or decision.team or decision.agent or decision.skill:
        _enqueue(batch, conversation, decision)


def _note_turn(
    batch: Batch,
    conversation: Conversation,
    subject: Subject,
    decision: Decision,
    was_with_person: bool,
    is_answered: bool,
) -> None:
    """Have the bot look at a message, unless somebody or something else answers it."""
    number, contact = conversation.id or 0, batch.contacts[conversation.contact_id]
    if contact.is_bot:
        decision.note("bot", False, "the other side is a bot")
    elif subject.is_found:
        decision.note("bot", False, "a watched word found it: nobody wrote to us")
    elif decision.hands_over and not was_with_person and (decision.wants_person or number in batch.in_flow):
        batch.turns[number] = Noted(subject.id, Why.ASKED_FOR_PERSON)
    elif conversation.handler != Handler.BOT:
        decision.note("bot", False, "a person is looking after this conversation")
    elif is_answered and number not in batch.in_flow:
        decision.note("bot", False, "a rule has answered")
    elif number not in batch.turns:
        batch.turns[number] = Noted(subject.id)


def _settle(batch: Batch, conversation: Conversation, decision: Decision, is_message: bool) -> None:
    """Team, wished agent and skill, priority, labels, hand-over."""
    if decision.team in batch.teams and (conversation.team_id is None or not is_message):
        if conversation.team_id != batch.teams[decision.team] and not is_message:
            conversation.agent_id = None  # another team takes over
        conversation.team_id = batch.teams[decision.team]
    elif decision.team and decision.team not in batch.teams:
        decision.note("teams", False, f"there is no team called {decision.team!r}")
    if decision.agent in batch.agents:
        conversation.wanted_agent_id = batch.agents[decision.agent]
        if not is_message and conversation.agent_id != conversation.wanted_agent_id:
            conversation.agent_id = None
    elif decision.agent:
        decision.note("agents", False, f"there is no agent {decision.agent!r}")
    if decision.skill:
        conversation.wanted_skill = decision.skill
    if decision.priority:
        is_raised = conversation.priority != Priority.NORMAL
        conversation.priority = higher(conversation.priority, decision.priority) if is_raised else decision.priority
    kept = [label for label in conversation.labels if label not in decision.unlabels]
    new = [label for label in decision.labels if label not in kept]
    if new or len(kept) != len(conversation.labels):
        conversation.labels = [*kept, *new]
    if decision.hands_over and conversation.handler == Handler.BOT:
        conversation.handler = Handler.HUMAN
        batch.event(conversation, EventKind.HANDED_OVER)


async def _open_case(
    session: AsyncSession,
    batch: Batch,
    conversation: Conversation,
    subject: Subject,
    decision: Decision,
    occasion: Occasion,
) -> None:
    if not decision.opens_case or _has_case(batch, conversation, subject):
        return
    case, is_new = await batch.cases.open(session, conversation, subject.id, subject.contact_id, subject.text)
    if is_new:
        batch.event(conversation, EventKind.CASE_OPENED, reference=case.reference, depth=occasion.depth + 1)
    else:
        decision.note("case", True, "the same person complains of it already", f"joined case {case.reference}")


def _has_case(batch: Batch, conversation: Conversation, subject: Subject | None) -> bool:
    return batch.cases.of(conversation, subject.contact_id if subject else conversation.contact_id) is not None


async def _answer(
    session: AsyncSession,
    batch: Batch,
    conversation: Conversation,
    subject: Subject | None,
    decision: Decision,
    occasion: Occasion,
) -> None:
    """One automatic answer to a person within the window, and none where somebody or something else is speaking."""
    if not decision.reply:
        return
    is_case = _template(decision.reply) == "acknowledgement"
    if occasion.event == MESSAGE and conversation.id in batch.in_flow and not is_case:
        decision.note("automatic answer", False, "the bot is in the middle of a flow")
        return
    contact = batch.contacts[conversation.contact_id]
    if reason := await _silenced(session, batch, contact, subject, decision):
        decision.note("automatic answer", False, reason)
        return
    author, key = AuthorKind.RULE, f"auto:{subject.id}" if subject and occasion.event == MESSAGE else occasion.key
    if is_case and not _has_case(batch, conversation, subject):
        decision.note("automatic answer", False, "an acknowledgement needs a case: add case = true to the rule")
        return
    is_private = isinstance(decision.reply, ReplyInPrivate)
    to, reason = await _private_to(session, batch, conversation, subject) if is_private else (None, "")
    if reason:
        decision.note("automatic answer", False, reason)
        return
    author_id = subject.contact_id if subject else None
    text = filled(batch, conversation, decision.reply, occasion, is_public=to is None, contact_id=author_id)
    if is_case:
        batch.cases.acknowledges(conversation, author_id or conversation.contact_id, key)
    number, external = (subject.id, subject.external_id) if subject else (None, None)
    batch.drafts.append(Draft(conversation, text, key, author, answers_id=number, reply_to=external, to=to))
    contact.auto_answered_at = batch.now


def _template(reply: Text) -> str:
    return reply.template


async def _silenced(
    session: AsyncSession, batch: Batch, contact: Contact, subject: Subject | None, decision: Decision
) -> str:
    """Why nothing is said, if so."""
    if contact.is_bot:
        return "the other side is a bot"
    if subject is None:
        return "nobody wrote here yet"
    if subject.is_found:
        return "a watched word found it: nobody wrote to us"
    if subject.is_late and subject.kind != MessageKind.DIRECT_MESSAGE:
        return "it is public, and was written while we were away"
    hours = batch.line.settings.engagement.auto_answer_window_hours
    is_always = isinstance(decision.reply, Reply | ReplyInPrivate) and decision.reply.is_always
    is_recent = contact.auto_answered_at and batch.now - contact.auto_answered_at < timedelta(hours=hours)
    if is_recent and not is_always:
        return f"this person had one within {hours:g} h"
    if is_recent and await _said_today(session, batch, contact) >= MOST_A_DAY:
        return f"this person had {MOST_A_DAY} within a day"
    return ""


async def _said_today(session: AsyncSession, batch: Batch, contact: Contact) -> int:
    ours = select(func.count()).where(
        col(Message.contact_id) == contact.id,
        col(Message.direction) == Direction.OUT.value,
        col(Message.author_kind).in_((AuthorKind.RULE.value, AuthorKind.BOT.value)),
        col(Message.sent_at) > batch.now - DAY,
    )
    waiting = sum(draft.conversation.contact_id == contact.id for draft in batch.drafts)
    return (await session.scalar(ours) or 0) + waiting


async def _private_to(
    session: AsyncSession, batch: Batch, conversation: Conversation, subject: Subject | None
) -> tuple[Message | None, str]:
    """The public comment to answer in private; none in a private conversation, where any answer is."""
    if conversation.kind == MessageKind.DIRECT_MESSAGE or subject is None:
        return None, ""
    message = await session.get_one(Message, subject.id)
    connector = batch.line.channels.open(batch.channels[conversation.channel_id])
    hours = connector.limits.private_reply_hours
    if not takes_private(type(connector), message):
        return None, "This message cannot be answered in private."
    if hours is not None and batch.now > message.sent_at + timedelta(hours=hours):
        return None, "It is too late to answer this comment in private."
    return message, ""


def _language(batch: Batch, conversation: Conversation, chosen: str = "") -> str:
    contact = batch.contacts[conversation.contact_id]
    default = batch.line.settings.engagement.default_language
    return chosen or reply_language(contact.language or conversation.language, default)


def filled(
    batch: Batch,
    conversation: Conversation,
    text: Text,
    occasion: Occasion,
    *,
    is_public: bool = True,
    contact_id: int | None = None,
) -> str:
    """A text for the customer, in their language, with its braces filled in."""
    settings = batch.line.settings
    language = _language(batch, conversation, text.language)
    contact = batch.contacts[conversation.contact_id]
    case = batch.cases.of(conversation, contact_id or conversation.contact_id)
    is_private = conversation.kind == MessageKind.DIRECT_MESSAGE or not is_public
    values: Mapping[str, Any] = {
        "name": contact.name if is_private else mask(contact.name),
        "company": settings.company,
        "reference": case.reference if case else "",
        "team": batch.team_name(conversation.team_id),
        "minutes": f"{occasion.minutes:g}" if occasion.minutes else "",
        "url": settings.public_url,
    }
    if text.template:
        return batch.line.engagement.reply(language, text.template, **values)
    known = text.texts
    own = known.get(language) or known.get(settings.engagement.default_language) or next(iter(known.values()))
    return own.format(**values)


async def _do(
    session: AsyncSession,
    batch: Batch,
    conversation: Conversation,
    subject: Subject | None,
    decision: Decision,
    planned: Planned,
    occasion: Occasion,
) -> None:
    line, key = batch.line, f"{occasion.key}:{planned.rule_id}:{planned.place}"
    more = {"rule": planned.rule, "depth": occasion.depth + 1}
    match planned.action:
        case Note(text=text):
            batch.notes.append(_note(batch, conversation, text, key))
            conversation.message_count += 1
        case Resolve():
            await resolve(session, line, conversation, None, **more)
        case Reopen():
            await reopen(session, line, conversation, None, **more)
            _enqueue(batch, conversation, decision)
        case Snooze(minutes=minutes):
            if conversation.status in (ConversationStatus.OPEN, ConversationStatus.PENDING):
                conversation.status = ConversationStatus.SNOOZED
                batch.event(conversation, EventKind.PAUSED, **{"for": "snoozed"})
                _later(batch, conversation, subject, planned, occasion, TaskKind.WAKE, minutes)
        case Wait(minutes=minutes, is_for_silence=is_for_silence):
            rest = {"actions": [write_action(one) for one in planned.rest], "place": planned.place + 1}
            _later(batch, conversation, subject, planned, occasion, TaskKind.GO_ON, minutes, rest, is_for_silence)
        case Mail() as mail:
            _later(batch, conversation, subject, planned, occasion, TaskKind.MAIL, 0, mail.model_dump(mode="json"))
        case Hide():
            if subject is None or subject.kind == MessageKind.DIRECT_MESSAGE:
                decision.note("hide", False, "only what is public can be hidden")
            else:
                _later(batch, conversation, subject, planned, occasion, TaskKind.HIDE, 0)
        case Suggest() as text:
            batch.suggestions.append(
                {
                    "conversation_id": conversation.id,
                    "message_id": subject.id if subject else None,
                    "rule_id": planned.rule_id,
                    "text": filled(batch, conversation, text, occasion),
                    "made_at": batch.now,
                }
            )
        case Webhook(hook=hook):
            payload = _payload(batch, conversation, subject, planned, occasion)
            if reason := await hooks.put(session, line, hook, payload, key, conversation.id):
                decision.note("webhook", False, reason)


def _note(batch: Batch, conversation: Conversation, text: str, key: str) -> dict[str, object]:
    return {
        "conversation_id": conversation.id,
        "channel_id": conversation.channel_id,
        "contact_id": conversation.contact_id,
        "external_id": f"note:{key}",
        "direction": Direction.NOTE.value,
        "kind": conversation.kind,
        "author_kind": AuthorKind.RULE.value,
        "text": clean(text).strip(),
        "sent_at": batch.now,
        "received_at": batch.now,
        "processed_at": batch.now,
        "delivery": Delivery.NONE.value,
    }


def _later(
    batch: Batch,
    conversation: Conversation,
    subject: Subject | None,
    planned: Planned,
    occasion: Occasion,
    kind: TaskKind,
    minutes: float,
    payload: Mapping[str, object] | None = None,
    is_for_silence: bool = False,
) -> None:
    batch.tasks.append(
        {
            "key": f"{occasion.key}:{planned.rule_id}:{planned.place}",
            "kind": kind.value,
            "rule_id": planned.rule_id or None,
            "rule": planned.rule,
            "conversation_id": conversation.id,
            "message_id": subject.id if subject else None,
            "payload": dict(payload or {}),
            "is_for_silence": is_for_silence,
            "depth": occasion.depth,
            "made_at": batch.now,
            "due_at": batch.now + timedelta(minutes=minutes),
        }
    )


def _payload(
    batch: Batch, conversation: Conversation, subject: Subject | None, planned: Planned, occasion: Occasion
) -> dict[str, object]:
    """What a webhook is told: numbers and labels, and the text without personal data."""
    case = batch.cases.of(conversation, subject.contact_id if subject else conversation.contact_id)
    return {
        "event": occasion.event,
        "rule": planned.rule,
        "at": batch.now.isoformat(),
        "conversation": {
            "id": conversation.id,
            "url": f"{batch.line.settings.public_url}/inbox/{conversation.id}",
            "channel": batch.channels[conversation.channel_id].connector,
            "kind": conversation.kind,
            "status": conversation.status,
            "priority": conversation.priority,
            "labels": conversation.labels,
            "team": batch.team_name(conversation.team_id),
            "language": conversation.language,
            "sentiment": conversation.sentiment,
            "is_complaint": conversation.is_complaint,
            "case": case.reference if case else None,
            "contact_id": conversation.contact_id,
        },
        "message": {"id": subject.id, "kind": subject.kind, "text": mask(subject.text)} if subject else None,
    }


def _enqueue(batch: Batch, conversation: Conversation, decision: Decision) -> None:
    """Have routing find an agent, and its urgency counted anew."""
    conversation.scored_at = None
    is_free = conversation.agent_id is None and conversation.status == ConversationStatus.OPEN
    if is_free and "spam" not in decision.labels:
        enqueue(conversation, batch.line)
