"""The thread: messages, what happened between them, and scores, in the order of time."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from connectors.base import Connector, MessageKind
from connectors.registry import connector_class
from socialcrm.domain.bot import CallBack, CallBackStatus
from socialcrm.domain.case import Case, CaseConversation
from socialcrm.domain.channel import Channel
from socialcrm.domain.contact import Contact
from socialcrm.domain.conversation import Conversation, ConversationEvent, EventKind
from socialcrm.domain.message import Analysis, Delivery, Direction, Message, RuleTrace
from socialcrm.domain.people import Agent, Team
from socialcrm.domain.post import Post
from socialcrm.domain.survey import Survey, SurveyFormVersion
from socialcrm.domain.survey_form import Form, answered
from socialcrm.domain.teaching import Correction, newest
from socialcrm.engine.routing import tiers

PAGE = 50


@dataclass(frozen=True)
class Item:
    """One entry of the thread: exactly one of message, event and survey is there."""

    at: datetime
    order: tuple[int, int]
    message: Message | None = None
    analysis: Analysis | None = None
    said: Mapping[str, Correction] = field(default_factory=dict)
    """field -> what people said of the analysis."""
    trace: RuleTrace | None = None
    event: ConversationEvent | None = None
    survey: Survey | None = None
    answers: Sequence[tuple[str, str]] = ()
    """The further questions of the survey, each with what was answered."""


@dataclass(frozen=True)
class Thread:
    """A stretch of a thread, oldest first; `older` is the message to go on before, when there are more."""

    items: Sequence[Item]
    first: int | None
    older: int | None
    names: Mapping[int, str] = field(default_factory=dict)
    """Contact's number -> name: under one comment several people may write."""

    @property
    def private_answers(self) -> set[int | None]:
        """The public comments that got an answer in private, as far as it did not fail."""
        sent = [item.message for item in self.items if item.message and item.message.direction == Direction.OUT]
        return {m.answers_id for m in sent if m.kind == MessageKind.DIRECT_MESSAGE and m.delivery != Delivery.FAILED}

    def answered(self, answer: Message) -> Message | None:
        """The comment that a public answer stands under, where others were written between them."""
        asked = [item.message for item in self.items if item.message and item.message.direction == Direction.IN]
        earlier = [message for message in asked if (message.id or 0) < (answer.id or 0)]
        found = next((message for message in earlier if message.id == answer.answers_id), None)
        newest = max((message.id or 0 for message in earlier), default=0)
        return found if found is not None and found.id != newest else None


@dataclass(frozen=True)
class Head:
    """What stands above a thread, and what its composer needs."""

    conversation: Conversation
    contact: Contact
    channel: Channel
    team: str | None
    case: Case | None
    agents: Sequence[Agent]
    names: dict[int, str] = field(default_factory=dict)
    """Agent's number -> name, of all there ever were."""
    post: Post | None = None
    """What the comments stand under, where that is no message of this thread itself."""
    tiers: Sequence[str] = ()
    """How loyal a customer can be."""
    calls: Sequence[CallBack] = ()
    """Calls that the customer waits for."""

    @property
    def connector(self) -> type[Connector]:
        """The kind of channel."""
        return connector_class(self.channel.connector)

    @property
    def can_reply(self) -> bool:
        """Whether the channel can carry an answer to this kind of conversation."""
        return self.connector.can("direct_message" if self.conversation.kind == "direct_message" else "reply")

    @property
    def agent(self) -> str | None:
        """The name of who has it."""
        return self.names.get(self.conversation.agent_id or 0)


async def head(session: AsyncSession, conversation_id: int) -> Head | None:
    """The head of a conversation; None when there is no such conversation."""
    query = (
        select(Conversation, Contact, Channel, col(Team.name))
        .join(Contact, col(Contact.id) == col(Conversation.contact_id))
        .join(Channel, col(Channel.id) == col(Conversation.channel_id))
        .outerjoin(Team, col(Team.id) == col(Conversation.team_id))
        .where(col(Conversation.id) == conversation_id)
    )
    row = (await session.execute(query)).first()
    if row is None:
        return None
    conversation, contact, channel, team = row
    cases = (
        select(Case)
        .join(CaseConversation, col(CaseConversation.case_id) == col(Case.id))
        .where(col(CaseConversation.conversation_id) == conversation_id)
        .order_by(col(Case.closed_at).is_not(None), col(Case.id).desc())
        .limit(1)
    )
    case = (await session.execute(cases)).scalar_one_or_none()
    agents = (await session.execute(select(Agent).order_by(col(Agent.name)))).scalars().all()
    return Head(
        conversation,
        contact,
        channel,
        team,
        case,
        [a for a in agents if a.is_active and a.role != "analyst"],
        {a.id or 0: a.name for a in agents},
        await _post(session, conversation),
        await tiers(session),
        await _calls(session, conversation_id),
    )


