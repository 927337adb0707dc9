"""Analysed messages find their team, agent, priority, labels, case and answer; and the trace says why."""

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nlp.pipeline import Document, Pipeline
from socialcrm.app import open_line
from socialcrm.domain.case import is_reference
from socialcrm.domain.engagement import LANGUAGES, Engagement, EngagementError
from socialcrm.domain.rows import Case, Contact, Conversation, ConversationEvent, Message
from socialcrm.engine.analyze import analyze
from socialcrm.engine.bot import speak
from socialcrm.engine.ingest import ingest
from socialcrm.engine.line import Line
from socialcrm.engine.route import why_waiting
from socialcrm.engine.schedule import drain
from socialcrm.engine.triage import triage
from tests.engine.scripted import begin, on_one_database
from tests.story import Clock, Story, line_with

COMPLAINTS = {
    "fr": "Ma connexion internet ne marche plus depuis trois jours, c'est inadmissible !",
    "en": "My internet has been down for three days, this is unacceptable!",
    "ar": "الانترنت مقطوعة منذ ثلاثة أيام وهذا غير مقبول، خدمة سيئة جدا",
    "arq-Arab": "الكونيكسيون مقطوعة هادي ثلث ايام، عيينا منكم، خدمة زبالة",
    "arq-Latn": "slm, la connexion ta3kom mayta men lbareh w 7ed ma jawebni, 3iyitouna",
}
HUMAN = {
    "fr": "Je veux parler à un conseiller",
    "en": "I want to talk to a human",
    "ar": "أريد التحدث مع موظف",
    "arq-Arab": "حاب نهدر مع واحد منكم",
    "arq-Latn": "nahder m3a wahed",
}
HOURS = {
    "fr": "Bonjour, quels sont vos horaires d'ouverture ?",
    "en": "what are your opening hours please",
    "ar": "ما هي اوقات العمل عندكم",
    "arq-Arab": "وقتاش تحلو الحانوت",
    "arq-Latn": "wa9tach t7elou les boutiques",
}
RULES = """
[[rules]]
name = "At night"
when = { hours = "22:00-06:00" }
then = { label = ["night"], priority = "low" }

[[rules]]
name = "A bill is for accounts"
when = { words = ["bill", "my invoice"] }
then = { team = "facturation", label = ["bill", "money"] }

[[rules]]
name = "Stop here"
stop = true
when = { words = ["stop"] }
then = { team = "technique", priority = "high", label = ["money", "stopped"] }

[[rules]]
name = "The rest"
then = { team = "support", priority = "urgent", label = ["rest"] }
"""
REPLIES = Path(__file__).parents[2] / "config" / "replies"
NOON, MIDNIGHT = datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 3, 1, 23, 30, tzinfo=UTC)


def with_rules(line: Line, folder: Path, rules: str, clock: Clock) -> Line:
    """The line with rules of its own and no questions."""
    (folder / "rules.toml").write_text(rules, encoding="utf-8")
    (folder / "faq.toml").write_text("", encoding="utf-8")
    own = Engagement.load(folder / "rules.toml", REPLIES, folder / "faq.toml")
    changed = line_with(line, clock)
    return type(line)(**{**vars(changed), "engagement": own})


async def team_of(story: Story) -> str:
    from socialcrm.domain.rows import Team

    number = (await story.conversation()).team_id
    return next((team.key for team in await story.rows(Team) if team.id == number), "")


@on_one_database
async def test_the_first_rule_to_name_a_team_wins_labels_add_up_and_stop_ends_the_list(
    line: Line, tmp_path: Path
) -> None:
    story = await Story.begin(with_rules(line, tmp_path, RULES, Clock(NOON)))
    await story.customer_writes("a bill, please stop")
    conversation = await story.conversation()
    assert (await team_of(story), conversation.priority) == ("facturation", "high")
    assert conversation.labels == ["bill", "money", "stopped"]
    [message] = await story.messages()
    trace = await story.trace(message)
    assert [(row["rule"], row["fired"]) for row in trace][:3] == [
        ("At night", False),
        ("A bill is for accounts", True),
        ("Stop here", True),
    ]
    assert trace[0]["because"] == "it is 13:00, outside 22:00-06:00"
    assert trace[1]["did"] == "team facturation, label bill, label money"
    assert trace[2]["did"] == "priority high, label stopped"
    assert "The rest" not in [row["rule"] for row in trace]


