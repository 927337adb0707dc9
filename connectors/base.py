"""The contract between a channel's platform and the engine.

A connector returns data or raises; the engine decides. What a subclass overrides is what its channel can do:
`connector.can("hide")` is true exactly when the class overrides `hide`, so none can be declared and missing.
A connector never sleeps, retries, logs message text, touches the database or imports another connector.
"""

import asyncio
from abc import ABC
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias

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
    private_reply_hours: float | None = None
    """How long after a public comment it may be answered in private, once; None where that does not matter."""
    media: Mapping[str, int] = field(default_factory=dict)
    """Files that it takes beside a private answer: type ("image/png", "image/*", "*/*") -> most bytes of one."""
    public_media: Mapping[str, int] = field(default_factory=dict)
    """The same beside a public answer."""
    files: int = 1
    """Files beside one answer."""
    files_bytes: int | None = None
    """Most bytes of all files of one answer together, where that is limited."""

    def media_of(self, kind: str) -> Mapping[str, int]:
        """Files that it takes beside an answer to a message of this kind; empty: none."""
        return self.media if kind == MessageKind.DIRECT_MESSAGE else self.public_media

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


Renew: TypeAlias = Callable[[Mapping[str, str]], Awaitable[Mapping[str, str]]]
"""Asks the platform for new credentials in place of those that end. Raises AuthExpired where it gives none."""


class Keeper(Protocol):
    """Keeps credentials that a platform changes while we use them; one renewal at a time, over all processes."""

    async def renewed(self, spent: Mapping[str, str], renew: Renew) -> Mapping[str, str]:
        """The credentials to go on with in place of `spent`: those that somebody else got meanwhile, else those that
        `renew` gets, kept before they are used. Raises what `renew` raises."""
        ...


@dataclass(frozen=True, slots=True)
class SignIn:
    """That an admin may sign in on the platform's own page (OAuth 2.0 with PKCE: RFC 6749, RFC 7636)."""

    at: str
    """Whose page it is."""
    fields: tuple[Field, ...]
    """What is filled in first: which app asks."""
    redirect_help: str
    """Where the platform is told the address to which it sends people back."""
    redirect_help_url: str


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """What a connector is opened with: plain settings, decrypted credentials, and where the platform's API is."""

    settings: Mapping[str, Json] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict)
    api_url: str | None = None
    """Overrides the platform's address, so that tests point it at a server of their own."""
    hook_url: str = ""
    """Our webhook's own public address, for platforms that sign it or are told it with each message."""
    keeper: Keeper | None = None
    """Where renewed credentials are kept; None while an account is only tried: nothing is renewed then."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who we are on the platform."""

    external_id: str
    name: str
    token_ends_at: datetime | None = None
    missing_scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """An account that a sign-in opened to us, with what has to be kept to use it."""

    account: Account
    credentials: Mapping[str, str]
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Quota:
    """How much a platform lets us ask, as it last said or as we counted."""

    used: float
    limit: float
    resets_at: datetime | None = None
    """When `used` is nothing again; None where it flows off little by little."""
    unit: str = "calls"
    """calls, units (some calls cost several) or percent."""


@dataclass(frozen=True, slots=True)
class RawEvent:
    """One event as the platform sent it, before anybody understood it. `payload` is JSON."""

    payload: Json
    external_id: str | None = None
    line_number: int | None = None
    """Where in an archive it stood, counted from 1."""
    received_at: datetime | None = None
    """When the ledger got it, for `read` on platforms that give some events no time of their own."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Files that came inside the call, by the SHA-256 of their content: kept beside the ledger, not in it."""


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
    sha256: str = ""
    """Of the content, where we have a copy of it already."""


def kind_of(content_type: str) -> str:
    """What a file of this type is to a reader: image, audio, video or document."""
    main = content_type.partition("/")[0]
    return main if main in ("image", "audio", "video") else "document"


@dataclass(frozen=True, slots=True)
class File:
    """A file of ours on its way out."""

    sha256: str
    name: str
    content_type: str
    """By its bytes, whatever its name says."""
    size: int
    """Bytes."""
    path: Path
    url: str = ""
    """Where the platform may fetch it for a day; empty where this server has no public address."""

    @property
    def kind(self) -> str:
        """image, audio, video or document."""
        return kind_of(self.content_type)

    async def read(self) -> bytes:
        """The content."""
        return await asyncio.to_thread(self.path.read_bytes)


@dataclass(frozen=True, slots=True)
class Post:
    """What a comment stands under; only `external_id` where the platform did not say more."""

    external_id: str
    text: str = ""
    url: str = ""
    """Where people read it."""
    author: str = ""
    """The name of who wrote it."""
    is_self: bool = False
    """One of our own accounts wrote it."""
    picture: Attachment | None = None
    sent_at: datetime | None = None


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
    post: Post | None = None
    """What a comment stands under, where it stands under something else than a message of its own thread."""


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
    attachments: tuple[File, ...] = ()

    def pieces(self) -> tuple["OutboundMessage", ...]:
        """The text, then each file, for platforms that take one thing at a time. The first one keeps the key."""
        texts = [replace(self, attachments=())] if self.text else []
        files = [replace(self, text="", buttons=(), attachments=(each,)) for each in self.attachments]
        return tuple(replace(p, key=f"{self.key}:{n}" if n else self.key) for n, p in enumerate(texts + files))


