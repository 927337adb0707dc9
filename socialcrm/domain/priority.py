"""How urgent a conversation is: a weighted sum of a few terms that people can read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field

from connectors.base import MessageKind
from socialcrm.domain.conversation import Conversation, Priority

REPEATS = 5
"""Earlier conversations that count at most."""


class Weights(BaseModel):
    """Points for each term; 0 leaves it out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    urgent: float = Field(default=60, ge=-1000, le=1000)
    high: float = Field(default=30, ge=-1000, le=1000)
    low: float = Field(default=-30, ge=-1000, le=1000)
    """What people and rules set as its priority."""
    complaint: float = Field(default=20, ge=-1000, le=1000)
    negative: float = Field(default=10, ge=-1000, le=1000)
    positive: float = Field(default=-5, ge=-1000, le=1000)
    public: float = Field(default=10, ge=-1000, le=1000)
    """Others read it: a comment, a mention, a review."""
    repeat: float = Field(default=5, ge=-1000, le=1000)
    """For each other conversation that the person began within a week, REPEATS at most."""
    waiting: float = Field(default=10, ge=0, le=1000)
    """For each hour that the customer has waited."""
    waiting_hours: float = Field(default=12, ge=0, le=1000)
    """Longer waits count no more."""
    sla: float = Field(default=40, ge=-1000, le=1000)
    """When an SLA is breached; half of the way there, half of it."""
    tiers: dict[str, float] = {"gold": 30, "silver": 15, "bronze": 5}
    labels: dict[str, float] = {}


@dataclass(frozen=True)
class Facts:
    """What the sum needs beside the conversation itself."""

    tier: str = ""
    repeats: int = 0
    """Other conversations that this person began within a week."""
    sla_risk: float = 0.0
    """From 0, nothing is at stake, to 1, breached."""


@dataclass(frozen=True)
class Score:
    """The points and what they are for: term -> points, without terms of no points."""

    total: float
    terms: dict[str, float]


def score(conversation: Conversation, facts: Facts, weights: Weights, now: datetime) -> Score:
    """Count the points of a conversation."""
    waited = now - conversation.waiting_since_at if conversation.waiting_since_at else timedelta()
    hours = min(max(waited / timedelta(hours=1), 0.0), weights.waiting_hours)
    is_public = conversation.kind != MessageKind.DIRECT_MESSAGE
    by_priority = {Priority.URGENT: weights.urgent, Priority.HIGH: weights.high, Priority.LOW: weights.low}
    by_sentiment = {"negative": weights.negative, "positive": weights.positive}
    terms = {
        "priority": by_priority.get(Priority(conversation.priority), 0.0),
        "complaint": weights.complaint * conversation.is_complaint,
        "sentiment": by_sentiment.get(conversation.sentiment, 0.0),
        "public": weights.public * is_public,
        "repeat": weights.repeat * min(facts.repeats, REPEATS),
        "waiting": weights.waiting * hours,
        "sla": weights.sla * min(max(facts.sla_risk, 0.0), 1.0),
        "tier": weights.tiers.get(facts.tier, 0.0),
        "labels": _labels(conversation.labels, weights),
    }
    found = {name: round(points, 1) for name, points in terms.items() if round(points, 1)}
    return Score(round(sum(found.values()), 1), found)


def _labels(labels: Sequence[str], weights: Weights) -> float:
    return sum(weights.labels.get(label, 0.0) for label in labels)
