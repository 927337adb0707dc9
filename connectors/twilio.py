"""SMS through Twilio: signed webhooks for messages and status callbacks, the REST API for sending.

Written after https://www.twilio.com/docs/messaging/api/message-resource, /docs/messaging/guides/webhook-request,
/docs/messaging/guides/track-outbound-message-status and /docs/usage/security.
"""

import base64
import hashlib
import hmac
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import ClassVar
from urllib.parse import parse_qsl, quote

import pydantic
from pydantic import BaseModel
from yarl import URL

from connectors import sms
from connectors.base import (
    Account,
    Attachment,
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
from connectors.download import download
from connectors.payload import UtcTime, understand

API = "https://api.twilio.com"
LOST = frozenset({"failed", "undelivered"})
STOPPED = 21610
"""The person wrote STOP to Twilio itself."""
MEDIA = {"image": "image", "audio": "audio", "video": "video"}
FILE_BYTES = 5_000_000
"""Twilio takes no larger MMS."""


class _Form(BaseModel):
    sid: str = pydantic.Field(alias="MessageSid", min_length=1)
    sender: str = pydantic.Field(alias="From", default="")
    to: str = pydantic.Field(alias="To", default="")
    text: str = pydantic.Field(alias="Body", default="")
    status: str = pydantic.Field(alias="MessageStatus", default="")
    error: str = pydantic.Field(alias="ErrorCode", default="")
    opted: str = pydantic.Field(alias="OptOutType", default="")


class _Event(BaseModel):
    at: UtcTime
    form: _Form


def signature(token: str, url: str, pairs: list[tuple[str, str]]) -> str:
    """What X-Twilio-Signature should be: HMAC-SHA1, in base64, over the address and the sorted fields of the form."""
    signed = url + "".join(key + value for key, value in sorted(set(pairs)))
    return base64.b64encode(hmac.digest(token.encode(), signed.encode(errors="replace"), hashlib.sha1)).decode()


class TwilioConnector(CallingConnector):
    """One Twilio number or messaging service."""

    name: ClassVar[str] = "twilio"
    label: ClassVar[str] = "SMS (Twilio)"
    about: ClassVar[str] = "Text messages through a Twilio number."
    limits: ClassVar[Limits] = sms.LIMITS
    fields: ClassVar[tuple[Field, ...]] = (
        Field(
            "account_sid",
            "Account SID",
            "Begins with AC; on the first page of the Twilio console.",
            help_url="https://console.twilio.com/",
        ),
        Field(
            "auth_token",
            "Auth token",
            "Beside the account SID. It signs Twilio's calls, so an API key does not do.",
            help_url="https://console.twilio.com/",
            is_secret=True,
        ),
        Field("sender", "Number or messaging service", "Like +15005550006, or the SID of a service (MG…)."),
    )

    async def connect(self) -> Account:
        """The account that the SID and the token belong to. Raises AuthExpired when they do not fit."""
        answer = await self.call("GET", f"{self._account()}.json", headers=self._auth())
        if not answer.is_ok:
            raise _refusal(answer)
        found = answer.json if isinstance(answer.json, dict) else {}
        if found.get("status") not in (None, "active"):
            raise AuthExpired(f"The Twilio account is {found['status']}.")
        sender = str(self.config.settings.get("sender") or "")
        return Account(external_id=f"{self._sid()}:{sender}", name=sender or str(found.get("friendly_name", "")))

    def instructions(self, public_url: str, key: str) -> tuple[tuple[str, str], ...]:
        """Where the webhook's address goes."""
        return (("On the number's page: “A message comes in”, Webhook, HTTP POST", f"{public_url}/hooks/{key}"),)

    def read_webhook(self, request: WebhookRequest) -> list[RawEvent]:
        """One SMS or one status. Twilio signs the address that it calls, so ours must be the public one."""
        token = self.config.credentials.get("auth_token", "")
        pairs = parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True)
        expected = signature(token, self.config.hook_url, pairs)
        given = request.headers.get("x-twilio-signature", "")
        if not token or not hmac.compare_digest(given.encode(errors="surrogatepass"), expected.encode()):
            raise BadWebhook("X-Twilio-Signature does not fit the address, the form and the auth token.")
        form = {_plain(key): _plain(value) for key, value in pairs}
        payload: Json = {"at": request.received_at.astimezone(UTC).isoformat(), "form": form}
        is_status = "MessageStatus" in form
        return [RawEvent(payload, external_id=None if is_status else form.get("MessageSid"))]

    def read(self, raw: RawEvent) -> list[InboundMessage]:
        """A customer's SMS, or the news that one of ours was not delivered."""
        event = understand(_Event, raw.payload)
        form, us = event.form, Author(event.form.sender or self.name, is_self=True)
        if form.status in LOST:
            words = f"SMS {form.status}" + (f": Twilio error {form.error}." if form.error else ".")
            return [InboundMessage(form.sid, form.to or form.sid, us, event.at, words, change=Change.FAILED)]
        if form.status:
            raise Ignored(f"A receipt: {form.status[:40]}.")
        if not form.sender:
            raise BadPayload("form.From: Field required.")
        attachments = tuple(_media(raw.payload["form"]))
        if not form.text.strip() and not attachments:
            raise Ignored("An SMS without text.")
        sender = sms.number(form.sender)
        agreed = {"STOP": False, "START": True}.get(form.opted.upper(), sms.consent(form.text))
        return [
            InboundMessage(
                form.sid, sender, Author(sender), event.at, form.text, attachments=attachments, consent=agreed
            )
        ]

    async def direct_message(self, message: OutboundMessage) -> Sent:
        """Send a text of up to ten parts."""
        sms.check(message.text)
        sender = str(self.config.settings.get("sender") or "")
        form = {
            "To": sms.recipient(message.recipient),
            "MessagingServiceSid" if sender.startswith("MG") else "From": sender,
            "Body": message.text,
        }
        if self.config.hook_url:
            form["StatusCallback"] = self.config.hook_url
        url = f"{self._account()}/Messages.json"
        answer = await self.call("POST", url, is_sending=True, data=form, headers=self._auth())
        if not answer.is_ok:
            raise _refusal(answer)
        found = answer.json
        if not isinstance(found, dict) or not isinstance(found.get("sid"), str):
            raise MaybeSent("Twilio took the request and did not name the message.")
        try:
            sent_at = parsedate_to_datetime(found.get("date_created") or "").astimezone(UTC)
        except (TypeError, ValueError, OverflowError):
            sent_at = None
        return Sent(found["sid"], sent_at)

    async def fetch(self, attachment: Attachment) -> bytes:
        """The bytes of an MMS's file. Our token is shown to Twilio only, not to where Twilio sends us on."""
        host = URL(attachment.external_id).host or ""
        own = URL(self.config.api_url or API).host or ""
        if host != own and not host.endswith(".twilio.com"):
            raise Refused("Only files that lie with Twilio are fetched.")
        found = await download(attachment.external_id, secret_headers=self._auth(), most=FILE_BYTES, trusted=(own,))
        if found.status in (401, 403):
            raise AuthExpired("Twilio does not accept the auth token.")
        if found.status != 200:
            raise Refused(f"Twilio no longer gives this file (it answered {found.status}).")
        return found.body

    @classmethod
    def length(cls, text: str) -> int:
        """Places in the alphabet that the text needs."""
        return sms.parts(text).length

    @classmethod
    def segments(cls, text: str) -> int:
        """SMS that are paid for."""
        return sms.parts(text).count

    def _account(self) -> str:
        server = (self.config.api_url or API).rstrip("/")
        return f"{server}/2010-04-01/Accounts/{quote(self._sid(), safe='')}"

    def _sid(self) -> str:
        return str(self.config.settings.get("account_sid") or "")

    def _auth(self) -> dict[str, str]:
        token = self.config.credentials.get("auth_token", "")
        if not token or ":" in self._sid():
            raise AuthExpired("The account SID or the auth token is missing.")
        return {"Authorization": "Basic " + base64.b64encode(f"{self._sid()}:{token}".encode()).decode()}


