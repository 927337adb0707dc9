"""Files on their way to Telegram: which method sends what.

Written after https://core.telegram.org/bots/api ("Bot API"): sendPhoto, sendDocument, sendVoice, sendMediaGroup.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from telegram import (
    Bot,
    InputFile,
    InputMediaAudio,
    InputMediaDocument,
    InputMediaPhoto,
    InputMediaVideo,
    Message,
)

from connectors.base import File, OutboundMessage

CAPTION = 1024
"""Bot API, sendPhoto: characters below a file; Telegram counts them as UTF-16 does."""
PHOTO_BYTES = 10_000_000
UPLOAD_BYTES = 50_000_000
ALBUM = 10
MEDIA = {"*/*": UPLOAD_BYTES}
_METHODS = {"image/gif": "animation", "audio/ogg": "voice", "audio/mpeg": "audio", "audio/mp4": "audio"}
_METHODS |= {"video/mp4": "video", "image/jpeg": "photo", "image/png": "photo"}
_ALBUMS = {"photo": InputMediaPhoto, "video": InputMediaVideo, "audio": InputMediaAudio}


def in_pieces(message: OutboundMessage) -> tuple[OutboundMessage, ...]:
    """A file with its text below it; a text that is too long for that goes first."""
    if not message.attachments or len(message.text.encode("utf-16-le")) <= 2 * CAPTION:
        return (message,)
    files = replace(message, key=f"{message.key}:1", text="", buttons=(), reply_to=None)
    return replace(message, attachments=()), files


def method(file: File) -> str:
    """How Telegram shows a file: photo, voice, audio, video, animation or document."""
    if file.kind == "image" and file.size > PHOTO_BYTES:
        return "document"
    return _METHODS.get(file.content_type, "document")


async def send(bot: Bot, chat: str, message: OutboundMessage, **options: Any) -> Message:
    """Send the files with the text below them, several as one album; the (first) message that they became."""
    caption = message.text or None
    if len(message.attachments) == 1:
        [file] = message.attachments
        how = method(file)
        sent: Message = await getattr(bot, f"send_{how}")(
            chat, **{how: InputFile(await file.read(), filename=file.name or None)}, caption=caption, **options
        )
        return sent
    shapes = _album([method(file) for file in message.attachments])
    album = []
    for place, file in enumerate(message.attachments):
        content = InputFile(await file.read(), filename=file.name or None, attach=True)
        kind = _ALBUMS.get(shapes[place], InputMediaDocument)
        album.append(kind(content, caption=caption if not place else None))
    options.pop("reply_markup", None)
    return (await bot.send_media_group(chat, album, **options))[0]


def _album(methods: Sequence[str]) -> Sequence[str]:
    """Bot API, sendMediaGroup: documents and audio only among themselves; photos and videos may be mixed."""
    kinds = set(methods)
    is_one = kinds <= {"photo", "video"} or kinds == {"audio"}
    return methods if is_one else ["document"] * len(methods)
