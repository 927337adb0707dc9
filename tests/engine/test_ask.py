"""A question in a conversation: asked once, answered once, by button, number, words or not at all."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from socialcrm.domain.message import AuthorKind
from socialcrm.domain.question import NO, YES, Choice
from socialcrm.domain.rows import Analysis, Contact, Conversation, Message, Question
from socialcrm.engine import ask as engine
from socialcrm.engine.ingest import ingest
from socialcrm.engine.line import Line
from socialcrm.engine.resolve import reopen, resolve
from socialcrm.engine.schedule import drain
from tests.engine.scripted import begin
from tests.story import Clock, Story, line_with

SOLVED = (Choice("yes", "Oui", YES), Choice("no", "Non", NO))
TAKEN: list[tuple[str, str, bool]] = []


async def _take(
    session: AsyncSession, line: Line, question: Question, value: str, text: str, message: Message | None
) -> bool:
    if text == "rien de tout cela":
        return False
    TAKEN.append((value, text, message is not None))
    if value == "no":
        await reopen(session, line, await session.get_one(Conversation, question.conversation_id), None)
    return True


@pytest.fixture(autouse=True)
async def taker(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setitem(engine.TAKERS, "test", _take)
    TAKEN.clear()
    yield


async def ask(
    story: Story, choices: Sequence[Choice] = SOLVED, key: str = "k", *, takes_text: bool = False
) -> Question:
    async with story.line.database.write() as session:
        conversation = await session.get_one(Conversation, (await story.conversation()).id)
        question = await engine.ask(
            session,
            story.line,
            conversation,
            "C'est réglé ?",
            choices,
            kind="test",
            subject_id=7,
            key=key,
            author=AuthorKind.RULE,
            expires=story.line.now() + timedelta(days=3),
            takes_text=takes_text,
        )
    await drain(story.line)
    return question


async def asked(line: Line, connector: str = "echo", key: str = "") -> Story:
    """A resolved conversation in which we asked."""
    story, _ = await begin(line, connector, key or connector)
    await story.customer_writes("bonjour à tous")
    async with line.database.write() as session:
        await resolve(session, story.line, await session.get_one(Conversation, (await story.conversation()).id), None)
    await ask(story)
    return story


@pytest.fixture
def quiet(line: Line) -> Line:
    return line_with(line, Clock(), survey={"is_on": False})


async def test_a_button_answers_once_whatever_is_pressed_later(quiet: Line) -> None:
    story = await Story.begin(quiet)
    await story.customer_writes("bonjour à tous")
    await ask(story)
    await ask(story)  # the same key asks once
    [sent] = story.sent()
    assert [label for label, _ in sent["buttons"]] == ["Oui", "Non"]
    assert all(len(value.encode()) <= 64 for _, value in sent["buttons"])
    yes, no = (value for _, value in sent["buttons"])
    for value in (yes, no, yes, f"{yes[:-1]}7", "q::0", "q:nobody:0", "q", f"{yes}²"):
        await story.customer_presses(value)
    [question] = await story.rows(Question)
    assert (TAKEN, question.answer) == ([("yes", "", False)], "yes")
    assert [fate for fate, _ in await story.fates()] == ["stored", *["stored"] * 3, *["ignored"] * 5]


@pytest.mark.parametrize("text", ["1", "oui", "نعم", "١", "wah"])
async def test_where_there_are_no_buttons_a_number_or_a_word_answers(quiet: Line, text: str) -> None:
    story = await asked(quiet, "forgetful")
    sent = (await story.messages("out"))[-1]
    assert sent.text.splitlines()[1:3] == ["1. Oui", "2. Non"]
    assert sent.text.endswith(quiet.engagement.reply("fr", "answer_by_number"))
    before = len(await story.rows(Analysis))
    await story.customer_writes(text)
    message, conversation, [question] = (
        (await story.messages())[-1],
        await story.conversation(),
        await story.rows(Question),
    )
    assert TAKEN == [("yes", "", True)]
    assert (message.text, message.question_id, message.is_choice, message.step) == (text, question.id, True, "done")
    assert question.answer_message_id == message.id
    assert (conversation.status, conversation.unread_count, conversation.waiting_since_at) == ("resolved", 0, None)
    assert len(await story.rows(Analysis)) == before, "there is nothing to understand in it"
    assert len(await story.messages("out")) == 1, "and nothing to answer"


async def test_the_taker_may_bring_the_conversation_back(quiet: Line) -> None:
    story = await asked(quiet, "forgetful")
    await story.customer_writes("non, toujours coupé chez moi")
    assert TAKEN == []
    assert (await story.conversation()).status == "open", "a text that is no choice goes its usual way"
    await story.customer_writes("2, toujours coupé chez moi")
    assert TAKEN == [("no", "toujours coupé chez moi", True)]
    message = (await story.messages())[-1]
    assert (message.is_choice, (await story.conversation()).status) == (False, "open")
    assert [a.message_id for a in await story.rows(Analysis)][-1] == message.id, "its words are understood"


async def test_what_the_taker_does_not_want_is_a_message_like_any_other(quiet: Line) -> None:
    story = await asked(quiet)
    await ask(story, (), key="open", takes_text=True)
    await story.customer_writes("rien de tout cela")
    conversation, message = await story.conversation(), (await story.messages())[-1]
    assert (TAKEN, message.question_id, message.processed_at is not None) == ([], None, True)
    assert (conversation.status, conversation.unread_count) == ("open", 1)
    await story.customer_writes("un peu lent quand même")
    assert TAKEN == [("un peu lent quand même", "un peu lent quand même", True)]
    message = (await story.messages())[-1]
    assert (message.question_id, message.is_choice) == ((await story.rows(Question))[-1].id, False)
    assert message.id in [a.message_id for a in await story.rows(Analysis)]


async def test_nobody_else_answers_and_no_answer_counts_after_its_time_or_after_an_agent_wrote(quiet: Line) -> None:
    clock = Clock()
    story = await asked(line_with(quiet, clock), "forgetful")
    await story.customer_writes("oui", author="nadia")
    amina = await story.agent("Amina")
    clock.forward(minutes=1)
    assert TAKEN == []
    other = await asked(line_with(quiet, clock), "forgetful", "second")
    await other.agent_answers(amina, "Vous avez combien de lignes ?")
    await other.customer_writes("1")
    assert TAKEN == [], "it answers the agent"
    clock.forward(days=4)
    await story.customer_writes("oui")
    assert TAKEN == []


async def test_two_messages_at_once_the_first_answers_the_second_is_a_message(quiet: Line) -> None:
    story = await asked(quiet)
    payloads = [
        {"id": f"m{n}", "author": "lyes", "name": "Lyes", "text": text, "sent_at": quiet.now().isoformat()}
        for n, text in enumerate(("oui", "j'ai une autre question sur ma facture"))
    ]
    await story.platform_says(payloads)
    assert TAKEN == [("yes", "", True)]
    assert [m.is_choice for m in await story.messages()] == [False, True, False]
    assert (await story.conversation()).status == "open"
    await story.platform_says(payloads)
    assert (len(TAKEN), len(await story.messages())) == (1, 3), "a replayed event answers nothing"


async def test_two_presses_at_once_count_once(quiet: Line) -> None:
    story = await asked(quiet)
    [question] = await story.rows(Question)

    async def press(place: int) -> bool:
        async with quiet.database.write() as session:
            return await engine.pressed(session, quiet, f"q:{question.token}:{place}")

    assert all(await asyncio.gather(*(press(n % 2) for n in range(6))))
    assert len(TAKEN) == 1
    assert (await story.rows(Question))[0].answer == TAKEN[0][0]


async def test_in_public_there_are_no_buttons_and_only_the_public_answers(quiet: Line) -> None:
    story = await Story.begin(quiet)
    await story.customer_writes("bonjour à tous", kind="comment", thread="post-1")
    await ask(story)
    assert story.sent()[-1]["buttons"] == []
    await story.customer_writes("oui", thread="lyes")
    assert TAKEN == []
    await story.customer_writes("oui", kind="comment", thread="post-1")
    assert TAKEN == [("yes", "", True)]


async def test_a_private_question_about_a_comment_is_answered_in_any_private_conversation(quiet: Line) -> None:
    story = await Story.begin(quiet)
    await story.customer_writes("bonjour à tous", kind="comment", thread="post-1")
    async with quiet.database.write() as session:
        await engine.ask(
            session,
            quiet,
            await session.get_one(Conversation, (await story.conversation()).id),
            "C'est réglé ?",
            SOLVED,
            kind="test",
            subject_id=7,
            key="aside",
            author=AuthorKind.RULE,
            expires=quiet.now() + timedelta(days=3),
            to=await session.get_one(Message, (await story.messages())[-1].id),
        )
    await drain(quiet)
    assert story.sent()[-1]["action"] == "private_reply"
    await story.customer_writes("oui", kind="comment", thread="post-1")
    assert TAKEN == [], "everybody reads that"
    await story.customer_writes("oui", thread="dm-of-lyes")
    assert TAKEN == [("yes", "", True)]
    _, private = await story.rows(Conversation)
    assert (private.status, private.unread_count) == ("resolved", 0)
    assert len(await story.rows(Contact)) == 1


async def test_a_process_that_ends_between_answer_and_taker_leaves_neither(
    quiet: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = await asked(quiet)

    async def dies(*_: object) -> bool:
        raise asyncio.CancelledError

    monkeypatch.setitem(engine.TAKERS, "test", dies)
    await story.customer_writes("oui", number="m-1", drains=False)
    with pytest.raises(asyncio.CancelledError):
        await ingest(quiet)
    assert (await story.rows(Question))[0].answered_at is None
    monkeypatch.setitem(engine.TAKERS, "test", _take)
    await drain(quiet)
    assert TAKEN == [("yes", "", True)]
    assert len([m for m in await story.messages() if m.text == "oui"]) == 1
