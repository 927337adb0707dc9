"""Private messages through a page: what Messenger and Instagram share, in and out.

Written after https://developers.facebook.com/docs/messenger-platform (webhook events, Send API, message tags).
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from pydantic import BaseModel

from connectors.base import (
    Attachment,
    Author,
    BadPayload,
    Change,
    ChannelConfig,
    Field,
    Ignored,
    InboundMessage,
    Json,
    OutboundMessage,
    RawEvent,
    Refused,
    Sent,
    Window,
)
from connectors.meta import MARK, Envelope, Id, MetaConnector
from connectors.meta_graph import json_field, number_of
from connectors.payload import UtcTime, understand

WINDOW_HOURS = 24.0
HUMAN_DAYS = 7
TITLE = 20
"""Characters of a quick reply's title; Meta cuts longer ones."""
KNOWN_NAMES = 5000
KINDS = {"image": "image", "audio": "audio", "video": "video", "file": "document"}
ABOUT = {
    "read": "The customer read our messages.",
    "delivery": "Our messages were delivered.",
    "reaction": "A reaction to a message.",
    "optin": "The customer opted in to something.",
    "referral": "The customer came by a link.",
}

LATE_ANSWERS = Field(
    "late_answers",
    "Answers after 24 hours",
    help="With the Human Agent feature of your app, agents may answer for seven days; automatic answers never.",
    help_url="https://developers.facebook.com/docs/features-reference/human-agent",
    is_required=False,
    default="refuse",
    choices=("refuse", "human agent"),
)


class _Party(BaseModel):
    id: Id


class _Place(BaseModel):
    lat: float
    long: float


class _Payload(BaseModel):
    url: str | None = None
    title: str | None = None
    coordinates: _Place | None = None


class _Attached(BaseModel):
    type: str
    payload: _Payload | None = None
    title: str | None = None
    url: str | None = None


class _Story(BaseModel):
    url: str = ""
    id: Id = ""


class _ReplyTo(BaseModel):
    mid: str | None = None
    story: _Story | None = None


class _QuickReply(BaseModel):
    payload: str = ""


class _Message(BaseModel):
    mid: str
    text: str = ""
    is_echo: bool = False
    is_deleted: bool = False
    is_unsupported: bool = False
    app_id: Id | None = None
    metadata: str = ""
    quick_reply: _QuickReply | None = None
    reply_to: _ReplyTo | None = None
    attachments: list[_Attached] = []


class _Postback(BaseModel):
    mid: str | None = None
    title: str = ""
    payload: str = ""


class _Edit(BaseModel):
    mid: str
    text: str = ""


class _Profile(BaseModel):
    name: str = ""
    username: str = ""


class _Messaging(BaseModel):
    sender: _Party
    recipient: _Party
    timestamp: UtcTime | None = None
    message: _Message | None = None
    postback: _Postback | None = None
    message_edit: _Edit | None = None


