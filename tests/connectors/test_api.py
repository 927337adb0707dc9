"""The API channel: the contract, and the protocol as its docs page promises it."""

import base64
import hashlib
import hmac
import json
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

from connectors.api import FILE_BYTES, ApiConnector, sign
from connectors.base import (
    Attachment,
    AuthExpired,
    BadPayload,
    Button,
    ChannelConfig,
    Connector,
    ConnectorError,
    InboundMessage,
    MessageKind,
    OutboundMessage,
    RawEvent,
    Refused,
    TryLater,
    WebhookRequest,
)
from tests.connectors.contract import NOW
from tests.connectors.sending import Failure, PlatformContract
from tests.connectors.webhooks import WebhookContract
from tests.servers.platform import LOST, SILENCE, Answer, Call, platform

SECRET = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
MESSAGE: dict[str, Any] = {
    "id": "m-1",
    "author": {"id": "c-9", "name": "Nadia", "handle": "nadia_b"},
    "text": "Où est ma commande ?",
    "sent_at": "2026-03-01T13:00:00+01:00",
}
PAGE = Path(__file__).parents[2] / "docs" / "connectors" / "api.md"


def call(body: bytes, secret: str = SECRET, at: datetime = NOW) -> WebhookRequest:
    """A signed call, with the signature worked out here and not by the connector."""
    timestamp = str(int(at.timestamp()))
    code = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {"x-socialcrm-timestamp": timestamp, "x-socialcrm-signature": f"sha256={code}"}
    return WebhookRequest("POST", headers, {}, body, at)


def read_one(**changes: Any) -> InboundMessage:
    """The sample message, changed, as it is read; a change to None takes the field away."""
    payload = {key: value for key, value in {**MESSAGE, **changes}.items() if value is not None}
    [message] = ApiConnector(ChannelConfig()).read(RawEvent(payload))
    return message


class TestApi(WebhookContract, PlatformContract):
    """What every connector must do."""

    connector: ClassVar[type[Connector]] = ApiConnector
    when_the_answer_is_lost: ClassVar[type[ConnectorError]] = TryLater
    failures: ClassVar[tuple[Failure, ...]] = (
        Failure(Answer(400, {"error": "no such thread"}), Refused, says="no such thread"),
        Failure(Answer(422, {"detail": "text is empty"}), Refused, says="text is empty"),
        Failure(Answer(404, b"<h1>" + b"not here " * 900), Refused, says="not here"),
        Failure(Answer(302, b"", {"Location": "http://127.0.0.1:1/"}), Refused, says="302"),
        Failure(Answer(401, b""), AuthExpired, says="401"),
        Failure(Answer(403, b"bad signature"), AuthExpired, says="bad signature"),
        Failure(Answer(429, b"", {"Retry-After": "35"}), TryLater, retry_after=35),
        Failure(Answer(503, b"", {"Retry-After": "120"}), TryLater, retry_after=120),
        Failure(Answer(503, b"", {"Retry-After": "Wed, 01 Jan 2020 00:00:00 GMT"}), TryLater, retry_after=0),
        Failure(Answer(429, b"", {"Retry-After": "soon"}), TryLater),
        Failure(Answer(500, b"oops"), TryLater, says="oops"),
    )

    def config(self) -> ChannelConfig:
        return ChannelConfig({}, {"secret": SECRET})

    def samples(self) -> list[RawEvent]:
        more: list[dict[str, Any]] = [
            {},
            {"id": 2, "sent_at": 1772366400, "thread": "t-1", "kind": "comment", "reply_to": "p-1"},
            {"id": "m-3", "text": "", "attachments": [{"url": "https://shop.example/1.png", "kind": "image"}]},
            {"id": "m-4", "text": "", "button": "csat:5"},
        ]
        return [RawEvent({**MESSAGE, **changes}) for changes in more]

    def sign(self, body: bytes, secret: str, at: datetime) -> WebhookRequest:
        return call(body, secret, at)

    def batch(self, samples: list[RawEvent]) -> bytes:
        return json.dumps({"messages": [raw.payload for raw in samples]}).encode()

    def accepted(self) -> Answer:
        return Answer(200, {"id": "theirs-1"})

    def text_of(self, call: Call) -> str:
        return str(call.json["text"])


