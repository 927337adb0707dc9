"""A channel for software without a connector of its own: signed JSON in, signed JSON out.

The protocol, with examples, is in docs/connectors/api.md.
"""

import base64
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
    File,
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
from connectors.cause import cause
from connectors.payload import UtcTime, parse, understand
from connectors.plain import plain

REPLAY_SECONDS = 300
ANSWER_BYTES = 65_536
FILE_BYTES = 20_000_000
CALL_BYTES = 15_000_000
SENT_BYTES = 10_000_000
"""Files in one call of ours, which are base64 there where the other system does not fetch them."""

_Id = Annotated[str, StringConstraints(min_length=1, max_length=500), pydantic.Field(coerce_numbers_to_str=True)]


_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Author(BaseModel):
    id: _Id
    name: str = ""
    handle: str = ""


class _Attachment(BaseModel):
    url: _Id | None = None
    sha256: _Sha256 | None = None
    """Of a file that came inside the call."""
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
    limits: ClassVar[Limits] = Limits(
        text_length=10_000,
        buttons=20,
        body_bytes=CALL_BYTES,
        media={"*/*": SENT_BYTES},
        public_media={"*/*": SENT_BYTES},
        files=10,
        files_bytes=SENT_BYTES,
    )
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
        Field(
            "files",
            "Files in answers",
            help="As base64 inside the call, or as an address from which they can be fetched for a day; that needs"
            " web.public_url in the settings.",
            is_required=False,
            default="base64",
            choices=("base64", "url"),
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
        return [_raw(payload)]  # what came in base64 is taken out: the ledger keeps its hash

    def read(self, raw: RawEvent) -> list[InboundMessage]:
        """The message in our words; raises BadPayload with the name of the field that is wrong."""
        message = understand(_Message, raw.payload)
        if not (message.text or message.attachments or message.button):
            raise BadPayload("text: a message needs a text, an attachment or a button.")
        if nowhere := [place for place, file in enumerate(message.attachments) if not (file.url or file.sha256)]:
            raise BadPayload(f"attachments.{nowhere[0]}.url: an attachment needs a url, or content in base64.")
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
                    Attachment(
                        file.kind,
                        file.url or file.sha256 or "",
                        file.name,
                        file.content_type,
                        file.size,
                        file.sha256 or "",
                    )
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
            raise TryLater(f"{url.host} cannot be reached: {cause(error)}.") from error
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
        files = [await self._file(file) for file in message.attachments]
        body = json.dumps(
            {
                "key": message.key,
                "thread": message.thread_key,
                "recipient": message.recipient,
                "is_public": is_public,
                "text": message.text,
                "buttons": [{"label": button.label, "value": button.value} for button in message.buttons],
                "reply_to": message.reply_to,
                "attachments": files,
            }
        ).encode()
        headers = self._signed(body) | {"Content-Type": "application/json", "Idempotency-Key": message.key}
        try:
            # A redirect would carry a customer's text to an address that nobody configured.
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                await _check(answer)
                return _sent(await _read(answer, ANSWER_BYTES))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise TryLater(f"The callback URL cannot be reached: {cause(error)}.") from error

    async def _file(self, file: File) -> dict[str, Json]:
        told = {"kind": file.kind, "name": file.name, "content_type": file.content_type, "size": file.size}
        if self.config.settings.get("files") != "url":
            return {**told, "content": base64.b64encode(await file.read()).decode()}
        if not file.url:
            raise Refused("Files are sent as addresses, which needs web.public_url in the settings.")
        return {**told, "url": file.url}

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
    payload, files = _without_content(payload)
    return RawEvent(payload, external_id=str(known) if isinstance(known, str | int) else None, files=files)


def _without_content(payload: Json) -> tuple[Json, dict[str, bytes]]:
    """A message with the hashes of the files that are in it as base64, and those files. One that is no base64 stays as
    it is, for `read` to refuse."""
    attached = payload.get("attachments") if isinstance(payload, dict) else None
    if not isinstance(attached, list):
        return payload, {}
    files: dict[str, bytes] = {}
    kept = []
    for each in attached:
        content = each.get("content") if isinstance(each, dict) else None
        try:
            found = base64.b64decode(content, validate=True) if isinstance(content, str) and content else b""
        except ValueError:
            found = b""
        if not found:
            kept.append({k: v for k, v in each.items() if k != "sha256"} if isinstance(each, dict) else each)
            continue
        sha256 = hashlib.sha256(found).hexdigest()
        files[sha256] = found
        kept.append({**{k: v for k, v in each.items() if k != "content"}, "sha256": sha256, "size": len(found)})
    return {**payload, "attachments": kept}, files


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
    words = str(payload)
    return " ".join((plain(words) if "<" in words else words).split())[:300] or "(no words)"


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
