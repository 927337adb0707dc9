"""A channel for software without a connector of its own: signed JSON in, signed JSON out.

The protocol, with examples, is in docs/connectors/api.md.
"""

import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, ClassVar, Literal

import aiohttp
import pydantic
from pydantic import BaseModel, StringConstraints
from yarl import URL

from connectors.base import (
    Account,
    Attachment,
    AuthExpired,
    Author,
    BadPayload,
    BadWebhook,
    ChannelConfig,
    Connector,
    Field,
    InboundMessage,
    Json,
    Limits,
    MessageKind,
    OutboundMessage,
    RawEvent,
    Refused,
    Sent,
    TryLater,
    WebhookRequest,
)
from connectors.payload import UtcTime, parse, understand

REPLAY_SECONDS = 300
ANSWER_BYTES = 65_536
FILE_BYTES = 20_000_000

_Id = Annotated[str, StringConstraints(min_length=1, max_length=500), pydantic.Field(coerce_numbers_to_str=True)]


class _Author(BaseModel):
    id: _Id
    name: str = ""
    handle: str = ""


class _Attachment(BaseModel):
    url: _Id
    kind: Literal["image", "audio", "video", "document"] = "document"
    name: str = ""
    content_type: str = ""
    size: int | None = None


class _Message(BaseModel):
    id: _Id
    author: _Author
    sent_at: UtcTime
    text: str = ""
    thread: _Id | None = None
    kind: MessageKind = MessageKind.DIRECT_MESSAGE
    reply_to: _Id | None = None
    attachments: list[_Attachment] = []
    button: _Id | None = None


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The signature header of a call: HMAC-SHA256, in hex, over timestamp, full stop and raw body."""
    signed = timestamp.encode() + b"." + body
    return "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


class ApiConnector(Connector):
    """One other system: it posts messages to us, and we post answers to its callback URL."""

    name: ClassVar[str] = "api"
    label: ClassVar[str] = "API"
    about: ClassVar[str] = "Any system of yours, by signed JSON in both directions."
    limits: ClassVar[Limits] = Limits(text_length=10_000, buttons=20)
    fields: ClassVar[tuple[Field, ...]] = (
        Field(
            "secret",
            "Shared secret",
            help="A long random text that only the two systems know, as from `openssl rand -hex 32`."
            " It signs what comes in and what goes out.",
            is_secret=True,
        ),
        Field(
            "callback_url",
            "Callback URL",
            help="Where answers are posted. Leave it empty for a channel that only receives.",
            is_required=False,
        ),
    )

    def __init__(self, config: ChannelConfig) -> None:
        super().__init__(config)
        self._secret = config.credentials.get("secret", "")
        self._open_session: aiohttp.ClientSession | None = None

    async def connect(self) -> Account:
        """Check what was filled in; nothing is sent. Raises Refused with what is missing."""
        if not self._secret:
            raise Refused("The channel needs a shared secret.")
        url = self.config.settings.get("callback_url")
        host = self._callback_url().host if url or self.config.api_url else None
        return Account(external_id=host or self.name, name=host or self.label)

    def read_webhook(self, request: WebhookRequest) -> list[RawEvent]:
        """Every message of a call, one by one; what cannot be split is kept whole, for `read` to refuse."""
        timestamp = request.headers.get("x-socialcrm-timestamp", "")
        signature = request.headers.get("x-socialcrm-signature", "")
        if not self._secret:
            raise BadWebhook("The channel has no secret, so no call can be verified.")
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
            raise BadWebhook("X-SocialCRM-Timestamp is not a time in unix seconds.")
        expected = sign(self._secret, timestamp, request.body)
        if not hmac.compare_digest(signature.encode(errors="surrogatepass"), expected.encode()):
            raise BadWebhook("X-SocialCRM-Signature does not fit the timestamp and the body.")
        if abs(request.received_at.timestamp() - int(timestamp)) > REPLAY_SECONDS:
            raise BadWebhook(f"X-SocialCRM-Timestamp is over {REPLAY_SECONDS} seconds away from our clock.")
        payload = parse(request.body)
        if isinstance(payload, dict) and isinstance(payload.get("messages"), list):
            return [_raw(message) for message in payload["messages"]]
        return [_raw(payload)]

    def read(self, raw: RawEvent) -> list[InboundMessage]:
        """The message in our words; raises BadPayload with the name of the field that is wrong."""
        message = understand(_Message, raw.payload)
        if not (message.text or message.attachments or message.button):
            raise BadPayload("text: a message needs a text, an attachment or a button.")
        return [
            InboundMessage(
                external_id=message.id,
                thread_key=message.thread or message.author.id,
                author=Author(message.author.id, message.author.name, message.author.handle),
                sent_at=message.sent_at,
                text=message.text,
                kind=message.kind,
                reply_to=message.reply_to,
                attachments=tuple(
                    Attachment(file.kind, file.url, file.name, file.content_type, file.size)
                    for file in message.attachments
                ),
                button=message.button,
            )
        ]

    async def reply(self, message: OutboundMessage) -> Sent:
        """Post an answer that the other system should publish."""
        return await self._post(message, is_public=True)

    async def direct_message(self, message: OutboundMessage) -> Sent:
        """Post an answer for one person."""
        return await self._post(message, is_public=False)

    async def fetch(self, attachment: Attachment) -> bytes:
        """The bytes of a file of up to 20 MB, asked with a signed GET.

        Only the callback URL's own scheme, host and port are asked: an address in a message must not make us
        call other machines of our network.
        """
        try:
            url = URL(attachment.external_id)
            is_theirs = url.absolute and url.origin() == self._callback_url().origin()
        except ValueError:
            is_theirs = False
        if not is_theirs:
            raise Refused("Attachments are fetched only from the scheme, host and port of the callback URL.")
        try:
            async with self._session.get(url, headers=self._signed(b""), allow_redirects=False) as answer:
                await _check(answer)
                content = await _read(answer, FILE_BYTES + 1)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise TryLater(f"{url.host} cannot be reached: {type(error).__name__}.") from error
        if len(content) > FILE_BYTES:
            raise Refused("The attachment is larger than 20 MB.")
        return content

    async def close(self) -> None:
        """Close the connections; the next call would open them again."""
        session, self._open_session = self._open_session, None
        if session:
            await session.close()

    async def _post(self, message: OutboundMessage, *, is_public: bool) -> Sent:
        """One signed POST.

        A lost answer is TryLater, not MaybeSent: receivers must treat a key that they know as the same message,
        so asking again is how one finds out.
        """
        url = self._callback_url()
        body = json.dumps(
            {
                "key": message.key,
                "thread": message.thread_key,
                "recipient": message.recipient,
                "is_public": is_public,
                "text": message.text,
                "buttons": [{"label": button.label, "value": button.value} for button in message.buttons],
                "reply_to": message.reply_to,
            }
        ).encode()
        headers = self._signed(body) | {"Content-Type": "application/json", "Idempotency-Key": message.key}
        try:
            # A redirect would carry a customer's text to an address that nobody configured.
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                await _check(answer)
                return _sent(await _read(answer, ANSWER_BYTES))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise TryLater(f"The callback URL cannot be reached: {type(error).__name__}.") from error

    def _callback_url(self) -> URL:
        try:
            url = URL(self.config.api_url or self.config.settings.get("callback_url") or "")
        except (TypeError, ValueError):
            url = URL()
        if url.scheme not in ("http", "https") or not url.host:
            raise Refused("The channel has no callback URL that starts with https:// or http://.")
        return url

    def _signed(self, body: bytes) -> dict[str, str]:
        if not self._secret:
            raise AuthExpired("The channel needs a shared secret.")
        timestamp = str(int(time.time()))
        return {
            "X-SocialCRM-Timestamp": timestamp,
            "X-SocialCRM-Signature": sign(self._secret, timestamp, body),
        }

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._open_session is None:
            self._open_session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=float(self.config.settings.get("request_timeout", 30)))
            )
        return self._open_session


def _raw(payload: Json) -> RawEvent:
    known = payload.get("id") if isinstance(payload, dict) else None
    return RawEvent(payload, external_id=str(known) if isinstance(known, str | int) else None)


async def _read(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    """At most `limit` bytes of a body."""
    content = bytearray()
    async for chunk in answer.content.iter_any():
        content += chunk
        if len(content) >= limit:
            break
    return bytes(content[:limit])


async def _check(answer: aiohttp.ClientResponse) -> None:
    """Raise what an answer other than 2xx means."""
    status = answer.status
    if 200 <= status < 300:
        return
    words = f"The callback URL answered {status}: {_words(await _read(answer, ANSWER_BYTES))}"
    if status in (401, 403):
        raise AuthExpired(words)
    if status in (408, 425, 429) or status >= 500:
        raise TryLater(words, _retry_after(answer.headers.get("Retry-After", "")))
    raise Refused(words)


def _words(body: bytes) -> str:
    """What the other system says is wrong: the `error`, `detail` or `message` of its JSON, or its text."""
    payload = parse(body)
    if isinstance(payload, dict):
        payload = payload.get("error") or payload.get("detail") or payload.get("message") or payload
    return " ".join(str(payload).split())[:300] or "(no words)"


def _retry_after(header: str) -> float | None:
    """RFC 9110, 10.2.3: seconds, or a date."""
    if header.isascii() and header.isdigit() and len(header) <= 9:
        return float(header)
    try:
        until = parsedate_to_datetime(header)
        return max(0.0, (until.astimezone(UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _sent(body: bytes) -> Sent:
    """The message's id in the other system, where its answer is a JSON object with one."""
    payload = parse(body)
    known = payload.get("id") if isinstance(payload, dict) else None
    return Sent(external_id=str(known) if isinstance(known, str | int) else None)
