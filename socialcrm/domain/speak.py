"""What the bot says when it is its turn, and why: a pure function of what was heard and of what was decided before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from connectors.base import MessageKind
from socialcrm.domain.bot import Plan
from socialcrm.domain.conversation import Handler
from socialcrm.domain.flow import Flow
from socialcrm.domain.phrases import says_any
from socialcrm.domain.play import Played, State, World, begin, go_on
from socialcrm.domain.reading import filled

NO_QUESTION = ("praise", "spam")
MOST_SAID = 30
"""Texts of the bot in a conversation within an hour, after which a person takes over: who goes on so long is a bot."""
SAME = 3
"""So many times the same words in a row are no answer of a person."""


@dataclass(frozen=True)
class Match:
    """The entry of the FAQ that is likest to what was written."""

    entry: str
    score: float
    is_exact: bool = False
    """In the very words of one of its phrases."""


@dataclass(frozen=True)
class Trust:
    """How often an intent was found right, as far as people judged."""

    right: int
    count: int


@dataclass(frozen=True)
class Heard:
    """What the customer wrote since anybody answered, and what is known of it."""

    text: str
    words: frozenset[str]
    kind: str
    language: str
    intent: str
    is_intent_sure: bool
    is_complaint: bool
    is_found: bool = False
    is_late: bool = False
    same_count: int = 1
    """How often the last of them was written, word for word, in a row."""


@dataclass(frozen=True)
class Turn:
    """All that a decision needs beside the world."""

    handler: str
    is_bot: bool
    heard: Heard | None
    picked: str
    """The choice that was made."""
    wants_person: bool
    """They asked for a person; triage has handed the conversation over."""
    state: State | None
    flow: Flow | None
    """The version that the state belongs to."""
    is_invited: bool
    """The bot has just asked what they want."""
    is_first: bool
    """Nobody has answered in this conversation yet."""
    is_limited: bool
    """This person had an automatic answer within the window."""
    has_spoken: bool
    """The bot said something in this conversation."""
    said_lately: int
    match: Match | None
    threshold: float | None
    """The least score at which the FAQ's answers are right often enough; None where that was never measured."""
    trust: Trust
    starting: Sequence[Flow] = ()
    """The flows that begin by themselves."""
    window_hours: float = 12
    can_answer: bool = True
    """Whether the channel carries answers to such messages."""


@dataclass(frozen=True)
class Reply:
    """What to say and do."""

    played: Played = field(default_factory=Played)
    answered: str = ""
    """The entry of the FAQ that was the answer."""
    invites: bool = False
    """It asks the customer to write what they want."""
    counts: bool = False
    """It is the one automatic answer of the window."""
    keeps_state: bool = False
    """The question that was open stays so."""
    lines: tuple[Mapping[str, Any], ...] = ()

    def because(self, fired: bool, because: str, did: str = "") -> "Reply":
        """With one more line of the trace."""
        line = {"rule": "bot", "fired": fired, "because": because, "did": did}
        return replace(self, lines=(*self.lines, line))

    def announced(self, world: World) -> "Reply":
        """With the words that say that a person takes over."""
        return replace(self, played=replace(self.played, texts=(*self.played.texts, hand_over_text(world))))


def decide(turn: Turn, world: World, plan: Plan) -> Reply:
    """Whether the bot speaks, and what it says."""
    nothing = Reply()
    if turn.is_bot:
        return nothing.because(False, "the other side is a bot")
    if not turn.can_answer:
        return nothing.because(False, "This channel cannot carry an answer.")
    if turn.wants_person:
        return nothing.because(True, "they asked for a person", "announced the hand-over").announced(world)
    if turn.handler == Handler.CLOSED:
        return nothing.because(False, "the conversation is closed")
    if turn.handler == Handler.HUMAN:
        return nothing.because(False, "a person is looking after this conversation")
    if not plan.is_on:
        return nothing.because(False, "the bot is switched off")
    if turn.heard and turn.heard.is_found:
        return nothing.because(False, "a watched word found it: nobody wrote to us")
    if turn.said_lately >= MOST_SAID or (turn.heard and turn.heard.same_count > SAME and turn.has_spoken):
        done = Played(hands_over="it talks like a bot: always the same, or without end")
        return Reply(done).because(
            True, "it talks like a bot: always the same, or without end", "handed over, silently"
        )
    if turn.state is not None and turn.flow is not None:
        return _goes_on(turn, world, turn.state, turn.flow)
    if turn.heard is None:
        return nothing.because(False, "nothing was asked")
    return _fresh(turn, turn.heard, world, plan)


def _goes_on(turn: Turn, world: World, state: State, flow: Flow) -> Reply:
    """The answer to an open question."""
    text = turn.heard.text if turn.heard else ""
    played = go_on(world, flow, state, text, turn.picked)
    if played.is_repeat and turn.match and turn.match.is_exact and turn.match.entry in world.answers:
        # A question of its own instead of an answer: it gets its answer, and then the flow's question again.
        text = world.words(world.answers[turn.match.entry])
        played = replace(played, texts=(text, *played.texts), state=state)
        return Reply(played, turn.match.entry).because(
            True, f"it asks {turn.match.entry!r} in the middle of the flow {flow.name!r}", "answered from the FAQ"
        )
    if played.is_repeat:
        return Reply(played).because(True, f"no answer to {state.step!r} of the flow {flow.name!r}", "asked again")
    reply = Reply(played).because(
        True, f"it answers {state.step!r} of the flow {flow.name!r}", _did(played) or "ended the flow"
    )
    return reply.announced(world) if played.hands_over else reply


