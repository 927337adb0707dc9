"""Telegram's updates in our words; the models name what is used of https://core.telegram.org/bots/api#update."""

from collections.abc import Iterator
from datetime import UTC

from pydantic import BaseModel, Field

from connectors.base import (
    Attachment,
    Author,
    BadPayload,
    Change,
    Ignored,
    InboundMessage,
    Json,
    RawEvent,
)
from connectors.payload import UtcTime, understand


class _User(BaseModel):
    id: int
    is_bot: bool = False
    first_name: str = ""
    last_name: str = ""
    username: str = ""


class _Chat(BaseModel):
    id: int
    type: str


class _File(BaseModel):
    file_id: str
    file_name: str = ""
    mime_type: str = ""
    file_size: int | None = None


class _Photo(_File):
    width: int
    height: int


class _Sticker(_File):
    emoji: str = ""
    is_animated: bool = False
    is_video: bool = False


class _Location(BaseModel):
    latitude: float
    longitude: float

    def __str__(self) -> str:
        return f"📍 {self.latitude}, {self.longitude}"


class _Venue(BaseModel):
    location: _Location
    title: str = ""
    address: str = ""

    def __str__(self) -> str:
        return f"📍 {self.title}, {self.address} ({self.location.latitude}, {self.location.longitude})"


class _Contact(BaseModel):
    phone_number: str
    first_name: str = ""
    last_name: str = ""

    def __str__(self) -> str:
        return f"👤 {self.first_name} {self.last_name}".rstrip() + f", {self.phone_number}"


class _Stub(BaseModel):
    """A message that another one points at."""

    message_id: int
    chat: _Chat
    date: UtcTime


class _Message(_Stub):
    sender: _User | None = Field(default=None, alias="from")
    edit_date: UtcTime | None = None
    reply_to_message: _Stub | None = None
    text: str = ""
    caption: str = ""
    photo: list[_Photo] = []
    document: _File | None = None
    voice: _File | None = None
    audio: _File | None = None
    video: _File | None = None
    video_note: _File | None = None
    animation: _File | None = None
    sticker: _Sticker | None = None
    location: _Location | None = None
    venue: _Venue | None = None
    contact: _Contact | None = None


class _Press(BaseModel):
    id: str
    sender: _User = Field(alias="from")
    message: _Stub | None = None
    data: str = ""


class _Update(BaseModel):
    update_id: int
    message: _Message | None = None
    edited_message: _Message | None = None
    channel_post: Json = None
    edited_channel_post: Json = None
    callback_query: _Press | None = None


def read_update(raw: RawEvent) -> list[InboundMessage]:
    """A message, an edit or a pressed button of a private chat; other kinds of update -> []. No I/O.

    Raises Ignored for groups, channels and service messages, and BadPayload with the field that is wrong.
    """
    update = understand(_Update, raw.payload)
    if update.message:
        return [_read_message(update.message, Change.NEW)]
    if update.edited_message:
        return [_read_message(update.edited_message, Change.EDIT)]
    if update.callback_query:
        return [_read_press(update.callback_query, raw)]
    if update.channel_post or update.edited_channel_post:
        raise Ignored("A post in a Telegram channel; only private chats are read.")
    return []


def _read_message(message: _Message, change: Change) -> InboundMessage:
    if message.chat.type != "private":
        raise Ignored(f"A message in a Telegram {message.chat.type}; only private chats are read.")
    if message.sender is None:
        raise BadPayload("message.from: Field required.")
    attachments = tuple(_attachments(message))
    shared = message.venue or message.location or message.contact
    text = message.text or message.caption or (str(shared) if shared else "")
    if message.sticker:
        text = message.sticker.emoji
    if not text and not attachments:
        raise Ignored("A service message, or a kind of message that is not read yet.")
    return InboundMessage(
        external_id=f"{message.chat.id}:{message.message_id}",
        thread_key=str(message.chat.id),
        author=_author(message.sender),
        sent_at=message.edit_date or message.date,
        text=text,
        reply_to=_external_id(message.reply_to_message),
        attachments=attachments,
        change=change,
    )


def _read_press(press: _Press, raw: RawEvent) -> InboundMessage:
    stub = press.message
    if stub is None or not press.data:
        raise Ignored("A button that is not one of ours.")
    if stub.chat.type != "private":
        raise Ignored(f"A button in a Telegram {stub.chat.type}; only private chats are read.")
    # A press has no time of its own, and that of its message is 0 once the message is inaccessible (Bot API).
    sent_at = raw.received_at or stub.date
    if sent_at.timestamp() <= 0:
        raise BadPayload("callback_query.message.date: the message is gone, so the press has no time.")
    return InboundMessage(
        external_id=press.id,
        thread_key=str(stub.chat.id),
        author=_author(press.sender),
        sent_at=sent_at.astimezone(UTC),
        reply_to=_external_id(stub),
        button=press.data,
    )


def _author(user: _User) -> Author:
    name = f"{user.first_name} {user.last_name}".strip()
    return Author(external_id=str(user.id), name=name, handle=user.username, is_bot=user.is_bot)


def _external_id(message: _Stub | None) -> str | None:
    return f"{message.chat.id}:{message.message_id}" if message else None


def _attachments(message: _Message) -> Iterator[Attachment]:
    if message.photo:
        # Each picture comes in several sizes.
        largest = max(message.photo, key=lambda size: size.width * size.height)
        yield _attachment("image", largest, "image/jpeg")
    if message.sticker:
        moving = "video" if message.sticker.is_video else "document"
        is_still = not (message.sticker.is_video or message.sticker.is_animated)
        yield _attachment("image" if is_still else moving, message.sticker, "image/webp" if is_still else "")
    if message.document and not message.animation:
        # An animation comes as a document too, for old bots.
        yield _attachment("document", message.document)
    for audio in filter(None, (message.voice, message.audio)):
        yield _attachment("audio", audio)
    for video in filter(None, (message.video, message.video_note, message.animation)):
        yield _attachment("video", video)


def _attachment(kind: str, file: _File, content_type: str = "") -> Attachment:
    return Attachment(kind, file.file_id, file.file_name, file.mime_type or content_type, file.file_size)
