"""All rows, so that one import fills the metadata."""

from sqlmodel import SQLModel

from socialcrm.domain.bot import BotPlanRow, BotSession, BotTurn, CallBack, FaqMeasure, FlowRow, FlowVersion
from socialcrm.domain.case import Case, CaseConversation, CaseEvent
from socialcrm.domain.channel import Channel
from socialcrm.domain.contact import Contact, Identity
from socialcrm.domain.conversation import Change, Conversation, ConversationEvent
from socialcrm.domain.hook import Hook, HookCall
from socialcrm.domain.incident import Incident, IncidentNews, NewsTelling
from socialcrm.domain.ledger import RawEventRow
from socialcrm.domain.message import Analysis, Message, RuleTrace
from socialcrm.domain.outbox import OutboxItem
from socialcrm.domain.people import Agent, Team, TeamMember, WebSession
from socialcrm.domain.post import Post
from socialcrm.domain.question import Question
from socialcrm.domain.routing import BulkMove, RoutingVersion
from socialcrm.domain.rule import (
    Rule,
    RuleBook,
    RuleFiring,
    RuleRun,
    RuleSilence,
    RuleSuggestion,
    RuleTally,
    RuleTask,
    RuleVersion,
)
from socialcrm.domain.sign_in import SignInAttempt
from socialcrm.domain.sla import (
    CalendarRow,
    Edition,
    Escalation,
    Notice,
    Sla,
    SlaCursor,
    SlaPolicy,
    SlaStale,
    TeamCalendar,
)
from socialcrm.domain.suggestion import Dismissal, Suggestion
from socialcrm.domain.survey import LowScore, Resolution, Survey, SurveyForm, SurveyFormVersion
from socialcrm.domain.teaching import Correction, ModelVersion, SampleItem

metadata = SQLModel.metadata

__all__ = [
    "Agent",
    "Analysis",
    "BotPlanRow",
    "BotSession",
    "BotTurn",
    "BulkMove",
    "CalendarRow",
    "CallBack",
    "Case",
    "CaseConversation",
    "CaseEvent",
    "Change",
    "Channel",
    "Contact",
    "Conversation",
    "ConversationEvent",
    "Correction",
    "Dismissal",
    "Edition",
    "Escalation",
    "FaqMeasure",
    "FlowRow",
    "FlowVersion",
    "Hook",
    "HookCall",
    "Identity",
    "Incident",
    "IncidentNews",
    "LowScore",
    "Message",
    "ModelVersion",
    "NewsTelling",
    "Notice",
    "OutboxItem",
    "Post",
    "Question",
    "RawEventRow",
    "Resolution",
    "RoutingVersion",
    "Rule",
    "RuleBook",
    "RuleFiring",
    "RuleRun",
    "RuleSilence",
    "RuleSuggestion",
    "RuleTally",
    "RuleTask",
    "RuleTrace",
    "RuleVersion",
    "SampleItem",
    "SignInAttempt",
    "Sla",
    "SlaCursor",
    "SlaPolicy",
    "SlaStale",
    "Suggestion",
    "Survey",
    "SurveyForm",
    "SurveyFormVersion",
    "Team",
    "TeamCalendar",
    "TeamMember",
    "WebSession",
    "metadata",
]
