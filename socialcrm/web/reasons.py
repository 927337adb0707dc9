"""What the engine says, traces and reasons, in the language of the screen.

The engine writes English; a sentence that is not known here stays so.
"""

import re
from collections.abc import Callable

from socialcrm.web import bot_words
from socialcrm.web.rule_reasons import explained, taken_apart
from socialcrm.web.words import N_, WORDS, word

_FIXED = (
    N_("all its conditions hold"),
    N_("a watched word found it: nobody wrote to us"),
    N_("it is public, and was written while we were away"),
    N_("it is a complaint"),
    N_("it is not a complaint"),
    N_("the analysis is sure"),
    N_("the analysis is unsure"),
    N_("none of its words is in the message"),
    N_("present, with room, and given work longest ago"),
    N_("handed over to a person"),
    N_("answered from the FAQ"),
    N_("nothing new"),
    N_("case"),
    N_("This message cannot be answered in private."),
    N_("It is too late to answer this comment in private."),
    N_("This comment was answered in private already: the channel allows that once."),
    N_("A private answer to a comment carries no files."),
    N_("The channel takes no answer until the customer writes again."),
    N_("This comment can no longer be answered in public."),
    N_("There is no such comment in this conversation."),
    N_("This cannot be done with this message."),
    N_("This channel is stopped: nothing can be done there until it runs again."),
    N_("Somebody is busy with this message: look again in a moment."),
    N_("The picture is too large for this server."),
    N_("There is nothing to write down: type a note first."),
    N_("There is nothing to send: write a text first."),
    N_("This message is not waiting for a decision."),
    N_("This channel cannot carry an answer."),
    N_("The platform did not answer in time."),
    N_("We stopped while it was being sent."),
    N_("There is no such label: choose one of those that are offered."),
    N_("This message has not been read yet: try again in a moment."),
    N_("All corrections are of a few messages: correct others too, so that some can be held out."),
    N_("The shipped model is in use: there is nothing to go back to."),
    N_("Another training has just ended: look at what it made before you train again."),
    N_("Something went wrong on our side. It has been logged; try again in a moment."),
    N_("This channel takes no files."),
    N_("An uploaded file is no longer there: attach it again."),
    N_("The file is no longer in the storage folder: attach it again."),
    N_("The file is still being fetched: try again in a moment."),
    N_("There is no room left on the server's disk: tell an administrator, then try again."),
    N_("The server cannot store the file: tell an administrator, then try again."),
    N_("A part of it was sent, and that could not be written down."),
    N_("A part of it was sent while somebody else settled it."),
)
_RULES = (
    N_("Spam goes to the bottom"),
    N_("Somebody who wants to leave is urgent"),
    N_("Complaint about a bill or a payment"),
    N_("Complaint about the network"),
    N_("Any other complaint"),
    N_("Somebody wants to buy"),
    N_("Praise"),
    N_("Everything else goes to support"),
    N_("Nobody has answered for an hour"),
    N_("The customer has been silent for three days"),
    N_("talk to a human"),
    N_("automatic answer"),
    N_("teams"),
    N_("bot"),
)
_CASES = (
    N_("This complaint is closed: reopen it first."),
    N_("Somebody else was quicker: the complaint has this status already."),
    N_("Somebody else was quicker: the complaint is open already."),
    N_("The complaint cannot go there from its status."),
    N_("There is no message of the customer that a complaint could be opened for."),
    N_("There was a complaint for this message already: reopen it."),
    N_("The complaint is not being worked on: there is nothing to delay."),
    N_("The new date lies in the past."),
    N_("Write why it takes longer: the customer is told."),
    N_("Choose the day and time until when it should be solved."),
    N_("Choose how it ended."),
    N_("Write the note first."),
    N_("Give the number of a conversation, or its address."),
    N_("This is no reference: one of its signs is wrong or missing."),
    N_("There is no complaint with this reference."),
    N_("A complaint is no duplicate of itself."),
    N_("One of the two complaints is closed: reopen it first."),
    N_("The complaint began in this conversation: it stays with it."),
    N_("There is no such severity."),
    N_("This is none of the choices: reload the page."),
    N_("Choose an incident."),
    N_("Give the incident a name."),
    N_("The incident is over: reopen it first."),
    N_("Write the news in one language at least."),
    N_("the same person complains of it already"),
)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"language is (?P<language>\S+), not (?P<languages>.+)"),
        N_("language is %(language)s, not %(languages)s"),
    ),
    (
        re.compile(r"sentiment is (?P<sentiment>\S+), not (?P<sentiments>.+)"),
        N_("sentiment is %(sentiment)s, not %(sentiments)s"),
    ),
    (re.compile(r"intent is (?P<intent>\S+), not (?P<intents>.+)"), N_("intent is %(intent)s, not %(intents)s")),
    (re.compile(r"it came by (?P<channel>.+), not (?P<channels>.+)"), N_("it came by %(channel)s, not %(channels)s")),
    (re.compile(r"it is a (?P<kind>\w+), not a (?P<kinds>.+)"), N_("it is a %(kind)s, not a %(kinds)s")),
    (re.compile(r"it is (?P<time>\d\d:\d\d), outside (?P<hours>\S+)"), N_("it is %(time)s, outside %(hours)s")),
    (re.compile(r"the message says (?P<phrase>.+)"), N_("the message says %(phrase)s")),
    (re.compile(r"it asks (?P<question>.+)"), N_("it asks %(question)s")),
    (re.compile(r"team (?P<team>.+)"), N_("team %(team)s")),
    (re.compile(r"priority (?P<priority>\w+)"), N_("priority %(priority)s")),
    (re.compile(r"label (?P<label>.+)"), N_("label %(label)s")),
    (re.compile(r"reply (?P<reply>\w+)"), N_("reply %(reply)s")),
    (re.compile(r"joined case (?P<case>\S+)"), N_("joined case %(case)s")),
    (re.compile(r"The text has at most (?P<most>\d+) characters\."), N_("The text has at most %(most)s characters.")),
    (re.compile(r"News has at most (?P<most>\d+) characters\."), N_("News has at most %(most)s characters.")),
    (re.compile(r"assigned to (?P<name>.+)"), N_("assigned to %(name)s")),
    (
        re.compile(r"(?P<missing>\d+) more corrections are needed: there are (?P<count>\d+) of (?P<least>\d+)\."),
        N_("%(missing)s more corrections are needed: there are %(count)s of %(least)s."),
    ),
    (
        re.compile(
            r"(?P<missing>\d+) more corrections are needed: there are (?P<count>\d+) of (?P<least>\d+), "
            r"without those of (?P<fields>.+), which another model fills\."
        ),
        N_(
            "%(missing)s more corrections are needed: there are %(count)s of %(least)s, without those of %(fields)s, "
            "which another model fills."
        ),
    ),
    (re.compile(r"The model cannot be refitted: (?P<because>.+)"), N_("The model cannot be refitted: %(because)s")),
    (
        re.compile(r"This channel takes (?P<limit>\d+) files at once; these are (?P<number>\d+)\."),
        N_("This channel takes %(limit)s files at once; these are %(number)s."),
    ),
    (
        re.compile(r"This channel does not take files like (?P<file>.+)\."),
        N_("This channel does not take files like %(file)s."),
    ),
    (
        re.compile(r"(?P<file>.+) is too large: this channel takes (?P<size>[\d.]+) MB\."),
        N_("%(file)s is too large: this channel takes %(size)s MB."),
    ),
    (
        re.compile(r"The files are too large together: this channel takes (?P<size>[\d.]+) MB\."),
        N_("The files are too large together: this channel takes %(size)s MB."),
    ),
    (
        re.compile(r"The file has (?P<bytes>[\d,]+) bytes; this server keeps (?P<most>[\d,]+)\."),
        N_("The file has %(bytes)s bytes; this server keeps %(most)s."),
    ),
    (
        re.compile(r"The customer has blocked the bot: nothing is delivered to them any more\. (?P<words>.+)"),
        N_("The customer has blocked the bot: nothing is delivered to them any more. %(words)s"),
    ),
    (
        re.compile(r"The customer's account no longer exists\. (?P<words>.+)"),
        N_("The customer's account no longer exists. %(words)s"),
    ),
    (
        re.compile(r"The customer has not started the bot yet: only then may it write to them\. (?P<words>.+)"),
        N_("The customer has not started the bot yet: only then may it write to them. %(words)s"),
    ),
)


def reason(text: str, translate: Callable[[str], str]) -> str:
    """One sentence of a trace, translated where it is one of ours."""
    if whole := taken_apart(text, translate, lambda part: reason(part, translate)):
        return whole
    if text in _FIXED or text in bot_words.FIXED or text in _CASES:
        return translate(text)
    for pattern, message in (*bot_words.PATTERNS, *_PATTERNS):
        if match := pattern.fullmatch(text):
            values = {name: _value(name, value, translate) for name, value in match.groupdict().items()}
            return translate(message) % values
    return explained(text, translate) or text


def rule_name(name: str, translate: Callable[[str], str]) -> str:
    """The name of a rule, translated if it is one that a fresh installation brings; people name theirs themselves."""
    return translate(name) if name in _RULES else name


def deed(text: str, translate: Callable[[str], str]) -> str:
    """What a rule did: several sentences with commas between them."""
    return ", ".join(reason(part, translate) for part in text.split(", "))


def _value(name: str, value: str, translate: Callable[[str], str]) -> str:
    kind = name.removesuffix("s")
    if kind not in WORDS:
        return value
    said = [translate(word(kind, part)) for part in value.split(" or ")]
    return " / ".join(said)
