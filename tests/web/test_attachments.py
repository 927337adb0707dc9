"""What a customer attached, as an agent sees it, and what an agent attaches."""

import asyncio
import errno
import io
import json
from pathlib import Path

import pytest

from connectors.base import RawEvent
from socialcrm.domain.rows import Channel, Message
from socialcrm.engine import attach, files, ledger
from socialcrm.engine.line import Line
from socialcrm.engine.schedule import drain
from tests.servers.platform import SILENCE, Answer, Platform, platform
from tests.web.desk import CSRF, desk

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 64
OGG = b"OggS\x00\x02" + b"\x00" * 22 + b"\x01OpusHead" + b"\x00" * 64
PAGE = b"<script>alert(document.cookie)</script>"
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
PDF = b"%PDF-1.7 facture"


async def message_with(line: Line, server: Platform, name: str, said_type: str, kind: str = "image") -> Message:
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
        file = {"kind": kind, "url": f"{server.url}/{name}", "name": name, "content_type": said_type}
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
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "script-src" not in policy, "nothing in a file runs, whatever it is"
        answer = await browser.ask("GET", f"/attachments/{message.id}/0?download")
        assert answer.headers["Content-Disposition"].startswith('attachment; filename="photo.png"')


async def test_many_who_look_at_once_fetch_it_once(line: Line) -> None:
    async with platform(Answer(body=PNG)) as server, desk(line) as browser:
        message = await message_with(line, server, "photo.png", "image/png")
        await browser.sign_in()
        answers = await asyncio.gather(*(browser.ask("GET", f"/attachments/{message.id}/0") for _ in range(5)))
        assert [answer.status for answer in answers] == [200] * 5
        assert len(server.calls) == 1