@on_one_database
async def test_a_priority_is_raised_by_a_later_message_and_never_lowered(line: Line, tmp_path: Path) -> None:
    clock = Clock(NOON)
    story = await Story.begin(with_rules(line, tmp_path, RULES, clock))
    priorities = []
    for text, clock.at in [("stop", MIDNIGHT), ("stop", NOON), ("hello", NOON), ("stop", NOON), ("x", MIDNIGHT)]:
        await story.customer_writes(text)
        priorities.append((await story.conversation()).priority)
    assert priorities == ["low", "high", "urgent", "urgent", "urgent"]
    assert (await story.conversation()).labels == ["night", "money", "stopped", "rest"]


@on_one_database
async def test_hours_may_pass_midnight(line: Line, tmp_path: Path) -> None:
    clock = Clock()
    story = await Story.begin(with_rules(line, tmp_path, RULES, clock))
    at_night = {}
    for hour, minute in ((20, 59), (21, 0), (23, 30), (2, 0), (4, 59), (5, 0), (12, 0)):  # Algiers is one hour ahead
        clock.at = NOON.replace(hour=hour, minute=minute)
        await story.customer_writes("hello", author=f"{hour}")
        at_night[f"{hour}:{minute:02}"] = "night" in (await story.conversation()).labels
    assert [time for time, is_night in at_night.items() if is_night] == ["21:00", "23:30", "2:00", "4:59"]


@on_one_database
async def test_a_rule_for_a_team_that_does_not_exist_says_so(line: Line, tmp_path: Path) -> None:
    rules = '[[rules]]\nname = "Nowhere"\nthen = { team = "moon", label = ["seen"] }\n'
    story = await Story.begin(with_rules(line, tmp_path, rules, Clock()))
    await story.customer_writes("hello")
    [message] = await story.messages()
    assert "no team called 'moon'" in str(await story.trace(message))
    assert (await story.conversation()).labels == ["seen"]


@on_one_database
async def test_who_asks_for_a_person_is_handed_over_in_every_language(line: Line) -> None:
    story = await Story.begin(line)
    for text in HUMAN.values():
        await story.customer_writes(text, author=text, drains=False)
    await drain(line)
    conversations = await story.rows(Conversation)
    assert {c.handler for c in conversations} == {"human"}
    handed = [e for e in await story.rows(ConversationEvent) if e.kind == "handed_over"]
    assert len(handed) == len(conversations) == len(HUMAN)
    said = [str(answer["text"]) for answer in story.sent()]
    assert len(said) == len(HUMAN)
    for language in HUMAN:  # followed by the next opening or the place in the queue
        assert any(text.startswith(line.engagement.reply(language, "handover")) for text in said)
    message = (await story.messages())[0]
    assert (await story.trace(message))[0] == {
        "rule": "talk to a human",
        "fired": True,
        "because": "the message says 'parler conseiller'",
        "did": "handed over to a person",
    }


@on_one_database
async def test_a_frequent_question_is_answered_in_the_customers_language_until_a_person_is_there(line: Line) -> None:
    story = await Story.begin(line)
    for text in HOURS.values():
        await story.customer_writes(text, author=text, drains=False)
    await drain(line)
    [question] = [q for q in line.engagement.questions if q.id == "opening-hours"]
    assert {str(answer["text"]) for answer in story.sent()} == {question.answers[language] for language in HOURS}

    amina = await story.agent("Amina")
    await story.customer_writes("hello", author="nadia")
    await story.agent_answers(amina, "Hello!")
    before = len(story.sent())
    await story.customer_writes(HOURS["en"], author="nadia")
    assert len(story.sent()) == before
    assert "a person is looking after this conversation" in str(await story.trace((await story.messages())[-1]))


