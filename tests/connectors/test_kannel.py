"""Kannel: the contract, its documented calls, and a round trip through the real Kannel with fakesmsc."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from connectors.base import (
    AuthExpired,
    BadPayload,
    BadWebhook,
    Change,
    ChannelConfig,
    Connector,
    ConnectorError,
    Ignored,
    InboundMessage,
    MaybeSent,
    OutboundMessage,
    RawEvent,
    Refused,
    TryLater,
    WebhookRequest,
)
from connectors.kannel import KannelConnector
from tests.connectors.contract import NOW
from tests.connectors.sending import Failure, PlatformContract
from tests.connectors.webhooks import WebhookContract
from tests.servers.kannel import PASSWORD, USER, Kannel, kannel
from tests.servers.platform import Answer, Call, platform

RECORDINGS = Path(__file__).parent / "recordings" / "kannel"
SECRET = "kannel-webhook-secret"
HOOK = "https://crm.example/hooks/sms"
SETTINGS = {"url": "http://127.0.0.1:13013", "username": "crm", "sender": "1234", "region": "DZ"}
TEXT = "Salam, la fibre est coupée depuis hier 😕"


def basic(secret: str) -> str:
    """The header that the address with our password makes Kannel send."""
    return "Basic " + b64encode(f"kannel:{secret}".encode(errors="replace")).decode()


def recorded(name: str) -> WebhookRequest:
    """A call as Kannel 1.4.5 made it."""
    call = json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
    headers = {**call["headers"], "authorization": basic(SECRET)}
    return WebhookRequest(call["method"], headers, call["query"], bytes.fromhex(call["body_hex"]), NOW)


def opened(url: str = "http://127.0.0.1:1", hook: str = HOOK, **settings: Any) -> KannelConnector:
    credentials = {"password": PASSWORD, "webhook_secret": SECRET}
    return KannelConnector(ChannelConfig({**SETTINGS, "url": url, **settings}, credentials, hook_url=hook))


def read_one(name: str) -> InboundMessage:
    """The one message that a recording reads as."""
    [raw] = opened().read_webhook(recorded(name))
    [message] = opened().read(raw)
    return message


class TestKannel(WebhookContract, PlatformContract):
    """What every connector must do."""

    connector: ClassVar[type[Connector]] = KannelConnector
    secret_key: ClassVar[str] = "webhook_secret"
    # Kannel has no signatures: it sends the password that stands in the address that it was given.
    signs_body: ClassVar[bool] = False
    signs_time: ClassVar[bool] = False
    proofs: ClassVar[tuple[str, ...]] = ("authorization",)
    when_the_answer_is_lost: ClassVar[type[ConnectorError]] = MaybeSent
    failures: ClassVar[tuple[Failure, ...]] = (
        Failure(Answer(403, b"Authorization failed for sendsms"), AuthExpired, says="Authorization failed"),
        Failure(Answer(400, b"Missing receiver number, rejected"), Refused, says="Missing receiver number"),
        Failure(Answer(404, b"Unknown request."), Refused, says="Unknown request"),
        Failure(Answer(302, b"", {"Location": "http://127.0.0.1:1/"}), Refused),
        Failure(Answer(503, b"Temporal failure, try again later."), TryLater, says="try again later"),
        Failure(Answer(503, b"Not routable", {"Retry-After": "35"}), TryLater, retry_after=35),
        Failure(Answer(502, b"Bad Gateway"), MaybeSent),
    )

    def config(self) -> ChannelConfig:
        return ChannelConfig(SETTINGS, {"password": "kannel-password", "webhook_secret": SECRET})

    def samples(self) -> list[RawEvent]:
        texts = (TEXT, "مرحبا، الانترنت مقطوعة", "STOP", "x" * 1000)
        return [
            RawEvent({"id": f"id-{n}", "sender": "213550000001", "to": "1234", "at": NOW.isoformat(), "text": text})
            for n, text in enumerate(texts)
        ] + [RawEvent({"message": "ab" * 16, "receipt": "2", "answer": "NACK/11", "at": NOW.isoformat()})]

    def sign(self, body: bytes, secret: str, at: datetime) -> WebhookRequest:
        headers = {"authorization": basic(secret), "content-type": 'text/plain; charset="UTF-8"'}
        headers |= {"x-kannel-from": "213550000001", "x-kannel-to": "1234", "x-kannel-time": "2026-03-01 12:00:00"}
        return WebhookRequest("POST", headers, {"id": "id-0"}, body, at)

    def batch(self, samples: list[RawEvent]) -> bytes:
        return str(samples[0].payload["text"]).encode()

    def outbound(self, text: str = "Bonjour") -> OutboundMessage:
        return OutboundMessage("key-1", "+213550000001", "+213550000001", text)

    def accepted(self) -> Answer:
        return Answer(202, b"0: Accepted for delivery")

    def text_of(self, call: Call) -> str:
        assert (call.method, call.path) == ("POST", "/cgi-bin/sendsms")
        return call.body.decode()

    def test_a_true_call_that_is_no_json_is_kept_and_refused_with_a_reason(self) -> None:
        """Kannel's bodies are texts, so nothing is refused for its form: what cannot be shown is shown as such."""
        connector = KannelConnector(self.config())
        for body, text in ((b"{", "{"), (b"\xff\xfe\xfd", "\ufffd" * 3), (b"a\0b", "a\ufffdb")):
            [raw] = connector.read_webhook(self.sign(body, SECRET, NOW))
            json.dumps(raw.payload, ensure_ascii=False, allow_nan=False).encode()
            assert connector.read(raw)[0].text == text
        [raw] = connector.read_webhook(self.sign(b"", SECRET, NOW))
        with pytest.raises(Ignored, match="without text"):
            connector.read(raw)