@dataclass(frozen=True, slots=True)
class Sent:
    """What the platform said of an accepted message."""

    external_id: str | None = None
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """Until when the channel takes an agent's private answer, reckoned from the customer's last message."""

    closes_at: datetime
    """Until then any text."""
    late_until: datetime | None = None
    """Until then an agent's text all the same."""
    has_template: bool = False
    """Afterwards the text goes out inside a template that the platform approved."""


class Connector(ABC):
    """Base of all connectors. Override what the channel can do and nothing else."""

    name: ClassVar[str]
    label: ClassVar[str]
    about: ClassVar[str] = ""
    """What it is for, in a line, where an admin chooses what to connect."""
    limits: ClassVar[Limits]
    fields: ClassVar[tuple[Field, ...]] = ()
    sign_in: ClassVar[SignIn | None] = None
    """Where `authorize_url` and `exchange` are overridden: a sign-in on the platform's page, beside `fields`."""
    poll_seconds: ClassVar[float] = 5.0
    """How long to wait between two polls when nothing came; where polling adapts, the shortest wait."""
    slowest_poll_seconds: ClassVar[float] = 0.0
    """Where it is more than `poll_seconds`, polling adapts: the wait grows up to this while nothing comes."""
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
    deletes_private: ClassVar[bool] = False
    """Whether `delete` takes private messages of ours as well as public ones."""

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
    def asked(cls, kept: Collection[str]) -> tuple[Field, ...]:
        """What can be filled in for a channel that is connected already; `kept`: the names of its credentials."""
        return cls.fields

    @classmethod
    def length(cls, text: str) -> int:
        """How long `text` is as the platform counts it, to hold against `limits.text_length`."""
        return len(text)

    @classmethod
    def segments(cls, text: str) -> int:
        """In how many messages, each of which is paid for, the platform carries `text`; 0 where that is no question."""
        return 0

    def window(self, heard_at: datetime) -> Window | None:
        """Until when we may answer in private after the customer's message of `heard_at`; None: whenever we like."""
        hours = self.limits.window_hours
        return Window(heard_at + timedelta(hours=hours)) if hours is not None else None

    @property
    def quota(self) -> Quota | None:
        """How much may still be asked; None where the platform has no such limit, or has not said yet. No I/O."""
        return None

    async def connect(self) -> Account:
        """Check the credentials and say who we are."""
        return Account(external_id=self.name, name=self.label)

    def authorize_url(self, redirect_url: str, state: str, challenge: str) -> str:
        """The platform's page where an admin lets our app in; `challenge` is the S256 one of a verifier. No I/O."""
        raise Refused(f"{self.label} has no sign-in.")

    async def exchange(self, code: str, verifier: str, redirect_url: str) -> tuple[Choice, ...]:
        """The accounts that the admin let us into, from the code that the platform sent back with them. Raises
        Refused, with the names of permissions that are missing and needed."""
        raise Refused(f"{self.label} has no sign-in.")

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

    @classmethod
    def in_pieces(cls, message: OutboundMessage) -> tuple[OutboundMessage, ...]:
        """The message as the platform takes it: whole, or in several pieces, each with a key of its own. The engine
        sends them one after the other and remembers which are out."""
        return (message,)

    async def reply(self, message: OutboundMessage) -> Sent:
        """Answer in public, under a post or comment."""
        raise Refused(f"{self.label} cannot answer in public.")

    async def direct_message(self, message: OutboundMessage) -> Sent:
        """Answer in private, with buttons where the channel has them."""
        raise Refused(f"{self.label} cannot send private messages.")

    async def private_reply(self, message: OutboundMessage) -> Sent:
        """Answer the public item `reply_to` in private: only its author reads it."""
        raise Refused(f"{self.label} cannot answer a public comment in private.")

    async def post(self, external_id: str) -> Post:
        """What a post says that comments stand under, where they came without it."""
        raise Refused(f"{self.label} cannot be asked for a post.")

    async def find_sent(self, message: OutboundMessage) -> Sent | None:
        """Ask the platform whether it already has this message; None when it does not."""
        raise Refused(f"{self.label} cannot say what it has sent.")

    async def hide(self, external_id: str) -> None:
        """Hide a public comment."""
        raise Refused(f"{self.label} cannot hide.")

    async def unhide(self, external_id: str) -> None:
        """Show a public comment again that we had hidden."""
        raise Refused(f"{self.label} cannot show again what was hidden.")

    async def like(self, external_id: str) -> None:
        """Like an item."""
        raise Refused(f"{self.label} cannot like.")

    async def unlike(self, external_id: str) -> None:
        """Take a like back."""
        raise Refused(f"{self.label} cannot take a like back.")

    async def boost(self, external_id: str) -> None:
        """Show an item of somebody else to everybody who follows us."""
        raise Refused(f"{self.label} cannot boost.")

    async def unboost(self, external_id: str) -> None:
        """Take a boost back."""
        raise Refused(f"{self.label} cannot take a boost back.")

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
