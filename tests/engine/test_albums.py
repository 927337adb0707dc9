"""What a customer sends at once is one message, however the platform brings it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.base import RawEvent
from socialcrm.domain.rows import Channel, Conversation
from socialcrm.engine import ledger
from socialcrm.engine.ingest import ingest
from socialcrm.engine.line import Line
from tests.story import Story

RECORDINGS = Path(__file__).parents[1] / "connectors" / "recordings" / "telegram"
FIRST, SECOND = (json.loads((RECORDINGS / f"album_{name}.json").read_text("utf-8")) for name in ("first", "second"))


@pytest.fixture
async def story(line: Line) -> Story:
    """A bot's channel; what its server would tell is put into the ledger."""
    story = await Story.begin(line)
    now = line.now()
    async with line.database.write() as session:
        channel = Channel(connector="telegram", key="bot", name="@bot", created_at=now, changed_at=now)
        channel.credentials = line.vault.encrypt({"token": "7000000001:AAE"})
        session.add(channel)
    return replace(story, channel=channel)


async def say(story: Story, *updates: Any) -> None:
    """One batch of updates, taken into messages."""
    async with story.line.database.write() as session:
        events = [RawEvent(update) for update in updates]
        await ledger.append(session, story.channel.id or 0, events, story.line.now())
    await ingest(story.line)


@pytest.mark.parametrize("batches", [[[FIRST, SECOND]], [[FIRST], [SECOND]], [[FIRST], [FIRST, SECOND], [SECOND]]])
async def test_an_album_is_one_message_with_all_its_files(story: Story, batches: list[list[Any]]) -> None:
    for batch in batches:
        await say(story, *batch)
    [message] = await story.messages()
    assert message.text == "Les dégâts"
    assert [entry["external_id"][-8:] for entry in message.attachments] == ["Z2-large", "Z3-large"]
    [conversation] = await story.rows(Conversation)
    assert (conversation.message_count, conversation.unread_count) == (1, 1)
    fates = [fate for fate, _ in await story.fates()]
    assert fates[0] == "stored"
    assert sorted(fates) == ["duplicate"] * (len(fates) - 2) + ["stored"] * 2


async def test_words_that_come_with_a_later_file_are_understood_too(story: Story) -> None:
    said = {**FIRST["message"], "caption": "Ma box est cassée"}
    await say(story, {**SECOND, "message": {**SECOND["message"]}})
    await say(story, {**FIRST, "message": said})
    [message] = await story.messages()
    assert (message.text, message.step) == ("Ma box est cassée", "analyze")
    assert len(message.attachments) == 2


async def test_two_albums_of_one_person_are_two_messages(story: Story) -> None:
    other = {**SECOND, "message": {**SECOND["message"], "media_group_id": "13500000000000002"}}
    await say(story, FIRST, other)
    assert [len(message.attachments) for message in await story.messages()] == [1, 1]
