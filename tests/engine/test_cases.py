"""Complaints followed to their end: told at each step, delayed with a reason, asked about, closed or reopened."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from connectors.base import Connector
from connectors.echo import EchoConnector
from socialcrm.domain.case import CaseStatus, Origin, Outcome, WaitsFor
from socialcrm.domain.casework import CannotMove
from socialcrm.domain.rows import Agent, Case, CaseConversation, Contact, Conversation, Message
from socialcrm.engine import case_file, case_links, case_opening, cases, tell
from socialcrm.engine.line import Line
from socialcrm.engine.schedule import drain
from tests.engine.casework import Deed, buttons, do, events, last_text, steps
from tests.engine.scripted import on_one_database
from tests.engine.test_triage import COMPLAINTS
from tests.story import Clock, Story, line_with

YES = {"fr": "oui", "ar": "نعم", "en": "yes", "arq-Arab": "إيه", "arq-Latn": "ih"}
NO = {"fr": "non", "ar": "لا", "en": "no", "arq-Arab": "لالا", "arq-Latn": "lala"}


def quiet(line: Line, clock: Clock | None = None, /, **settings: object) -> Line:
    return line_with(line, clock or Clock(), survey={"is_on": False}, cases=settings)


async def begin(line: Line, connector: str = "echo", language: str = "fr", **more: object) -> tuple[Story, Agent]:
    story = await Story.begin(line, f"{connector}-{language}", connector)
    agent = await story.agent(f"Amina{connector}{language}".replace("-", ""), team="technique", presence="offline")
    await story.customer_writes(COMPLAINTS[language], author=f"lyes-{language}", **more)
    return story, agent


async def resolve(story: Story, agent: Agent | None, case_id: int | None = None) -> None:
    await do(story, lambda session, line, case: cases.resolve(session, line, case, agent), case_id)


@pytest.fixture
def only_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel on which comments cannot be answered in private."""
    monkeypatch.setattr(EchoConnector, "private_reply", Connector.private_reply)


def said(line: Line, language: str, key: str, case: Case) -> str:
    return tell.in_words(line, language, key, case)


async def everybody(line: Line, connector: str, **more: object) -> tuple[Story, Agent, list[Case]]:
    """A complaint in each language, each in a conversation of its own."""
    story = await Story.begin(line, connector, connector)
    agent = await story.agent("Amina", team="technique", presence="offline")
    for language, text in COMPLAINTS.items():
        place = {"thread": f"post-{language}", **more} if more else {}
        await story.customer_writes(text, author=language, drains=False, **place)
    await drain(line)
    return story, agent, list(await story.rows(Case))


async def for_all(story: Story, deed: Deed) -> None:
    for case in await story.rows(Case):
        await do(story, deed, case.id, drains=False)
    await drain(story.line)


async def newest(story: Story, case: Case, place: int = -1) -> Message:
    """What was written last in the conversation that a case began in."""
    return [m for m in await story.messages("out") if m.conversation_id == case.conversation_id][place]


async def all_answer(story: Story, place: int) -> None:
    """Everybody presses a button, or writes it in their own words where there are none."""
    for case, language in zip(await story.rows(Case), COMPLAINTS, strict=True):
        shown = (await newest(story, case)).buttons
        if shown:
            event = {"id": f"{language}-{case.reopened_count}", "author": language, "button": shown[place]["value"]}
            await story.platform_says([event], drains=False)
        else:
            await story.customer_writes((YES, NO)[place][language], author=language, drains=False)
    await drain(story.line)