@pytest.mark.parametrize("fresh_database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("content", "name"), [(PAGE, 'x".html'), (SVG, "logo.svg"), (b"MZ\x90\x00", "photo.png")])
async def test_what_could_run_is_only_a_download_and_says_so(line: Line, content: bytes, name: str) -> None:
    async with platform(Answer(body=content)) as server, desk(line) as browser:
        message = await message_with(line, server, name, "image/png")
        await browser.sign_in()
        answer = await browser.ask("GET", f"/attachments/{message.id}/0")
        assert answer.content_type == "application/octet-stream"
        assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        _, page = await browser.get(f"/inbox/{message.conversation_id}")
        assert "<img" not in page
        assert "can run on your computer" in page


@pytest.mark.parametrize("fresh_database", ["sqlite"], indirect=True)
async def test_a_private_message_has_its_files_before_anybody_looks(line: Line) -> None:
    async with platform(Answer(body=OGG)) as server, desk(line) as browser:
        message = await message_with(line, server, "voice", "", kind="document")
        await attach.fetch_new(line, None)
        assert len(server.calls) == 1
        await attach.fetch_new(line, None)
        assert len(server.calls) == 1
        await browser.sign_in()
        _, page = await browser.get(f"/inbox/{message.conversation_id}")
        assert f'<audio class="attachment-audio" src="/attachments/{message.id}/0"' in page


async def test_a_file_that_cannot_be_fetched_says_why_and_is_tried_again_when_asked(line: Line) -> None:
    async with platform(Answer(404)) as server, desk(line) as browser:
        message = await message_with(line, server, "gone.png", "image/png")
        await browser.sign_in()
        for _ in range(2):
            assert (await browser.ask("GET", f"/attachments/{message.id}/0")).status == 502
        assert len(server.calls) == 1
        path = f"/inbox/{message.conversation_id}"
        _, page = await browser.get(path)
        assert "The callback URL answered 404" in page
        assert "attachment-failed" in page
        server.answer = Answer(body=PNG)
        _, page = await browser.post(f"{path}/messages/{message.id}/attachments/0/again")
        assert "attachment-failed" not in page
        assert f'src="/attachments/{message.id}/0"' in page


@pytest.mark.parametrize("fresh_database", ["sqlite"], indirect=True)
async def test_a_full_disk_is_said_and_nothing_is_lost(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with platform(Answer(body=PNG)) as server, desk(line) as browser:
        message = await message_with(line, server, "photo.png", "image/png")
        await browser.sign_in()
        with monkeypatch.context() as disk:
            disk.setattr(Path, "write_bytes", full)
            answer = await browser.ask("GET", f"/attachments/{message.id}/0", headers={"Accept": "application/json"})
            assert (answer.status, "no room left" in await answer.text()) == (502, True)
            sent = await upload(browser, message.conversation_id, PNG, "a.png")
            assert sent[0] == 507
        path = f"/inbox/{message.conversation_id}/messages/{message.id}/attachments/0/again"
        await browser.post(path)
        assert (await browser.ask("GET", f"/attachments/{message.id}/0")).status == 200


@pytest.mark.parametrize("fresh_database", ["sqlite"], indirect=True)
async def test_a_fetch_that_never_ended_is_taken_over_and_one_under_way_is_waited_for(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attach, "PATIENCE_SECONDS", 0.0)
    async with platform(SILENCE) as server, desk(line) as browser:
        message = await message_with(line, server, "photo.png", "image/png")
        await browser.sign_in()
        stuck = asyncio.create_task(attach.fetch(line, message.id or 0, 0))
        while not server.calls:
            await asyncio.sleep(0.01)
        answer = await browser.ask("GET", f"/attachments/{message.id}/0", headers={"Accept": "application/json"})
        assert "still being fetched" in await answer.text()
        stuck.cancel()
        monkeypatch.setattr(attach, "_is_claimed", lambda entry, now: False)  # its lease is over
        server.answer = Answer(body=PNG)
        assert (await browser.ask("GET", f"/attachments/{message.id}/0")).status == 200


@pytest.mark.parametrize("fresh_database", ["sqlite"], indirect=True)
async def test_attachments_need_a_sign_in_and_there_is_nothing_else_there(line: Line) -> None:
    async with platform(Answer(body=PNG)) as server, desk(line) as browser:
        message = await message_with(line, server, "photo.png", "image/png")
        assert (await browser.ask("GET", f"/attachments/{message.id}/0")).status in (303, 401)
        await browser.sign_in()
        for path in (f"{message.id}/1", "999/0", f"{message.id}/..", "1e9/0"):
            assert (await browser.ask("GET", f"/attachments/{path}")).status == 404


async def upload(browser: object, conversation: int, content: bytes, name: str) -> tuple[int, dict[str, object]]:
    """An agent attaches a file; the status, and what the page is told."""
    headers = {"X-CSRF-Token": CSRF, "Accept": "application/json"}
    path = f"/inbox/{conversation}/files?name={name}"
    answer = await browser.ask("POST", path, data=io.BytesIO(content), headers=headers)  # type: ignore[attr-defined]
    return answer.status, json.loads(await answer.text())


async def test_a_file_of_an_agent_is_sent_beside_the_text_and_shown(line: Line) -> None:
    async with platform(Answer(body={"id": "9"})) as server, desk(line) as browser:
        message = await message_with(line, server, "photo.png", "image/png")
        number = message.conversation_id
        await browser.sign_in("agent")
        _, page = await browser.get(f"/inbox/{number}")
        assert "<file-picker" in page
        status, kept = await upload(browser, number, PDF, "Facture mars.png")
        assert (status, kept["type"], kept["size"]) == (200, "application/pdf", len(PDF))
        _, page = await browser.post(f"/inbox/{number}/answer", {"text": "", "key": "k1", "file": kept["file"]})
        assert "Facture mars.png" in page
        await drain(line)
        [call] = [call for call in server.calls if call.path == "/callback"]
        [sent] = call.json["attachments"]
        assert (sent["name"], sent["content_type"], sent["size"]) == ("Facture mars.png", "application/pdf", len(PDF))
        assert (await browser.ask("GET", "/attachments/2/0")).headers["Content-Disposition"]


@pytest.mark.parametrize("fresh_database", ["sqlite"], indirect=True)
async def test_files_that_cannot_be_sent_are_refused_with_a_sentence_before_anything_is_sent(line: Line) -> None:
    async with platform(Answer()) as server, desk(line) as browser:
        message = await message_with(line, server, "photo.png", "image/png")
        number = message.conversation_id
        await browser.sign_in("agent")
        status, said = await upload(browser, number, PAGE, "a.html")
        assert (status, said["error"]) == (422, "This channel does not take files like a.html.")
        status, said = await upload(browser, number, b"a" * 10_000_001, "a.txt")
        assert (status, said["error"]) == (422, "a.txt is too large: this channel takes 10 MB.")
        _, mine = await upload(browser, number, PNG, "a.png")
        form = {"csrf_token": CSRF, "text": "voici", "key": "k", "file": str(mine["file"])}
        await browser.sign_in("agent")  # somebody else
        answer = await browser.ask("POST", f"/inbox/{number}/answer", data=form)
        assert (answer.status, "attach it again" in await answer.text()) == (422, True)
        assert not [call for call in server.calls if call.path == "/callback"]


@pytest.mark.parametrize("fresh_database", ["sqlite"], indirect=True)
async def test_a_signed_address_gives_one_file_for_a_day(line: Line) -> None:
    sha256 = files.keep(line.settings.storage.folder, PNG)
    async with desk(line) as browser:
        path = files.link(line, sha256, "photo.png")
        answer = await browser.ask("GET", path)
        assert (answer.status, await answer.read()) == (200, PNG)
        for other in (path.replace(sha256, "0" * 64), path.replace("/files/1", "/files/2")):
            assert (await browser.ask("GET", other)).status == 404


def test_uploads_that_were_not_sent_and_old_files_are_swept(tmp_path: Path) -> None:
    kept = files.keep(tmp_path, PNG)
    files.keep_upload(tmp_path, "conversation-1-1", PDF, "a.pdf")
    now = files.path_of(tmp_path, kept).stat().st_mtime
    assert files.sweep(tmp_path, 0, now + 3600) == 0
    assert files.sweep(tmp_path, 0, now + 90_000) == 1
    assert files.path_of(tmp_path, kept).exists()
    assert files.sweep(tmp_path, 30, now + 31 * 86_400) == 1
    assert not files.path_of(tmp_path, kept).exists()
