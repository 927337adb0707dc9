"""Web chat: the widget that a brand puts on its own pages.

We are our own platform here. A visitor writes by a signed POST of the widget, which is read like any webhook; what we
answer is delivered by becoming visible in the visitor's widget. A visitor is whoever holds a token that we signed.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar, TypeGuard
from urllib.parse import urlsplit

from connectors.base import (
    Account,
    Attachment,
    Author,
    BadPayload,
    BadWebhook,
    ChannelConfig,
    Connector,
    Field,
    InboundMessage,
    Json,
    Limits,
    OutboundMessage,
    RawEvent,
    Refused,
    Sent,
    WebhookRequest,
    kind_of,
)
from connectors.payload import parse

TOKEN_LIVES = timedelta(days=400)
"""A little longer than the widget's cookie, so that a visitor never loses a conversation before the cookie ends."""
CLOCK_SLACK = timedelta(minutes=5)
LANGUAGES = ("fr", "ar", "en")
VISITOR_NAMES = {"fr": "Visiteur {}", "ar": "زائر {}", "en": "Visitor {}"}
KEYS = ("id", "text", "button", "page", "language", "name")
FILES = 5
FILE_BYTES = 10_000_000
TAKEN = {"image/*": FILE_BYTES, "audio/*": FILE_BYTES, "video/*": FILE_BYTES, "application/*": FILE_BYTES}
TAKEN |= {"text/plain": FILE_BYTES, "text/csv": FILE_BYTES}
"""What visitors may send; what is of no known kind, or runs where it is opened, is not taken."""
MAX_BUTTON, MAX_PAGE, MAX_LANGUAGE, MAX_NAME = 256, 2000, 35, 80
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_VISITOR_ID = re.compile(r"[0-9a-f]{32}")
_SIGNS = re.compile("[\x00\ud800-\udfff]")
"""NUL and halves of surrogate pairs: no database keeps them and nobody sees them."""
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


class BadVisitor(BadWebhook):
    """The visitor's token is missing, forged or too old: the widget asks for a new one."""


class BadField(BadPayload):
    """The visitor is known, but `field` of the body is not as it should be; nothing was kept."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who a token was given to, and when."""

    id: str
    issued_at: datetime


def make_token(secret: str, visitor_id: str, issued_at: datetime) -> str:
    """The signed token of a visitor (`visitor_id`: 32 hex digits). Raises ValueError without a secret."""
    if not secret:
        raise ValueError("a visitor's token cannot be signed without a secret")
    body = f"{visitor_id}.{int(issued_at.timestamp())}"
    return f"{body}.{_signature(secret, body)}"


def read_token(secret: str, token: str, now: datetime) -> Visitor | None:
    """Who holds `token`; None when we did not sign it with `secret` or it is too old. No secret: always None."""
    body, _, signature = token.rpartition(".")
    if not secret or not hmac.compare_digest(_signature(secret, body).encode(), signature.encode("utf-8", "replace")):
        return None
    visitor_id, _, issued = body.partition(".")
    if not _VISITOR_ID.fullmatch(visitor_id) or not issued.isascii() or not issued.isdecimal() or len(issued) > 11:
        return None
    issued_at = datetime.fromtimestamp(int(issued), UTC)
    if not now - TOKEN_LIVES <= issued_at <= now + CLOCK_SLACK:
        return None
    return Visitor(visitor_id, issued_at)


def read_origins(text: str) -> tuple[str, ...]:
    """The origins of a list written with commas, spaces or lines. Raises ValueError with the one that is none."""
    return tuple(dict.fromkeys(_origin(part) for part in re.split(r"[\s,]+", text) if part))


def is_allowed_origin(origin: str, allowed: Collection[str], own_hosts: Collection[str]) -> bool:
    """Whether a page of `origin` may use the chat: it is listed, or it is a page of our own server."""
    if origin in allowed:
        return True
    host = urlsplit(origin).netloc if origin.startswith(("http://", "https://")) else ""
    return bool(host) and host in own_hosts


