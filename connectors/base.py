"""The contract between a channel's platform and the engine; what it speaks of is taken from here by all others.

A connector returns data or raises; the engine decides. What a subclass overrides is what its channel can do:
`connector.can("hide")` is true exactly when the class overrides `hide`, so none can be declared and missing.
A connector never sleeps, retries, logs message text, touches the database or imports another connector.
"""

from abc import ABC
from collections.abc import AsyncIterator, Collection
from datetime import datetime, timedelta
from typing import ClassVar

from connectors.accounts import Account, ChannelConfig, Choice, Field, Keeper, Quota, Renew, SignIn
from connectors.errors import (
    AuthExpired,
    BadPayload,
    BadWebhook,
    ConnectorError,
    Ignored,
    MaybeSent,
    Refused,
    TryLater,
)
from connectors.events import Json, Page, RawEvent, WebhookRequest
from connectors.limits import Limits, Window
from connectors.messages import (
    Attachment,
    Author,
    Button,
    Change,
    File,
    InboundMessage,
    MessageKind,
    OutboundMessage,
    Post,
    Sent,
    kind_of,
)

__all__ = [
    "Account",
    "Attachment",
    "AuthExpired",
    "Author",
    "BadPayload",
    "BadWebhook",
    "Button",
    "Change",
    "ChannelConfig",
    "Choice",
    "Connector",
    "ConnectorError",
    "Field",
    "File",
    "Ignored",
    "InboundMessage",
    "Json",
    "Keeper",
    "Limits",
    "MaybeSent",
    "MessageKind",
    "OutboundMessage",
    "Page",
    "Post",
    "Quota",
    "RawEvent",
    "Refused",
    "Renew",
    "Sent",
    "SignIn",
    "TryLater",
    "WebhookRequest",
    "Window",
    "kind_of",
]


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

    async def revoke(self) -> None:
        """Give our access back, as the channel is disconnected; the credentials are forgotten afterwards."""
        raise Refused(f"{self.label} has nothing to give back.")

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
