"""The words for rules on the screens: fields, comparisons, events and actions, and a rule in one line."""

import re
from collections.abc import Callable, Mapping, Sequence

from socialcrm.domain.conditions import Group, Leaf, Node
from socialcrm.domain.fields import FIELDS
from socialcrm.domain.rulebook import Action
from socialcrm.web.words import N_, WORDS, word

Say = Callable[[str], str]

EVENT_WORDS: Mapping[str, str] = {
    "message": N_("A message has been understood"),
    "opened": N_("A conversation begins"),
    "reopened": N_("A conversation comes back"),
    "resolved": N_("A conversation is resolved"),
    "assigned": N_("Somebody gets a conversation"),
    "case_opened": N_("A complaint is opened"),
    "survey_answered": N_("A survey is answered"),
    "sla_warning": N_("An answer is due soon"),
    "sla_breached": N_("An answer is overdue"),
    "agent_silent": N_("Nobody has answered for some time"),
    "customer_silent": N_("The customer has been silent for some time"),
}
GROUP_WORDS: Mapping[str, str] = {
    "all": N_("All of these hold"),
    "any": N_("At least one of these holds"),
    "none": N_("None of these holds"),
    "not_all": N_("Not all of these hold"),
}
SECTIONS: Mapping[str, str] = {
    "message": N_("The message"),
    "conversation": N_("The conversation"),
    "contact": N_("The customer"),
    "time": N_("The time"),
}
FIELD_WORDS: Mapping[str, str] = {
    "words": N_("Words in the message"),
    "pattern": N_("Pattern in the message"),
    "language": N_("Language"),
    "sentiment": N_("Sentiment"),
    "complaint": N_("It is a complaint"),
    "intent": N_("Intent"),
    "reason": N_("Reason of the complaint"),
    "is_sure": N_("The model is sure"),
    "language_score": N_("Score of the language"),
    "sentiment_score": N_("Score of the sentiment"),
    "complaint_score": N_("Score of the complaint"),
    "intent_score": N_("Score of the intent"),
    "kind": N_("Kind of message"),
    "media": N_("Attached files"),
    "channel": N_("Channel"),
    "status": N_("Status"),
    "priority": N_("Priority"),
    "team": N_("Team"),
    "agent": N_("Agent"),
    "assigned": N_("Somebody has it"),
    "handler": N_("Who answers"),
    "labels": N_("Labels"),
    "age_hours": N_("Hours since it began"),
    "waiting_minutes": N_("Minutes the customer waits"),
    "message_count": N_("Number of messages"),
    "survey_score": N_("Score of the survey"),
    "open_case": N_("A complaint is open"),
    "earlier_conversations": N_("Earlier conversations"),
    "contact_language": N_("Language of the customer"),
    "tier": N_("Tier"),
    "stopped": N_("Asked not to be written to"),
    "bot": N_("Is a bot"),
    "hours": N_("Time of day"),
    "weekday": N_("Day of the week"),
    "open": N_("We are open"),
    "holiday": N_("It is a holiday"),
}
OP_WORDS: Mapping[str, str] = {
    "in": N_("is one of"),
    "not_in": N_("is none of"),
    "is": N_("is"),
    "at_least": N_("is at least"),
    "at_most": N_("is at most"),
    "any_of": N_("has any of"),
    "none_of": N_("has none of"),
    "all_of": N_("has all of"),
    "matches": N_("fits"),
    "not_matches": N_("does not fit"),
    "within": N_("is between"),
    "outside": N_("is not between"),
}
DAY_WORDS: Mapping[str, str] = {
    "monday": N_("Monday"),
    "tuesday": N_("Tuesday"),
    "wednesday": N_("Wednesday"),
    "thursday": N_("Thursday"),
    "friday": N_("Friday"),
    "saturday": N_("Saturday"),
    "sunday": N_("Sunday"),
}
ACTION_WORDS: Mapping[str, str] = {
    "team": N_("Give it to a team"),
    "agent": N_("Give it to an agent"),
    "skill": N_("Ask for a skill"),
    "priority": N_("Set the priority"),
    "label": N_("Add labels"),
    "unlabel": N_("Remove labels"),
    "case": N_("Open a complaint"),
    "handover": N_("Hand over from the bot to a person"),
    "reply": N_("Answer the customer"),
    "private_reply": N_("Answer in private"),
    "suggest": N_("Suggest an answer to the agent"),
    "hide": N_("Hide the comment"),
    "note": N_("Write a private note"),
    "snooze": N_("Let it sleep"),
    "resolve": N_("Resolve it"),
    "reopen": N_("Bring it back"),
    "webhook": N_("Call a webhook"),
    "mail": N_("Send an e-mail"),
    "wait": N_("Wait, then go on"),
}
WHY_WORDS: Mapping[str, str] = {
    "made": N_("Made"),
    "changed": N_("Changed"),
    "restored": N_("Restored"),
    "imported": N_("Imported"),
    "switched_on": N_("Switched on"),
    "switched_off": N_("Switched off"),
    "deleted": N_("Deleted"),
}
TASK_WORDS: Mapping[str, str] = {
    "waiting": N_("Waiting"),
    "doing": N_("Under way"),
    "done": N_("Done"),
    "failed": N_("Failed"),
    "cancelled": N_("Cancelled"),
    "sent": N_("Sent"),
}


