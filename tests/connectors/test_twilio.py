"""Twilio: the contract, and its documented webhooks and answers (recordings, and a fake that speaks HTTP)."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode

import pytest

from connectors.base import (
    Attachment,
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
from connectors.twilio import TwilioConnector, signature
from tests.connectors.contract import NOW
from tests.connectors.sending import Failure, PlatformContract
from tests.connectors.webhooks import WebhookContract
from tests.servers.platform import Answer, Call, platform

RECORDINGS = Path(__file__).parent / "recordings" / "twilio"
SID = "AC00000000000000000000000000000000"
TOKEN = "twilio-auth-token-of-tests"
HOOK = "https://crm.example/hooks/sms"
SETTINGS = {"account_sid": SID, "sender": "+15005550006"}


def form(name: str) -> dict[str, str]:
    """A form that Twilio posts, after its documentation."""
    found: dict[str, str] = json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def recorded(name: str) -> RawEvent:
    return RawEvent({"at": NOW.isoformat(), "form": form(name)})


def read_one(name: str) -> InboundMessage:
    """The one message that a recording reads as."""
    [message] = TwilioConnector(ChannelConfig()).read(recorded(name))
    return message


def opened(url: str | None = None, hook: str = HOOK, **settings: Any) -> TwilioConnector:
    return TwilioConnector(ChannelConfig({**SETTINGS, **settings}, {"auth_token": TOKEN}, url, hook))


def answer(name: str, status: int, **headers: str) -> Answer:
    """An answer of the REST API, after its documentation."""
    return Answer(status, json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8")), headers)


class TestTwilio(WebhookContract, PlatformContract):
    """What every connector must do."""

    connector: ClassVar[type[Connector]] = TwilioConnector
    secret_key: ClassVar[str] = "auth_token"
    signs_time: ClassVar[bool] = False  # Twilio's calls carry no time
    when_the_answer_is_lost: ClassVar[type[ConnectorError]] = MaybeSent
    failures: ClassVar[tuple[Failure, ...]] = (
        Failure(answer("error_authenticate", 401), AuthExpired, says="Authenticate"),
        Failure(answer("error_invalid_to", 400), Refused, says="is not a valid phone number"),
        Failure(answer("error_stopped", 400), Refused, says="STOP"),
        Failure(answer("error_too_many", 429, **{"Retry-After": "7"}), TryLater, retry_after=7),
        Failure(Answer(404, {"code": 20404, "message": "The requested resource was not found"}), Refused, says="found"),
        Failure(Answer(500, {"code": 20500, "message": "Internal error"}), MaybeSent, says="Internal error"),
        Failure(Answer(503, b"<html>down</html>"), MaybeSent),
        Failure(Answer(201, b"not JSON"), MaybeSent),
        Failure(Answer(307, b"", {"Location": "http://127.0.0.1:1/"}), Refused),
    )

    def config(self) -> ChannelConfig:
        return ChannelConfig(SETTINGS, {"auth_token": TOKEN}, hook_url=HOOK)

    def samples(self) -> list[RawEvent]:
        return [recorded(name) for name in ("text", "arabic", "mms", "stop", "status_undelivered", "status_failed")]

    def sign(self, body: bytes, secret: str, at: datetime) -> WebhookRequest:
        pairs = sorted(set(parse_qsl(body.decode(errors="replace"), keep_blank_values=True)))
        signed = (HOOK + "".join(key + value for key, value in pairs)).encode()
        code = base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha1).digest()).decode()
        return WebhookRequest("POST", {"x-twilio-signature": code}, {}, body, at)

    def batch(self, samples: list[RawEvent]) -> bytes:
        return urlencode(samples[0].payload["form"]).encode()

    def outbound(self, text: str = "Bonjour") -> OutboundMessage:
        return OutboundMessage("key-1", "+213550000001", "+213550000001", text)

    def accepted(self) -> Answer:
        return answer("sent", 201)

    def text_of(self, call: Call) -> str:
        assert call.path == f"/2010-04-01/Accounts/{SID}/Messages.json"
        return call.fields["Body"]


class TestComingIn:
    """Twilio's documented webhooks."""

    def test_the_signature_is_the_one_of_twilios_own_example(self) -> None:
        pairs = [
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+12349013030"),
            ("Digits", "1234"),
            ("From", "+12349013030"),
            ("To", "+18005551212"),
        ]
        url = "https://mycompany.com/myapp.php?foo=1&bar=2"
        assert signature("12345", url, pairs) == "0/KCTR6DLpKmkAf8muzZqo1nDgQ="

    def test_an_sms_is_read_whole(self) -> None:
        message = read_one("text")
        assert message.external_id == "SM11111111111111111111111111111111"
        assert (message.thread_key, message.author.external_id) == ("+213550000001", "+213550000001")
        assert message.text == "Salam, la fibre est coupée"
        assert message.sent_at == NOW
        assert message.consent is None

    def test_pictures_come_with_their_address(self) -> None:
        [picture] = read_one("mms").attachments
        assert (picture.kind, picture.content_type) == ("image", "image/jpeg")
        assert picture.external_id.startswith("https://api.twilio.com/2010-04-01/Accounts/")

    def test_stop_is_known_by_its_word_and_by_twilios_own_mark(self) -> None:
        assert read_one("stop").consent is False
        marked = recorded("text")
        marked.payload["form"]["OptOutType"] = "STOP"
        assert TwilioConnector(ChannelConfig()).read(marked)[0].consent is False

    def test_what_was_not_delivered_fails_the_message(self) -> None:
        failed = read_one("status_undelivered")
        assert (failed.change, failed.external_id) == (Change.FAILED, "SM22222222222222222222222222222222")
        assert failed.text == "SMS undelivered: Twilio error 30003."
        assert failed.author.is_self

    def test_other_statuses_change_nothing(self) -> None:
        for name in ("status_sent", "status_delivered"):
            with pytest.raises(Ignored, match="receipt"):
                read_one(name)

    def test_an_empty_sms_is_ignored_and_one_without_sender_is_a_dead_letter(self) -> None:
        for changes, error in (({"Body": " "}, Ignored), ({"From": ""}, BadPayload), ({"MessageSid": ""}, BadPayload)):
            raw = recorded("text")
            raw.payload["form"] |= changes
            with pytest.raises(error):
                TwilioConnector(ChannelConfig()).read(raw)

    def test_a_call_signed_for_another_address_is_refused(self) -> None:
        body = urlencode(form("text")).encode()
        call = TestTwilio().sign(body, TOKEN, NOW)
        assert opened().read_webhook(call)
        with pytest.raises(BadWebhook):
            opened(hook="https://other.example/hooks/sms").read_webhook(call)


