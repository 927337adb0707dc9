"""What a customer attached, as an agent sees it."""

import pytest

from connectors.base import RawEvent
from socialcrm.domain.rows import Channel, Message
from socialcrm.engine import ledger
from socialcrm.engine.line import Line
from socialcrm.engine.schedule import drain
from tests.servers.platform import Answer, Platform, platform
from tests.web.desk import desk

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 64
PAGE = b"<script>alert(document.cookie)</script>"


async def message_with(line: Line, server: Platform, name: str, said_type: str) -> Message:
    """A message of the API channel with one file that lies on `server`."""
    now = line.now()
    channel = Channel(
        connector="api",
        key="api",
        name="API",
        settings={"callback_url": f"{server.url}/callback"},
        credentials=line.vault.encrypt({"secret": "s" * 32}),
        created_at=now,
        changed_at=now,
    )
    async with line.database.write() as session:
        session.add(channel)
        await session.flush()
        file = {"kind": "image", "url": f"{server.url}/{name}", "name": name, "content_type": said_type}
        event = {"id": "1", "author": {"id": "a"}, "text": "voici", "sent_at": now.isoformat(), "attachments": [file]}
        await ledger.append(session, channel.id or 0, [RawEvent(event)], now)
    await drain(line)
    async with line.database.read() as session:
        return await session.get_one(Message, 1)


async def test_a_picture_is_fetched_once_and_shown(line: Line) -> None:
    async with platform(Answer(body=PNG)) as server, desk(line) as browser:
        message = await message_with(line, server, "photo.png", "image/png")
        await browser.sign_in()
        _, page = await browser.get(f"/inbox/{message.conversation_id}")
        assert f'src="/attachments/{message.id}/0"' in page
        for _ in range(2):
            answer = await browser.ask("GET", f"/attachments/{message.id}/0")
            assert (answer.status, await answer.read(), answer.content_type) == (200, PNG, "image/png")
        assert len(server.calls) == 1
        assert "sandbox" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("said_type", ["image/png", "text/html"])
async def test_a_page_that_calls_itself_a_picture_is_only_a_download(line: Line, said_type: str) -> None:
    async with platform(Answer(body=PAGE)) as server, desk(line) as browser:
        message = await message_with(line, server, 'x".html', said_type)
        await browser.sign_in()
        answer = await browser.ask("GET", f"/attachments/{message.id}/0")
        assert answer.content_type == "application/octet-stream"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="attachment-{message.id}-0.html"'
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_file_that_the_platform_refuses_is_said_in_words_and_asked_for_again(line: Line) -> None:
    async with platform(Answer(404)) as server, desk(line) as browser:
        message = await message_with(line, server, "gone.png", "image/png")
        await browser.sign_in()
        for _ in range(2):
            assert (await browser.ask("GET", f"/attachments/{message.id}/0")).status == 502
        assert len(server.calls) == 2


async def test_attachments_need_a_sign_in_and_there_is_nothing_else_there(line: Line) -> None:
    async with platform(Answer(body=PNG)) as server, desk(line) as browser:
        message = await message_with(line, server, "photo.png", "image/png")
        assert (await browser.ask("GET", f"/attachments/{message.id}/0")).status in (303, 401)
        await browser.sign_in()
        for path in (f"{message.id}/1", "999/0", f"{message.id}/..", "1e9/0"):
            assert (await browser.ask("GET", f"/attachments/{path}")).status == 404
