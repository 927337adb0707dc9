"""Facts: what a rule may look at, read beforehand so that rules are decided without a database."""

from dataclasses import dataclass, field
from datetime import datetime

from socialcrm.domain.phrases import word_set


@dataclass(slots=True)
class Facts:
    """What is known when rules are tried: a message, if there is one, its author, its conversation and the time."""

    text: str = ""
    language: str = ""
    sentiment: str = ""
    is_complaint: bool = False
    """And the model is sure of it."""
    intent: str = ""
    is_sure: bool = True
    """Of sentiment and complaint."""
    connector: str = ""
    channel_key: str = ""
    kind: str = ""
    local_time: datetime | None = None
    """When it is now at the company."""
    words: frozenset[str] = field(default_factory=frozenset)
    """Those of the text; found when they are first asked for."""
    has_message: bool = True
    reason: str = ""
    language_score: float = 0.0
    sentiment_score: float = 0.0
    complaint_score: float = 0.0
    intent_score: float = 0.0
    media: tuple[str, ...] = ()
    """Kinds of its attachments."""
    is_bot: bool = False
    contact_language: str = ""
    tier: str = ""
    """How loyal a customer they are."""
    earlier_count: int = 0
    """Conversations that this person had before."""
    has_open_case: bool = False
    has_stopped: bool = False
    """They asked us not to write to them here."""
    status: str = "open"
    age_hours: float = 0.0
    waiting_minutes: float = 0.0
    """Since the first message that nobody has answered; 0 when none waits."""
    message_count: int = 0
    labels: tuple[str, ...] = ()
    team: str = ""
    agent: str = ""
    """E-mail address of who has it; empty when nobody does."""
    priority: str = "normal"
    handler: str = "bot"
    is_open: bool | None = None
    """Whether the company is open now; None where nobody said when it is."""
    is_holiday: bool = False
    survey_score: int | None = None

    def said(self) -> frozenset[str]:
        """The words of the text."""
        if not self.words and self.text:
            self.words = word_set(self.text)
        return self.words
