"""Files of ours on their way out: what each platform gets of them."""

import base64
import hashlib
import json
from collections.abc import Callable
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from connectors.api import ApiConnector
from connectors.base import ChannelConfig, File, OutboundMessage, Refused, TryLater
from connectors.mail_writing import compose
from connectors.mastodon import MastodonConnector
from connectors.messenger import MessengerConnector
from connectors.registry import CONNECTORS, connector_class
from connectors.telegram import TelegramConnector
from connectors.telegram_files import PHOTO_BYTES
from connectors.whatsapp import WhatsAppConnector
from tests.servers.platform import Answer, Call, platform

PNG = b"\x89PNG\r\n\x1a\n"
Make = Callable[..., File]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    """Makes a file of ours."""

    def make(name: str = "photo.png", kind: str = "image/png", content: bytes = PNG, size: int = 0) -> File:
        sha256 = hashlib.sha256(content).hexdigest()
        path = tmp_path / sha256
        path.write_bytes(content)
        return File(sha256, name, kind, size or len(content), path, f"https://crm.example/files/{sha256}")

    return make


def message(*files: File, text: str = "Voici") -> OutboundMessage:
    return OutboundMessage("key-1", "42", "42", text, attachments=files, is_human=True)


def method(call: Call) -> str:
    return call.path.rpartition("/")[2]


def test_only_channels_that_take_files_say_so() -> None:
    for name in CONNECTORS:
        limits = connector_class(name).limits
        for media in (limits.media, limits.public_media):
            assert all("/" in kind and size > 0 for kind, size in media.items())
        assert limits.files >= 1


def sent(number: int = 9) -> dict[str, object]:
    return {"message_id": number, "date": 1772366400, "chat": {"id": 42, "type": "private"}}


class TestTelegram:
    """Bot API: sendPhoto, sendDocument, sendVoice, sendMediaGroup."""

    def connector(self, url: str) -> TelegramConnector:
        return TelegramConnector(ChannelConfig({}, {"token": "7:AA"}, url))

    async def test_each_file_is_shown_as_what_it_is_with_the_text_below_it(self, made: Make) -> None:
        cases = [
            (made(), "sendPhoto", "photo"),
            (made(size=PHOTO_BYTES + 1), "sendDocument", "document"),
            (made("v.ogg", "audio/ogg"), "sendVoice", "voice"),
            (made("a.mp3", "audio/mpeg"), "sendAudio", "audio"),
            (made("v.mp4", "video/mp4"), "sendVideo", "video"),
            (made("facture.pdf", "application/pdf"), "sendDocument", "document"),
        ]
        async with platform(Answer(200, {"ok": True, "result": sent()})) as here:
            connector = self.connector(here.url)
            for file, wanted, field in cases:
                done = await connector.direct_message(message(file))
                assert (method(here.calls[-1]), here.calls[-1].fields["caption"]) == (wanted, "Voici")
                assert field in here.calls[-1].fields
                assert f'filename="{file.name}"'.encode() in here.calls[-1].body
                assert done.external_id == "42:9"
            await connector.close()

    async def test_several_are_one_album_and_mixed_ones_are_documents(self, made: Make) -> None:
        async with platform(Answer(200, {"ok": True, "result": [sent(9), sent(10)]})) as here:
            connector = self.connector(here.url)
            done = await connector.direct_message(message(made(), made("v.mp4", "video/mp4")))
            await connector.direct_message(message(made(), made("a.pdf", "application/pdf")))
            await connector.close()
        albums = [json.loads(call.fields["media"]) for call in here.calls]
        assert {method(call) for call in here.calls} == {"sendMediaGroup"}
        assert [[each["type"] for each in album] for album in albums] == [["photo", "video"], ["document", "document"]]
        assert [each.get("caption") for each in albums[0]] == ["Voici", None]
        assert done.external_id == "42:9"

    def test_a_text_that_is_too_long_for_a_caption_goes_first(self, made: Make) -> None:
        whole = message(made(), text="é" * 1024)
        assert TelegramConnector.in_pieces(whole) == (whole,)
        text, file = TelegramConnector.in_pieces(message(made(), text="😀" * 600))
        assert (text.key, text.attachments, len(text.text)) == ("key-1", (), 600)
        assert (file.key, len(file.attachments), file.text) == ("key-1:1", 1, "")

    async def test_a_business_account_writes_by_its_connection(self) -> None:
        async with platform(Answer(200, {"ok": True, "result": sent()})) as here:
            connector = self.connector(here.url)
            ours = OutboundMessage("k", "42@conn-1", "42", "Bonjour", reply_to="42@conn-1:7")
            done = await connector.direct_message(ours)
            await connector.typing("42@conn-1")
            await connector.close()
        assert [call.fields["business_connection_id"] for call in here.calls] == ["conn-1", "conn-1"]
        assert (here.calls[0].fields["chat_id"], done.external_id) == ("42", "42@conn-1:9")
        assert json.loads(here.calls[0].fields["reply_parameters"])["message_id"] == 7