async def _calls(session: AsyncSession, conversation_id: int) -> Sequence[CallBack]:
    query = select(CallBack).where(
        col(CallBack.conversation_id) == conversation_id, col(CallBack.status) == CallBackStatus.OPEN.value
    )
    return (await session.execute(query.order_by(col(CallBack.due_at)))).scalars().all()


async def _post(session: AsyncSession, conversation: Conversation) -> Post | None:
    post = await session.get(Post, conversation.post_id) if conversation.post_id else None
    if post is None:
        return None
    same = select(Message.id).where(
        col(Message.conversation_id) == conversation.id, col(Message.external_id) == post.external_id
    )
    return post if await session.scalar(same.limit(1)) is None else None


async def thread(
    session: AsyncSession, conversation_id: int, *, before: int | None = None, since: int | None = None
) -> Thread:
    """The last page of a thread, the page before message `before`, or everything since message `since`."""
    query = select(Message).where(col(Message.conversation_id) == conversation_id).order_by(col(Message.id).desc())
    if before is not None:
        query = query.where(col(Message.id) < before)
    query = query.where(col(Message.id) >= since) if since is not None else query.limit(PAGE + 1)
    found = list((await session.execute(query)).scalars())
    older: int | None = None
    if since is not None:
        earlier = select(Message.id).where(col(Message.conversation_id) == conversation_id, col(Message.id) < since)
        older = since if await session.scalar(earlier.limit(1)) is not None else None
    elif len(found) > PAGE:
        found = found[:PAGE]
        older = found[-1].id
    items = await _messages(session, found)
    start = min((item.at for item in items), default=None) if older is not None else None
    end = None
    if before is not None:
        end = await session.scalar(select(Message.sent_at).where(col(Message.id) == before))
    items += await _events(session, conversation_id, start, end)
    items += await _surveys(session, conversation_id, start, end)
    items.sort(key=lambda item: (item.at, item.order))
    people = select(col(Contact.id), col(Contact.name)).where(col(Contact.id).in_({m.contact_id for m in found}))
    names = {number or 0: name for number, name in (await session.execute(people)).all()}
    return Thread(items, found[-1].id if found else None, older, names)


async def _messages(session: AsyncSession, found: Sequence[Message]) -> list[Item]:
    numbers = [message.id for message in found]
    analyses = (await session.execute(select(Analysis).where(col(Analysis.message_id).in_(numbers)))).scalars()
    traces = (await session.execute(select(RuleTrace).where(col(RuleTrace.message_id).in_(numbers)))).scalars()
    corrections = (await session.execute(select(Correction).where(col(Correction.message_id).in_(numbers)))).scalars()
    by_message = {row.message_id: row for row in analyses}
    why = {row.message_id: row for row in traces}
    said: defaultdict[int, list[Correction]] = defaultdict(list)
    for row in corrections:
        said[row.message_id].append(row)
    return [
        Item(
            m.sent_at,
            (0, m.id or 0),
            message=m,
            analysis=by_message.get(m.id or 0),
            said=newest(said[m.id or 0]),
            trace=why.get(m.id or 0),
        )
        for m in found
    ]


async def _events(
    session: AsyncSession, conversation_id: int, start: datetime | None, end: datetime | None
) -> list[Item]:
    query = select(ConversationEvent).where(
        col(ConversationEvent.conversation_id) == conversation_id,
        col(ConversationEvent.kind) != EventKind.SURVEY_ANSWERED,  # shown from the survey itself, with its comment
    )
    if start:
        query = query.where(col(ConversationEvent.at) >= start)
    if end:
        query = query.where(col(ConversationEvent.at) < end)
    events = (await session.execute(query.order_by(col(ConversationEvent.id)))).scalars()
    return [Item(e.at, (-1 if e.kind == EventKind.OPENED else 1, e.id or 0), event=e) for e in events]


async def _surveys(
    session: AsyncSession, conversation_id: int, start: datetime | None, end: datetime | None
) -> list[Item]:
    query = select(Survey).where(col(Survey.conversation_id) == conversation_id, col(Survey.answered_at).is_not(None))
    surveys = (await session.execute(query)).scalars().all()
    asked = await _asked(session, [s for s in surveys if s.answers])
    items = [
        Item(s.answered_at, (2, s.id or 0), survey=s, answers=answered(asked[s.form_id, s.form_version], s))
        if s.answers and (s.form_id, s.form_version) in asked
        else Item(s.answered_at, (2, s.id or 0), survey=s)
        for s in surveys
        if s.answered_at
    ]
    return [item for item in items if (not start or item.at >= start) and (not end or item.at < end)]


async def _asked(session: AsyncSession, surveys: Sequence[Survey]) -> dict[tuple[int | None, int], Form]:
    """What each version asked."""
    versions = select(SurveyFormVersion).where(col(SurveyFormVersion.form_id).in_({s.form_id for s in surveys}))
    if not surveys:
        return {}
    rows = (await session.execute(versions)).scalars()
    return {(row.form_id, row.version): Form.model_validate(row.body) for row in rows}