@on_one_database
@pytest.mark.parametrize("connector", ["echo", "forgetful"])
async def test_complaints_are_told_at_each_step_asked_about_reopened_and_closed(line: Line, connector: str) -> None:
    """With buttons, and by words where there are none; in all languages."""
    line = quiet(line)
    story, agent, opened = await everybody(line, connector)
    for language, case in zip(COMPLAINTS, opened, strict=True):
        assert case.acknowledged_at
        assert case.reference in (await newest(story, case)).text
        assert (await newest(story, case)).text == said(line, language, "acknowledgement", case)

    await for_all(story, lambda session, line, case: cases.begin(session, line, case, agent, tells=True))
    for language, case in zip(COMPLAINTS, await story.rows(Case), strict=True):
        assert (await newest(story, case)).text == said(line, language, "case_working", case)

    await for_all(story, lambda session, line, case: cases.resolve(session, line, case, agent))
    for language, case in zip(COMPLAINTS, opened, strict=True):
        question = await newest(story, case)
        assert question.text.startswith(said(line, language, "case_solved", case))
        assert bool(question.buttons) == (connector == "echo")

    await all_answer(story, 1)
    conversations = {c.id: c for c in await story.rows(Conversation)}
    for language, case in zip(COMPLAINTS, await story.rows(Case), strict=True):
        assert (case.status, case.reopened_count, case.severity) == ("working", 1, "high")
        assert conversations[case.conversation_id].priority == "urgent"
        assert (await newest(story, case)).text == said(line, language, "case_reopened", case)

    await for_all(story, lambda session, line, case: cases.resolve(session, line, case, agent))
    await all_answer(story, 0)
    answered = "answered" if connector == "echo" else "answered+"  # by a message
    for language, case in zip(COMPLAINTS, await story.rows(Case), strict=True):
        assert (case.status, case.outcome) == ("closed", "confirmed")
        assert (await newest(story, case)).text == said(line, language, "case_thanks", case)
        assert await steps(story, case.id) == [
            *("opened", "acknowledged+", "moved+", "moved", "asked+", answered),
            *("reopened+", "moved", "asked+", answered, "closed+"),
        ]
    assert len(await story.rows(Case)) == len(COMPLAINTS), "an answer is no new complaint"


@on_one_database
async def test_public_comments_are_asked_about_in_private_and_closed_in_public(line: Line) -> None:
    line = quiet(line)
    story, agent, _ = await everybody(line, "echo", kind="comment")
    assert {row["action"] for row in story.sent()} == {"reply"}, "acknowledged under the comment"
    await for_all(story, lambda session, line, case: cases.resolve(session, line, case, agent))
    asked = story.sent()[-len(COMPLAINTS) :]
    assert {(row["action"], len(row["buttons"])) for row in asked} == {("private_reply", 0)}
    for language in COMPLAINTS:
        await story.customer_writes(YES[language], author=language, thread=f"private-{language}", drains=False)
    await drain(line)
    for language, case in zip(COMPLAINTS, await story.rows(Case), strict=True):
        assert (case.status, case.outcome) == ("closed", "confirmed")
        closing = await newest(story, case)
        assert (closing.kind, closing.text) == ("comment", said(line, language, "case_public", case))
        assert (await steps(story, case.id))[-2:] == ["closed+", "public+"]
        thanks = said(line, language, "case_thanks", case)
        assert [row["action"] for row in story.sent() if row["text"] == thanks] == ["direct_message"]


@on_one_database
async def test_what_an_agent_writes_in_public_has_no_personal_data(line: Line, only_public: None) -> None:
    line = quiet(line, tell_in_public=True)
    story, agent = await begin(line, "echo", "fr", kind="comment", thread="post")
    text = "Nous vous appelons au 0550 12 34 56, écrivez à karim@example.com."
    await do(story, lambda s, line, case: cases.begin(s, line, case, agent, tells=True, text=text))
    told = story.sent()[-1]
    assert told["action"] == "reply"
    assert "0550" not in told["text"]
    assert "karim@" not in told["text"]


@on_one_database
async def test_where_a_comment_cannot_be_answered_in_private_nobody_is_asked_and_the_page_knows_why(
    line: Line, only_public: None
) -> None:
    line = quiet(line)
    story, agent = await begin(line, "echo", "fr", kind="comment", thread="post")
    sent = len(story.sent())
    await resolve(story, agent)
    assert len(story.sent()) == sent
    case = await story.case()
    assert (case.status, case.follow_at) == ("resolved", None)
    assert (await events(story))[-1].untold == "public"

    line = quiet(line, tell_in_public=True)
    other, agent = await begin(line, "echo", "en", kind="comment", thread="post-2")
    await resolve(other, agent)
    assert other.sent()[-1]["action"] == "reply"
    await other.customer_writes("yes", author="lyes-en", kind="comment", thread="post-2")
    assert (await other.case()).status == "closed"


