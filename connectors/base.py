"""The contract between a channel's platform and the engine.

A connector returns data or raises; the engine decides. What a subclass overrides is what its channel can do:
`connector.can("hide")` is true exactly when the class overrides `hide`, so none can be declared and missing.
A connector never sleeps, retries, logs message text, touches the database or imports another connector.
"""

from abc import ABC
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, TypeAlias

Json: TypeAlias = Any
"""Whatever `json.loads` returns."""


class ConnectorError(Exception):
    """What a connector may raise; the message is a sentence that an agent or an admin can act on."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TryLater(ConnectorError):
    """Nothing was sent or read; try again after `retry_after` seconds, or after our own back-off when it is None."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class AuthExpired(ConnectorError):
    """The platform no longer accepts our credentials: the channel stops, keeps its queue and asks for reconnection."""


class Refused(ConnectorError):
    """The platform will never accept this item; `reason` holds its own words."""


class MaybeSent(ConnectorError):
    """The connection ended after the request was written: nobody knows whether the platform acted on it."""


class BadWebhook(ConnectorError):
    """The call is not from the platform: answered with 403 and not kept."""


class BadPayload(ConnectorError):
    """The raw event is from the platform, but we cannot read it: it becomes a dead letter with this reason."""


class Ignored(ConnectorError):
    """The raw event is understood and not for us (a group chat, our own echo): kept in the ledger with this reason."""


class MessageKind(StrEnum):
    """Where a message stands in public: the words of the product."""

    DIRECT_MESSAGE = "direct_message"
    COMMENT = "comment"
    MENTION = "mention"
    REVIEW = "review"


class Change(StrEnum):
    """What an inbound item does to the message with its external id."""

    NEW = "new"
    EDIT = "edit"
    DELETE = "delete"
    FAILED = "failed"
    """A message of ours was taken and then not delivered; the text holds the platform's words."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is known before sending; all other rules are left to the platform, which says them in its own words."""

    text_length: int
    """Characters in one message."""
    buttons: int = 0
    """Buttons under one message; 0 where the channel has none."""
    body_bytes: int = 1_000_000
    """Largest webhook body that is read."""
    public_length: int | None = None
    """Characters in one public answer, where that is another number."""
    window_hours: float | None = None
    """How long after the customer's last message a free text may be sent; None where that does not matter."""

    def text_length_of(self, kind: str) -> int:
        """Characters in one answer to a message of this kind."""
        is_private = kind == MessageKind.DIRECT_MESSAGE
        return self.text_length if is_private or self.public_length is None else self.public_length


@dataclass(frozen=True, slots=True)
class Field:
    """One thing an admin fills in to connect a channel."""

    key: str
    label: str
    help: str = ""
    help_url: str = ""
    is_secret: bool = False
    is_required: bool = True
    default: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """What a connector is opened with: plain settings, decrypted credentials, and where the platform's API is."""

    settings: Mapping[str, Json] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict)
    api_url: str | None = None
    """Overrides the platform's address, so that tests point it at a server of their own."""
    hook_url: str = ""
    """Our webhook's own public address, for platforms that sign it or are told it with each message."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who we are on the platform."""

    external_id: str
    name: str
    token_ends_at: datetime | None = None
    missing_scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RawEvent:
    """One event as the platform sent it, before anybody understood it. `payload` is JSON."""

    payload: Json
    external_id: str | None = None
    line_number: int | None = None
    """Where in an archive it stood, counted from 1."""
    received_at: datetime | None = None
    """When the ledger got it, for `read` on platforms that give some events no time of their own."""


@dataclass(frozen=True, slots=True)
class Page:
    """Events, oldest first, and the cursor to poll with next; `more` says that another page is ready now."""

    events: tuple[RawEvent, ...]
    cursor: Json = None
    more: bool = False


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """One HTTP call of a platform; header names in lower case, `body` as it came over the wire."""

    method: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Author:
    """Who wrote, as the platform knows them."""

    external_id: str
    name: str = ""
    handle: str = ""
    is_bot: bool = False
    is_self: bool = False
    """One of our own accounts: shown, never answered."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A picture, voice message or file beside a text; fetched with `Connector.fetch`."""

    kind: str
    """image, audio, video or document."""
    external_id: str
    name: str = ""
    content_type: str = ""
    size: int | None = None
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Button:
    """A choice under a message; `value` comes back in `InboundMessage.button` when it is pressed."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """One item in our words."""

    external_id: str
    thread_key: str
    """Same key, same open conversation."""
    author: Author
    sent_at: datetime
    """By the platform's clock, aware UTC."""
    text: str = ""
    kind: MessageKind = MessageKind.DIRECT_MESSAGE
    reply_to: str | None = None
    attachments: tuple[Attachment, ...] = ()
    button: str | None = None
    """The value of a pressed button: an answer to us, not a message."""
    change: Change = Change.NEW
    consent: bool | None = None
    """The author asks us never to write again (False), or takes that back (True)."""


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """One text on its way out. `key` is the same for every attempt to send it."""

    key: str
    thread_key: str
    recipient: str
    """External id of the contact."""
    text: str
    buttons: tuple[Button, ...] = ()
    reply_to: str | None = None
    """External id of the message that is answered."""
    is_human: bool = False
    """Written by an agent; some platforms let those out later than automatic ones."""
    last_inbound_at: datetime | None = None
    """When the customer last wrote; told where the channel's limits have a window."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What the platform said of an accepted message."""

    external_id: str | None = None
    sent_at: datetime | None = None