class TestGoingOut:
    """What is asked of Twilio."""

    async def test_an_sms_is_sent_with_the_address_for_its_status(self) -> None:
        async with platform(answer("sent", 201)) as here:
            connector = opened(here.url)
            sent = await connector.direct_message(TestTwilio().outbound("مرحبا"))
            await connector.close()
            service = opened(here.url, sender="MG0123")
            await service.direct_message(TestTwilio().outbound())
            await service.close()
        call, by_service = here.calls
        assert sent.external_id == "SM33333333333333333333333333333333"
        assert sent.sent_at == datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC)
        assert call.fields == {
            "To": "+213550000001",
            "From": "+15005550006",
            "Body": "مرحبا",
            "StatusCallback": HOOK,
        }
        expected = "Basic " + base64.b64encode(f"{SID}:{TOKEN}".encode()).decode()
        assert call.headers["authorization"] == expected
        assert by_service.fields["MessagingServiceSid"] == "MG0123"

    async def test_what_cannot_travel_is_refused_before_anything_is_sent(self) -> None:
        async with platform(answer("sent", 201)) as here:
            connector = opened(here.url)
            with pytest.raises(Refused, match="11 SMS"):
                await connector.direct_message(TestTwilio().outbound("م" * 671))
            await connector.close()
        assert here.calls == []

    async def test_connecting_says_who_we_are(self) -> None:
        account = Answer(200, {"sid": SID, "friendly_name": "Atlas", "status": "active"})
        for said, error in (
            (account, None),
            (answer("error_authenticate", 401), AuthExpired),
            (Answer(200, {"sid": SID, "status": "suspended"}), AuthExpired),
        ):
            async with platform(said) as here:
                connector = opened(here.url)
                if error:
                    with pytest.raises(error):
                        await connector.connect()
                else:
                    assert (await connector.connect()).name == "+15005550006"
                await connector.close()

    async def test_a_file_is_fetched_from_twilio_only(self) -> None:
        async with platform(Answer(200, b"\xff\xd8")) as here:
            connector = opened(here.url)
            assert await connector.fetch(Attachment("image", f"{here.url}/Media/ME1")) == b"\xff\xd8"
            with pytest.raises(Refused, match="lie with Twilio"):
                await connector.fetch(Attachment("image", "https://elsewhere.example/a.jpg"))
            await connector.close()
        assert here.calls[0].headers["authorization"].startswith("Basic ")

    async def test_without_a_token_nothing_is_asked(self) -> None:
        with pytest.raises(AuthExpired):
            await TwilioConnector(ChannelConfig(SETTINGS)).connect()
