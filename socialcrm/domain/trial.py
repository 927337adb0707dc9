"""A back-test: what a draft rule would have done with messages of the past, and what people did with them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from random import Random
from statistics import median

SHOWN = 8
"""Examples that are kept of each kind."""
ANSWERED = timedelta(hours=24)
"""An agent's answer counts as one to a message within this time."""


@dataclass(frozen=True)
class Past:
    """A message on which the rule would have fired."""

    message_id: int
    conversation_id: int
    contact_id: int
    text: str
    at: datetime
    day: date
    language: str
    channel: str
    is_angry: bool
    """Negative or a complaint, and the model was sure of it."""
    team: str
    """Where its conversation is now."""


@dataclass(frozen=True)
class Answer:
    """Something that was said to a customer."""

    at: datetime
    by_agent: bool
    text: str = ""


@dataclass(frozen=True)
class Example:
    """One of the messages, to look at."""

    past: Past
    answer: str = ""
    """What an agent really said."""
    waited: timedelta | None = None
    wrong: tuple[str, ...] = ()
    """Why an automatic answer would have been wrong: "angry", "answered"."""


@dataclass
class Trial:
    """What came of a back-test of one rule."""

    read: int = 0
    fired: int = 0
    people: set[int] = field(default_factory=set)
    conversations: set[int] = field(default_factory=set)
    days: Counter[date] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    channels: Counter[str] = field(default_factory=Counter)
    teams: Counter[str] = field(default_factory=Counter)
    """Where people, or the rules then, put the conversations."""
    answered: int = 0
    """By an agent within a day."""
    waits: list[float] = field(default_factory=list)
    """Minutes until that."""
    would_answer: int = 0
    held_back: int = 0
    """Not answered, for the person had an automatic answer not long ago."""
    angry: int = 0
    """Of those that would be answered: the customer was angry."""
    late: int = 0
    """Of those: a person had answered them within the hour before, and was talking with them."""
    wrong_count: int = 0
    """Angry, or late, or both."""
    examples: list[Example] = field(default_factory=list)
    wrong: list[Example] = field(default_factory=list)
    told: dict[int, datetime] = field(default_factory=dict)
    """Person -> when they would have had an automatic answer last."""
    fired_on: set[int] = field(default_factory=set)
    dice: Random = field(default_factory=lambda: Random(7))

    @property
    def share(self) -> float:
        """Of all messages, how many it fires on."""
        return self.fired / self.read if self.read else 0.0

    @property
    def median_wait(self) -> float | None:
        """Minutes until an agent answered."""
        return median(self.waits) if self.waits else None

    def take(self, past: Past, said: Sequence[Answer], replies: bool, window: timedelta) -> None:
        """Count one message on which the rule fires; `said` is what its conversation was told, oldest first."""
        self.fired += 1
        self.fired_on.add(past.message_id)
        self.people.add(past.contact_id)
        self.conversations.add(past.conversation_id)
        self.days[past.day] += 1
        self.languages[past.language] += 1
        self.channels[past.channel] += 1
        self.teams[past.team] += 1
        answer = next((one for one in said if one.by_agent and past.at <= one.at <= past.at + ANSWERED), None)
        if answer:
            self.answered += 1
            self.waits.append((answer.at - past.at).total_seconds() / 60)
        wrong: list[str] = []
        if replies:
            last = self.told.get(past.contact_id)
            if last is not None and past.at - last < window:
                self.held_back += 1
            else:
                self.told[past.contact_id] = past.at
                self.would_answer += 1
                if past.is_angry:
                    self.angry += 1
                    wrong.append("angry")
                if any(one.by_agent and past.at - timedelta(hours=1) <= one.at < past.at for one in said):
                    self.late += 1
                    wrong.append("answered")
        self.wrong_count += bool(wrong)
        waited = answer.at - past.at if answer else None
        example = Example(past, answer.text if answer else "", waited, tuple(wrong))
        self._keep(self.wrong if wrong else self.examples, example, self.wrong_count if wrong else self.fired)

    def _keep(self, kept: list[Example], example: Example, seen: int) -> None:
        """Each of them is kept with the same chance (reservoir sampling)."""
        if len(kept) < SHOWN:
            kept.append(example)
        elif (place := self.dice.randrange(max(seen, 1))) < SHOWN:
            kept[place] = example