async def test_a_delay_is_told_before_the_time_is_over_and_only_so_often(line: Line) -> None:
    clock = Clock()
    line = quiet(line, clock, most_notices=2)
    story, _ = await begin(line)
    case = await story.case()
    first_due = case.due_at
    assert case.warn_at and case.notice_at
    assert case.opened_at < case.warn_at < case.notice_at < case.due_at

    clock.at = case.warn_at
    await drain(line)
    assert (await steps(story))[-1] == "warned"
    for number in (1, 2):
        case = await story.case()
        assert case.notice_at
        clock.at = case.notice_at
        await drain(line)
        assert clock.at < case.due_at, "before the time is over"
        later = await story.case()
        assert later.due_at > case.due_at
        assert later.delay_count == number
        assert tell.say_when(later.due_at, "fr", ZoneInfo("Africa/Algiers")) in last_text(story)
        assert (await steps(story))[-1] == "delayed+"
    case, sent = await story.case(), len(story.sent())
    assert case.notice_at
    clock.at = case.notice_at
    await drain(line)
    assert len(story.sent()) == sent, "a third delay needs a person"
    event = (await events(story))[-1]
    assert (event.kind, event.data["because"]) == ("warned", "unexplained")
    assert (await story.case()).promised_at == first_due, "what was promised first stays for the reports"


async def test_an_agents_reason_for_a_delay_goes_to_the_customer(line: Line) -> None:
    clock = Clock()
    line = quiet(line, clock)
    story, agent = await begin(line)
    due = clock.at + timedelta(days=6)
    await do(story, lambda s, line, case: cases.delay(s, line, case, agent, due, "la pièce arrive jeudi"))
    assert "la pièce arrive jeudi." in last_text(story)
    assert (await story.case()).due_at == due
    for wrong, because in ((clock.at, "x"), (due, "  ")):
        with pytest.raises(CannotMove):
            await do(story, lambda s, line, case, w=wrong, b=because: cases.delay(s, line, case, agent, w, b))  # type: ignore[misc]


async def test_silence_is_reminded_once_and_then_closes(line: Line) -> None:
    clock = Clock()
    line = quiet(line, clock, remind_days=2, silence_days=5)
    story, agent = await begin(line)
    await resolve(story, agent)
    clock.forward(days=1.9)
    await drain(line)
    assert (await steps(story))[-1] == "asked+"
    clock.forward(days=0.2)
    await drain(line)
    await drain(line)
    assert (await steps(story))[-1] == "reminded+"
    assert buttons(story), "the reminder can be answered by buttons too"
    clock.forward(days=3)
    await drain(line)
    case = await story.case()
    assert (case.status, case.outcome, case.follow_at) == ("closed", "silent", None)
    assert last_text(story) == said(line, "fr", "case_silent", case)
    assert (await steps(story))[-2:] == ["reminded+", "closed+"]


async def test_after_a_long_stop_silence_closes_without_a_late_reminder(line: Line) -> None:
    clock = Clock()
    line = quiet(line, clock)
    story, agent = await begin(line)
    await resolve(story, agent)
    clock.forward(days=30)
    await drain(line)
    assert (await steps(story))[-2:] == ["asked+", "closed+"]


async def test_waiting_for_the_customer_stops_the_clock_and_their_message_starts_it(line: Line) -> None:
    clock = Clock()
    line = quiet(line, clock)
    story, agent = await begin(line)
    due = (await story.case()).due_at
    await do(story, lambda s, line, case: cases.wait(s, line, case, agent, WaitsFor.CUSTOMER))
    case = await story.case()
    assert (case.status, case.waits_for, case.follow_at) == ("waiting", "customer", None)
    assert last_text(story) == said(line, "fr", "case_waiting_customer", case)
    clock.forward(days=14)
    await drain(line)
    assert (await steps(story))[-1] == "moved+", "nobody is warned while the clock stands still"
    await story.customer_writes("Voici le numéro de série : AB12", author="lyes-fr")
    case = await story.case()
    assert (case.status, case.waits_for, case.paused_at) == ("working", "", None)
    assert case.due_at > due + timedelta(days=7)
    assert case.follow_at


