"""Telegram: the contract, Telegram's documented payloads and answers, and a round trip through a Telegram server."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from aiohttp import web

from connectors.base import (
    Attachment,
    AuthExpired,
    BadPayload,
    Button,
    Change,
    ChannelConfig,
    Connector,
    ConnectorError,
    Ignored,
    InboundMessage,
    MaybeSent,
    MessageKind,
    OutboundMessage,
    RawEvent,
    Refused,
    TryLater,
    WebhookRequest,
)
from connectors.telegram import FILE_BYTES, TelegramConnector
from tests.connectors.contract import NOW
from tests.connectors.polling import PollContract
from tests.connectors.sending import Failure, PlatformContract
from tests.connectors.webhooks import WebhookContract
from tests.servers.platform import LOST, SILENCE, Answer, Call, Platform, platform
from tests.servers.telegram import TelegramServer, telegram_server

RECORDINGS = Path(__file__).parent / "recordings" / "telegram"
TOKEN = "7000000001:AAE-not-a-true-token"
SECRET = "a-webhook-secret"


def recorded(name: str) -> RawEvent:
    """An update after Telegram's documentation, kept under `name`."""
    return RawEvent(json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8")))


def read_one(name: str) -> InboundMessage:
    """The one message that a recording reads as."""
    [message] = TelegramConnector(ChannelConfig()).read(recorded(name))
    return message


def error(code: int, description: str, **parameters: int) -> Answer:
    """Bot API, "Making requests": how Telegram refuses."""
    body: dict[str, Any] = {"ok": False, "error_code": code, "description": description}
    return Answer(code, body | ({"parameters": parameters} if parameters else {}))


def ok(result: Any) -> Answer:
    """Bot API, "Making requests": how Telegram says yes."""
    return Answer(200, {"ok": True, "result": result})


class TestTelegram(WebhookContract, PlatformContract, PollContract):
    """What every connector must do."""

    connector: ClassVar[type[Connector]] = TelegramConnector
    secret_key: ClassVar[str] = "webhook_secret"
    # Bot API, setWebhook: Telegram proves itself with a plain header; neither body nor time is signed.
    signs_body: ClassVar[bool] = False
    signs_time: ClassVar[bool] = False
    reads_retry_after: ClassVar[bool] = False
    when_the_answer_is_lost: ClassVar[type[ConnectorError]] = MaybeSent
    failures: ClassVar[tuple[Failure, ...]] = (
        Failure(error(400, "Bad Request: chat not found"), Refused, says="Chat not found"),
        Failure(error(400, "Bad Request: message is too long"), Refused, says="Message is too long"),
        Failure(error(400, "Bad Request: BUTTON_DATA_INVALID"), Refused, says="utton_data_invalid"),
        Failure(
            error(400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=-100),
            Refused,
            says="-100",
        ),
        Failure(error(401, "Unauthorized"), AuthExpired, says="@BotFather"),
        Failure(error(404, "Not Found"), AuthExpired, says="@BotFather"),
        Failure(error(403, "Forbidden: bot was blocked by the user"), Refused, says="The customer has blocked the bot"),
        Failure(error(403, "Forbidden: user is deactivated"), Refused, says="no longer exists"),
        Failure(error(403, "Forbidden: bot can't initiate conversation with a user"), Refused, says="has not started"),
        Failure(error(409, "Conflict: terminated by other getUpdates request"), TryLater, says="Another program polls"),
        Failure(error(429, "Too Many Requests: retry after 35", retry_after=35), TryLater, retry_after=35),
        # Nobody knows what became of the message where Telegram's front answers for its back.
        Failure(error(502, "Bad Gateway"), MaybeSent),
        Failure(Answer(504, b"<html>Gateway Time-out</html>"), MaybeSent),
        Failure(Answer(200, b"not JSON"), MaybeSent),
    )

    def config(self) -> ChannelConfig:
        return ChannelConfig({"poll_timeout": 0}, {"token": TOKEN, "webhook_secret": SECRET})

    def samples(self) -> list[RawEvent]:
        names = "text start photo document voice audio video animation sticker location venue contact reply poll dice"
        names += " business business_own group_mention group_reply album_first album_second"
        events = [recorded(name) for name in f"{names} callback_query from_bot".split()]
        return [*events, replace(recorded("callback_query_inaccessible"), received_at=NOW)]

    def sign(self, body: bytes, secret: str, at: datetime) -> WebhookRequest:
        return WebhookRequest("POST", {"x-telegram-bot-api-secret-token": secret}, {}, body, at)

    def batch(self, samples: list[RawEvent]) -> bytes:
        return json.dumps(samples[0].payload).encode()

    def accepted(self) -> Answer:
        return ok({"message_id": 9, "date": 1772366400, "chat": {"id": 42, "type": "private"}, "text": "Bonjour"})

    def text_of(self, call: Call) -> str:
        assert call.path.endswith("/sendMessage")
        return call.fields["text"]

    def news(self) -> web.Application:
        """Updates are told from `offset` on, two at a time, and forgotten when a later one is asked for."""
        updates = [{**raw.payload, "update_id": 100 + n} for n, raw in enumerate(self.samples()[:5])]

        def answer(call: Call) -> Answer:
            offset = int(call.fields.get("offset", 0))
            return ok([update for update in updates if update["update_id"] >= offset][:2])

        return Platform(answer).app()


class TestReading:
    """Telegram's documented payloads, in our words."""

    def test_a_text_message_is_read_whole(self) -> None:
        message = read_one("text")
        assert message.external_id == "1111111:101"
        assert message.thread_key == "1111111"
        assert message.text == "Ma commande n'est pas arrivée 😕"
        assert message.sent_at == datetime.fromtimestamp(1772366501, UTC)
        assert message.author.external_id == "1111111"
        assert message.author.name == "Nadia B"
        assert message.author.handle == "nadia_b"
        assert not message.author.is_bot
        assert message.change is Change.NEW

    def test_start_is_a_message_like_any_other(self) -> None:
        assert read_one("start").text == "/start promo"

    def test_the_largest_size_of_a_photo_is_kept_with_its_caption(self) -> None:
        message = read_one("photo")
        assert message.text == "Le colis est abîmé"
        assert message.attachments == (
            Attachment("image", "AgACAgQAAxkBAAIBZ2-large", content_type="image/jpeg", size=98000),
        )

    @pytest.mark.parametrize(
        ("name", "kind", "file_name", "content_type"),
        [
            ("document", "document", "facture.pdf", "application/pdf"),
            ("voice", "audio", "", "audio/ogg"),
            ("audio", "audio", "note.mp3", "audio/mpeg"),
            ("video", "video", "machine.mp4", "video/mp4"),
            ("animation", "video", "cat.mp4", "video/mp4"),
        ],
    )
    def test_a_file_is_one_attachment(self, name: str, kind: str, file_name: str, content_type: str) -> None:
        [attachment] = read_one(name).attachments
        assert (attachment.kind, attachment.name, attachment.content_type) == (kind, file_name, content_type)
        assert attachment.size

    def test_a_sticker_reads_as_its_emoji_and_a_picture(self) -> None:
        message = read_one("sticker")
        assert message.text == "👍"
        assert [attachment.kind for attachment in message.attachments] == ["image"]

    def test_places_and_contacts_read_as_text(self) -> None:
        assert read_one("location").text == "📍 36.752887, 3.042048"
        assert read_one("venue").text == "📍 Grande Poste, Place Grande Poste (36.752887, 3.042048)"
        assert read_one("contact").text == "👤 Nadia B, +213000000000"

    def test_polls_and_dice_read_as_text(self) -> None:
        assert read_one("poll").text == "📊 Quel forfait ?\n- Idoom\n- Mobile"
        assert read_one("dice").text == "🎲 4"

    def test_a_business_accounts_chat_is_read_with_what_its_owner_writes_elsewhere(self) -> None:
        asked, own = read_one("business"), read_one("business_own")
        assert (asked.thread_key, asked.external_id) == ("1111111@AbCdEf123", "1111111@AbCdEf123:201")
        assert (asked.author.external_id, asked.author.is_self) == ("1111111", False)
        assert (own.thread_key, own.author.is_self) == (asked.thread_key, True)
        with pytest.raises(Ignored, match="Our own answer"):
            read_one("business_sent")
        raw = replace(recorded("business_deleted"), received_at=NOW)
        gone = TelegramConnector(ChannelConfig()).read(raw)
        assert [(each.external_id, each.change) for each in gone] == [
            ("1111111@AbCdEf123:201", Change.DELETE),
            ("1111111@AbCdEf123:202", Change.DELETE),
        ]

    def test_a_reply_names_the_message_that_it_answers(self) -> None:
        assert read_one("reply").reply_to == "1111111:90"

    def test_an_edit_changes_the_message_with_the_same_id(self) -> None:
        edit = read_one("edited")
        assert edit.change is Change.EDIT
        assert edit.external_id == read_one("text").external_id
        assert edit.text == "Ma commande 1234 n'est pas arrivée"
        assert edit.sent_at == datetime.fromtimestamp(1772370000, UTC)

    def test_a_pressed_button_brings_its_value_and_the_message_that_it_stands_under(self) -> None:
        press = read_one("callback_query")
        assert press.button == "csat:5"
        assert press.external_id == "4772185409217003521"
        assert press.reply_to == "1111111:114"
        assert press.thread_key == "1111111"
        assert press.author.external_id == "1111111"

    def test_a_press_has_the_time_at_which_the_ledger_got_it(self) -> None:
        raw = replace(recorded("callback_query"), received_at=NOW)
        [press] = TelegramConnector(ChannelConfig()).read(raw)
        assert press.sent_at == NOW

    def test_a_press_without_any_time_is_a_dead_letter_and_not_a_press_of_1970(self) -> None:
        with pytest.raises(BadPayload, match=r"callback_query\.message\.date"):
            read_one("callback_query_inaccessible")

    def test_a_bot_is_known_as_one(self) -> None:
        assert read_one("from_bot").author.is_bot

    @pytest.mark.parametrize("name", ["group", "channel_post", "service"])
    def test_what_is_not_for_us_is_ignored_with_a_reason(self, name: str) -> None:
        with pytest.raises(Ignored, match=r"does not speak to the bot|channel|service"):
            read_one(name)

    def test_what_a_group_says_to_the_bot_is_a_mention_with_a_thread_for_each_person(self) -> None:
        named, answered = read_one("group_mention"), read_one("group_reply")
        assert (named.kind, named.text) == (MessageKind.MENTION, "😡 @atlas_bot ma connexion est coupée")
        assert (named.thread_key, named.external_id) == ("-1001234567890/1111111", "-1001234567890/1111111:6")
        assert (answered.kind, answered.thread_key) == (MessageKind.MENTION, named.thread_key)

    def test_who_we_are_decides_what_a_group_says_to_us(self) -> None:
        def read(name: str, **settings: str) -> list[InboundMessage]:
            return TelegramConnector(ChannelConfig(settings)).read(recorded(name))

        ours = {"account_id": "7000000001", "account_name": "@Atlas_Bot"}
        assert read("group_mention", **ours)
        assert read("group_reply", **ours)
        for name in ("group_mention", "group_reply"):
            with pytest.raises(Ignored, match="does not speak to the bot"):
                read(name, account_id="7000000002", account_name="@other_bot")

    def test_the_pieces_of_an_album_know_each_other(self) -> None:
        first, second = read_one("album_first"), read_one("album_second")
        assert [file.album for file in (*first.attachments, *second.attachments)] == ["13500000000000001"] * 2
        assert read_one("photo").attachments[0].album == ""

    def test_an_unknown_kind_of_update_reads_as_nothing(self) -> None:
        assert TelegramConnector(ChannelConfig()).read(recorded("unknown")) == []

    def test_a_wrong_field_is_named_and_its_value_is_not_shown(self) -> None:
        payload = recorded("text").payload
        payload["message"]["chat"]["id"] = "very private"
        with pytest.raises(BadPayload, match=r"^message\.chat\.id: ") as refused:
            TelegramConnector(ChannelConfig()).read(RawEvent(payload))
        assert "very private" not in refused.value.reason


class TestCalls:
    """What is asked of Telegram, and what is made of its answers."""

    def opened(self, url: str, **settings: Any) -> TelegramConnector:
        return TelegramConnector(ChannelConfig({"poll_timeout": 0, **settings}, {"token": TOKEN}, url))

    async def test_connecting_says_which_bot_the_token_belongs_to(self) -> None:
        me = {"id": 7000000001, "is_bot": True, "first_name": "Atlas Help", "username": "atlas_help_bot"}
        async with platform(ok(me)) as here:
            connector = self.opened(here.url)
            account = await connector.connect()
            await connector.close()
        assert (account.external_id, account.name) == ("7000000001", "@atlas_help_bot")

    async def test_connecting_without_a_token_asks_for_one(self) -> None:
        with pytest.raises(AuthExpired, match="token is missing"):
            await TelegramConnector(ChannelConfig()).connect()

    async def test_an_unknown_token_stops_polling_too(self) -> None:
        async with platform(error(401, "Unauthorized")) as here:
            connector = self.opened(here.url)
            with pytest.raises(AuthExpired):
                await connector.poll(None)
            await connector.close()

    async def test_a_lost_poll_is_tried_later(self) -> None:
        for answer in (LOST, error(502, "Bad Gateway"), error(409, "Conflict: use deleteWebhook")):
            async with platform(answer) as here:
                connector = self.opened(here.url)
                with pytest.raises(TryLater):
                    await connector.poll(5)
                await connector.close()

    async def test_one_odd_update_does_not_hold_up_the_others(self) -> None:
        odd = {"update_id": 7, "message": {"date": "soon"}}
        async with platform(ok([odd, recorded("text").payload])) as here:
            connector = self.opened(here.url)
            page = await connector.poll(None)
            await connector.close()
        assert [event.external_id for event in page.events] == ["7", "870000001"]
        assert page.cursor == 870000002
        with pytest.raises(BadPayload):
            connector.read(page.events[0])

    def test_nothing_is_polled_in_webhook_mode(self) -> None:
        assert not self.opened("", mode="webhook").is_polled
        assert self.opened("", mode="polling").is_polled
        assert self.opened("").is_polled

    async def test_a_press_that_telegram_no_longer_waits_for_is_still_read(self) -> None:
        async with platform(ok([recorded("callback_query").payload])) as here:
            here.answers["answerCallbackQuery"] = error(400, "Bad Request: query is too old")
            connector = self.opened(here.url)
            page = await connector.poll(None)
            await connector.close()
        assert len(page.events) == 1
        assert [call.path.rpartition("/")[2] for call in here.calls] == ["GetUpdates", "answerCallbackQuery"]

    async def test_the_webhook_is_set_with_its_secret_and_the_updates_that_are_read(self) -> None:
        async with platform(ok(True)) as here:
            connector = self.opened(here.url)
            await connector.set_webhook("https://crm.example/hooks/1", SECRET)
            await connector.set_webhook(None, "")
            with pytest.raises(Refused):
                await connector.set_webhook("https://crm.example/hooks/1", "")
            await connector.close()
        on, off = here.calls
        assert on.fields["secret_token"] == SECRET
        kinds = ["message", "edited_message", "callback_query"]
        kinds += ["business_message", "edited_business_message", "deleted_business_messages"]
        assert json.loads(on.fields["allowed_updates"]) == kinds
        assert off.path.endswith("/deleteWebhook")

    async def test_no_markup_is_asked_for_and_a_deleted_message_can_still_be_answered(self) -> None:
        async with platform(TestTelegram().accepted()) as here:
            connector = self.opened(here.url)
            await connector.direct_message(
                OutboundMessage("k", "42", "42", "*a* <b>", reply_to="42:7", buttons=(Button("Oui", "y"),))
            )
            await connector.direct_message(OutboundMessage("k", "42", "42", "b", reply_to="477218540921"))
            await connector.direct_message(OutboundMessage("k", "2", "2", "c", reply_to="42:7"))
            await connector.close()
        first, *others = here.calls
        assert first.fields["text"] == "*a* <b>"
        assert "parse_mode" not in first.fields
        replied = json.loads(first.fields["reply_parameters"])
        assert replied == {"message_id": 7, "allow_sending_without_reply": True}
        assert all("reply_parameters" not in call.fields for call in others)

    async def test_an_answer_that_does_not_come_in_time_leaves_the_message_unknown(self) -> None:
        async with platform(SILENCE) as here:
            connector = self.opened(here.url, request_timeout=0.2)
            with pytest.raises(MaybeSent):
                await connector.direct_message(OutboundMessage("k", "42", "42", "Bonjour"))
            await connector.close()

    async def test_a_file_is_fetched(self) -> None:
        async with platform(Answer(200, b"\x89PNG")) as here:
            here.answers["getFile"] = ok({"file_id": "f", "file_unique_id": "u", "file_path": "photos/a b.png"})
            connector = self.opened(here.url)
            assert await connector.fetch(Attachment("image", "f")) == b"\x89PNG"
            await connector.close()
        assert here.calls[1].path == f"/file/bot{TOKEN}/photos/a b.png"

    async def test_a_file_that_is_too_large_is_refused_before_it_is_asked_for(self) -> None:
        large = {"file_id": "f", "file_unique_id": "u", "file_path": "a", "file_size": FILE_BYTES + 1}
        async with platform(ok(large)) as here:
            connector = self.opened(here.url)
            with pytest.raises(Refused):
                await connector.fetch(Attachment("document", "f", size=FILE_BYTES + 1))
            assert here.calls == []
            with pytest.raises(Refused):
                await connector.fetch(Attachment("document", "f"))
            await connector.close()
        assert len(here.calls) == 1

    async def test_a_file_that_is_gone_does_not_stop_the_channel(self) -> None:
        async with platform(Answer(404, b"")) as here:
            here.answers["getFile"] = ok({"file_id": "f", "file_unique_id": "u", "file_path": "gone"})
            connector = self.opened(here.url)
            with pytest.raises(Refused, match="no longer"):
                await connector.fetch(Attachment("document", "f"))
            await connector.close()

    async def test_neither_the_token_nor_a_text_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        for answer in (TestTelegram().accepted(), Answer(200, b"{secret text"), error(401, "Unauthorized"), LOST):
            async with platform(answer) as here:
                connector = self.opened(here.url)
                with suppress(ConnectorError):
                    await connector.direct_message(OutboundMessage("k", "42", "42", "secret text"))
                await connector.close()
        # The access log is that of the pretended Telegram.
        ours = [record.getMessage() for record in caplog.records if record.name != "aiohttp.access"]
        assert ours
        assert not [line for line in ours if TOKEN in line or "secret text" in line]


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    async with telegram_server() as here:
        yield here


@pytest.fixture
async def connector(server: TelegramServer) -> AsyncIterator[TelegramConnector]:
    config = ChannelConfig({"poll_timeout": 5}, {"token": server.token, "webhook_secret": SECRET}, server.api_url)
    opened = TelegramConnector(config)
    yield opened
    await opened.close()


class TestRoundTrip:
    """Through telegram-test-api: a user on one side, the connector on the other."""

    async def test_connecting_finds_the_bot(self, connector: TelegramConnector) -> None:
        assert (await connector.connect()).name == "@TestNameBot"

    async def test_a_message_is_polled_until_its_cursor_is_kept(
        self, connector: TelegramConnector, server: TelegramServer
    ) -> None:
        await server.send_text(11, "Où est ma commande ?")
        first = await connector.poll(None)
        [message] = [message for raw in first.events for message in connector.read(raw)]
        assert (message.text, message.thread_key, message.author.name) == ("Où est ma commande ?", "11", "User 11")
        assert not first.more

        again = await connector.poll(None)
        assert again.events == first.events, "a crash before the cursor was kept loses nothing"

        await server.send_text(12, "Hello")
        after = await connector.poll(first.cursor)
        assert [message.text for raw in after.events for message in connector.read(raw)] == ["Hello"]
        assert await server.waiting_updates() == 1

    async def test_a_poll_waits_for_the_first_message(
        self, connector: TelegramConnector, server: TelegramServer
    ) -> None:
        async with asyncio.TaskGroup() as tasks:
            polled = tasks.create_task(connector.poll(None))
            tasks.create_task(server.send_text(11, "Late"))
        assert [message.text for raw in polled.result().events for message in connector.read(raw)] == ["Late"]

    async def test_an_answer_with_buttons_is_pressed_and_its_value_comes_back(
        self, connector: TelegramConnector, server: TelegramServer
    ) -> None:
        buttons = tuple(Button(str(number), f"csat:{number}") for number in range(1, 6))
        sent = await connector.direct_message(OutboundMessage("key", "11", "11", "Satisfied?", buttons))
        [message] = await server.wait_for_bot_messages(11, 1)
        assert message.text == "Satisfied?"
        assert message.buttons == tuple((button.label, button.value) for button in buttons)
        assert sent.external_id == f"11:{message.message_id}"
        assert sent.sent_at
        assert abs((datetime.now(UTC) - sent.sent_at).total_seconds()) < 60

        press_id = await server.press(11, message, "csat:4")
        page = await connector.poll(None)
        [press] = [message for raw in page.events for message in connector.read(raw)]
        assert (press.button, press.external_id, press.reply_to) == ("csat:4", press_id, sent.external_id)
        assert server.answered_presses == [press_id], "the spinner was stopped"

    async def test_an_answer_quotes_the_message_that_it_answers(
        self, connector: TelegramConnector, server: TelegramServer
    ) -> None:
        asked = await server.send_text(11, "Question")
        question = f"11:{asked['message_id']}"
        await connector.direct_message(OutboundMessage("key", "11", "11", "Answer", reply_to=question))
        [answer] = await server.wait_for_bot_messages(11, 1)
        assert answer.reply_to == asked["message_id"]

    async def test_a_message_that_the_user_changes_keeps_its_id(
        self, connector: TelegramConnector, server: TelegramServer
    ) -> None:
        await server.edit_text(11, await server.send_text(11, "Mistkae"), "Mistake")
        page = await connector.poll(None)
        first, edit = [message for raw in page.events for message in connector.read(raw)]
        assert (edit.text, edit.change, edit.external_id) == ("Mistake", Change.EDIT, first.external_id)

    async def test_a_message_of_ours_is_deleted(self, connector: TelegramConnector, server: TelegramServer) -> None:
        sent = await connector.direct_message(OutboundMessage("key", "11", "11", "Oops"))
        assert sent.external_id
        await connector.delete(sent.external_id)
        assert await server.bot_messages(11) == []
        with pytest.raises(Refused):
            await connector.delete(sent.external_id)

    async def test_typing_is_shown(self, connector: TelegramConnector, server: TelegramServer) -> None:
        await connector.typing("11")
        assert server.typing_in == ["11"]

    async def test_another_token_is_unknown(self, server: TelegramServer) -> None:
        stranger = TelegramConnector(ChannelConfig({}, {"token": "1:other"}, server.api_url))
        with pytest.raises(AuthExpired):
            await stranger.connect()
        await stranger.close()

    async def test_the_webhook_brings_what_a_poll_would_and_again_until_it_is_taken(
        self, connector: TelegramConnector, server: TelegramServer
    ) -> None:
        async with platform(Answer(500)) as ours:
            await connector.set_webhook(f"{ours.url}/hooks/1", SECRET)
            await server.send_text(11, "Bonjour")
            with pytest.raises(TryLater, match="webhook is active"):
                await connector.poll(None)
            ours.answer = Answer(200)
            await server.send_text(11, "Encore")
            read = []
            for call in ours.calls:
                request = WebhookRequest(call.method, call.headers, {}, call.body, NOW)
                read += [m.text for raw in connector.read_webhook(request) for m in connector.read(raw)]
            assert read == ["Bonjour", "Bonjour", "Encore"]
            assert server.webhook_statuses == [500, 200, 200]
            assert await server.waiting_updates() == 0
            await connector.set_webhook(None, "")
        await server.send_text(11, "Fin")
        assert [m.text for raw in (await connector.poll(None)).events for m in connector.read(raw)] == ["Fin"]

    async def test_a_press_that_came_by_webhook_is_acknowledged_when_it_is_stored(
        self, connector: TelegramConnector, server: TelegramServer
    ) -> None:
        await connector.direct_message(OutboundMessage("key", "11", "11", "?", (Button("Yes", "y"),)))
        [message] = await server.bot_messages(11)
        async with platform() as ours:
            await connector.set_webhook(f"{ours.url}/hooks/1", SECRET)
            press = await server.press(11, message, "y")
            [call] = ours.calls
            [raw] = connector.read_webhook(WebhookRequest("POST", call.headers, {}, call.body, NOW))
            assert server.answered_presses == []
            await connector.acknowledge(raw)
            assert server.answered_presses == [press]
