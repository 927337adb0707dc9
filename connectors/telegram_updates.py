"""Telegram's updates in our words; the models name what is used of https://core.telegram.org/bots/api#update."""

from collections.abc import Iterator
from dataclasses import dataclass
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
    MessageKind,
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


class _Choice(BaseModel):
    text: str


class _Poll(BaseModel):
    question: str
    options: list[_Choice] = []

    def __str__(self) -> str:
        return "\n".join([f"📊 {self.question}", *(f"- {each.text}" for each in self.options)])


class _Dice(BaseModel):
    emoji: str
    value: int

    def __str__(self) -> str:
        return f"{self.emoji} {self.value}"


class _Entity(BaseModel):
    """A part of a text that is more than text; its place is counted in UTF-16."""

    type: str
    offset: int = 0
    length: int = 0
    user: _User | None = None


class _Stub(BaseModel):
    """A message that another one points at."""

    message_id: int
    chat: _Chat
    date: UtcTime
    sender: _User | None = Field(default=None, alias="from")
    business_connection_id: str = ""

    @property
    def thread_key(self) -> str:
        """The chat, and the business account that talks in it through the bot."""
        return f"{self.chat.id}@{self.business_connection_id}" if self.business_connection_id else str(self.chat.id)


class _Message(_Stub):
    edit_date: UtcTime | None = None
    reply_to_message: _Stub | None = None
    text: str = ""
    entities: list[_Entity] = []
    caption: str = ""
    caption_entities: list[_Entity] = []
    media_group_id: str = ""
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
    poll: _Poll | None = None
    dice: _Dice | None = None
    sender_business_bot: _User | None = None
    """The bot that wrote this in the name of the business account."""


class _Deleted(BaseModel):
    business_connection_id: str
    chat: _Chat
    message_ids: list[int]


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
    business_message: _Message | None = None
    edited_business_message: _Message | None = None
    deleted_business_messages: _Deleted | None = None


@dataclass(frozen=True, slots=True)
class Bot:
    """Who we are, as far as it is known: what a group says to others is not for us."""

    number: str = ""
    name: str = ""
    """With @."""


def read_update(raw: RawEvent, bot: Bot) -> list[InboundMessage]:
    """A message, an edit, a deletion or a pressed button of a private chat with the bot, or with a business account
    that the bot is connected to; what a group says to the bot; other kinds of update -> []. No I/O.

    Raises Ignored for the rest of groups, for channels and service messages, and BadPayload with what is wrong.
    """
    update = understand(_Update, raw.payload)
    if new := update.message or update.business_message:
        return [_read_message(new, Change.NEW, bot)]
    if edited := update.edited_message or update.edited_business_message:
        return [_read_message(edited, Change.EDIT, bot)]
    if update.deleted_business_messages:
        return _read_deleted(update.deleted_business_messages, raw)
    if update.callback_query:
        return [_read_press(update.callback_query, raw)]
    if update.channel_post or update.edited_channel_post:
        raise Ignored("A post in a Telegram channel; only private chats are read.")
    return []


def _read_message(message: _Message, change: Change, bot: Bot) -> InboundMessage:
    is_group = message.chat.type in ("group", "supergroup")
    if message.chat.type != "private" and not is_group:
        raise Ignored(f"A message in a Telegram {message.chat.type}; only private chats and groups are read.")
    if message.sender is None:
        raise BadPayload("message.from: Field required.")
    if is_group and change is Change.NEW and not _speaks_to(message, bot):
        raise Ignored("A message in a Telegram group that does not speak to the bot.")
    if message.sender_business_bot:
        raise Ignored("Our own answer, in the name of the business account.")
    account, attachments = message.business_connection_id, tuple(_attachments(message))
    shared = message.venue or message.location or message.contact or message.poll or message.dice
    text = message.text or message.caption or (str(shared) if shared else "")
    if message.sticker:
        text = message.sticker.emoji
    if not text and not attachments:
        raise Ignored("A service message, or a kind of message that is not read yet.")
    # In a group each person has a conversation of their own, which everybody can read.
    thread = f"{message.chat.id}/{message.sender.id}" if is_group else message.thread_key
    return InboundMessage(
        external_id=f"{thread}:{message.message_id}",
        thread_key=thread,
        kind=MessageKind.MENTION if is_group else MessageKind.DIRECT_MESSAGE,
        # What the account's owner writes on a phone comes in too, from somebody else than the chat is with.
        author=_author(message.sender, is_self=bool(account) and message.sender.id != message.chat.id),
        sent_at=message.edit_date or message.date,
        text=text,
        reply_to=None if is_group else _external_id(message.reply_to_message),
        attachments=attachments,
        change=change,
    )