def _fresh(turn: Turn, heard: Heard, world: World, plan: Plan) -> Reply:
    """Something new: a flow that is asked for, an answer of the FAQ, out of hours, a greeting; the first that fits."""
    is_private = heard.kind == MessageKind.DIRECT_MESSAGE
    reply = Reply()
    if heard.is_late and not is_private:
        return reply.because(False, "it is public, and was written while we were away")
    asked = next(
        (f for f in turn.starting if is_private and f.start.words and says_any(f.start.words, heard.words)), None
    )
    if asked is not None and _is_its_time(asked, world):
        return _start(asked, world, f"it says a word that the flow {asked.name!r} waits for")
    limit = f"this person had one within {turn.window_hours:g} h"
    is_limited = turn.is_limited and not turn.is_invited
    answered = _from_faq(turn, heard, world, plan)
    if answered.answered:
        return reply.because(False, limit) if is_limited else answered
    reply = replace(reply, lines=answered.lines)
    if not is_private:
        return reply
    wanted = next((f for f in turn.starting if heard.is_intent_sure and heard.intent in f.start.intents), None)
    starts = wanted if wanted is not None and _is_its_time(wanted, world) else None
    is_silent = heard.intent in NO_QUESTION and not turn.is_first
    if starts is None and turn.is_first and not heard.is_complaint and heard.intent != "spam":
        starts = next((f for f in turn.starting if f.start.first and _is_its_time(f, world)), None)
    says = "out_of_hours" if plan.tells_closed and not world.is_open and not is_silent else ""
    if not says and plan.greets and turn.is_first and heard.intent != "spam" and not heard.is_complaint:
        says = "greeting"
    if starts is None and not says:
        return reply if reply.lines else reply.because(False, "nothing is set up for it")
    if is_limited:
        return reply.because(False, limit)
    if starts is not None:
        began = _start(starts, world, f"the flow {starts.name!r} begins with it")
        return replace(began, counts=True, lines=(*reply.lines, *began.lines))
    if says == "greeting":
        done = Played((_text(world, "greeting"),))
        return replace(reply, played=done, invites=True, counts=True).because(
            True, "it is the first message", "greeted"
        )
    done = Played((_closed(world, "out_of_hours"),))
    return replace(reply, played=done, counts=True).because(True, "nobody is at work now", "said when people are back")


def _from_faq(turn: Turn, heard: Heard, world: World, plan: Plan) -> Reply:
    """The FAQ's answer where it is sure enough; else a line that says why it is only suggested."""
    match, reply = turn.match, Reply()
    if match is None or match.entry not in world.answers:
        return reply
    if heard.is_complaint:
        return reply.because(False, "a complaint gets no answer from the FAQ")
    if not plan.answers:
        return reply.because(False, "answers from the FAQ are switched off", "suggested to the agent")
    if not match.is_exact:
        if turn.threshold is None:
            return reply.because(
                False, "the FAQ's answers are never right often enough by likeness", "suggested to the agent"
            )
        if match.score < turn.threshold:
            return reply.because(
                False,
                f"{match.entry!r} is the likest question with {match.score:.2f}, below {turn.threshold:.2f}",
                "suggested to the agent",
            )
        if heard.intent in NO_QUESTION and heard.is_intent_sure:
            return reply.because(False, f"the intent is {heard.intent}: nothing is asked")
    if heard.kind != MessageKind.DIRECT_MESSAGE and (why := _mistrust(turn.trust, heard.intent, plan)):
        return reply.because(False, why, "suggested to the agent")
    how = "" if match.is_exact else f", with {match.score:.2f}"
    done = Played((world.words(world.answers[match.entry]),))
    return replace(reply, played=done, answered=match.entry, counts=True).because(
        True, f"it asks {match.entry!r}{how}", "answered from the FAQ"
    )


def _mistrust(trust: Trust, intent: str, plan: Plan) -> str:
    """Why an intent is not trusted in public; empty where it is."""
    if trust.count < plan.public_least:
        return f"it is public, and the intent {intent} was judged {trust.count} times only, of {plan.public_least}"
    share = trust.right / trust.count
    if share < plan.public_bar:
        return (
            f"it is public, and the intent {intent} is right {share:.0%} of {trust.count} times, "
            f"below {plan.public_bar:.0%}"
        )
    return ""


def _start(flow: Flow, world: World, why: str) -> Reply:
    played = begin(world, flow)
    reply = Reply(played).because(True, why, _did(played) or "ended it")
    return reply.announced(world) if played.hands_over else reply


def _is_its_time(flow: Flow, world: World) -> bool:
    return flow.start.when == "always" or (flow.start.when == "open") == world.is_open


def _did(played: Played) -> str:
    deeds = []
    if played.opens_case:
        deeds.append("case")
    if played.call_back:
        deeds.append("call-back")
    if played.hands_over:
        deeds.append("handed over to a person")
    if played.state is not None:
        deeds.append(f"asked {played.state.step!r}")
    return ", ".join(deeds)


def _text(world: World, key: str) -> str:
    return filled(world.reply(key), world.given)


def _closed(world: World, key: str) -> str:
    """A text, and when people are back where that is known."""
    parts = [_text(world, key), _text(world, "opening_line") if world.given.get("opening") else ""]
    return " ".join(part for part in parts if part)


def hand_over_text(world: World) -> str:
    """What is said when people take over: their next opening, or the place in the queue."""
    if not world.is_open:
        return _closed(world, "handover")
    parts = [_text(world, "handover"), _text(world, "queue_place") if world.given.get("place") else ""]
    return " ".join(part for part in parts if part)