class WebchatConnector(Connector):
    """One widget. `config.credentials["visitor_secret"]`, made when it is connected, signs its visitors' tokens."""

    name: ClassVar[str] = "webchat"
    label: ClassVar[str] = "Web chat"
    about: ClassVar[str] = "A chat on your own pages."
    limits: ClassVar[Limits] = Limits(
        text_length=4000, buttons=11, body_bytes=65_536, media={"*/*": FILE_BYTES}, files=FILES
    )
    takes_hooks: ClassVar[bool] = False
    made_secrets: ClassVar[tuple[str, ...]] = ("visitor_secret",)
    fields: ClassVar[tuple[Field, ...]] = (
        Field("title", "Title", "Stands at the top of the chat: the name of your company, for instance."),
        Field(
            "origins",
            "Pages that may show the chat",
            "Addresses like https://www.example.com, separated by commas or lines. Empty: only pages of this server.",
            is_required=False,
        ),
        Field("greeting_fr", "Greeting in French", "Shown before the visitor writes.", is_required=False),
        Field("greeting_ar", "Greeting in Arabic", is_required=False),
        Field("greeting_en", "Greeting in English", is_required=False),
        Field("accent", "Colour", "Of the button and of the visitor's messages, like #0b6e62.", is_required=False),
    )

    def __init__(self, config: ChannelConfig) -> None:
        super().__init__(config)
        self._secret = config.credentials.get("visitor_secret", "")
        try:
            self.origins = read_origins(str(config.settings.get("origins") or ""))
        except ValueError:
            self.origins = ()

    async def connect(self) -> Account:
        """Check what the admin filled in; there is no platform to ask."""
        try:
            read_origins(str(self.config.settings.get("origins") or ""))
        except ValueError as error:
            raise Refused(str(error)) from error
        accent = str(self.config.settings.get("accent") or "")
        if accent and not _COLOUR.fullmatch(accent):
            raise Refused(f"{accent!r} is not a colour like #0b6e62.")
        return Account(external_id=self.name, name=self.title)

    def instructions(self, public_url: str, key: str) -> tuple[tuple[str, str], ...]:
        """The tag that brings the chat to a page."""
        tag = f'<script src="{public_url}/static/widget.js" data-channel="{key}" async></script>'
        return (("Put this into your pages, before </body>", tag),)

    @property
    def title(self) -> str:
        """What stands at the top of the chat."""
        return str(self.config.settings.get("title") or self.label)

    @property
    def accent(self) -> str:
        """The colour, or nothing where none was chosen."""
        accent = str(self.config.settings.get("accent") or "")
        return accent if _COLOUR.fullmatch(accent) else ""

    def greeting(self, language: str) -> str:
        """The greeting in one of LANGUAGES; empty where none was written."""
        return str(self.config.settings.get(f"greeting_{language}") or "")

    def new_token(self, visitor_id: str, now: datetime) -> str:
        """A token for a new visitor. Raises ValueError where the channel has no secret."""
        return make_token(self._secret, visitor_id, now)

    def visitor(self, headers: Mapping[str, str], now: datetime) -> Visitor:
        """Who calls, by the header `authorization: Bearer …` (names in lower case). Raises BadVisitor."""
        kind, _, token = headers.get("authorization", "").partition(" ")
        visitor = read_token(self._secret, token.strip(), now) if kind.lower() == "bearer" else None
        if visitor is None:
            raise BadVisitor("The visitor's token is not one of ours, or it is too old.")
        return visitor

    def read_webhook(self, request: WebhookRequest) -> list[RawEvent]:
        """One message or pressed button of a visitor: `{id, text | button, page?, language?, name?}`. Files that were
        uploaded with it are put into the payload, as `files`, by the route that knows them.

        The Origin header must be on the list (BadWebhook) and the token one of ours (BadVisitor). What the body says is
        judged by `read`, which the route asks before it keeps anything.
        """
        origin, host = request.headers.get("origin", ""), request.headers.get("host", "")
        if not is_allowed_origin(origin, self.origins, (host,)):
            raise BadWebhook("The chat is not allowed on this page: its address is not among the channel's pages.")
        visitor = self.visitor(request.headers, request.received_at)
        body = _body(request.body)
        external_id = body.get("id") if isinstance(body, dict) else None
        payload = {"visitor": visitor.id, "sent_at": request.received_at.astimezone(UTC).isoformat(), "body": body}
        return [RawEvent(payload, external_id if _is_uuid(external_id) else None)]

    def read(self, raw: RawEvent) -> list[InboundMessage]:
        """The visitor's message, checked field by field (BadField); a text that is too long is refused, never cut. A
        visitor without a name is called by the first signs of their id."""
        visitor, sent_at, body = _envelope(raw.payload)
        external_id = body.get("id")
        if not _is_uuid(external_id):
            raise BadField("id", "id should be a UUID in lower case, made by the widget for this message.")
        text, button = _text(body, "text", self.limits.text_length), _text(body, "button", MAX_BUTTON)
        files = _files(raw.payload.get("files"))
        if not text.strip() and not button and not files:
            raise BadField("text", "text should say something.")
        if not button.isprintable():
            raise BadField("button", "button should be the value of a button.")
        _text(body, "page", MAX_PAGE)
        language, name = _text(body, "language", MAX_LANGUAGE), " ".join(_text(body, "name", MAX_NAME).split())
        author = Author(visitor, name or _visitor_name(visitor, language))
        return [InboundMessage(external_id, visitor, author, sent_at, text, attachments=files, button=button or None)]

    async def typing(self, thread_key: str) -> None:
        """Nothing to call: the widget follows our own log of changes, where whoever is typing is written down."""

    async def direct_message(self, message: OutboundMessage) -> Sent:
        """Delivered at once: the widget shows every message whose row says that it was sent, so there is no call to
        make. Whether the visitor's page is open just now changes nothing: it catches up when it is opened again."""
        if len(message.text) > self.limits.text_length:
            raise Refused(f"The text has {len(message.text)} characters; the chat takes {self.limits.text_length}.")
        return Sent()

    async def find_sent(self, message: OutboundMessage) -> Sent | None:
        """Never there yet: a visitor sees a message only after it was recorded as sent, and one that was is not asked
        about. So after a crash the item is safely sent again, and the visitor sees it once."""
        return None