class TestWhatsApp:
    """Cloud API: a file is uploaded, then sent by its number."""

    def connector(self, url: str) -> WhatsAppConnector:
        settings = {"phone_number_id": "106540352242922", "business_account_id": "1", "app_id": "1"}
        return WhatsAppConnector(ChannelConfig(settings, {"access_token": "EAA", "app_secret": "s"}, url))

    async def test_a_file_is_uploaded_and_sent_with_the_text_below_it(self, made: Make) -> None:
        async with platform(Answer(200, {"id": "media-7", "messages": [{"id": "wamid.1"}]})) as here:
            connector = self.connector(here.url)
            done = await connector.direct_message(message(made("facture.pdf", "application/pdf")))
            await connector.close()
        upload, send = here.calls
        assert (method(upload), upload.fields["messaging_product"], upload.fields["type"]) == (
            "media",
            "whatsapp",
            "application/pdf",
        )
        assert PNG in upload.body
        body = send.json
        assert (body["type"], done.external_id) == ("document", "wamid.1")
        assert body["document"] == {"id": "media-7", "caption": "Voici", "filename": "facture.pdf"}

    async def test_a_file_that_is_not_uploaded_is_tried_again_for_nothing_was_sent(self, made: Make) -> None:
        async with platform(Answer(500, {"error": {"code": 1, "message": "unknown"}})) as here:
            connector = self.connector(here.url)
            with pytest.raises(TryLater):
                await connector.direct_message(message(made()))
            await connector.close()
        assert len(here.calls) == 1

    def test_sound_has_no_text_below_it_and_files_go_one_by_one(self, made: Make) -> None:
        pieces = WhatsAppConnector.in_pieces(message(made("v.ogg", "audio/ogg"), made()))
        assert [(piece.key, piece.text, len(piece.attachments)) for piece in pieces] == [
            ("key-1", "Voici", 0),
            ("key-1:1", "", 1),
            ("key-1:2", "", 1),
        ]
        whole = message(made())
        assert WhatsAppConnector.in_pieces(whole) == (whole,)


async def test_messenger_takes_a_text_or_a_file_but_never_both(made: Make) -> None:
    text, file = MessengerConnector.in_pieces(message(made()))
    async with platform(Answer(200, {"message_id": "m_1"})) as here:
        connector = MessengerConnector(ChannelConfig({}, {"access_token": "EAA", "app_secret": "s"}, here.url))
        await connector.direct_message(text)
        await connector.direct_message(file)
        await connector.close()
    first, second = here.calls
    assert first.json["message"]["text"] == "Voici"
    told = json.loads(second.fields["message"])
    assert told["attachment"] == {"type": "image", "payload": {"is_reusable": False}}
    assert told["metadata"].endswith("key-1:1")
    assert json.loads(second.fields["recipient"]) == {"id": "42"}
    assert PNG in second.body


async def test_mastodon_gets_the_file_first_and_is_waited_for(made: Make) -> None:
    async with platform(Answer(200, {"id": "11", "created_at": "2026-03-01T12:00:00Z", "version": "4.2.0"})) as here:
        here.answers["media"] = Answer(202, {"id": "7", "type": "video", "url": None})
        here.answers["7"] = Answer(200, {"id": "7", "type": "video", "url": "https://files.example/7"})
        connector = MastodonConnector(ChannelConfig({"server": here.url}, {"token": "t"}))
        with pytest.raises(TryLater, match="still preparing"):
            await connector.direct_message(message(made("v.mp4", "video/mp4")))
        done = await connector.direct_message(message(made("v.mp4", "video/mp4")))
        await connector.close()
    assert done.external_id == "11"
    paths = [call.path for call in here.calls if "/instance" not in call.path]
    assert paths == ["/api/v2/media", "/api/v1/media/7", "/api/v1/statuses"]
    posted = here.calls[-1]
    assert b"7" in posted.body
    assert posted.headers["idempotency-key"] == "key-1"


def test_a_mail_carries_its_files_under_their_names(made: Make) -> None:
    ours = OutboundMessage("k", "<1@x> nadia@x.example", "nadia@x.example", "Voilà é", attachments=())
    files = [(made("facture é.pdf", "application/pdf"), b"%PDF-1.7"), (made(), PNG)]
    source = compose(ours, "aide@wasla.example", "Wasla", "id@wasla.example", None, files)
    mail = message_from_bytes(source, policy=policy.default)
    text, *parts = mail.iter_parts()  # type: ignore[attr-defined]
    assert text.get_content().strip() == "Voilà é"
    assert [(part.get_filename(), part.get_content_type()) for part in parts] == [
        ("facture é.pdf", "application/pdf"),
        ("photo.png", "image/png"),
    ]
    assert [part.get_content() for part in parts] == [b"%PDF-1.7", PNG]
    assert max(map(len, source.split(b"\r\n"))) < 998


async def test_the_api_gets_files_inside_the_call_or_as_addresses(made: Make) -> None:
    async with platform(Answer(200, {"id": "9"})) as here:
        credentials = {"secret": "s"}
        inside = ApiConnector(ChannelConfig({"callback_url": here.url}, credentials))
        await inside.direct_message(message(made()))
        by_address = ApiConnector(ChannelConfig({"callback_url": here.url, "files": "url"}, credentials))
        await by_address.direct_message(message(made()))
        with pytest.raises(Refused, match="public_url"):
            hidden = made()
            await by_address.direct_message(message(File(hidden.sha256, "a", "image/png", 8, hidden.path)))
        for each in (inside, by_address):
            await each.close()
    [content], [address] = (call.json["attachments"] for call in here.calls)
    assert base64.b64decode(content["content"]) == PNG
    assert (address["url"], "content" in address) == (made().url, False)
    assert (content["kind"], content["name"], content["content_type"], content["size"]) == (
        "image",
        "photo.png",
        "image/png",
        len(PNG),
    )