def value_word(field: str, value: str, say: Say) -> str:
    """A value of a field in the words of the screen."""
    if field == "weekday":
        return say(DAY_WORDS.get(value, value))
    known = FIELDS[field].words if field in FIELDS else ""
    return say(word(known, value)) if known in WORDS else value


def describe(node: Node, say: Say) -> str:
    """Conditions in one line."""
    if isinstance(node, Leaf):
        return _leaf(node, say)
    inner = [f"({describe(one, say)})" if _is_mixed(one) else describe(one, say) for one in node.nodes]
    if node.how == "not":
        return f"{say(N_('not'))} {inner[0]}"
    if not inner:
        return say(N_("always"))
    return f" {say(N_('and')) if node.how == 'all' else say(N_('or'))} ".join(inner)


def describe_action(action: Action, say: Say) -> str:
    """An action in a few words."""
    values = []
    for name in ("team", "agent", "skill", "hook", "template", "subject"):
        values += [str(getattr(action, name))] if getattr(action, name, "") else []
    if getattr(action, "priority", ""):
        values.append(say(word("priority", str(getattr(action, "priority")))))  # noqa: B009 - not every action has one
    values += getattr(action, "labels", ())
    if minutes := getattr(action, "minutes", None):
        values.append(span(minutes, say))
    return f"{say(ACTION_WORDS[action.do])}{': ' if values else ''}{', '.join(values)}"


def span(minutes: float, say: Say) -> str:
    """A length of time in its largest unit."""
    for size, unit in ((1440, N_("d")), (60, N_("h")), (1, N_("min"))):
        if minutes % size == 0:
            return f"{minutes / size:g} {say(unit)}"
    return f"{minutes:g} {say('min')}"


def _is_mixed(node: Node) -> bool:
    return isinstance(node, Group) and node.how != "not" and len(node.nodes) > 1


def _leaf(leaf: Leaf, say: Say) -> str:
    name = say(FIELD_WORDS[leaf.field])
    if FIELDS[leaf.field].kind == "flag":
        return name if leaf.value else f"{say(N_('not'))} “{name}”"
    if isinstance(leaf.value, Sequence) and not isinstance(leaf.value, str):
        shown = [value_word(leaf.field, one, say) for one in leaf.value]
        value = ", ".join(shown[:4]) + (f" … (+{len(shown) - 4})" if len(shown) > 4 else "")
    else:
        value = f"{leaf.value:g}" if isinstance(leaf.value, int | float) else str(leaf.value)
    if FIELDS[leaf.field].kind == "hours":
        value = f"\u2066{value}\u2069"  # the earlier hour first, in Arabic too
    sign = _SIGNS.get(leaf.op, ": ")
    return f"{say('not') + ' ' if leaf.op in _NOT else ''}{name}{sign}{value}"


_SIGNS = {"at_least": " ≥ ", "at_most": " ≤ "}
_NOT = ("not_in", "none_of", "not_matches", "outside")


