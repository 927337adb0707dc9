"""Messages in our words: what comes in, what goes out, and what a comment stands under."""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path


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
    HIDE = "hide"
    UNHIDE = "unhide"
    """Somebody hid it from the public, or showed it again, on the platform itself."""
    FAILED = "failed"
    """A message of ours was taken and then not delivered; the text holds the platform's words."""


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
    album: str = ""
    """What was sent at once and comes one by one has the same word here: to people it is one message."""


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
