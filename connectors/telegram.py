"""Telegram, through a bot: private chats and what groups say to it, polled or called by webhook.

Written after https://core.telegram.org/bots/api; "Bot API" below is that page.
"""

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from hmac import compare_digest
from typing import Any, ClassVar

import httpx
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, ReplyParameters
from telegram.constants import ChatAction
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
)
from telegram.request import HTTPXRequest

from connectors import tls
from connectors.base import (
    Account,
    Attachment,
    AuthExpired,
    BadWebhook,
    ChannelConfig,
    Connector,
    ConnectorError,
    Field,
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
from connectors.cause import cause
from connectors.payload import parse
from connectors.telegram_files import ALBUM, MEDIA, in_pieces, send
from connectors.telegram_updates import Bot as Who
from connectors.telegram_updates import read_update

# python-telegram-bot warns that `retry_after` will be a timedelta; this is its documented way to have that now.
os.environ.setdefault("PTB_TIMEDELTA", "true")
# At INFO httpx logs each address, and Telegram's hold the token; python-telegram-bot logs texts.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("telegram").setLevel(logging.CRITICAL)

ALLOWED_UPDATES = ["message", "edited_message", "callback_query"]
ALLOWED_UPDATES += ["business_message", "edited_business_message", "deleted_business_messages"]
UPDATES_PER_POLL = 100
FILE_BYTES = 20_000_000
"""Bot API, getFile: "bots can download files of up to 20MB in size"."""
BUTTONS_PER_ROW = 8
POLLED = "Another program polls this bot, and Telegram lets only one do so: stop the other one."
CALLED = "Telegram calls a webhook for this bot, so it cannot be polled: reconnect the channel to stop that."
GONE = {
    "blocked": "The customer has blocked the bot: nothing is delivered to them any more.",
    "deactivated": "The customer's account no longer exists.",
    "initiate": "The customer has not started the bot yet: only then may it write to them.",
}
"""What a 403 says -> what that means."""


class TelegramConnector(Connector):
    """One bot. Answers pressed buttons itself when it polls; after a webhook call `acknowledge` does that."""

    name: ClassVar[str] = "telegram"
    label: ClassVar[str] = "Telegram"
    about: ClassVar[str] = "Private messages to your bot, and what groups say to it."
    # Bot API, sendMessage: 4096 characters; telegram.constants.InlineKeyboardMarkupLimit: 100 buttons.
    limits: ClassVar[Limits] = Limits(text_length=4096, buttons=100, media=MEDIA, public_media=MEDIA, files=ALBUM)
    fields: ClassVar[tuple[Field, ...]] = (
        Field(
            "token",
            "Bot token",
            help="In Telegram, open a chat with @BotFather, send /newbot (or /token for a bot that you have)"
            " and copy the token from its answer.",
            help_url="https://core.telegram.org/bots/features#botfather",
            is_secret=True,
        ),
        Field(
            "mode",
            "How messages come in",
            help="Polling works everywhere. Webhook needs a public https address.",
            default="polling",
            choices=("polling", "webhook"),
        ),
    )
    # Bot API, setWebhook: "A-Z, a-z, 0-9, _ and - are allowed", up to 256 of them.
    made_secrets: ClassVar[tuple[str, ...]] = ("webhook_secret",)
    poll_seconds: ClassVar[float] = 1.0
    """Short, because the waiting is done by Telegram inside each poll."""

    deletes_private: ClassVar[bool] = True

    def __init__(self, config: ChannelConfig) -> None:
        super().__init__(config)
        self._open_bot: Bot | None = None

    @property
    def is_polled(self) -> bool:
        """Not in webhook mode, where Telegram refuses polls."""
        return self.config.settings.get("mode") != "webhook"

    async def connect(self) -> Account:
        """The bot that the token belongs to. Raises AuthExpired when Telegram does not know the token."""
        with _translated():
            bot = await self._bot.get_me()
        return Account(external_id=str(bot.id), name=f"@{bot.username}" if bot.username else bot.first_name)

    async def set_webhook(self, url: str | None, secret: str) -> None:
        """Make Telegram call `url`, or stop calling; polling works only when it is stopped."""
        if url is not None and not secret:
            raise Refused("A webhook without a secret would be open to anybody.")
        with _translated():
            if url is None:
                await self._bot.delete_webhook()
            else:
                await self._bot.set_webhook(url, secret_token=secret, allowed_updates=ALLOWED_UPDATES)

    async def poll(self, cursor: Json) -> Page:
        """Updates from `cursor` on, waiting up to `settings["poll_timeout"]` seconds (20) for the first one.

        The cursor is the next update's number; asking with it makes Telegram forget the updates before it.
        """
        wait = self._seconds("poll_timeout", 20)
        asked = {"limit": UPDATES_PER_POLL, "timeout": int(wait), "allowed_updates": ALLOWED_UPDATES}
        if cursor is not None:
            asked["offset"] = cursor
        with _translated():
            # `Bot.get_updates` parses all updates or none, so one odd update would stop the channel for ever;
            # `do_api_request` warns for names that Bot has. "All methods are case-insensitive" (Bot API).
            updates: Json = await self._bot.do_api_request(
                "GetUpdates", api_kwargs=asked, read_timeout=wait + self._seconds("request_timeout", 30)
            )
        events = tuple(RawEvent(update, external_id=str(update["update_id"])) for update in updates)
        await asyncio.gather(*(self._stop_spinner(event.payload) for event in events))
        return Page(
            events,
            cursor=max((update["update_id"] + 1 for update in updates), default=cursor),
            more=len(events) == UPDATES_PER_POLL,
        )

    def read_webhook(self, request: WebhookRequest) -> list[RawEvent]:
        """The one update of a call. Bot API, setWebhook: a header brings the secret, the body is unsigned."""
        expected = self.config.credentials.get("webhook_secret", "")
        given = request.headers.get("x-telegram-bot-api-secret-token", "")
        if not expected or not compare_digest(_bytes(given), _bytes(expected)):
            raise BadWebhook("The call does not carry the secret that Telegram was given.")
        update = parse(request.body)
        known = isinstance(update, dict) and isinstance(update.get("update_id"), int)
        return [RawEvent(update, external_id=str(update["update_id"]) if known else None)]

    def read(self, raw: RawEvent) -> list[InboundMessage]:
        """A message, an edit or a pressed button of a private chat, or what a group says to us; others -> []."""
        settings = self.config.settings
        number = str(settings.get("account_id") or "") or self.config.credentials.get("token", "").partition(":")[0]
        return read_update(raw, Who(number, str(settings.get("account_name") or "")))

    async def acknowledge(self, raw: RawEvent) -> None:
        """Stop the spinner on a pressed button."""
        await self._stop_spinner(raw.payload)

    @classmethod
    def in_pieces(cls, message: OutboundMessage) -> tuple[OutboundMessage, ...]:
        """Files with the text below them; a text that is too long for that goes first."""
        return in_pieces(message)

    async def direct_message(self, message: OutboundMessage) -> Sent:
        """Send a plain text (no markup is read in it), with the buttons under it, or files with the text below them."""
        buttons = [InlineKeyboardButton(each.label, callback_data=each.value) for each in message.buttons]
        # A customer may have deleted what is answered; the answer should still arrive.
        number = _message_id(message.reply_to, message.thread_key)
        chat, account = _chat(message.thread_key)
        options: dict[str, Any] = {
            "reply_markup": InlineKeyboardMarkup(_rows(buttons)) if buttons else None,
            "reply_parameters": ReplyParameters(number, allow_sending_without_reply=True) if number else None,
            "business_connection_id": account,
        }
        with _translated(is_sending=True):
            if message.attachments:
                sent = await send(self._bot, chat, message, **options)
            else:
                sent = await self._bot.send_message(chat, message.text, **options)
        return Sent(external_id=f"{message.thread_key}:{sent.message_id}", sent_at=sent.date)

    async def reply(self, message: OutboundMessage) -> Sent:
        """Answer in the group, under the message that is answered."""
        return await self.direct_message(message)

    async def private_reply(self, message: OutboundMessage) -> Sent:
        """Answer who wrote in a group in private; Telegram lets that through to those who have started the bot."""
        return await self.direct_message(replace(message, thread_key=message.recipient, reply_to=None))

    async def delete(self, external_id: str) -> None:
        """Delete a message of ours. Bot API, deleteMessage: only in its first 48 hours."""
        thread, _, _ = external_id.partition(":")
        message = _message_id(external_id, thread)
        if message is None:
            raise Refused("Only messages can be deleted, not pressed buttons.")
        chat, account = _chat(thread)
        with _translated():
            if account:
                await self._bot.delete_business_messages(account, [message])
            else:
                await self._bot.delete_message(chat, message)

    async def typing(self, thread_key: str) -> None:
        """Show "typing…" for five seconds or until the next message."""
        chat, account = _chat(thread_key)
        with _translated():
            await self._bot.send_chat_action(chat, ChatAction.TYPING, business_connection_id=account)

    async def fetch(self, attachment: Attachment) -> bytes:
        """The bytes of a file of up to 20 MB; Telegram keeps files, so this works long after the message."""
        if (attachment.size or 0) > FILE_BYTES:
            raise Refused("Telegram gives bots only files of up to 20 MB.")
        with _translated():
            file = await self._bot.get_file(attachment.external_id)
        if not file.file_path or (file.file_size or 0) > FILE_BYTES:
            raise Refused("Telegram does not give this file to bots.")
        with _translated(is_download=True):
            return bytes(await file.download_as_bytearray(read_timeout=self._seconds("request_timeout", 60)))

    async def close(self) -> None:
        """Close the connections; the next call would open them again."""
        bot, self._open_bot = self._open_bot, None
        if bot:
            # `Bot.shutdown` does nothing unless `Bot.initialize` ran, and that asks Telegram and may put the
            # token into an error's text; so the connections are closed here.
            await bot.request.shutdown()

    @property
    def _bot(self) -> Bot:
        if self._open_bot is None:
            token = self.config.credentials.get("token", "").strip()
            if not token:
                raise AuthExpired("The bot token is missing.")
            server = (self.config.api_url or "https://api.telegram.org").rstrip("/")
            wait = self._seconds("request_timeout", 30)
            # Shorter than the whole, so that "never connected" is told apart from "never answered".
            quick = min(wait / 2, 10)
            request = HTTPXRequest(
                read_timeout=wait,
                write_timeout=wait,
                connect_timeout=quick,
                pool_timeout=quick,
                httpx_kwargs={"verify": tls.context()},
            )
            self._open_bot = Bot(
                token,
                base_url=f"{server}/bot",
                base_file_url=f"{server}/file/bot",
                request=request,
                get_updates_request=request,
            )
        return self._open_bot

    def _seconds(self, key: str, default: float) -> float:
        try:
            return float(self.config.settings.get(key, default))
        except (TypeError, ValueError):
            raise Refused(f"The setting {key} is not a number of seconds.") from None

    async def _stop_spinner(self, update: Json) -> None:
        # Bot API, CallbackQuery: "clients will display a progress bar until you call answerCallbackQuery".
        press = update.get("callback_query") if isinstance(update, dict) else None
        if isinstance(press, dict) and isinstance(press.get("id"), str):
            with suppress(TelegramError, ConnectorError):
                await self._bot.answer_callback_query(press["id"], read_timeout=3, connect_timeout=3)


def _bytes(header: str) -> bytes:
    """`compare_digest` takes no text beyond ASCII; a forged header may hold anything."""
    return header.encode(errors="surrogatepass")


def _chat(thread_key: str) -> tuple[str, str | None]:
    """The chat of a thread, a group's without the person, and, where a business account talks there through the bot,
    that connection."""
    chat, _, account = thread_key.partition("@")
    return chat.partition("/")[0], account or None


def _message_id(external_id: str | None, chat: str) -> int | None:
    """The number of a message in `chat`; None for other things that we gave an external id, as a press."""
    where, _, number = (external_id or "").rpartition(":")
    return int(number) if where == chat and number.isascii() and number.isdigit() else None


def _rows(buttons: list[InlineKeyboardButton]) -> list[list[InlineKeyboardButton]]:
    """Short labels, as the numbers of a survey, side by side; others one below the other."""
    per_row = BUTTONS_PER_ROW if all(len(button.text) <= 3 for button in buttons) else 1
    return [buttons[start : start + per_row] for start in range(0, len(buttons), per_row)]


@contextmanager
def _translated(*, is_sending: bool = False, is_download: bool = False) -> Iterator[None]:
    try:
        yield
    except TelegramError as error:
        if is_download and isinstance(error, InvalidToken):
            # python-telegram-bot calls every 404 that; here the file is gone, and the token just worked.
            raise Refused("Telegram no longer has this file.") from error
        raise _translate(error, is_sending) from error
    except KeyError as error:  # JSON of a form that python-telegram-bot does not expect
        words = "Telegram answered in an unknown form."
        raise MaybeSent(words) if is_sending else TryLater(words) from error


def _translate(error: TelegramError, is_sending: bool) -> ConnectorError:
    # python-telegram-bot says "Bad Gateway (502). Parsing the server response b'<html>…' failed" of a proxy's page.
    words = error.message.partition(". Parsing the server response")[0][:300]
    match error:
        case RetryAfter():
            wait = error.retry_after
            seconds = wait.total_seconds() if isinstance(wait, timedelta) else wait
            return TryLater(f"Telegram asks us to wait for {seconds:.0f} seconds: that was a lot at once.", seconds)
        case _ if words.endswith("(429)"):
            return TryLater(words)
        case InvalidToken():
            return AuthExpired("Telegram does not know this bot token. Ask @BotFather for a new one.")
        case Conflict():
            return TryLater(f"{CALLED if 'webhook' in words else POLLED} ({words})")
        case Forbidden():
            return Refused(f"{next((said for mark, said in GONE.items() if mark in words), '')} ({words})".strip())
        case BadRequest() | ChatMigrated():
            return Refused(words)
        case NetworkError() if _never_left(error):
            return TryLater(f"Telegram cannot be reached: {cause(error)}.")
    if is_sending:
        return MaybeSent(f"Telegram did not say whether it took the message: {words}")
    return TryLater(f"Telegram did not answer: {words}")


def _never_left(error: NetworkError) -> bool:
    """Whether the request was never written: python-telegram-bot keeps the error of httpx as the cause."""
    return isinstance(
        error.__cause__,
        httpx.ConnectError
        | httpx.ConnectTimeout
        | httpx.PoolTimeout
        | httpx.ProxyError
        | httpx.UnsupportedProtocol
        | httpx.LocalProtocolError
        | httpx.InvalidURL,
    )