_SENTENCES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"there is no (?P<what>team|agent|channel) '(?P<name>[^']*)'.*"),
        N_("There is none called “%(name)s”."),
    ),
    (re.compile(r"nobody has the skill '(?P<name>[^']*)'.*"), N_("Nobody has the skill “%(name)s”.")),
    (re.compile(r"there is no webhook '(?P<name>[^']*)'.*"), N_("There is no webhook “%(name)s”.")),
    (re.compile(r"there is no reply '(?P<name>[^']*)'.*"), N_("There is no reply “%(name)s”.")),
    (re.compile(r"(?P<name>\{[^}]*\}) is not known.*"), N_("Nothing fills in %(name)s.")),
    (
        re.compile(r"no mail server is set.*"),
        N_("No mail server is set: an administrator fills in [mail] in the settings."),
    ),
    (re.compile(r"'(?P<name>[^']*)' is no address.*"), N_("“%(name)s” is no e-mail address.")),
    (re.compile(r"another rule has this name already"), N_("Another rule has this name already.")),
    (re.compile(r"at least one value is needed"), N_("Choose or write at least one value.")),
    (re.compile(r"either a template or texts by language are needed"), N_("Choose a reply, or write one of your own.")),
    (re.compile(r"nothing is done after the wait"), N_("Nothing is done after the wait: add an action behind it.")),
    (
        re.compile(r"the pattern takes too long.*"),
        N_("This pattern would take too long on some texts: write it without a repetition inside a repetition."),
    ),
    (re.compile(r"the pattern is empty"), N_("Write a pattern.")),
    (re.compile(r"the pattern fits every text.*"), N_("This pattern fits every text.")),
    (re.compile(r"the pattern cannot be read: (?P<name>.*)"), N_("This pattern cannot be read: %(name)s")),
    (
        re.compile(r"a number from (?P<low>\S+) to (?P<high>\S+) is expected.*"),
        N_("A number from %(low)s to %(high)s is needed."),
    ),
    (re.compile(r"a number is expected.*"), N_("A number is needed.")),
    (re.compile(r".* begins and ends at the same minute.*"), N_("It begins and ends at the same minute.")),
    (re.compile(r"(?P<one>“.*”) and (?P<other>“.*”) can never hold together"), N_("These can never hold together.")),
    (re.compile(r"a group that wants any of nothing.*"), N_("This group is empty: add a condition to it.")),
    (re.compile(r"String should have at least 1 character.*"), N_("This is empty.")),
    (re.compile(r"Tuple should have at least 1 item.*"), N_("This is empty.")),
    (re.compile(r"Field required.*"), N_("This is empty.")),
    (re.compile(r"Input should be greater than 0.*"), N_("A number above 0 is needed.")),
    (re.compile(r"Input should be .*number.*"), N_("A number is needed.")),
    (
        re.compile(r"rules would answer each other without end: (?P<name>.*?)\. Switch.*"),
        N_("Rules would answer each other without end: %(name)s. Switch one of them off, or let it do something else."),
    ),
    (re.compile(r"two rules of the file have this name"), N_("Two rules of the file have this name.")),
)


def explain(sentence: str, say: Say) -> str:
    """What is wrong with a rule, in the words of the screen: where it stands, and what is expected."""
    text = re.sub(r"^(?:.*?[Rr]ule (?:\d+ )?'.*?'|Rule): ", "", sentence, count=1).rstrip(".")
    places: list[str] = []
    while match := _PLACE.match(text):
        places += _place(match, say)
        text = text[match.end() :]
    for pattern, template in _SENTENCES:
        if found := pattern.fullmatch(text):
            text = say(template) % {name: value for name, value in found.groupdict().items() if name in template}
            break
    return ": ".join([*places, text])


_PLACE = re.compile(
    r"(?P<path>when[\w.]*|then\.(?P<number>\d+)|name|on|texts\.?(?P<language>[\w-]*)|silence_minutes|most_per_\w+|"
    r"team|agent|skill|labels|hook|to|subject|text|minutes|template)(?: \((?P<what>\w+)\))?: "
)
_PARTS = {
    "name": N_("Name"),
    "silence_minutes": N_("Silence"),
    "most_per_conversation": N_("Limit for a conversation"),
    "most_per_person_a_day": N_("Limit for a person"),
    "minutes": N_("Length"),
    "subject": N_("Subject"),
    "to": N_("To"),
    "text": N_("Text"),
}


def _place(match: re.Match[str], say: Say) -> list[str]:
    path, what = match["path"], match["what"]
    if path.startswith("when"):
        return [f"{say(N_('Condition'))} “{say(FIELD_WORDS[what])}”" if what in FIELD_WORDS else say(N_("Conditions"))]
    if match["number"]:
        name = f" “{say(ACTION_WORDS[what])}”" if what in ACTION_WORDS else ""
        return [f"{say(N_('Action'))} {match['number']}{name}"]
    if match["language"]:
        return [say(word("language", match["language"]))]
    return [say(_PARTS[path])] if path in _PARTS else []