def _signature(secret: str, body: str) -> str:
    signed = hmac.digest(secret.encode(), b"webchat-visitor:" + body.encode("utf-8", "replace"), hashlib.sha256)
    return base64.urlsafe_b64encode(signed).decode().rstrip("=")


def _origin(text: str) -> str:
    parts = urlsplit(text)
    has_more = parts.path.strip("/") or parts.query or parts.fragment
    if parts.scheme not in ("http", "https") or not parts.hostname or has_more:
        raise ValueError(f"{text!r} is not the address of a site, like https://www.example.com.")
    port = parts.port  # raises ValueError by itself
    default = {"http": 80, "https": 443}[parts.scheme]
    host = parts.hostname.encode("idna").decode() if not parts.hostname.isascii() else parts.hostname
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{port}" if port and port != default else "")


def _body(raw: bytes) -> Json:
    """The fields that we know, without signs that are no text; what is no JSON object comes back as its text."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        return parse(raw)
    return {key: _SIGNS.sub("", body[key]) if isinstance(body[key], str) else body[key] for key in KEYS if key in body}


def _envelope(payload: Json) -> tuple[str, datetime, Mapping[str, Json]]:
    """The visitor, when they wrote, and the body of a raw event."""
    if not isinstance(payload, dict) or not isinstance(payload.get("body"), dict):
        raise BadField("body", "The body should be a JSON object.")
    visitor, sent_at = payload.get("visitor"), payload.get("sent_at")
    if not isinstance(visitor, str) or not _VISITOR_ID.fullmatch(visitor):
        raise BadField("visitor", "visitor should be the id that is in the visitor's token.")
    try:
        at = datetime.fromisoformat(sent_at) if isinstance(sent_at, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo != UTC:
        raise BadField("sent_at", "sent_at should be a time in UTC.")
    return visitor, at, payload["body"]


def _files(given: Json) -> tuple[Attachment, ...]:
    """What the route says of the visitor's files, all of which are in our store."""
    try:
        return tuple(
            Attachment(kind_of(f["type"]), f["sha256"], f["name"], f["type"], int(f["size"]), f["sha256"])
            for f in given or ()
        )
    except (TypeError, KeyError, ValueError, AttributeError):
        raise BadField("files", "files should be what the route knows of uploads.") from None


def _is_uuid(value: Json) -> TypeGuard[str]:
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def _text(body: Mapping[str, Json], key: str, limit: int) -> str:
    value = body.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadField(key, f"{key} should be text.")
    if len(value) > limit:
        raise BadField(key, f"{key} has {len(value)} characters; at most {limit} are accepted.")
    return value


def _visitor_name(visitor: str, language: str) -> str:
    return VISITOR_NAMES.get(language[:2].lower(), VISITOR_NAMES["en"]).format(visitor[:4].upper())