class TestComingIn:
    """Kannel's calls, as they were recorded."""

    def test_an_sms_is_read_whole(self) -> None:
        message = read_one("text")
        assert message.text == "salam khouya é"
        assert message.external_id == "6b49627f-fd63-4b8c-8c3e-5badb81755d4"
        assert (message.thread_key, message.author.external_id) == ("+213550000001", "+213550000001")
        assert message.sent_at == datetime(2026, 11, 22, 2, 9, 56, tzinfo=UTC)
        assert message.consent is None

    def test_arabic_and_emoji_come_as_utf_16(self) -> None:
        assert read_one("arabic").text == "مرح😀"

    def test_stop_and_start_are_known(self) -> None:
        assert (read_one("stop").consent, read_one("start").consent) == (False, True)

    def test_a_receipt_of_a_lost_sms_fails_the_message_that_was_sent(self) -> None:
        failed = read_one("receipt_refused")
        assert failed.change is Change.FAILED
        assert failed.external_id == "kannel:0123456789abcdef0123456789abcdef"
        assert failed.text == "SMS refused by the SMS centre: NACK/Invalid number"
        assert failed.author.is_self
        assert read_one("receipt_undelivered").text == "SMS not delivered."

    def test_other_receipts_are_kept_and_change_nothing(self) -> None:
        for name, words in (("receipt_delivered", "delivered"), ("receipt_buffered", "waiting")):
            with pytest.raises(Ignored, match=words):
                read_one(name)

    def test_a_binary_sms_is_ignored_and_one_without_sender_says_what_to_set(self) -> None:
        with pytest.raises(Ignored, match="binary"):
            read_one("binary")
        with pytest.raises(BadPayload, match="send-sender"):
            read_one("no_sender")

    def test_an_unknown_receipt_is_a_dead_letter(self) -> None:
        with pytest.raises(BadPayload, match="receipt"):
            read_one("receipt_unknown")

    def test_a_receipt_without_the_password_is_refused(self) -> None:
        call = recorded("receipt_delivered")
        with pytest.raises(BadWebhook):
            opened().read_webhook(WebhookRequest("GET", {}, call.query, b"", NOW))


class TestGoingOut:
    """What is asked of Kannel."""

    async def test_an_sms_carries_its_number_alphabet_and_the_address_for_receipts(self) -> None:
        async with platform(Answer(202, b"0: Accepted for delivery")) as here:
            connector = opened(here.url)
            sent = await connector.direct_message(OutboundMessage("agent:1/é", "t", "0550 00 00 01", "مرحبا"))
            again = await connector.direct_message(OutboundMessage("agent:1/é", "t", "0550000001", "Bonjour €"))
            await connector.close()
        arabic, french = here.calls
        assert sent.external_id == again.external_id, "the same key gives the same id"
        assert sent.external_id
        assert arabic.headers["x-kannel-to"] == "+213550000001"
        assert (arabic.headers["x-kannel-coding"], french.headers["x-kannel-coding"]) == ("2", "0")
        assert (arabic.headers["x-kannel-username"], arabic.headers["x-kannel-password"]) == ("crm", PASSWORD)
        number = sent.external_id.removeprefix("kannel:")
        assert arabic.headers["x-kannel-dlr-url"] == (
            f"https://kannel:{SECRET}@crm.example/hooks/sms?message={number}&receipt=%d&answer=%A"
        )
        assert arabic.headers["x-kannel-dlr-mask"] == "19"

    async def test_what_cannot_travel_is_refused_before_anything_is_sent(self) -> None:
        async with platform(Answer(202, b"0: Accepted for delivery")) as here:
            connector = opened(here.url)
            for recipient, text in (("Mobilis", "a"), ("+213550000001", "م" * 671), ("+213550000001", "😀" * 336)):
                with pytest.raises(Refused):
                    await connector.direct_message(OutboundMessage("k", "t", recipient, text))
            await connector.close()
        assert here.calls == []
        assert KannelConnector.length("€a") == 3
        assert KannelConnector.length("😀م") == 3

    async def test_connecting_checks_the_password_and_sends_nothing(self) -> None:
        async with platform(Answer(400, b"Missing receiver number, rejected")) as here:
            connector = opened(here.url)
            account = await connector.connect()
            await connector.close()
        assert account.name == "1234"
        assert "x-kannel-to" not in here.calls[0].headers
        async with platform(Answer(403, b"Authorization failed for sendsms")) as here:
            connector = opened(here.url)
            with pytest.raises(AuthExpired):
                await connector.connect()
            await connector.close()

    async def test_wrong_settings_are_named(self) -> None:
        for settings, words in (
            ({"url": "kannel"}, "http"),
            ({"sender": "a\nb"}, "Latin"),
            ({"username": "é"}, "Latin"),
        ):
            connector = opened(**{"url": "http://127.0.0.1:1", **settings})
            with pytest.raises(Refused, match=words):
                await connector.connect()

    def test_the_admin_gets_the_lines_for_kannel(self) -> None:
        first, _ = opened().instructions("https://crm.example", "sms")
        assert f'post-url = "https://kannel:{SECRET}@crm.example/hooks/sms?id=%I"' in first[1]


