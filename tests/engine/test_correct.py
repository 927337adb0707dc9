"""Corrections: what a person says is shown and counted, the prediction is kept, and all of it can be taken back."""

import pytest
from sqlalchemy import select
from sqlmodel import col

from socialcrm.domain.rows import Agent, Analysis, Case, Conversation, Correction, Message
from socialcrm.domain.teaching import LABELS, Source, label_of
from socialcrm.engine.correct import CannotCorrect, confirm, correct, undo
from socialcrm.engine.line import Line
from tests.story import Story

TEXT = "la connexion ta3kom mayta"


async def say(story: Story, agent: Agent, source: Source = Source.INBOX, **labels: str) -> None:
    async with story.line.database.write() as session:
        message = await session.get_one(Message, (await story.messages())[-1].id)
        await correct(session, story.line, message, labels, agent, source)


async def take_back(story: Story, source: Source = Source.INBOX) -> None:
    async with story.line.database.write() as session:
        message = await session.get_one(Message, (await story.messages())[-1].id)
        await undo(session, story.line, message, source)


async def analysis(story: Story) -> Analysis:
    return (await story.last_understood())[1]


async def rows(story: Story) -> dict[tuple[str, str], Correction]:
    return {(row.field, row.source): row for row in await story.rows(Correction)}


def other_than(field: str, label: str | None) -> str:
    return next(one for one in LABELS[field] if one != label)


async def test_a_correction_is_shown_and_keeps_what_the_model_said(line: Line) -> None:
    story = await Story.begin(line)
    agent = await story.agent("Amina")
    await story.customer_writes(TEXT)
    before = await analysis(story)
    label = other_than("sentiment", before.sentiment)
    await say(story, agent, sentiment=label)
    after = await analysis(story)
    assert after.sentiment == label
    assert (after.sentiment_score, after.scores, after.model) == (before.sentiment_score, before.scores, before.model)
    row = (await rows(story))["sentiment", "inbox"]
    assert (row.label, row.predicted, row.score) == (label, before.sentiment, before.sentiment_score)
    assert (row.agent_id, row.model, row.made_at) == (agent.id, before.model, row.made_at)
    assert not row.is_right


async def test_a_later_correction_takes_the_place_of_the_first_and_remembers_the_prediction(line: Line) -> None:
    story = await Story.begin(line)
    amina, yacine = await story.agent("Amina"), await story.agent("Yacine")
    await story.customer_writes(TEXT)
    predicted = (await analysis(story)).intent
    await say(story, amina, intent="spam")
    await say(story, yacine, intent="question")
    (row,) = await story.rows(Correction)
    assert (row.label, row.predicted, row.agent_id) == ("question", predicted, yacine.id)


async def test_undo_brings_the_prediction_back_with_its_doubt(line: Line) -> None:
    story = await Story.begin(line)
    agent = await story.agent("Amina")
    await story.customer_writes(TEXT)
    async with line.database.write() as session:
        row = await session.get_one(Analysis, (await story.messages())[-1].id)
        row.unsure = ["sentiment", "intent"]
    before = await analysis(story)
    await say(story, agent, intent="spam", language="other")
    assert (await analysis(story)).unsure == ["sentiment"], "what a person says is not unsure"
    await take_back(story)
    after = await analysis(story)
    assert {field: label_of(after, field) for field in LABELS} == {field: label_of(before, field) for field in LABELS}
    assert after.unsure == ["sentiment", "intent"]
    assert await story.rows(Correction) == []


async def test_to_confirm_leaves_a_row_for_every_field_that_is_shown(line: Line) -> None:
    story = await Story.begin(line)
    agent = await story.agent("Amina")
    await story.customer_writes(TEXT)
    await say(story, agent, complaint="other", intent="question")
    async with line.database.write() as session:
        await confirm(session, line, await session.get_one(Message, (await story.messages())[-1].id), agent)
    found = await rows(story)
    assert {field for field, _ in found} == {"language", "sentiment", "complaint", "intent"}, (
        "no reason of no complaint"
    )
    assert found["language", "inbox"].is_right
    assert found["intent", "inbox"].label == "question", "what was corrected stays so"


async def test_a_reason_goes_with_its_complaint(line: Line) -> None:
    story = await Story.begin(line)
    agent = await story.agent("Amina")
    await story.customer_writes(TEXT)
    await say(story, agent, complaint="complaint", reason="lost")
    assert (await analysis(story)).reason == "lost"
    await say(story, agent, complaint="other")
    assert ("reason", "inbox") not in await rows(story)
    assert (await analysis(story)).reason != "lost"