async def test_waiting_for_a_partner_is_told_and_the_clock_goes_on(line: Line) -> None:
    line = quiet(line)
    story, agent = await begin(line)
    due = (await story.case()).due_at
    await do(story, lambda s, line, case: cases.wait(s, line, case, agent, WaitsFor.OUTSIDE))
    case = await story.case()
    assert last_text(story) == said(line, "fr", "case_waiting_outside", case)
    assert (case.due_at, case.paused_at, case.follow_at is not None) == (due, None, True)


async def test_who_complains_again_while_we_ask_brings_the_case_back(line: Line) -> None:
    line = quiet(line)
    story, agent = await begin(line)
    await resolve(story, agent)
    await story.customer_writes(COMPLAINTS["fr"] + " et c'est toujours pareil, quelle honte !", author="lyes-fr")
    case = await story.case()
    assert (case.status, case.reopened_count) == ("working", 1)
    assert (await events(story))[-1].data["because"] == "complained"
    assert len(await story.rows(Case)) == 1


async def test_a_no_counts_even_when_an_agent_closed_the_case_a_moment_before(line: Line) -> None:
    line = quiet(line)
    story, agent = await begin(line)
    await resolve(story, agent)
    await do(story, lambda s, line, case: cases.close(s, line, case, agent, Outcome.WITHDRAWN))
    assert (await story.case()).status == "closed"
    await story.customer_presses(list(buttons(story).values())[1], author="lyes-fr")
    assert (await story.case()).status == "working"
    assert (await steps(story))[-2:] == ["answered", "reopened+"]


async def test_an_old_button_changes_nothing_in_a_later_round(line: Line) -> None:
    line = quiet(line)
    story, agent = await begin(line)
    await resolve(story, agent)
    old = list(buttons(story).values())
    await do(story, lambda s, line, case: cases.begin(s, line, case, agent))
    await story.customer_presses(old[0], author="lyes-fr")
    assert (await story.case()).status == "working"
    await resolve(story, agent)
    await story.customer_presses(old[0], author="lyes-fr")
    assert (await story.case()).status == "resolved"
    await story.customer_presses(next(iter(buttons(story).values())), author="lyes-fr")
    assert (await story.case()).status == "closed"


async def test_the_same_person_who_complains_of_the_same_elsewhere_has_one_case(line: Line) -> None:
    line = quiet(line)
    story, _ = await begin(line)
    await story.customer_writes(COMPLAINTS["fr"], author="lyes-fr", thread="elsewhere")
    assert len(await story.rows(Conversation)) == 2
    assert len(await story.rows(Case)) == 1
    assert len(await story.rows(CaseConversation)) == 2
    assert (await steps(story))[-1] == "linked"
    await story.customer_writes(COMPLAINTS["fr"], author="somebody-else", thread="third")
    assert len(await story.rows(Case)) == 2


async def test_under_one_post_each_person_has_their_own_case(line: Line) -> None:
    line = quiet(line)
    story, _ = await begin(line, kind="comment", thread="post")
    await story.customer_writes(COMPLAINTS["en"], author="meriem", kind="comment", thread="post")
    first, second = await story.rows(Case)
    assert first.conversation_id == second.conversation_id
    assert first.contact_id != second.contact_id


async def test_a_reference_in_a_message_links_its_writers_conversation_and_nobody_elses(line: Line) -> None:
    line = quiet(line)
    story, _ = await begin(line)
    case = await story.case()
    await story.customer_writes(f"bonjour, ma référence est {case.reference.lower()}", author="lyes-fr", thread="new")
    assert (await steps(story))[-1] == "linked"
    await story.customer_writes(f"et {case.reference} ?", author="nosy", thread="other")
    assert (await steps(story))[-1] == "quoted"
    assert len(await story.rows(CaseConversation)) == 2