class Receiver:
    """Our webhook: a connector's events as Kannel's calls bring them."""

    def __init__(self) -> None:
        self.connector = opened()
        self.messages: list[InboundMessage] = []
        self.receipts: list[str] = []
        self.changed = asyncio.Condition()

    async def handle(self, request: web.Request) -> web.Response:
        """One call."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = WebhookRequest(request.method, headers, dict(request.query), await request.read(), datetime.now(UTC))
        async with self.changed:
            for raw in self.connector.read_webhook(call):
                try:
                    self.messages += self.connector.read(raw)
                except Ignored as reason:
                    self.receipts.append(reason.reason)
            self.changed.notify_all()
        return web.Response()

    async def wait_for(self, messages: int = 0, receipts: int = 0) -> None:
        """Until so many have come."""
        async with asyncio.timeout(20), self.changed:
            await self.changed.wait_for(lambda: len(self.messages) >= messages and len(self.receipts) >= receipts)


@asynccontextmanager
async def gateway(folder: Path) -> AsyncIterator[tuple[Kannel, Receiver, KannelConnector]]:
    """Kannel with the very lines that our Channels page shows, our webhook, and our connector."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/hooks/sms", receiver.handle)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server(shutdown_timeout=0.1)
    base = str(server.make_url("/")).rstrip("/")
    try:
        async with kannel(folder, lambda url: opened().instructions(base, "sms")[0][1]) as running:
            connector = opened(running.url, hook=f"{base}/hooks/sms", username=USER)
            yield running, receiver, connector
            await connector.close()
    finally:
        await server.close()


async def test_arabic_goes_through_the_real_kannel_both_ways_with_receipts(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (running, receiver, connector):
        assert (await connector.connect()).name == "1234"
        arabic = "".join(f"%{byte:02x}" for byte in "مرحبا 😀".encode("utf-16-be"))
        async with running.handset(f"213550000001 1234 ucs2 {arabic}") as handset:
            await receiver.wait_for(messages=1)
            [question] = receiver.messages
            assert question.text == "مرحبا 😀"
            assert question.author.external_id == "+213550000001"
            long = "الانترنت مقطوعة منذ البارحة 😀 " * 4
            texts = ("وعليكم السلام 😀", "Prix : 5 € é à [ok]", long)
            for number, text in enumerate(texts):
                answer = OutboundMessage(f"key-{number}", question.thread_key, question.thread_key, text)
                assert (await connector.direct_message(answer)).external_id
            arrived = await handset.wait_for(2 + 2)
            await receiver.wait_for(messages=1, receipts=3)
        assert [sms.text for sms in arrived[:2]] == list(texts[:2])
        assert "".join(sms.text for sms in arrived[2:]) == long
        assert [sms.part[-2:] for sms in arrived[2:]] == [b"\x02\x01", b"\x02\x02"], "part 1 and 2 of 2"
        assert receiver.receipts == ["A receipt: delivered."] * 3


async def test_stop_through_the_real_kannel_is_a_stop_and_a_wrong_password_signs_out(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (running, receiver, _):
        async with running.handset("0550000001 1234 text Arrêt"):
            await receiver.wait_for(messages=1)
        [message] = receiver.messages
        assert (message.thread_key, message.consent) == ("+213550000001", False)
        stranger = KannelConnector(ChannelConfig({**SETTINGS, "url": running.url}, {"password": "wrong"}))
        with pytest.raises(AuthExpired, match="Authorization failed"):
            await stranger.connect()
        await stranger.close()
