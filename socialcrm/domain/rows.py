"""All rows, so that one import fills the metadata."""

from sqlmodel import SQLModel

from socialcrm.domain.case import Case
from socialcrm.domain.channel import Channel
from socialcrm.domain.contact import Contact, Identity
from socialcrm.domain.conversation import Change, Conversation, ConversationEvent
from socialcrm.domain.ledger import RawEventRow
from socialcrm.domain.message import Analysis, Message, RuleTrace
from socialcrm.domain.outbox import OutboxItem
from socialcrm.domain.people import Agent, Team, TeamMember, WebSession
from socialcrm.domain.post import Post
from socialcrm.domain.sign_in import SignInAttempt
from socialcrm.domain.suggestion import Dismissal, Suggestion
from socialcrm.domain.survey import Resolution, Survey
from socialcrm.domain.teaching import Correction, ModelVersion, SampleItem

metadata = SQLModel.metadata

__all__ = [
    "Agent",
    "Analysis",
    "Case",
    "Change",
    "Channel",
    "Contact",
    "Conversation",
    "ConversationEvent",
    "Correction",
    "Dismissal",
    "Identity",
    "Message",
    "ModelVersion",
    "OutboxItem",
    "Post",
    "RawEventRow",
    "Resolution",
    "RuleTrace",
    "SampleItem",
    "SignInAttempt",
    "Suggestion",
    "Survey",
    "Team",
    "TeamMember",
    "WebSession",
    "metadata",
]
