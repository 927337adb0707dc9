"""SMS through Kannel: messages by its `post-url`, delivery receipts by its `dlr-url`, sending by `sendsms`.

Written after the Kannel user guide, chapter "Setting up a SMS Gateway", and tried with Kannel 1.4.5.
"""

import hashlib
from base64 import b64encode
from datetime import UTC, datetime
from hmac import compare_digest
from typing import ClassVar

from pydantic import BaseModel
from yarl import URL

from connectors import sms
from connectors.base import (
    Account,
    AuthExpired,
    Author,
    BadPayload,
    BadWebhook,
    Change,
    Field,
    Ignored,
    InboundMessage,
    Json,
    Limits,
    MaybeSent,
    OutboundMessage,
    RawEvent,
    Refused,
    Sent,
    TryLater,
    WebhookRequest,
)
from connectors.calls import Answer, CallingConnector
from connectors.payload import UtcTime, understand

USER = "kannel"
RECEIPTS = {"1": "delivered", "2": "not delivered", "4": "waiting at the SMS centre", "8": "at the SMS centre"}
RECEIPTS["16"] = "refused by the SMS centre"
LOST = frozenset({"2", "16"})
MASK = "19"
"""Which receipts are asked for: delivered, not delivered, refused by the SMS centre."""


class _Received(BaseModel):
    id: str
    sender: str
    text: str
    at: UtcTime


class _Receipt(BaseModel):
    message: str
    receipt: str
    answer: str = ""
    at: UtcTime