class TestComingIn:
    """Calls that the other system makes."""

    def test_a_message_is_read_whole(self) -> None:
        message = read_one()
        assert message.external_id == "m-1"
        assert message.thread_key == "c-9", "without a thread, an author's messages are one"
        assert (message.author.external_id, message.author.name, message.author.handle) == ("c-9", "Nadia", "nadia_b")
        assert message.sent_at == datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
        assert message.kind is MessageKind.DIRECT_MESSAGE

    def test_a_review_with_a_file_is_read_whole(self) -> None:
        file = {"url": "https://shop.example/1.png", "kind": "image", "name": "1.png", "size": 3}
        message = read_one(kind="review", thread="t-7", reply_to="r-1", attachments=[file], sent_at=1772366400)
        assert message.kind is MessageKind.REVIEW
        assert (message.thread_key, message.reply_to) == ("t-7", "r-1")
        assert message.attachments == (Attachment("image", "https://shop.example/1.png", "1.png", "", 3),)
        assert message.sent_at == datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def test_a_single_message_needs_no_list_around_it(self) -> None:
        connector = ApiConnector(ChannelConfig({}, {"secret": SECRET}))
        [raw] = connector.read_webhook(call(json.dumps(MESSAGE).encode()))
        assert (raw.payload, raw.external_id) == (MESSAGE, "m-1")

    def test_an_empty_list_is_no_message_and_no_mistake(self) -> None:
        assert ApiConnector(ChannelConfig({}, {"secret": SECRET})).read_webhook(call(b'{"messages": []}')) == []

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"id": None}, "id"),
            ({"id": ""}, "id"),
            ({"author": {"name": "Nadia"}}, "author.id"),
            ({"sent_at": "yesterday"}, "sent_at"),
            ({"sent_at": "2026-03-01T13:00:00"}, "sent_at"),
            ({"sent_at": "0001-01-01T00:00:00+14:00"}, "sent_at"),
            ({"kind": "letter"}, "kind"),
            ({"attachments": [{"kind": "image"}]}, "attachments.0.url"),
            ({"text": ""}, "text"),
            ({"text": 7}, "text"),
        ],
    )
    def test_a_wrong_field_is_named(self, changes: dict[str, Any], field: str) -> None:
        with pytest.raises(BadPayload, match=rf"^{re.escape(field)}: "):
            read_one(**changes)

    def test_a_call_is_taken_at_the_edge_of_the_window_and_not_after_it(self) -> None:
        connector = ApiConnector(ChannelConfig({}, {"secret": SECRET}))
        true = call(json.dumps(MESSAGE).encode())
        late = WebhookRequest("POST", true.headers, {}, true.body, NOW + timedelta(seconds=300))
        assert len(connector.read_webhook(late)) == 1

    def test_the_signature_of_the_docs_page_is_the_one_that_is_checked(self) -> None:
        """The page shows one call byte by byte, so that other languages can test theirs."""
        page = PAGE.read_text(encoding="utf-8")
        found = re.search(r"secret `(\S+)`, timestamp `(\d+)`, body `(.+?)`:\s+`(sha256=\w+)`", page)
        assert found, "the page has no example signature"
        secret, timestamp, body, signature = found.groups()
        assert sign(secret, timestamp, body.encode()) == signature

    def test_the_python_of_the_docs_page_makes_a_call_that_is_taken(self) -> None:
        [source] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
        made: dict[str, Any] = {}
        exec(source.partition("urllib.request.urlopen")[0], made)
        headers = {name.lower(): value for name, value in made["headers"].items()}
        request = WebhookRequest("POST", headers, {}, made["body"], datetime.now(UTC))
        connector = ApiConnector(ChannelConfig({}, {"secret": made["secret"]}))
        [raw] = connector.read_webhook(request)
        assert connector.read(raw)

    def test_a_file_inside_a_call_is_kept_beside_the_ledger_and_its_hash_in_it(self) -> None:
        content = b"%PDF-1.7"
        file = {"kind": "document", "name": "a.pdf", "content": base64.b64encode(content).decode(), "sha256": "0" * 64}
        message = {"id": "m-1", "author": {"id": "c-9"}, "sent_at": NOW.isoformat(), "attachments": [file]}
        connector = ApiConnector(ChannelConfig({}, {"secret": SECRET}))
        [raw] = connector.read_webhook(call(json.dumps({"messages": [message]}).encode()))
        sha256 = hashlib.sha256(content).hexdigest()
        assert raw.files == {sha256: content}
        assert "content" not in raw.payload["attachments"][0]
        [read] = connector.read(raw)
        assert read.attachments == (Attachment("document", sha256, "a.pdf", "", len(content), sha256),)
        for wrong in ("not base64!", "", 5):  # and a hash that somebody only names is not taken for a file
            changed = {**message, "attachments": [{**file, "content": wrong}]}
            [raw] = connector.read_webhook(call(json.dumps(changed).encode()))
            with pytest.raises(BadPayload, match="needs a url"):
                connector.read(raw)


