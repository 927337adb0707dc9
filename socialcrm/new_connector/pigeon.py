"""Carrier Pigeon: private messages, by asking and by webhook.

Written after https://api.example/docs. Replace what follows by what your platform does, and delete what it cannot do:
docs/write-a-connector.md says what each method is for.
"""

import hmac
from hashlib import sha256
from typing import ClassVar

from pydantic import BaseModel
from pydantic import Field as Data

from connectors.base import (
    Account,
    AuthExpired,
    Author,
    BadWebhook,
    ConnectorError,
    Field,
    Ignored,
    InboundMessage,
    Json,
    Limits,
    MaybeSent,
    OutboundMessage,
    Page,
    RawEvent,
    Refused,
    Sent,
    TryLater,
    WebhookRequest,
)
from connectors.calls import Answer, CallingConnector
from connectors.payload import UtcTime, parse, understand

API = "https://api.example/v1"
PER_PAGE = 50


class _Person(BaseModel):
    id: str = Data(min_length=1)
    name: str = ""


class _Message(BaseModel):
    """What we need of a message of the platform's; a wrong field becomes a dead letter that names it."""

    id: str = Data(min_length=1)
    chat: str = Data(min_length=1)
    sender: _Person
    text: str = ""
    sent_at: UtcTime


class PigeonConnector(CallingConnector):
    """One account. Cursor: the id of the last message that was read."""

    name: ClassVar[str] = "pigeon"
    label: ClassVar[str] = "Carrier Pigeon"
    about: ClassVar[str] = "Private messages of your Carrier Pigeon account."
    limits: ClassVar[Limits] = Limits(text_length=2000)
    poll_seconds: ClassVar[float] = 30.0
    fields: ClassVar[tuple[Field, ...]] = (
        Field("token", "Access token", "On the platform's page: Settings, Developers, New token.", is_secret=True),
    )
    made_secrets: ClassVar[tuple[str, ...]] = ("webhook_secret",)

    async def connect(self) -> Account:
        """Who the token belongs to."""
        me = await self._ask("GET", "me")
        return Account(external_id=str(me.get("id")), name=str(me.get("name") or self.label))

    def instructions(self, public_url: str, key: str) -> tuple[tuple[str, str], ...]:
        """What an admin copies to the platform's page."""
        secret = self.config.credentials.get("webhook_secret", "")
        return (("Webhook address", f"{public_url}/hooks/{key}"), ("Webhook secret", secret))

    async def poll(self, cursor: Json) -> Page:
        """The messages after `cursor`, oldest first, one page of them."""
        after = {"after": cursor} if isinstance(cursor, str) else {}
        found = await self._ask("GET", "messages", params={"limit": str(PER_PAGE), **after})
        messages = found.get("messages")
        if not isinstance(messages, list):
            raise TryLater("Carrier Pigeon answered in an unknown form.")
        events = tuple(_raw(each) for each in messages)
        known = [event.external_id for event in events if event.external_id]
        return Page(events, cursor=known[-1] if known else cursor, more=len(messages) == PER_PAGE)

    def read_webhook(self, request: WebhookRequest) -> list[RawEvent]:
        """Each message of a call whose header signs the body with our secret."""
        secret = self.config.credentials.get("webhook_secret", "")
        expected = hmac.new(secret.encode(), request.body, sha256).hexdigest()
        given = request.headers.get("x-signature", "")
        if not secret or not hmac.compare_digest(given.encode(errors="surrogatepass"), expected.encode()):
            raise BadWebhook("X-Signature does not fit the secret and the body.")
        payload = parse(request.body)
        messages = payload.get("messages") if isinstance(payload, dict) else None
        return [_raw(each) for each in messages] if isinstance(messages, list) else [RawEvent(payload)]

    def read(self, raw: RawEvent) -> list[InboundMessage]:
        """One message; our own, sent from the platform's app, are known as ours."""
        message = understand(_Message, raw.payload)
        if not message.text.strip():
            raise Ignored("A message without text.")
        is_self = message.sender.id == str(self.config.settings.get("account_id") or "")
        return [
            InboundMessage(
                external_id=message.id,
                thread_key=message.chat,
                author=Author(message.sender.id, message.sender.name, is_self=is_self),
                sent_at=message.sent_at,
                text=message.text,
            )
        ]

    async def direct_message(self, message: OutboundMessage) -> Sent:
        """Send a text into the chat."""
        body = {"chat": message.thread_key, "text": message.text}
        made = await self._ask("POST", "messages", is_sending=True, json=body)
        number = made.get("id")
        if not isinstance(number, str) or not number:
            raise MaybeSent("Carrier Pigeon took the text and did not number it.")
        return Sent(external_id=number)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        is_sending: bool = False,
        params: dict[str, str] | None = None,
        json: Json = None,
    ) -> dict[str, Json]:
        """What the platform answers to one call, or the error that its answer means."""
        token = self.config.credentials.get("token", "").strip()
        if not token:
            raise AuthExpired("The access token is missing.")
        url = f"{(self.config.api_url or API).rstrip('/')}/{path}"
        headers = {"Authorization": f"Bearer {token}"}
        answer = await self.call(method, url, is_sending=is_sending, params=params, json=json, headers=headers)
        if not answer.is_ok:
            raise _refusal(answer, is_sending)
        if isinstance(answer.json, dict):
            return answer.json
        words = "Carrier Pigeon answered in an unknown form."
        raise MaybeSent(words) if is_sending else TryLater(words)


def _refusal(answer: Answer, is_sending: bool) -> ConnectorError:
    """What an error means: `message` says it in words."""
    said = answer.json.get("message") if isinstance(answer.json, dict) else None
    words = f"Carrier Pigeon: {' '.join(str(said or answer.text).split())[:300]}"
    if answer.status == 401:
        return AuthExpired(words)
    if answer.status == 429:
        return TryLater(words, answer.retry_after())
    if answer.status < 500:
        return Refused(words)
    return MaybeSent(words) if is_sending else TryLater(words, answer.retry_after())


def _raw(message: Json) -> RawEvent:
    known = message.get("id") if isinstance(message, dict) else None
    return RawEvent(message, external_id=known if isinstance(known, str) else None)