class MessagesConnector(MetaConnector):
    """Base of Messenger and Instagram."""

    profile_fields: ClassVar[str]
    marks_messages: ClassVar[bool] = False
    """Whether Meta keeps our mark on a message and shows it in the echo."""

    def __init__(self, config: ChannelConfig) -> None:
        super().__init__(config)
        self._profiles: dict[str, Json] = {}

    async def complete(self, raw: RawEvent) -> RawEvent:
        """The event with the sender's name, which Meta's calls leave out."""
        payload = raw.payload
        messaging = payload.get("messaging") if isinstance(payload, dict) else None
        if not isinstance(messaging, dict) or not ({"message", "postback"} & messaging.keys()):
            return raw
        sender, message = messaging.get("sender"), messaging.get("message")
        number = sender.get("id") if isinstance(sender, dict) else None
        is_echo = isinstance(message, dict) and message.get("is_echo")
        if not isinstance(number, str) or not number.isascii() or not number.isdigit() or is_echo:
            return raw
        if self.account_id and payload.get("id") != self.account_id:
            return raw
        if number not in self._profiles:
            found = await self.graph.get(number, {"fields": self.profile_fields})
            if len(self._profiles) >= KNOWN_NAMES:
                self._profiles.pop(next(iter(self._profiles)))
            self._profiles[number] = {k: v for k, v in found.items() if k in ("name", "username")}
        return RawEvent({**payload, "profile": self._profiles[number]}, raw.external_id)

    def read_messaging(self, event: Envelope) -> list[InboundMessage]:
        """A message, an edit, a deletion, a press or an echo of what we sent elsewhere."""
        about = next(
            (words for key, words in ABOUT.items() if isinstance(event.messaging, dict) and key in event.messaging), ""
        )
        if about:
            raise Ignored(about)
        messaging = understand(_Messaging, event.messaging)
        sent_at = messaging.timestamp or event.time
        if sent_at is None:
            raise BadPayload("messaging.timestamp: Field required.")
        if messaging.message:
            return [self._message(event, messaging, messaging.message, sent_at)]
        if messaging.postback:
            return [self._postback(event, messaging, messaging.postback, sent_at)]
        if messaging.message_edit:
            edit = messaging.message_edit
            return [self._inbound(event, messaging, edit.mid, sent_at, text=edit.text, change=Change.EDIT)]
        raise Ignored("Something about a conversation that is no message.")

    def _message(self, event: Envelope, messaging: _Messaging, message: _Message, at: datetime) -> InboundMessage:
        if message.is_deleted:
            return self._inbound(event, messaging, message.mid, at, change=Change.DELETE)
        if message.is_echo and self._is_ours(message):
            raise Ignored("Our own answer, sent from here.")
        quick = message.quick_reply
        if quick and quick.payload.startswith(MARK) and not message.is_echo:
            return self._inbound(event, messaging, message.mid, at, button=quick.payload.removeprefix(MARK))
        attachments = tuple(_files(message))
        text = "\n".join(filter(None, (message.text, *_words(message))))
        if not text and not attachments:
            raise Ignored("A message of a kind that Meta does not show to apps.")
        return self._inbound(
            event,
            messaging,
            message.mid,
            at,
            text=text,
            attachments=attachments,
            reply_to=message.reply_to.mid if message.reply_to else None,
            is_self=message.is_echo,
        )

    def _postback(self, event: Envelope, messaging: _Messaging, press: _Postback, at: datetime) -> InboundMessage:
        number = press.mid or f"{messaging.sender.id}:{int(at.timestamp() * 1000)}"
        if press.payload.startswith(MARK):
            return self._inbound(event, messaging, number, at, button=press.payload.removeprefix(MARK))
        if not (press.title or press.payload):
            raise Ignored("A press without words.")
        # A button of a menu or an advert that we did not make: what stands on it is what the customer says.
        return self._inbound(event, messaging, number, at, text=press.title or press.payload)

    def _inbound(
        self, event: Envelope, messaging: _Messaging, number: str, at: datetime, *, is_self: bool = False, **more: Any
    ) -> InboundMessage:
        if not number:
            raise BadPayload("messaging.message.mid: empty.")
        customer = messaging.recipient.id if is_self else messaging.sender.id
        profile = _Profile()
        if event.profile is not None and not is_self:
            profile = understand(_Profile, event.profile)
        author = Author(messaging.sender.id, profile.name or profile.username, profile.username, is_self=is_self)
        return InboundMessage(number, customer, author, at, **more)

    def _is_ours(self, message: _Message) -> bool:
        app_id = str(self.config.settings.get("app_id") or "")
        return message.metadata.startswith(MARK) or bool(app_id and message.app_id == app_id)

    async def send(self, recipient: Json, message: OutboundMessage) -> Sent:
        """One text with quick replies under it, or one file; in the window, or later as a human agent's."""
        content: dict[str, Json] = {"text": message.text}
        if message.buttons:
            content["quick_replies"] = [
                {"content_type": "text", "title": _title(button.label), "payload": f"{MARK}{button.value}"}
                for button in message.buttons
            ]
        if self.marks_messages:
            content["metadata"] = f"{MARK}{message.key}"
        if message.attachments:
            [file] = message.attachments
            kind = {each: theirs for theirs, each in KINDS.items()}[file.kind]
            content = {k: v for k, v in content.items() if k == "metadata"}
            content["attachment"] = {"type": kind, "payload": {"is_reusable": False}}
            fields = {"recipient": json_field(recipient), "message": json_field(content), **self._type(message)}
            made = await self.graph.upload("me/messages", fields, "filedata", file, is_sending=True)
        else:
            body: dict[str, Json] = {"recipient": recipient, "message": content, **self._type(message)}
            made = await self.graph.post("me/messages", body, is_sending=True)
        return Sent(external_id=number_of(made, "message_id"))

    def _type(self, message: OutboundMessage) -> dict[str, str]:
        heard = message.last_inbound_at
        age = datetime.now(UTC) - heard if heard else timedelta(0)
        if age <= timedelta(hours=WINDOW_HOURS):
            return {"messaging_type": "RESPONSE"}
        if self.config.settings.get("late_answers") != "human agent":
            raise Refused("Meta takes answers only in the 24 hours after the customer's last message.")
        if not message.is_human:
            raise Refused("After 24 hours Meta takes only answers of agents, not automatic ones.")
        if age > timedelta(days=HUMAN_DAYS):
            raise Refused("Meta takes agents' answers only in the seven days after the customer's last message.")
        return {"messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}

    def window(self, heard_at: datetime) -> Window | None:
        """24 hours; with the Human Agent feature seven days for agents."""
        is_human = self.config.settings.get("late_answers") == "human agent"
        late_until = heard_at + timedelta(days=HUMAN_DAYS) if is_human else None
        return Window(heard_at + timedelta(hours=WINDOW_HOURS), late_until)

    async def fetch(self, attachment: Attachment) -> bytes:
        """The bytes of a file, while Meta's address of it lasts."""
        return await self.graph.download(attachment.external_id)


def _title(label: str) -> str:
    return label if len(label) <= TITLE else f"{label[: TITLE - 1]}…"


def _files(message: _Message) -> Iterator[Attachment]:
    for file in message.attachments:
        url = file.payload.url if file.payload else None
        if url and file.type in KINDS:
            yield Attachment(KINDS[file.type], url)
        elif url and file.type in ("story_mention", "ig_reel", "reel"):
            yield Attachment("video" if "reel" in file.type else "document", url, file.type.replace("_", " "))
    story = message.reply_to.story if message.reply_to else None
    if story and story.url:
        yield Attachment("document", story.url, "story")


def _words(message: _Message) -> Iterator[str]:
    """What was shared without being a file: a place, a link, a post."""
    for file in message.attachments:
        place = file.payload.coordinates if file.payload else None
        url = file.url or (file.payload.url if file.payload else None)
        if place:
            yield f"📍 {place.lat}, {place.long}"
        elif file.type not in KINDS and file.type not in ("story_mention", "ig_reel", "reel"):
            title = file.title or (file.payload.title if file.payload else None)
            if shared := " ".join(filter(None, (title, url))):
                yield f"🔗 {shared}"