def _refusal(answer: Answer) -> AuthExpired | TryLater | Refused | MaybeSent:
    """What Twilio's error means: its JSON has `code` and `message`."""
    found = answer.json if isinstance(answer.json, dict) else {}
    words = f"Twilio: {' '.join(str(found.get('message') or answer.text).split())[:300]}"
    if answer.status == 401:
        return AuthExpired(words)
    if answer.status == 429:
        return TryLater(words, answer.retry_after())
    if found.get("code") == STOPPED:
        return Refused(f"{words} (This person wrote STOP.)")
    return Refused(words) if answer.status < 500 else MaybeSent(words)


def _media(form: Json) -> list[Attachment]:
    """MMS: MediaUrl0, MediaContentType0 and so on."""
    count = str(form.get("NumMedia", "0"))
    numbers = range(min(int(count), 10)) if count.isascii() and count.isdigit() and len(count) < 4 else range(0)
    found = [(form.get(f"MediaUrl{number}"), str(form.get(f"MediaContentType{number}", ""))) for number in numbers]
    kinds = [(url, kind) for url, kind in found if isinstance(url, str) and url.startswith("https://")]
    return [Attachment(MEDIA.get(kind.partition("/")[0], "document"), url, content_type=kind) for url, kind in kinds]


def _plain(text: str) -> str:
    """Text that any database keeps."""
    return text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