async def test_an_agent_opens_a_case_by_hand_once_and_the_customer_gets_the_reference(line: Line) -> None:
    line = quiet(line)
    story = await Story.begin(line)
    agent = await story.agent("Amina")
    await story.customer_writes("bonjour, quels sont vos horaires svp", author="lyes")
    numbers = []
    for _ in range(2):
        async with line.database.write() as session:
            conversation = await session.get_one(Conversation, (await story.conversation()).id)
            case = await case_opening.open_case(
                session, line, conversation, origin=Origin.AGENT, by=agent, severity="critical", reason="billing"
            )
            numbers.append(case.id)
        await drain(line)
    assert len(set(numbers)) == 1
    case = await story.case()
    assert (case.origin, case.severity, case.reason, case.agent_id) == ("agent", "critical", "billing", agent.id)
    assert case.reference in last_text(story)
    assert await steps(story) == ["opened", "acknowledged+"]
    await do(story, lambda s, line, case: cases.close(s, line, case, agent, Outcome.UNFOUNDED))
    async with line.database.write() as session:
        conversation = await session.get_one(Conversation, (await story.conversation()).id)
        with pytest.raises(CannotMove, match="reopen it"):
            await case_opening.open_case(session, line, conversation, origin=Origin.AGENT, by=agent)


async def test_duplicates_become_one_case_with_all_conversations_and_can_come_back(line: Line) -> None:
    line = quiet(line)
    story, agent = await begin(line)
    await story.customer_writes(COMPLAINTS["fr"], author="other", thread="other")
    first, second = await story.rows(Case)
    async with line.database.write() as session:
        into, duplicate = await case_file.lock_all(session, [first.id, second.id])
        await case_links.merge(session, line, duplicate, into, agent, tells=True)
    await drain(line)
    assert first.reference in last_text(story)
    assert second.reference in last_text(story)
    first, second = await story.rows(Case)
    assert (second.status, second.outcome, second.duplicate_of_id) == ("closed", "duplicate", first.id)
    assert {row.conversation_id for row in await story.rows(CaseConversation) if row.case_id == first.id} == {1, 2}
    await do(story, lambda s, line, case: cases.reopen(s, line, case, agent), second.id)
    second = (await story.rows(Case))[1]
    assert (second.status, second.duplicate_of_id) == ("working", None)


async def test_a_bot_and_who_wrote_stop_are_not_told(line: Line) -> None:
    line = quiet(line)
    story, agent = await begin(line)
    sent = len(story.sent())
    async with line.database.write() as session:
        (await session.get_one(Contact, (await story.case()).contact_id)).is_bot = True
    await do(story, lambda s, line, case: cases.begin(s, line, case, agent, tells=True))
    assert (await events(story))[-1].untold == "bot"
    assert len(story.sent()) == sent


async def test_only_one_of_two_who_do_the_same_gets_through(line: Line) -> None:
    line = quiet(line)
    story, agent = await begin(line)
    await resolve(story, agent)
    with pytest.raises(CannotMove, match="Somebody else was quicker"):
        await resolve(story, agent)
    assert (await story.case()).status == CaseStatus.RESOLVED


async def test_severity_and_what_was_done_are_kept_with_their_history(line: Line) -> None:
    line = quiet(line)
    story, agent = await begin(line)
    due = (await story.case()).due_at
    values = {"severity": "critical", "cause": "product", "redress": "refund", "redress_note": "2 500 DA"}
    await do(story, lambda s, line, case: case_links.edit(s, line, case, agent, values))
    case = await story.case()
    assert (case.severity, case.cause, case.redress, case.redress_note) == tuple(values.values())
    assert case.due_at < due
    assert [e.data["field"] for e in await events(story) if e.kind == "edited"] == list(values)
    nearer = case.due_at
    await do(story, lambda s, line, case: case_links.edit(s, line, case, agent, {"severity": "low"}))
    assert (await story.case()).due_at == nearer, "what the customer was told stays"
    with pytest.raises(CannotMove):
        await do(story, lambda s, line, case: case_links.edit(s, line, case, agent, {"cause": "weather"}))