async def test_the_blind_sample_and_the_inbox_do_not_overwrite_each_other(line: Line) -> None:
    story = await Story.begin(line)
    agent = await story.agent("Amina")
    await story.customer_writes(TEXT)
    predicted = (await analysis(story)).intent
    await say(story, agent, Source.SAMPLE, intent="question")
    await say(story, agent, intent="spam")
    found = await rows(story)
    assert (found["intent", "sample"].label, found["intent", "inbox"].label) == ("question", "spam")
    assert {row.predicted for row in found.values()} == {predicted}
    assert (await analysis(story)).intent == "spam"
    await take_back(story)
    assert (await analysis(story)).intent == "question", "what the sample says is still said"
    await take_back(story, Source.SAMPLE)
    assert (await analysis(story)).intent == predicted


async def test_the_queue_follows_and_what_was_decided_stays(line: Line) -> None:
    story = await Story.begin(line)
    agent = await story.agent("Amina")
    await story.customer_writes("Bonjour, ma facture a doublé sans explication, c'est inadmissible", author="nadia")
    conversation = await story.conversation()
    assert conversation.is_complaint
    cursor = await line.live.cursor()
    await say(story, agent, complaint="other", sentiment="positive", language="en")
    after = await story.conversation()
    assert (after.is_complaint, after.sentiment, after.language) == (False, "positive", "en")
    assert (after.team_id, after.priority, after.labels) == (
        conversation.team_id,
        conversation.priority,
        conversation.labels,
    )
    assert len(await story.rows(Case)) == 1, "a case that was opened stays"
    assert [change.conversation_id for change in await line.live.changes(cursor)] == [conversation.id]


async def test_an_older_message_does_not_change_the_mood_of_the_conversation(line: Line) -> None:
    story = await Story.begin(line)
    agent = await story.agent("Amina")
    await story.customer_writes(TEXT)
    await story.customer_writes("merci beaucoup, c'est parfait")
    mood = (await story.conversation()).sentiment
    async with line.database.write() as session:
        first = await session.get_one(Message, (await story.messages())[0].id)
        await correct(session, line, first, {"sentiment": other_than("sentiment", mood)}, agent, Source.INBOX)
    assert (await story.conversation()).sentiment == mood


async def test_an_edited_message_is_judged_anew(line: Line) -> None:
    story = await Story.begin(line)
    agent = await story.agent("Amina")
    await story.customer_writes(TEXT, number="1")
    await say(story, agent, intent="spam")
    await story.customer_writes("merci beaucoup", number="1", change="edit")
    assert (await story.messages())[-1].text == "merci beaucoup"
    assert await story.rows(Correction) == []
    assert (await analysis(story)).intent != "spam"


@pytest.mark.parametrize("labels", [{"intent": "complain"}, {"mood": "negative"}, {"sentiment": ""}])
async def test_a_label_that_is_not_offered_is_refused(line: Line, labels: dict[str, str]) -> None:
    story = await Story.begin(line)
    agent = await story.agent("Amina")
    await story.customer_writes(TEXT)
    with pytest.raises(CannotCorrect, match="no such label"):
        await say(story, agent, **labels)


async def test_a_message_that_waits_to_be_read_cannot_be_corrected(line: Line) -> None:
    story = await Story.begin(line)
    agent = await story.agent("Amina")
    contact = await _contact(story)
    async with line.database.write() as session:
        now = line.now()
        conversation = Conversation(
            channel_id=story.channel.id or 0,
            contact_id=contact,
            thread_key="x",
            kind="direct_message",
            opened_at=now,
            last_message_at=now,
        )
        session.add(conversation)
        await session.flush()
        values = {"channel_id": conversation.channel_id, "contact_id": conversation.contact_id, "text": TEXT}
        message = Message(
            **values,
            conversation_id=conversation.id or 0,
            direction="in",
            kind="direct_message",
            author_kind="contact",
            sent_at=now,
            received_at=now,
            step="analyze",
        )
        session.add(message)
        await session.flush()
        with pytest.raises(CannotCorrect, match="not been read yet"):
            await confirm(session, line, message, agent)


async def _contact(story: Story) -> int:
    await story.customer_writes("salam")
    async with story.line.database.read() as session:
        return (await session.execute(select(col(Message.contact_id)))).scalars().first() or 0
