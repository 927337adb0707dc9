"""The web chat: visitors' tokens, pages that may show it, and what the widget says."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from connectors.base import BadWebhook, Button, ChannelConfig, OutboundMessage, RawEvent, Refused, Sent, WebhookRequest
from connectors.webchat import (
    BadField,
    BadVisitor,
    WebchatConnector,
    is_allowed_origin,
    make_token,
    read_origins,
    read_token,
)
from tests.connectors.contract import NOW
from tests.connectors.webhooks import WebhookContract

SECRET = "kept-by-the-server"
VISITOR = "4f2a" + "0" * 28
OTHER = "b" * 32
SITE = "https://www.wasla.example"


def config(**settings: str) -> ChannelConfig:
    return ChannelConfig({"title": "Wasla Télécom", "origins": SITE, **settings}, {"visitor_secret": SECRET})


def call(body: Any, *, token: str | None = None, origin: str = SITE, host: str = "crm.wasla.example") -> WebhookRequest:
    made = make_token(SECRET, VISITOR, NOW) if token is None else token
    headers = {"authorization": f"Bearer {made}", "origin": origin, "host": host}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WebhookRequest("POST", headers, {}, raw, NOW)


def said(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {"id": str(UUID(int=number)), "text": "Salam, la connexion ta3kom mayta", "language": "fr", **fields}


class TestWebchat(WebhookContract):
    connector = WebchatConnector
    secret_key = "visitor_secret"
    signs_body = False
    signs_time = False

    def config(self) -> ChannelConfig:
        return config()

    def samples(self) -> list[RawEvent]:
        pressed, arabic = said(3, text="5", button="csat:token:5"), said(4, text="سلام", language="ar")
        bodies = [said(1), said(2, name="Salima"), pressed, arabic]
        return [RawEvent({"visitor": VISITOR, "sent_at": NOW.isoformat(), "body": body}, body["id"]) for body in bodies]

    def sign(self, body: bytes, secret: str, at: datetime) -> WebhookRequest:
        stem = f"{VISITOR}.{int(at.timestamp())}"
        digest = hmac.digest(secret.encode(), f"webchat-visitor:{stem}".encode(), hashlib.sha256)
        token = f"{stem}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"
        return WebhookRequest("POST", {"authorization": f"Bearer {token}", "origin": SITE}, {}, body, at)

    def batch(self, samples: list[RawEvent]) -> bytes:
        return json.dumps(samples[0].payload["body"]).encode()


def test_a_token_says_who_it_was_given_to_and_when() -> None:
    visitor = read_token(SECRET, make_token(SECRET, VISITOR, NOW), NOW + timedelta(days=300))
    assert visitor is not None
    assert (visitor.id, visitor.issued_at) == (VISITOR, NOW)


def test_a_token_is_worth_nothing_when_any_part_of_it_was_changed() -> None:
    token = make_token(SECRET, VISITOR, NOW)
    stem, _, signature = token.rpartition(".")
    forged = [
        token.replace(VISITOR, OTHER),
        f"{VISITOR}.{int(NOW.timestamp()) + 1}.{signature}",
        stem,
        f"{stem}.",
        token + "x",
        token[:-1],
        "",
        ".",
        "..",
        "é.1.\ud800",
        make_token("another secret", VISITOR, NOW),
    ]
    assert [read_token(SECRET, each, NOW) for each in forged] == [None] * len(forged)


def test_a_token_ends_after_its_time_and_is_not_taken_from_the_future() -> None:
    token = make_token(SECRET, VISITOR, NOW)
    assert read_token(SECRET, token, NOW + timedelta(days=401)) is None
    assert read_token(SECRET, token, NOW - timedelta(minutes=6)) is None
    assert read_token(SECRET, token, NOW - timedelta(minutes=4)) is not None


def test_an_empty_secret_neither_signs_nor_verifies() -> None:
    with pytest.raises(ValueError, match="secret"):
        make_token("", VISITOR, NOW)
    assert read_token("", make_token(SECRET, VISITOR, NOW), NOW) is None
    unsigned = ChannelConfig({}, {})
    with pytest.raises(BadVisitor):
        WebchatConnector(unsigned).visitor({"authorization": "Bearer "}, NOW)


def test_the_pages_are_read_from_lines_or_commas_in_one_form() -> None:
    assert read_origins(" https://Www.Wasla.example/\nhttp://localhost:8000, https://a.example:443 ") == (
        "https://www.wasla.example",
        "http://localhost:8000",
        "https://a.example",
    )
    assert read_origins("") == ()


@pytest.mark.parametrize(
    "text",
    ["*", "www.wasla.example", "https://", "ftp://a.example", "https://a.example/shop", "https://a.example:99999"],
)
async def test_something_that_is_no_page_is_refused_when_connecting(text: str) -> None:
    with pytest.raises(Refused):
        await WebchatConnector(config(origins=text)).connect()


async def test_connecting_says_the_title() -> None:
    assert (await WebchatConnector(config()).connect()).name == "Wasla Télécom"
    with pytest.raises(Refused, match="colour"):
        await WebchatConnector(config(accent="red; } body { display: none")).connect()


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        (SITE, True),
        ("https://crm.wasla.example", True),
        ("http://www.wasla.example", False),
        ("https://www.wasla.example:8443", False),
        ("https://www.wasla.example.evil.example", False),
        ("https://evil.example", False),
        ("null", False),
        ("", False),
    ],
)
def test_only_listed_pages_and_our_own_are_allowed(origin: str, is_allowed: bool) -> None:
    assert is_allowed_origin(origin, (SITE,), ("crm.wasla.example",)) is is_allowed
    connector = WebchatConnector(config())
    if is_allowed:
        assert connector.read_webhook(call(said(), origin=origin))
    else:
        with pytest.raises(BadWebhook):
            connector.read_webhook(call(said(), origin=origin))


def test_without_a_list_only_pages_of_our_own_server_are_allowed() -> None:
    connector = WebchatConnector(config(origins=""))
    assert connector.read_webhook(call(said(), origin="https://crm.wasla.example"))
    with pytest.raises(BadWebhook):
        connector.read_webhook(call(said(), origin=SITE))


def test_a_message_keeps_the_visitors_own_id_and_thread() -> None:
    connector = WebchatConnector(config())
    (raw,) = connector.read_webhook(call(said(7)))
    (message,) = connector.read(raw)
    assert raw.external_id == message.external_id == str(UUID(int=7))
    assert message.thread_key == message.author.external_id == VISITOR
    assert message.sent_at == NOW


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "Visiteur 4F2A"),
        ({"language": "ar"}, "زائر 4F2A"),
        ({"language": "en-GB"}, "Visitor 4F2A"),
        ({"language": "de"}, "Visitor 4F2A"),
        ({"name": "  Salima \n B. "}, "Salima B."),
    ],
)
def test_a_visitor_without_a_name_is_called_by_their_id_in_the_language_of_the_page(
    fields: dict[str, Any], name: str
) -> None:
    connector = WebchatConnector(config())
    (raw,) = connector.read_webhook(call(said(1, **fields)))
    assert connector.read(raw)[0].author.name == name


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        (b"[1]", "body"),
        (b"null", "body"),
        ({"text": "no id"}, "id"),
        (said() | {"id": "7"}, "id"),
        (said() | {"id": 7}, "id"),
        (said() | {"id": str(UUID(int=0xABC)).upper()}, "id"),
        (said(text=""), "text"),
        (said(text=" \n\0 "), "text"),
        (said(text=["a"]), "text"),
        (said(text="a" * 4001), "text"),
        (said(button=5), "button"),
        (said(button="a\nb"), "button"),
        (said(name="n" * 81), "name"),
        (said(page="p" * 2001), "page"),
    ],
)
def test_a_wrong_field_is_refused_by_its_name_and_never_cut(body: Any, field: str) -> None:
    connector = WebchatConnector(config())
    (raw,) = connector.read_webhook(call(body))
    with pytest.raises(BadField) as raised:
        connector.read(raw)
    assert raised.value.field == field
    assert field in raised.value.reason


def test_signs_that_are_no_text_are_left_out_and_all_others_kept() -> None:
    connector = WebchatConnector(config())
    text = "a\u202eb\u200bc<script>alert(1)</script>"
    (raw,) = connector.read_webhook(call(said(text=f"{text}\0\ud83d")))
    assert connector.read(raw)[0].text == text


async def test_an_answer_is_delivered_at_once_and_after_a_crash_again() -> None:
    connector = WebchatConnector(config())
    message = OutboundMessage("key", VISITOR, VISITOR, "Bonjour", (Button("1", "csat:t:1"),))
    assert await connector.find_sent(message) is None
    assert await connector.direct_message(message) == Sent()
    assert await connector.find_sent(message) is None
    with pytest.raises(Refused, match="4001"):
        await connector.direct_message(OutboundMessage("key", VISITOR, VISITOR, "a" * 4001))


def test_a_sent_time_is_in_utc() -> None:
    connector = WebchatConnector(config())
    payload = {"visitor": VISITOR, "sent_at": "2026-03-01T12:00:00+01:00", "body": said()}
    with pytest.raises(BadField, match="UTC"):
        connector.read(RawEvent(payload))
    (message,) = connector.read(RawEvent({**payload, "sent_at": "2026-03-01T12:00:00+00:00"}))
    assert message.sent_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