class KannelConnector(CallingConnector):
    """One number or short code behind a Kannel gateway."""

    name: ClassVar[str] = "kannel"
    label: ClassVar[str] = "SMS (Kannel)"
    about: ClassVar[str] = "Text messages through your own Kannel gateway."
    limits: ClassVar[Limits] = sms.LIMITS
    hook_methods: ClassVar[tuple[str, ...]] = ("POST", "GET")
    made_secrets: ClassVar[tuple[str, ...]] = ("webhook_secret",)
    fields: ClassVar[tuple[Field, ...]] = (
        Field("url", "Address of Kannel's smsbox", "Host and sendsms-port, like http://127.0.0.1:13013."),
        Field("username", "Kannel user", "The username of a group sendsms-user in kannel.conf."),
        Field("password", "Kannel password", "The password of the same group sendsms-user.", is_secret=True),
        Field("sender", "Sender", "Your number or short code, as customers see it."),
        Field(
            "region",
            "Country of numbers without a code",
            "Two letters, like DZ. Empty: all numbers come with their country's code.",
            is_required=False,
        ),
    )

    async def connect(self) -> Account:
        """Ask for an SMS to nobody: Kannel checks the password first, and sends nothing."""
        answer = await self.call("POST", self._sendsms(), data=b"", headers=self._headers())
        if answer.status == 400 and b"receiver" in answer.body:
            sender = str(self.config.settings.get("sender") or "")
            return Account(external_id=f"{self._sendsms().host}:{sender}", name=sender or self.label)
        raise self._refusal(answer) if not answer.is_ok else Refused("This is not Kannel's sendsms service.")

    def instructions(self, public_url: str, key: str) -> tuple[tuple[str, str], ...]:
        """The group sms-service for kannel.conf; its `post-url` holds our secret."""
        url = f"{self._signed_url(f'{public_url}/hooks/{key}')}?id=%I"
        lines = ("group = sms-service", "keyword = default", "catch-all = true", f'post-url = "{url}"')
        more = ("send-sender = true", "max-messages = 0", "assume-plain-text = true")
        retry = "http-request-retry = 120\nhttp-queue-delay = 30"
        return (
            ("Add to kannel.conf", "\n".join(lines + more)),
            ("Add to the group smsbox of kannel.conf, so that no message is lost while we restart", retry),
        )

    def read_webhook(self, request: WebhookRequest) -> list[RawEvent]:
        """One SMS (POST) or one receipt (GET); the password in the address that Kannel was given proves it."""
        secret = self.config.credentials.get("webhook_secret", "")
        expected = "Basic " + b64encode(f"{USER}:{secret}".encode()).decode()
        given = request.headers.get("authorization", "")
        if not secret or not compare_digest(given.encode(errors="surrogatepass"), expected.encode()):
            raise BadWebhook("The call does not carry the password that Kannel was given.")
        query = {key: _plain(value) for key, value in request.query.items()}
        if request.method == "GET":
            receipt = {key: query.get(key, "") for key in ("message", "receipt", "answer")}
            return [RawEvent({**receipt, "at": request.received_at.astimezone(UTC).isoformat()})]
        return [_received(request, query)]

    def read(self, raw: RawEvent) -> list[InboundMessage]:
        """A customer's SMS, or the news that one of ours was not delivered."""
        if isinstance(raw.payload, dict) and "receipt" in raw.payload:
            return [self._read_receipt(understand(_Receipt, raw.payload))]
        if isinstance(raw.payload, dict) and raw.payload.get("text") is None and raw.payload.get("is_binary") is True:
            raise Ignored("A binary SMS: a ring tone, a picture or settings.")
        message = understand(_Received, raw.payload)
        sender = sms.number(message.sender, self._region)
        if not sender or not message.id:
            raise BadPayload("sender: Kannel did not say who wrote; set send-sender = true in kannel.conf.")
        if not message.text.strip():
            raise Ignored("An SMS without text.")
        return [
            InboundMessage(
                external_id=message.id,
                thread_key=sender,
                author=Author(sender),
                sent_at=message.at,
                text=message.text,
                consent=sms.consent(message.text),
            )
        ]

    async def direct_message(self, message: OutboundMessage) -> Sent:
        """Send a text of up to ten parts, in UCS-2 where the GSM alphabet lacks one of its signs."""
        parts = sms.check(message.text)
        headers = self._headers() | {
            "X-Kannel-To": sms.recipient(message.recipient, self._region),
            "X-Kannel-Coding": "2" if parts.is_unicode else "0",
        }
        # Not the key itself: Kannel reads per cent signs in the address as codes of its own.
        number = hashlib.sha256(message.key.encode()).hexdigest()[:32]
        if self.config.hook_url:
            url = self._signed_url(self.config.hook_url)
            headers["X-Kannel-DLR-Mask"] = MASK
            headers["X-Kannel-DLR-Url"] = f"{url}?message={number}&receipt=%d&answer=%A"
        answer = await self.call("POST", self._sendsms(), is_sending=True, data=message.text.encode(), headers=headers)
        if answer.status == 202:
            return Sent(external_id=f"kannel:{number}")
        raise self._refusal(answer)

    @classmethod
    def length(cls, text: str) -> int:
        """Places in the alphabet that the text needs."""
        return sms.parts(text).length

    @classmethod
    def segments(cls, text: str) -> int:
        """SMS that are paid for."""
        return sms.parts(text).count

    def _read_receipt(self, receipt: _Receipt) -> InboundMessage:
        words = RECEIPTS.get(receipt.receipt)
        if words is None or not receipt.message:
            raise BadPayload("receipt: not a kind of receipt that Kannel documents.")
        if receipt.receipt not in LOST:
            raise Ignored(f"A receipt: {words}.")
        number = f"kannel:{receipt.message}"
        said = f"SMS {words}: {receipt.answer}" if receipt.answer else f"SMS {words}."
        us = Author(str(self.config.settings.get("sender") or self.name), is_self=True)
        return InboundMessage(number, number, us, receipt.at, said, change=Change.FAILED)

    def _refusal(self, answer: Answer) -> AuthExpired | TryLater | Refused | MaybeSent:
        words = f"Kannel: {answer.text}"
        if answer.status in (401, 403):
            return AuthExpired(words)
        if answer.status in (429, 503):  # "Temporal failure, try again later."
            return TryLater(words, answer.retry_after())
        return Refused(words) if 300 <= answer.status < 500 else MaybeSent(words)

    def _headers(self) -> dict[str, str]:
        password = self.config.credentials.get("password", "")
        if not password:
            raise AuthExpired("The Kannel password is missing.")
        settings = {key: str(self.config.settings.get(key) or "") for key in ("username", "sender")}
        if any(not value.isascii() or not value.isprintable() for value in (*settings.values(), password)):
            raise Refused("Kannel's user, password and sender can hold only Latin letters, digits and signs.")
        return {
            "Content-Type": "text/plain; charset=UTF-8",
            "X-Kannel-Username": settings["username"],
            "X-Kannel-Password": password,
            "X-Kannel-From": settings["sender"],
        }

    def _sendsms(self) -> URL:
        try:
            url = URL(self.config.api_url or str(self.config.settings.get("url") or ""))
        except ValueError:
            url = URL()
        if url.scheme not in ("http", "https") or not url.host:
            raise Refused("The address of Kannel's smsbox does not start with http:// or https://.")
        return url if url.path not in ("", "/") else url.with_path("/cgi-bin/sendsms")

    def _signed_url(self, hook: str) -> URL:
        return URL(hook).with_user(USER).with_password(self.config.credentials.get("webhook_secret", ""))

    @property
    def _region(self) -> str:
        return str(self.config.settings.get("region") or "")


def _received(request: WebhookRequest, query: dict[str, str]) -> RawEvent:
    """The SMS as it came, its text decoded as the header says; Kannel's times are UTC."""
    kind, _, rest = request.headers.get("content-type", "").partition(";")
    charset = rest.partition("charset=")[2].strip().strip('"') or "utf-8"
    try:
        text = _plain(request.body.decode(charset, errors="replace"))
    except LookupError:
        text = _plain(request.body.decode(errors="replace"))
    is_binary = kind.strip().lower() == "application/octet-stream"
    sender, to = (_plain(request.headers.get(f"x-kannel-{name}", "")) for name in ("from", "to"))
    at = _time(request.headers.get("x-kannel-time", "")) or request.received_at.astimezone(UTC)
    known = query.get("id") or hashlib.sha256(f"{sender}|{at}|{text}".encode()).hexdigest()[:32]
    payload: Json = {"id": known, "sender": sender, "to": to, "at": at.isoformat(), "text": text}
    if is_binary:
        payload |= {"text": None, "is_binary": True}
    return RawEvent(payload, external_id=known)


def _time(written: str) -> datetime | None:
    try:
        return datetime.strptime(written, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _plain(text: str) -> str:
    """Text that any database keeps."""
    return text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
