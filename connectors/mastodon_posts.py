"""Mastodon's posts in our words; the models name what is used of https://docs.joinmastodon.org/entities/Status/."""

import re
from dataclasses import replace
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints
from yarl import URL

from connectors.base import (
    Attachment,
    Author,
    BadPayload,
    Change,
    Ignored,
    InboundMessage,
    Json,
    MessageKind,
    Post,
    RawEvent,
)
from connectors.payload import UtcTime, understand
from connectors.plain import plain

URLS = re.compile(r"https?://[^\s<>\"]+")
_KINDS = {"image": "image", "gifv": "video", "video": "video", "audio": "audio"}
_NEW = ("mention", "quote", "found")
_CHANGES = {"edited": Change.EDIT, "update": Change.EDIT}

_Id = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class _Account(BaseModel):
    id: _Id
    acct: _Id
    display_name: str = ""
    bot: bool | None = False


class _Mention(BaseModel):
    id: _Id
    acct: _Id


class _Media(BaseModel):
    type: str = "unknown"
    url: str | None = None
    remote_url: str | None = None


class _Option(BaseModel):
    title: str


class _Poll(BaseModel):
    options: list[_Option] = []


class _Status(BaseModel):
    id: _Id
    created_at: UtcTime
    edited_at: UtcTime | None = None
    url: str | None = None
    account: _Account
    content: str = ""
    spoiler_text: str = ""
    visibility: str = "public"
    in_reply_to_id: _Id | None = None
    in_reply_to_account_id: _Id | None = None
    mentions: list[_Mention] = []
    media_attachments: list[_Media] = Field(default=[], max_length=50)
    poll: _Poll | None = None


class _Event(BaseModel):
    type: str
    id: str = ""
    status: _Status | None = None
    root: _Id | None = None
    above: Json = None
    """The post that is the root, where it is another one than this and its server showed it."""
    acct: str = ""
    at: UtcTime | None = None


def read_event(raw: RawEvent, me: str) -> list[InboundMessage]:
    """What `poll` and `search` keep: a notification with its thread's `root`, an edit, a deletion, a found post.

    `me` is our account's id. Raises Ignored for other notifications. No I/O.
    """
    event = understand(_Event, raw.payload)
    if event.type == "deleted":
        return [_deleted(event)]
    change = _CHANGES.get(event.type, Change.NEW)
    if event.type not in (*_NEW, *_CHANGES):
        raise Ignored(f"A Mastodon notification of the kind {event.type[:40]!r}; only posts are read.")
    if event.status is None:
        raise BadPayload("status: Field required.")
    message = _read(event.status, event.root, me, change)
    above = event.root or event.status.in_reply_to_id
    if above is None or above == event.status.id:
        return [message]
    try:
        return [replace(message, post=read_post(event.above, me))]
    except BadPayload:  # it was not shown to us, or by a server with other ways: the answer counts
        return [replace(message, post=Post(above))]


def read_post(status: Json, me: str) -> Post:
    """A post of anybody's as what others stand under."""
    found = understand(_Status, status)
    files = [_attachment(media) for media in found.media_attachments]
    return Post(
        external_id=found.id,
        text=_text(found, me),
        url=found.url or "",
        author=found.account.display_name or found.account.acct,
        is_self=found.account.id == me,
        picture=next((file for file in files if file.kind == "image" and file.external_id), None),
        sent_at=found.created_at,
    )


def _read(status: _Status, root: str | None, me: str, change: Change) -> InboundMessage:
    text, files = _text(status, me), tuple(_attachment(media) for media in status.media_attachments)
    files = tuple(file for file in files if file.external_id)
    if not text and not files:
        raise Ignored("A Mastodon post that says nothing.")
    kind = MessageKind.MENTION
    if status.visibility == "direct":
        kind = MessageKind.DIRECT_MESSAGE
    elif me and status.in_reply_to_account_id == me:
        kind = MessageKind.COMMENT
    return InboundMessage(
        external_id=status.id,
        thread_key=f"{root or status.in_reply_to_id or status.id}:{status.account.acct}",
        author=Author(
            # A name never changes on Mastodon, and is what an answer must mention.
            external_id=status.account.acct,
            name=status.account.display_name,
            handle=status.account.acct,
            is_bot=bool(status.account.bot),
            is_self=status.account.id == me,
        ),
        sent_at=(status.edited_at if change is Change.EDIT else None) or status.created_at,
        text=text,
        kind=kind,
        reply_to=status.in_reply_to_id,
        attachments=files,
        change=change,
    )


def _deleted(event: _Event) -> InboundMessage:
    if not event.id or not event.acct or event.at is None:
        raise BadPayload("id, acct, at: needed for a deletion.")
    thread = f"{event.root or event.id}:{event.acct}"
    return InboundMessage(event.id, thread, Author(event.acct), event.at, change=Change.DELETE)


def _text(status: _Status, me: str) -> str:
    """The text without the mention of us that begins it, after the author's warning, before a poll's choices."""
    text = plain(status.content)
    for mention in status.mentions:
        if mention.id == me:
            name = re.escape(mention.acct.partition("@")[0])
            text = re.sub(rf"^@{name}(@[\w.-]+)?[\s,:]+(?=\S)", "", text)
    choices = "\n".join(f"- {option.title}" for option in status.poll.options) if status.poll else ""
    return "\n\n".join(part for part in (plain(status.spoiler_text), text, choices) if part)


def _attachment(media: _Media) -> Attachment:
    address = media.url or media.remote_url or ""
    try:
        name = URL(address).name
    except ValueError:
        name = ""
    return Attachment(_KINDS.get(media.type, "document"), address, name[:200])
