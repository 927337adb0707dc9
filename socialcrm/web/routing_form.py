"""The forms of the page on routing: what somebody typed -> settings, or what is wrong with which field."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from socialcrm.domain.people import Agent
from socialcrm.domain.priority import REPEATS, Weights
from socialcrm.domain.routing import Routing, Seat
from socialcrm.domain.work_hours import BadHours, read_day
from socialcrm.web.words import N_

LIMITS = (
    (
        "chats",
        N_("Private conversations at once"),
        N_("Direct messages, e-mail, SMS: everything that nobody else reads."),
    ),
    ("comments", N_("Public conversations at once"), N_("Comments, mentions and reviews, counted apart.")),
)
TIMES = (
    (
        "stick_days",
        N_("Back to the agent they know (days)"),
        N_("Who looked after a customer within these days gets them again, with room for it. 0: nobody does."),
    ),
    (
        "language_minutes",
        N_("Wait for a language (minutes)"),
        N_("So long a conversation waits for somebody who answers in its language. Then anybody will do."),
    ),
    ("skill_minutes", N_("Wait for a skill (minutes)"), N_("The same for a skill that a rule asked for.")),
    (
        "silent_minutes",
        N_("Here, but silent (minutes)"),
        N_("Who is online and leaves a customer waiting for so long loses them to a colleague who is here. 0: never."),
    ),
    (
        "away_minutes",
        N_("Away (minutes)"),
        N_("So long a customer waits for who is away, then others can have them. 0: for ever."),
    ),
    ("offline_minutes", N_("Offline (minutes)"), N_("The same for who is offline.")),
    (
        "gone_minutes",
        N_("Browser closed (minutes)"),
        N_("Whose browser was not heard of for so long counts as offline. 0: never."),
    ),
)
WEIGHTS = (
    ("urgent", N_("Priority: urgent"), ""),
    ("high", N_("Priority: high"), ""),
    ("low", N_("Priority: low"), ""),
    ("complaint", N_("A complaint"), ""),
    ("negative", N_("Negative sentiment"), ""),
    ("positive", N_("Positive sentiment"), ""),
    ("public", N_("Others read it"), N_("A comment, a mention or a review.")),
    ("repeat", N_("Each other conversation of the person within a week"), N_("Five at most.")),
    ("waiting", N_("Each hour that the customer waits"), ""),
    ("waiting_hours", N_("Longest wait that counts (hours)"), ""),
    ("sla", N_("Service level breached"), N_("Half of the time over: half of the points.")),
)
DAYS = 7
assert REPEATS == 5, "the page says so"
HOURS = (
    N_("Write periods like 08:00-12:00 13:00-17:00."),
    N_("A period should end after it starts; for a night write 22:00-24:00 and the rest the day after."),
    N_("These periods overlap, or the later one comes first."),
    N_("The hours of a day go from 00:00 to 24:00."),
)
"""What `read_day` says."""
NUMBER = N_("Write a number from %(least)s to %(most)s.")
WHOLE = N_("Write a whole number from %(least)s to %(most)s.")
PAIRS = N_("Write one a line, with its points: gold = 30. The line “%(line)s” is not.")
ITSELF = N_("A team cannot help itself out.")
NO_TEAM = N_("There is no such team any more.")


class Wrong(Exception):
    """What is wrong with which field: field -> (sentence, its blanks)."""

    def __init__(self, errors: dict[str, Any]) -> None:
        super().__init__(errors)
        self.errors = errors


@dataclass(frozen=True)
class Told:
    """What the form says of somebody."""

    skills: list[str]
    capacity: dict[str, int]
    hours: dict[str, str]


class Reader:
    """Reads one form after its fields, and gathers what is wrong."""

    def __init__(self, sent: Mapping[str, str]) -> None:
        self._sent = sent
        self.errors: dict[str, Any] = {}

    def number(self, name: str, least: float, most: float) -> float:
        """A number; commas count as points."""
        text = self._sent.get(name, "").strip().replace(",", ".").replace("−", "-")
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            self.errors[name] = (NUMBER, {"least": f"{least:g}", "most": f"{most:g}"})
            return 0.0
        return value

    def whole(self, name: str, most: int, *, or_none: bool = False) -> int | None:
        """A whole number from 0; None where the field is empty and may be."""
        text = self._sent.get(name, "").strip()
        if not text and or_none:
            return None
        if not text.isdecimal() or len(text) > 6 or int(text) > most:
            self.errors[name] = (WHOLE, {"least": 0, "most": most})
            return 0
        return int(text)

    def pairs(self, name: str) -> dict[str, float]:
        """Lines like "gold = 30"."""
        found = {}
        for line in self._sent.get(name, "").splitlines():
            if not line.strip():
                continue
            word, _, points = line.rpartition("=")
            try:
                value = float(points.strip().replace(",", "."))
                if not word.strip() or not abs(value) <= 1000:
                    raise ValueError
            except ValueError:
                self.errors[name] = (PAIRS, {"line": line.strip()[:40]})
                return {}
            found[word.strip()[:60]] = value
        return found

    def checked(self, name: str, read: Callable[[str], str]) -> str:
        """What `read` makes of a field; its complaint otherwise."""
        try:
            return read(self._sent.get(name, ""))
        except BadHours as error:
            self.errors[name] = (str(error), {})
            return ""

    def done(self) -> None:
        """Raise Wrong if anything was."""
        if self.errors:
            raise Wrong(self.errors)


def read_routing(sent: Mapping[str, str], connectors: Sequence[str], team_ids: Sequence[int | None]) -> Routing:
    """The settings that somebody typed. Raises Wrong."""
    form = Reader(sent)
    limits = {name: form.whole(name, 1000) or 0 for name, _, _ in LIMITS}
    times = {name: form.number(name, 0, 3650 if name == "stick_days" else 100_000) for name, _, _ in TIMES}
    from_zero = ("waiting", "waiting_hours")
    points = {name: form.number(f"weight-{name}", 0 if name in from_zero else -1000, 1000) for name, _, _ in WEIGHTS}
    counted = {name: form.whole(f"apart-{name}", 1000, or_none=True) for name in connectors}
    tiers, labels = form.pairs("tiers"), form.pairs("labels")
    team = sent.get("default_team", "")
    if team and not (team.isdecimal() and int(team) in team_ids):
        form.errors["default_team"] = (NO_TEAM, {})
    form.done()
    return Routing.model_validate(
        {
            **limits,
            **times,
            "weights": Weights.model_validate({**points, "tiers": tiers, "labels": labels}),
            "apart": {name: number for name, number in counted.items() if number is not None},
            "default_team_id": int(team) if team else None,
        }
    )


def shown_routing(routing: Routing) -> dict[str, str]:
    """The settings as the form shows them."""
    plain = [name for name, _, _ in (*LIMITS, *TIMES)]
    return {
        **{name: f"{getattr(routing, name):g}" for name in plain},
        **{f"weight-{name}": f"{getattr(routing.weights, name):g}" for name, _, _ in WEIGHTS},
        **{f"apart-{name}": str(number) for name, number in routing.apart.items()},
        "tiers": "\n".join(f"{name} = {value:g}" for name, value in routing.weights.tiers.items()),
        "labels": "\n".join(f"{name} = {value:g}" for name, value in routing.weights.labels.items()),
        "default_team": str(routing.default_team_id or ""),
    }


def read_team(sent: Mapping[str, str], team_id: int, team_ids: Sequence[int | None]) -> tuple[int | None, int]:
    """Who helps a team out, and after how many minutes. Raises Wrong."""
    form, helper = Reader(sent), sent.get("helper", "")
    minutes = form.whole("minutes", 10_000) or 0
    if helper == str(team_id):
        form.errors["helper"] = (ITSELF, {})
    elif helper and not (helper.isdecimal() and int(helper) in team_ids):
        form.errors["helper"] = (NO_TEAM, {})
    form.done()
    return (int(helper) if helper else None), minutes


def read_person(sent: Mapping[str, str], connectors: Sequence[str]) -> Told:
    """What somebody can do, how much, and when they work. Raises Wrong."""
    form = Reader(sent)
    words = [word.strip().lower()[:40] for word in sent.get("skills", "").replace("،", ",").split(",")]
    buckets = [name for name, _, _ in LIMITS] + list(connectors)
    own = {bucket: form.whole(f"own-{bucket}", 1000, or_none=True) for bucket in buckets}
    hours = {str(day): form.checked(f"hours-{day}", read_day) for day in range(DAYS)}
    form.done()
    return Told(
        list(dict.fromkeys(word for word in words if word)),
        {bucket: number for bucket, number in own.items() if number is not None},
        {day: text for day, text in hours.items() if text},
    )


def shown_person(agent: Agent, seat: Seat) -> dict[str, Any]:
    """The same as the form shows it."""
    return {
        "skills": ", ".join(agent.skills),
        "teams": sorted(seat.team_ids),
        "languages": list(agent.languages),
        **{f"own-{bucket}": str(number) for bucket, number in agent.capacity.items()},
        **{f"hours-{day}": agent.hours.get(str(day), "") for day in range(DAYS)},
    }