@on_one_database
async def test_an_acknowledgement_carries_a_reference_that_can_be_checked_in_every_language(line: Line) -> None:
    assert set(COMPLAINTS) == set(LANGUAGES)
    story = await Story.begin(line)
    for language, text in COMPLAINTS.items():
        await story.customer_writes(text, author=language, drains=False)
    await drain(line)
    cases = {case.conversation_id: case.reference for case in await story.rows(Case)}
    answers = {str(row["thread"]): str(row["text"]) for row in story.sent()}
    assert len(answers) == len(set(cases.values())) == len(COMPLAINTS)
    for conversation in await story.rows(Conversation):
        language = conversation.thread_key
        reference = cases[conversation.id]
        assert answers[language] == line.engagement.reply(language, "acknowledgement", reference=reference)
        [found] = re.findall(r"[0-9A-Z]{3}-[0-9A-Z]{3}-[0-9A-Z]", answers[language])
        assert is_reference(found)


async def test_a_second_complaint_in_the_same_conversation_is_the_same_case(line: Line) -> None:
    story = await Story.begin(line)
    await story.customer_writes(COMPLAINTS["en"])
    await story.customer_writes("Still broken, what a terrible service, I am very angry!")
    assert len(await story.rows(Case)) == 1


@on_one_database
async def test_never_two_automatic_answers_to_one_person_within_the_window(line: Line) -> None:
    clock = Clock()
    story = await Story.begin(line_with(line, clock))
    answers = []
    for text, thread, hours in [
        (COMPLAINTS["en"], "lyes", 0.0),
        (HUMAN["en"], "lyes", 0.0),
        (COMPLAINTS["en"], "post-1", 0.0),  # another conversation, the same person
        (HOURS["en"], "post-2", 11.9),
        (HOURS["en"], "post-3", 0.1),
        (HOURS["en"], "post-4", 0.0),
    ]:
        clock.forward(hours=hours)
        await story.customer_writes(text, thread=thread)
        answers.append(len(story.sent()))
    assert answers == [1, 2, 2, 2, 3, 3], "only the hand-over that was asked for is announced within the window"
    assert "this person had one within 12 h" in str(await story.trace((await story.messages())[-1]))
    await story.customer_writes(HOURS["en"], author="nadia")
    assert len(story.sent()) == 4


@on_one_database
async def test_not_even_when_their_messages_come_in_one_batch(line: Line) -> None:
    story = await Story.begin(line)
    for thread in ("post-1", "post-2", "post-3"):
        await story.customer_writes(COMPLAINTS["fr"], thread=thread, drains=False)
    await drain(line)
    assert len(story.sent()) == 1


async def test_nor_when_two_processes_triage_their_conversations_at_once(line: Line, pipeline: Pipeline) -> None:
    story = await Story.begin(line)
    people, threads = 12, 4
    # Each person's conversations end up in batches of different processes.
    for thread in range(threads):
        for author in range(people):
            await story.customer_writes(HOURS["en"], author=f"a{author}", thread=f"{author}-{thread}", drains=False)
    await ingest(line)
    await analyze(line)
    async with (
        open_line(line.settings, pipeline=pipeline) as second,
        open_line(line.settings, pipeline=pipeline) as third,
    ):
        sizes = zip((line, second, third), (people, people * 2, people * 4), strict=True)
        lines = [line_with(each, line={"batch": size}) for each, size in sizes]  # so that each claims what others left
        while any(await asyncio.gather(*(step(each) for each in lines for step in (triage, speak)))):
            pass
    texts = await story.messages("out")
    assert len({m.contact_id for m in texts}) == people
    assert len(texts) == people, "somebody was answered twice"