class TestGoingOut:
    """Calls that we make."""

    def opened(self, url: str, **settings: Any) -> ApiConnector:
        return ApiConnector(ChannelConfig({"callback_url": url, **settings}, {"secret": SECRET}))

    async def test_an_answer_is_posted_signed_with_its_key_and_its_buttons(self) -> None:
        message = OutboundMessage("key-1", "t-1", "c-9", "Voilà", (Button("Oui", "yes"),), reply_to="m-1")
        async with platform(Answer(201, {"id": 77})) as here:
            connector = self.opened(f"{here.url}/answers?shop=1")
            sent = await connector.direct_message(message)
            await connector.reply(message)
            await connector.close()
        private, public = here.calls
        assert sent.external_id == "77"
        assert (private.method, private.path, private.fields["shop"]) == ("POST", "/answers", "1")
        assert private.headers["idempotency-key"] == "key-1"
        assert private.headers["content-type"] == "application/json"
        timestamp = private.headers["x-socialcrm-timestamp"]
        again = call(private.body, at=datetime.fromtimestamp(int(timestamp), UTC))
        assert private.headers["x-socialcrm-signature"] == again.headers["x-socialcrm-signature"]
        assert private.json == {
            "key": "key-1",
            "thread": "t-1",
            "recipient": "c-9",
            "is_public": False,
            "text": "Voilà",
            "buttons": [{"label": "Oui", "value": "yes"}],
            "reply_to": "m-1",
            "attachments": [],
        }
        assert public.json == {**private.json, "is_public": True}

    @pytest.mark.parametrize("body", [b"", b"ok", b"[1]", b'{"id": null}', b'{"id": {"a": 1}}', b"\xff" * 70_000])
    async def test_an_accepted_message_needs_no_id(self, body: bytes) -> None:
        async with platform(Answer(202, body)) as here:
            connector = self.opened(here.url)
            assert (await connector.direct_message(TestApi().outbound())).external_id is None
            await connector.close()

    async def test_a_time_to_wait_may_be_a_date(self) -> None:
        later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
        async with platform(Answer(503, b"", {"Retry-After": later})) as here:
            connector = self.opened(here.url)
            with pytest.raises(TryLater) as raised:
                await connector.direct_message(TestApi().outbound())
            await connector.close()
        assert raised.value.retry_after is not None
        assert 80 < raised.value.retry_after <= 90

    async def test_silence_and_a_lost_answer_are_tried_again_with_the_same_key(self) -> None:
        for answer in (SILENCE, LOST):
            async with platform(answer) as here:
                connector = self.opened(here.url, request_timeout=0.2)
                for _ in range(2):
                    with pytest.raises(TryLater):
                        await connector.direct_message(TestApi().outbound())
                await connector.close()
            assert [call.headers["idempotency-key"] for call in here.calls] == ["key-1", "key-1"]

    @pytest.mark.parametrize("url", ["", "shop.example/answers", "ftp://shop.example/", "http://", "http://a:b/", 7])
    async def test_without_a_usable_callback_url_an_answer_is_refused(self, url: Any) -> None:
        connector = self.opened(url)
        with pytest.raises(Refused, match="callback URL"):
            await connector.direct_message(TestApi().outbound())

    async def test_connecting_checks_what_was_filled_in(self) -> None:
        assert (await self.opened("https://shop.example/answers").connect()).name == "shop.example"
        assert (await self.opened("").connect()).name == "API"
        with pytest.raises(Refused, match="secret"):
            await ApiConnector(ChannelConfig()).connect()
        with pytest.raises(Refused, match="callback URL"):
            await self.opened("shop.example").connect()

    async def test_a_file_is_asked_for_with_a_signature(self) -> None:
        async with platform(Answer(200, b"\x89PNG")) as here:
            connector = self.opened(f"{here.url}/answers")
            assert await connector.fetch(Attachment("image", f"{here.url}/files/1.png")) == b"\x89PNG"
            await connector.close()
        [asked] = here.calls
        assert (asked.method, asked.path) == ("GET", "/files/1.png")
        assert asked.headers["x-socialcrm-signature"] == sign(SECRET, asked.headers["x-socialcrm-timestamp"], b"")

    async def test_no_other_machine_is_asked_for_a_file(self) -> None:
        async with platform() as ours, platform() as other:
            connector = self.opened(ours.url)
            for url in (
                f"{other.url}/1.png",
                "/1.png",
                "file:///1.png",
                "http://",
                "http://[",
                ours.url + "@x.example/",
            ):
                with pytest.raises(Refused):
                    await connector.fetch(Attachment("image", url))
            await connector.close()
            assert (ours.calls, other.calls) == ([], [])

    async def test_a_file_that_is_too_large_or_elsewhere_is_refused(self) -> None:
        for answer in (Answer(200, bytes(FILE_BYTES + 1)), Answer(302, b"", {"Location": "http://127.0.0.1:1/"})):
            async with platform(answer) as here:
                connector = self.opened(here.url)
                with pytest.raises(Refused):
                    await connector.fetch(Attachment("image", f"{here.url}/1"))
                await connector.close()
