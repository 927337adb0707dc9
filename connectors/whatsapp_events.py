"""WhatsApp's webhooks in our words: messages, echoes of a phone, and what became of what we sent.

Written after https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks.
"""

from collections.abc import Iterator

from pydantic import BaseModel
from pydantic import Field as Named

from connectors.base import Attachment, Author, BadPayload, Change, Ignored, InboundMessage, Json
from connectors.meta import MARK, Id
from connectors.payload import UtcTime

LISTS = ("messages", "statuses", "message_echoes", "errors")


class _Profile(BaseModel):
    name: str = ""
    username: str = ""


class Contact(BaseModel):
    """Who wrote, as WhatsApp knows them."""

    wa_id: Id | None = None
    user_id: Id | None = None
    profile: _Profile = _Profile()


class _Text(BaseModel):
    body: str


class _Media(BaseModel):
    id: Id
    mime_type: str = ""
    caption: str = ""
    filename: str = ""


class _Place(BaseModel):
    latitude: float
    longitude: float
    name: str = ""
    address: str = ""

    def __str__(self) -> str:
        where = f"{self.latitude}, {self.longitude}"
        named = ", ".join(filter(None, (self.name, self.address)))
        return f"📍 {named} ({where})" if named else f"📍 {where}"


class _PersonName(BaseModel):
    formatted_name: str = ""


class _Phone(BaseModel):
    phone: str = ""


class _Card(BaseModel):
    name: _PersonName = _PersonName()
    phones: list[_Phone] = []

    def __str__(self) -> str:
        return "👤 " + ", ".join(filter(None, (self.name.formatted_name, *(each.phone for each in self.phones))))


class _Choice(BaseModel):
    id: str
    title: str = ""


class _Interactive(BaseModel):
    type: str
    button_reply: _Choice | None = None
    list_reply: _Choice | None = None


class _TemplateButton(BaseModel):
    text: str = ""
    payload: str = ""


class _Context(BaseModel):
    id: str | None = None


class _Details(BaseModel):
    details: str = ""


class _Error(BaseModel):
    code: int = 0
    title: str = ""
    message: str = ""
    error_data: _Details = _Details()

    def __str__(self) -> str:
        return " ".join(f"(#{self.code}) {self.error_data.details or self.message or self.title}".split())[:300]


class _Message(BaseModel):
    id: str
    timestamp: UtcTime
    type: str
    sender: Id | None = Named(default=None, alias="from")
    from_user_id: Id | None = None
    to: Id | None = None
    group_id: str | None = None
    context: _Context | None = None
    text: _Text | None = None
    image: _Media | None = None
    audio: _Media | None = None
    video: _Media | None = None
    document: _Media | None = None
    sticker: _Media | None = None
    location: _Place | None = None
    contacts: list[_Card] = []
    interactive: _Interactive | None = None
    button: _TemplateButton | None = None
    errors: list[_Error] = []


class _Status(BaseModel):
    id: str
    status: str
    timestamp: UtcTime
    recipient_id: Id = ""
    errors: list[_Error] = []


class _Metadata(BaseModel):
    phone_number_id: Id


class Value(BaseModel):
    """The value of a change, with one thing in one of its lists."""

    metadata: _Metadata
    contacts: list[Contact] = []
    messages: list[_Message] = []
    message_echoes: list[_Message] = []
    statuses: list[_Status] = []
    errors: list[_Error] = []


def things(change: Json) -> Iterator[Json]:
    """Every message, status and error of a change, each with what the change says of all of them."""
    inner = change.get("change") if isinstance(change, dict) else None
    value = inner.get("value") if isinstance(inner, dict) else None
    if not isinstance(inner, dict) or not isinstance(value, dict):
        yield change
        return
    shared = {key: what for key, what in value.items() if key not in LISTS}
    things = [(key, thing) for key in LISTS if isinstance(value.get(key), list) for thing in value[key]]
    if not things:
        yield change
    for key, thing in things:
        yield {**change, "change": {**inner, "value": {**shared, **_contact(shared, thing), key: [thing]}}}


def _contact(shared: dict[str, Json], thing: Json) -> dict[str, Json]:
    """Of the contacts of a batch only the one who wrote."""
    contacts = shared.get("contacts")
    if not isinstance(contacts, list) or not isinstance(thing, dict):
        return {}
    numbers = {number for number in (thing.get("from"), thing.get("from_user_id")) if isinstance(number, str)}
    mine = [c for c in contacts if isinstance(c, dict) and ({str(c.get("wa_id")), str(c.get("user_id"))} & numbers)]
    return {"contacts": mine}


def read_message(message: _Message, contact: Contact) -> InboundMessage:
    """A message of a customer. Raises Ignored or BadPayload."""
    if message.group_id:
        raise Ignored("A message in a WhatsApp group; only private ones are read.")
    # Who took a user name may hide the number; the business-scoped user id is then all there is.
    sender = message.sender or message.from_user_id or contact.wa_id or contact.user_id
    if not sender:
        raise BadPayload("messages.from: Field required.")
    author = Author(sender, contact.profile.name or contact.profile.username, contact.profile.username)
    choice = message.interactive and (message.interactive.button_reply or message.interactive.list_reply)
    if choice and choice.id.startswith(MARK):
        return _inbound(message, sender, author, button=choice.id.removeprefix(MARK))
    text = choice.title if choice else _words(message)
    return _inbound(message, sender, author, text=text)


def read_echo(echo: _Message, number: str) -> InboundMessage:
    """What was answered with the WhatsApp Business app on a phone."""
    if not echo.to:
        raise BadPayload("message_echoes.to: Field required.")
    return _inbound(echo, echo.to, Author(number, is_self=True), text=_words(echo))


def read_status(status: _Status, number: str) -> InboundMessage:
    """That a message of ours was not delivered. Raises Ignored for the other statuses."""
    if status.status != "failed":
        raise Ignored(f"A message of ours, in WhatsApp's words: {status.status[:40]}.")
    words = " ".join(str(error) for error in status.errors) or "WhatsApp did not say why."
    return InboundMessage(
        external_id=status.id,
        thread_key=status.recipient_id,
        author=Author(number, is_self=True),
        sent_at=status.timestamp,
        text=words,
        change=Change.FAILED,
    )


def _inbound(
    message: _Message, thread: str, author: Author, *, text: str = "", button: str | None = None
) -> InboundMessage:
    attachments = tuple(_files(message))
    if not message.id:
        raise BadPayload("messages.id: empty.")
    if not (text or attachments or button):
        why = f": {message.errors[0]}" if message.errors else ""
        raise Ignored(f"A WhatsApp message of the kind {message.type[:40]!r}, which is not read{why}")
    return InboundMessage(
        external_id=message.id,
        thread_key=thread,
        author=author,
        sent_at=message.timestamp,
        text=text,
        reply_to=message.context.id if message.context else None,
        attachments=attachments,
        button=button,
    )


def _words(message: _Message) -> str:
    if message.text:
        return message.text.body
    if message.location:
        return str(message.location)
    if message.button:
        return message.button.text or message.button.payload
    if message.contacts:
        return "\n".join(str(card) for card in message.contacts)
    return next(
        (file.caption for file in (message.image, message.video, message.document) if file and file.caption), ""
    )


def _files(message: _Message) -> Iterator[Attachment]:
    kinds = {
        "image": message.image or message.sticker,
        "audio": message.audio,
        "video": message.video,
        "document": message.document,
    }
    for kind, file in kinds.items():
        if file:
            yield Attachment(kind, file.id, file.filename, file.mime_type.partition(";")[0])