@on_one_database
async def test_a_bot_is_never_answered(line: Line) -> None:
    story, script = await begin(line)
    for number, text in enumerate((COMPLAINTS["en"], HUMAN["en"], HOURS["en"])):
        await story.customer_writes(text, author=f"bot-{number}", is_bot=True)
    assert script.got == []
    assert {c.is_bot for c in await story.rows(Contact)} == {True}
    assert "the other side is a bot" in str(await story.trace((await story.messages())[-1]))


async def test_work_goes_round_among_who_is_there_and_nobody_gets_a_fifth(line: Line) -> None:
    story = await Story.begin(line)
    amina = await story.agent("Amina")
    yacine = await story.agent("Yacine")
    await story.agent("Omar", presence="away")
    await story.agent("Lina", presence="offline")
    await story.agent("Sara", team="technique")
    for number in range(10):
        await story.customer_writes("hello", author=f"a{number}", drains=number % 3 == 0)
    await drain(line)
    agents = [c.agent_id for c in await story.rows(Conversation)]
    assert agents[:8] == [amina.id, yacine.id] * 4
    assert agents[8:] == [None, None]
    async with line.database.read() as session:
        number = (await story.conversation()).id or 0
        assert await why_waiting(session, line, [number]) == {number: "full"}

    async with line.database.write() as session:
        (await session.get_one(Conversation, 3)).status = "snoozed"  # one of Amina's makes room
    await story.customer_writes("hello", author="late")
    agents = [c.agent_id for c in await story.rows(Conversation)]
    assert agents[8:] == [amina.id, None, None], "who has waited longest comes first"


@on_one_database
async def test_spam_goes_to_the_bottom_and_to_nobody(line: Line) -> None:
    story = await Story.begin(line)
    await story.agent("Amina")
    await story.customer_writes("gagnez 1000 euros cliquez ici http://spam.example")
    conversation = await story.conversation()
    assert (conversation.labels, conversation.priority, conversation.agent_id) == (["spam"], "low", None)


class Breaking(Pipeline):
    """A pipeline that one text breaks."""

    def analyze(self, texts: Any) -> list[Document]:
        if "unreadable" in texts:
            raise RuntimeError("the model has a mistake")
        return super().analyze(texts)


@on_one_database
async def test_a_text_that_breaks_the_models_is_left_to_people_and_the_others_are_understood(
    line: Line, pipeline: Pipeline
) -> None:
    breaking = Breaking(pipeline.components, pipeline.encoder, pipeline.heads)
    async with open_line(line.settings, pipeline=breaking) as own:
        story = await Story.begin(own)
        for text in (COMPLAINTS["en"], "unreadable", "thank you very much"):
            await story.customer_writes(text, author=text, drains=False)
        await drain(story.line)
        understood = [c.sentiment for c in await story.rows(Conversation)]
        assert understood == ["negative", "neutral", "positive"]
        assert {m.step for m in await story.messages()} == {"done"}
        assert await team_of(story) == "support"


async def test_a_conversation_that_breaks_triage_is_left_to_people_and_the_others_go_on(line: Line) -> None:
    clock = Clock()
    broken = Engagement(**{**vars(line.engagement), "replies": {"fr": {}, "en": line.engagement.replies["en"]}})
    story = await Story.begin(type(line)(**{**vars(line_with(line, clock)), "engagement": broken}))
    for language in ("fr", "en"):
        await story.customer_writes(COMPLAINTS[language], author=language, drains=False)
    await drain(story.line)
    assert {m.step for m in await story.messages()} == {"done"}
    assert [row["thread"] for row in story.sent()] == ["en"]
    french = await story.messages()
    assert "left to people" in str(await story.trace(french[0]))
    assert [m.processed_at for m in french] == [clock.at] * 2