def _speaks_to(message: _Message, bot: Bot) -> bool:
    """Whether a group's message names the bot, is a command for it, or answers what it wrote."""
    answered = message.reply_to_message.sender if message.reply_to_message else None
    if answered and (str(answered.id) == bot.number if bot.number else answered.is_bot):
        return True
    text, entities = (message.text, message.entities) if message.text else (message.caption, message.caption_entities)
    return any(_names(text, entity, bot) for entity in entities)


def _names(text: str, entity: _Entity, bot: Bot) -> bool:
    if entity.type == "text_mention":
        return entity.user is not None and str(entity.user.id) == bot.number
    if entity.type not in ("mention", "bot_command"):
        return False
    wide = text.encode("utf-16-le", errors="replace")
    words = wide[2 * max(entity.offset, 0) : 2 * max(entity.offset + entity.length, 0)].decode("utf-16-le", "replace")
    name = words[words.find("@") :].lower() if "@" in words else ""
    # "Usernames of bots must end in 'bot'" (Bot API, @BotFather): where we do not know ours, any of these is taken.
    return name == bot.name.lower() if bot.name else name.endswith("bot")


def _read_deleted(deleted: _Deleted, raw: RawEvent) -> list[InboundMessage]:
    if raw.received_at is None:
        raise BadPayload("deleted_business_messages: they have no time.")
    thread = f"{deleted.chat.id}@{deleted.business_connection_id}"
    author = Author(external_id=str(deleted.chat.id))
    return [
        InboundMessage(f"{thread}:{number}", thread, author, raw.received_at.astimezone(UTC), change=Change.DELETE)
        for number in deleted.message_ids
    ]


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
        thread_key=stub.thread_key,
        author=_author(press.sender),
        sent_at=sent_at.astimezone(UTC),
        reply_to=_external_id(stub),
        button=press.data,
    )


def _author(user: _User, *, is_self: bool = False) -> Author:
    name = f"{user.first_name} {user.last_name}".strip()
    return Author(str(user.id), name=name, handle=user.username, is_bot=user.is_bot, is_self=is_self)


def _external_id(message: _Stub | None) -> str | None:
    return f"{message.thread_key}:{message.message_id}" if message else None


def _attachments(message: _Message) -> Iterator[Attachment]:
    album = message.media_group_id
    if message.photo:
        # Each picture comes in several sizes.
        largest = max(message.photo, key=lambda size: size.width * size.height)
        yield _attachment("image", largest, "image/jpeg", album)
    if message.sticker:
        moving = "video" if message.sticker.is_video else "document"
        is_still = not (message.sticker.is_video or message.sticker.is_animated)
        yield _attachment("image" if is_still else moving, message.sticker, "image/webp" if is_still else "")
    if message.document and not message.animation:
        # An animation comes as a document too, for old bots.
        yield _attachment("document", message.document, album=album)
    for audio in filter(None, (message.voice, message.audio)):
        yield _attachment("audio", audio, album=album)
    for video in filter(None, (message.video, message.video_note, message.animation)):
        yield _attachment("video", video, album=album)


def _attachment(kind: str, file: _File, content_type: str = "", album: str = "") -> Attachment:
    return Attachment(kind, file.file_id, file.file_name, file.mime_type or content_type, file.file_size, album=album)
