"""What people teach: corrections of analyses, the weekly blind sample, and versions of the model made of them."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy import text as sql
from sqlmodel import SQLModel

from nlp.intents import INTENTS, REASONS
from socialcrm.domain.columns import empty_dict, json_column, key_column, ref_column, time_column
from socialcrm.domain.message import Analysis

LABELS: Mapping[str, tuple[str, ...]] = {
    "language": ("fr", "ar", "arq-Arab", "arq-Latn", "en", "other"),
    "sentiment": ("negative", "neutral", "positive"),
    "complaint": ("complaint", "other"),
    "intent": INTENTS,
    "reason": REASONS,
}
"""field -> every label that a person can choose. A reason belongs to complaints only."""


class Source(StrEnum):
    """How a message came to be judged."""

    INBOX = "inbox"
    """An agent saw the analysis and changed or confirmed it: mostly where it was wrong."""
    SAMPLE = "sample"
    """It was drawn at random and judged without seeing the analysis."""


class Correction(SQLModel, table=True):
    """What a person said of one field of a message, beside what the model had said. The newest is the one shown; a
    person who agrees leaves a row too. One row per message, field and source: a later one takes its place."""

    __table_args__ = (UniqueConstraint("message_id", "field", "source"), Index("ix_correction_made", "made_at"))

    id: int | None = key_column()
    message_id: int = ref_column("message.id")
    field: str
    label: str
    predicted: str
    """The label of the model, and below its score and name, when the message was analysed."""
    score: float
    model: str
    was_unsure: bool = False
    agent_id: int = ref_column("agent.id")
    """Who said so."""
    source: str
    made_at: datetime = time_column()

    @property
    def is_right(self) -> bool:
        """Whether the person agreed with the model."""
        return self.label == self.predicted


class SampleItem(SQLModel, table=True):
    """A message that was drawn for the blind sample of its week."""

    __tablename__ = "sample_item"
    __table_args__ = (UniqueConstraint("week", "message_id"), Index("ix_sample_item_place", "week", "place"))

    id: int | None = key_column()
    week: str
    """The week of the message, as 2026-W47."""
    place: int
    """Its turn, from 0."""
    message_id: int = ref_column("message.id", is_indexed=True)
    agent_id: int | None = ref_column("agent.id", default=None)
    """Who judged or skipped it."""
    labelled_at: datetime | None = time_column(default=None)
    """When its last question was answered."""
    skipped_at: datetime | None = time_column(default=None)


class VersionStatus(StrEnum):
    LIVE = "live"
    RETIRED = "retired"
    REJECTED = "rejected"
    """Never live: it was not better than what was."""


class ModelVersion(SQLModel, table=True):
    """The heads of the model as corrections refitted them; while no version is live, the shipped ones are."""

    __tablename__ = "model_version"
    __table_args__ = (
        Index(
            "ix_model_version_one_live",
            "status",
            unique=True,
            sqlite_where=sql("status = 'live'"),
            postgresql_where=sql("status = 'live'"),
        ),
    )

    id: int | None = key_column()
    path: str
    """Name of the heads file in the folder `models` of the storage folder."""
    name: str
    """As predictions name it."""
    made_at: datetime = time_column()
    agent_id: int | None = ref_column("agent.id", default=None)
    """Who trained it; empty: somebody at the command line."""
    status: str
    previous_id: int | None = ref_column("model_version.id", default=None)
    """The version that it took over from; empty: the shipped one."""
    figures: dict[str, Any] = json_column(default_factory=empty_dict)
    """See `engine.train.Verdict.figures`."""


def questions(labels: Mapping[str, str | None]) -> tuple[str, ...]:
    """The fields to ask of a message, given the labels known so far: the reason only of a complaint."""
    return tuple(field for field in LABELS if field != "reason" or labels.get("complaint") == "complaint")


def label_of(analysis: Analysis, field: str) -> str | None:
    """What an analysis says of a field."""
    if field == "complaint":
        return "complaint" if analysis.is_complaint else "other"
    found: str | None = getattr(analysis, field)
    return found


def score_of(analysis: Analysis, field: str) -> float:
    """The score of the model's own label for a field."""
    return getattr(analysis, f"{field}_score") or 0.0


def set_label(analysis: Analysis, field: str, label: str | None) -> None:
    """Let an analysis say something else of a field; scores and model stay those of the prediction."""
    if field == "complaint":
        analysis.is_complaint = label == "complaint"
    else:
        setattr(analysis, field, label)


def newest(rows: Iterable[Correction]) -> dict[str, Correction]:
    """field -> the correction that is shown, of one message's rows."""
    return {row.field: row for row in sorted(rows, key=lambda row: (row.made_at, row.id or 0))}