class Connector(ABC):
    """Base of all connectors. Override what the channel can do and nothing else."""

    name: ClassVar[str]
    label: ClassVar[str]
    about: ClassVar[str] = ""
    """What it is for, in a line, where an admin chooses what to connect."""
    limits: ClassVar[Limits]
    fields: ClassVar[tuple[Field, ...]] = ()
    poll_seconds: ClassVar[float] = 5.0
    """How long to wait between two polls when nothing came."""
    has_account: ClassVar[bool] = True
    """False for channels that only the command line or the demo opens: not offered on the Channels page."""
    takes_hooks: ClassVar[bool] = True
    """False where calls come by a route of their own instead of /hooks/<key>."""
    hook_methods: ClassVar[tuple[str, ...]] = ("POST",)
    """How the platform calls /hooks/<key> with events; with GET where it can do no better."""
    hook_family: ClassVar[str] = ""
    """Where a platform calls one address for several accounts: a call to one channel is offered to the others of the
    same family, each of which verifies it with its own secret and keeps what is its own."""
    made_secrets: ClassVar[tuple[str, ...]] = ()
    """Credentials that nobody types: made at random when the channel is connected."""

    def __init__(self, config: ChannelConfig) -> None:
        self.config = config

    @classmethod
    def can(cls, ability: str) -> bool:
        """Whether this class overrides the method named `ability`."""
        return getattr(cls, ability) is not getattr(Connector, ability)

    @property
    def is_polled(self) -> bool:
        """Whether the engine should call `poll`: not where the platform calls us instead."""
        return self.can("poll")

    @property
    def is_called(self) -> bool:
        """Whether `set_webhook` should make the platform call us; a channel may be polled as well."""
        return not self.is_polled

    @classmethod
    def is_one_account(cls) -> bool:
        """Whether an account may be connected only once, and a channel keeps its account when it is reconnected."""
        return cls.can("poll")

    @classmethod
    def length(cls, text: str) -> int:
        """How long `text` is as the platform counts it, to hold against `limits.text_length`."""
        return len(text)

    async def connect(self) -> Account:
        """Check the credentials and say who we are."""
        return Account(external_id=self.name, name=self.label)

    async def set_webhook(self, url: str | None, secret: str) -> None:
        """Tell the platform to call `url` (None: to stop) and to prove itself with `secret`."""
        raise Refused(f"{self.label} sets its webhook on its own pages.")

    def instructions(self, public_url: str, key: str) -> tuple[tuple[str, str], ...]:
        """What an admin copies to the other side to finish connecting: (label, value) each. By default our webhook's
        address, where the platform calls us and cannot be told so by `set_webhook`."""
        if self.can("read_webhook") and not self.can("set_webhook"):
            return (("Webhook address", f"{public_url}/hooks/{key}"),)
        return ()

    async def poll(self, cursor: Json) -> Page:
        """Our account's new items since `cursor` (None at first), oldest first."""
        raise Refused(f"{self.label} cannot be polled.")

    async def search(self, query: str, cursor: Json) -> Page:
        """Public items that match `query`, oldest first."""
        raise Refused(f"{self.label} cannot be searched.")

    async def backfill(self, since: datetime) -> AsyncIterator[Page]:
        """Our account's items since a time, page by page."""
        raise Refused(f"{self.label} cannot be read back.")
        yield Page(())

    def read_webhook(self, request: WebhookRequest) -> list[RawEvent]:
        """Verify a call, then split it into raw events, every entry of a batch; no I/O. Raises BadWebhook."""
        raise BadWebhook(f"{self.label} has no webhook.")

    def challenge(self, request: WebhookRequest) -> str:
        """The text that answers a platform's GET, by which it asks whether the address is ours. Raises BadWebhook."""
        raise BadWebhook(f"{self.label} asks no such question.")

    async def complete(self, raw: RawEvent) -> RawEvent:
        """A webhook's event with what its call leaves out (a name, the text of a mention), asked for in a few seconds;
        when that fails the event is kept as it came."""
        raise Refused(f"{self.label} leaves nothing out.")

    def read(self, raw: RawEvent) -> list[InboundMessage]:
        """Say a raw event in our words; unknown -> []. Raises Ignored or BadPayload with the reason."""
        return []

    async def acknowledge(self, raw: RawEvent) -> None:
        """Tell the platform that a webhook's event is stored, where somebody waits for that; best effort."""
        raise Refused(f"{self.label} waits for no acknowledgement.")

    async def reply(self, message: OutboundMessage) -> Sent:
        """Answer in public, under a post or comment."""
        raise Refused(f"{self.label} cannot answer in public.")

    async def direct_message(self, message: OutboundMessage) -> Sent:
        """Answer in private, with buttons where the channel has them."""
        raise Refused(f"{self.label} cannot send private messages.")

    async def find_sent(self, message: OutboundMessage) -> Sent | None:
        """Ask the platform whether it already has this message; None when it does not."""
        raise Refused(f"{self.label} cannot say what it has sent.")

    async def hide(self, external_id: str) -> None:
        """Hide a public comment."""
        raise Refused(f"{self.label} cannot hide.")

    async def like(self, external_id: str) -> None:
        """Like an item."""
        raise Refused(f"{self.label} cannot like.")

    async def delete(self, external_id: str) -> None:
        """Delete an item of ours."""
        raise Refused(f"{self.label} cannot delete.")

    async def typing(self, thread_key: str) -> None:
        """Show the other side that somebody is typing."""
        raise Refused(f"{self.label} cannot show typing.")

    async def mark_read(self, thread_key: str) -> None:
        """Mark a thread as read."""
        raise Refused(f"{self.label} cannot mark as read.")

    async def fetch(self, attachment: Attachment) -> bytes:
        """The bytes of an attachment."""
        raise Refused(f"{self.label} has no attachments.")

    async def close(self) -> None:
        """Let go of connections."""
        return
