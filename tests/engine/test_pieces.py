"""What goes out in several pieces goes out once, piece by piece, whatever happens between them."""

import asyncio
from pathlib import Path
from typing import ClassVar

import pytest

from connectors import registry
from connectors.base import Limits, MaybeSent, OutboundMessage, Sent, TryLater
from socialcrm.domain.message import AuthorKind
from socialcrm.domain.rows import Conversation, Message, OutboxItem
from socialcrm.engine import deliver, files
from socialcrm.engine.answer import CannotAnswer, Draft, reply, retry, send
from socialcrm.engine.line import Line
from socialcrm.engine.schedule import drain
from tests.engine.scripted import Script, ScriptedConnector, begin, on_one_database
from tests.story import Clock, Story, line_with


class PiecewiseConnector(ScriptedConnector):
    """A platform that takes one thing at a time."""

    name: ClassVar[str] = "piecewise"
    limits = Limits(text_length=5000, media={"image/*": 100}, files=3, files_bytes=150)

    @classmethod
    def in_pieces(cls, message: OutboundMessage) -> tuple[OutboundMessage, ...]:
        return message.pieces()

    async def direct_message(self, message: OutboundMessage) -> Sent:
        sent = await super().direct_message(message)
        if message.attachments:
            content = await message.attachments[0].read()
            self.script.got[-1] = f"{message.attachments[0].name}={len(content)}"
        return sent


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.CONNECTORS, "piecewise", "tests.engine.test_pieces:PiecewiseConnector")


PNG = b"\x89PNG\r\n\x1a\n"


async def answered(line: Line, *answers: Exception | asyncio.Event | None) -> tuple[Story, Script]:
    """An agent's answer with a text and two pictures, on a platform that will answer so."""
    story, script = await begin(line, "piecewise")
    await story.customer_writes("bonjour")
    amina = await story.agent("Amina")
    script.answers.extend(answers)
    async with line.database.write() as session:
        conversation = await session.get_one(Conversation, (await story.conversation()).id)
        uploads = [kept(line.settings.storage.folder, name) for name in ("a.png", "b.png")]
        await reply(session, line, conversation, "Voici", amina, "k", uploads)
    return story, script


def kept(folder: Path, name: str, content: bytes = PNG) -> files.Upload:
    upload = files.keep_upload(folder, "o", content, name)
    return files.take_upload(folder, "o", upload.sha256, name)


async def test_the_text_goes_first_then_each_file(line: Line) -> None:
    story, script = await answered(line)
    await drain(line)
    assert script.got == ["Voici", "a.png=8", "b.png=8"]
    [message] = await story.messages("out")
    assert (message.delivery, message.external_id) == ("sent", "theirs:agent:k:2")
    assert [each["name"] for each in message.attachments] == ["a.png", "b.png"]


@on_one_database
async def test_what_is_out_is_not_sent_again_when_a_later_piece_has_to_wait(line: Line) -> None:
    clock = Clock()
    story, script = await answered(line_with(line, clock), None, TryLater("busy"))
    await drain(story.line)
    assert (script.got, (await story.outbox())[0][0]) == (["Voici"], "waiting")
    clock.forward(seconds=5)
    await drain(story.line)
    assert script.got == ["Voici", "a.png=8", "b.png=8"]


@on_one_database
async def test_an_agent_who_sends_again_sends_only_what_is_not_out(line: Line) -> None:
    story, script = await answered(line, None, None, MaybeSent("lost"))
    await drain(line)
    [message] = await story.messages("out")
    assert (message.delivery, script.got) == ("unknown", ["Voici", "a.png=8"])
    async with line.database.write() as session:
        await retry(session, line, await session.get_one(Message, message.id))
    await drain(line)
    assert script.got == ["Voici", "a.png=8", "b.png=8"]


async def test_after_a_crash_between_two_pieces_the_platform_is_asked_for_the_next_one(line: Line) -> None:
    story, script = await answered(line, None, asyncio.Event())
    [channel] = {item.channel_id for item in await story.rows(OutboxItem)}
    killed = asyncio.create_task(deliver.deliver(line, channel))
    while script.tried < 2:
        await asyncio.sleep(0.01)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.gather(killed, return_exceptions=True)
    clock = Clock()
    clock.at = line.now()
    clock.forward(seconds=301)
    script.answers.clear()
    script.has["agent:k:1"] = Sent("theirs:a")  # it had arrived before we were killed
    late = line_with(line, clock)
    assert await deliver.reconcile(late) == 1
    await drain(late)
    assert script.got == ["Voici", "b.png=8"]
    assert (await story.messages("out"))[0].delivery == "sent"


@on_one_database
async def test_files_that_a_channel_does_not_take_are_refused_before_anything_is_written(line: Line) -> None:
    folder = line.settings.storage.folder
    large, text = kept(folder, "large.png", PNG + b"\0" * 200), kept(folder, "a.txt", b"hello")
    small, half = kept(folder, "a.png"), kept(folder, "half.png", PNG + b"\0" * 80)
    cases = [
        ([large], "large.png is too large"),
        ([text], "does not take files like a.txt"),
        ([small] * 4, "3 files at once"),
        ([half, half], "too large together"),
    ]
    story, script = await begin(line, "piecewise")
    await story.customer_writes("bonjour")
    amina = await story.agent("Amina")
    for uploads, words in cases:
        with pytest.raises(CannotAnswer, match=words):
            async with line.database.write() as session:
                conversation = await session.get_one(Conversation, (await story.conversation()).id)
                await reply(session, line, conversation, "", amina, "k", uploads)
    other, _ = await begin(line, "scripted")
    await other.customer_writes("bonjour")
    with pytest.raises(CannotAnswer, match="takes no files"):
        async with line.database.write() as session:
            conversation = await session.get_one(Conversation, (await other.conversation()).id)
            await reply(session, line, conversation, "", amina, "k2", [small])
    assert script.got == []


@on_one_database
async def test_a_file_that_the_channel_does_not_take_stops_at_the_door_whoever_wrote_the_answer(line: Line) -> None:
    story, script = await begin(line, "piecewise")
    await story.customer_writes("bonjour")
    text = kept(line.settings.storage.folder, "a.txt", b"hello")
    async with line.database.write() as session:
        conversation = await session.get_one(Conversation, (await story.conversation()).id)
        await send(session, Draft(conversation, "Voici", "rule:1", AuthorKind.RULE, files=[text]), line.now())
    await drain(line)
    assert script.got == [], "not even the text before it"
    [(status, reason)] = await story.outbox()
    assert (status, reason) == ("failed", "This channel does not take files like a.txt.")


@on_one_database
async def test_a_file_that_was_deleted_meanwhile_fails_with_a_sentence(line: Line) -> None:
    story, script = await answered(line)
    for path in (line.settings.storage.folder / files.FILES).glob("*/*"):
        path.unlink()
    await drain(line)
    assert script.got[0] == "Voici"
    assert (await story.outbox())[0][0] == "failed"
    assert "no longer in the storage folder" in (await story.outbox())[0][1]