RULE = '[[rules]]\nname = "Mine"\n'


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (f"{RULE}then = {{ priority = 'hot' }}", ["rule 1", "then.priority", "'hot'"]),
        (f"{RULE}then = {{ tema = 'support' }}", ["rule 1", "then.tema", "not permitted"]),
        (f"{RULE}when = {{ hours = '9-17' }}\nthen = {{}}", ["rule 1", "when.hours", "'9-17'"]),
        (f"{RULE}then = {{}}\n[[rules]]\nname = 'Other'", ["rule 2", "then", "required"]),
        (f"{RULE}when = {{ words = 'bill' }}\nthen = {{}}", ["rule 1", "when.words", "'bill'"]),
        (f"{RULE}then = {{ reply = 'welcome' }}", ["'Mine'", "no reply 'welcome'"]),
        (f"{RULE}when = {{ hours = '25:00-26:00' }}\nthen = {{}}", ["rule 1", "when.hours", "25:00"]),
        ("[[rules]\n", ["not valid TOML"]),
        ("rules = 7", ["rules"]),
    ],
)
def test_a_mistake_in_the_rules_is_one_sentence_with_rule_and_key(tmp_path: Path, rules: str, said: list[str]) -> None:
    path, faq = tmp_path / "rules.toml", tmp_path / "faq.toml"
    path.write_text(rules, encoding="utf-8")
    faq.write_text("", encoding="utf-8")
    with pytest.raises(EngagementError) as raised:
        Engagement.load(path, REPLIES, faq)
    sentence = str(raised.value)
    assert "\n" not in sentence
    assert str(path) in sentence
    for part in said:
        assert part in sentence


def test_a_file_that_is_missing_or_lacks_a_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngagementError, match=r"gone\.toml does not exist"):
        Engagement.load(tmp_path / "gone.toml", REPLIES, tmp_path / "faq.toml")
    rules, faq, replies = tmp_path / "rules.toml", tmp_path / "faq.toml", tmp_path / "replies"
    rules.write_text("", encoding="utf-8")
    faq.write_text('[[entries]]\nid = "hours"\nphrases = []\nanswers = { fr = "…" }', encoding="utf-8")
    with pytest.raises(EngagementError, match=r"entry 1: phrases"):
        Engagement.load(rules, REPLIES, faq)
    faq.write_text("", encoding="utf-8")
    replies.mkdir()
    for file in REPLIES.glob("*.toml"):
        (replies / file.name).write_text(file.read_text(encoding="utf-8").replace("handover =", "hand ="), "utf-8")
    with pytest.raises(EngagementError, match=r"fr\.toml lacks the text 'handover'"):
        Engagement.load(rules, replies, faq)


@on_one_database
async def test_nothing_is_left_half_done(line: Line) -> None:
    """Each incoming message ends with an analysis, a trace and no step to wait for."""
    story = await Story.begin(line)
    for text in (*COMPLAINTS.values(), *HUMAN.values(), "", "🎉🎉"):
        await story.customer_writes(text, author=text or "silent", drains=False)
    await drain(line)
    messages: list[Message] = await story.messages()
    assert {(m.step, m.processed_at is not None) for m in messages} == {("done", True)}
    for message in messages:
        assert await story.trace(message)


async def test_while_a_person_is_talking_only_a_new_case_is_answered_automatically(line: Line) -> None:
    line = line_with(line, engagement={"auto_answer_window_hours": 0})
    story = await Story.begin(line)
    amina = await story.agent("Amina")
    await story.customer_writes("bonjour, vous ouvrez quand ?")
    assert len(story.sent()) == 1
    await story.agent_answers(amina, "À 8 h 30.")
    await story.customer_writes("et le samedi, vous ouvrez quand ?")
    await story.customer_writes("je veux parler à un conseiller")
    assert len(story.sent()) == 2, "nobody speaks while Amina does"
    await story.customer_writes("ma connexion est en panne depuis trois jours, c'est inadmissible !")
    assert (await story.case()).reference in story.sent()[-1]["text"]
    await story.customer_writes("toujours en panne, c'est honteux, service nul")
    assert len(story.sent()) == 3, "the case has been acknowledged"
