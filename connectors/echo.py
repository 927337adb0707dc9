"""Echo: a channel without a platform, for tests and the demo. It writes what it sends into a file, if one is named."""

from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from connectors.base import (
    Attachment,
    Author,
    BadPayload,
    Change,
    Connector,
    InboundMessage,
    Json,
    Limits,
    MessageKind,
    OutboundMessage,
    Post,
    RawEvent,
    Refused,
    Sent,
)
from connectors.journal import Journal


class EchoConnector(Connector):
    """Reads events of its own simple format and keeps what it sends.

    Settings: `journal`, a JSONL file that each sent text is added to (one line of key, action, thread, text, buttons);
    `pictures`, the folder where the pictures of posts are. What it is told to hide, like or delete it forgets.
    """

    name: ClassVar[str] = "echo"
    label: ClassVar[str] = "Echo"
    limits: ClassVar[Limits] = Limits(text_length=5000, buttons=10)
    has_account: ClassVar[bool] = False

    def read(self, raw: RawEvent) -> list[InboundMessage]:
        """{"id", "author", "name"?, "text"?, "sent_at"?, "kind"?, "button"?, "change"?, "post"?} -> one message.

        "post" is {"id", "text"?, "url"?, "author"?, "picture"?, "sent_at"?}: our own, with the name of a file.
        """
        event = raw.payload
        if not isinstance(event, dict):
            raise BadPayload("An echo event is a JSON object.")
        for key in ("id", "author"):
            if not isinstance(event.get(key), str) or not event[key]:
                raise BadPayload(f"{key}: expected a text that is not empty.")
        try:
            return [
                InboundMessage(
                    external_id=event["id"],
                    thread_key=str(event.get("thread") or event["author"]),
                    author=Author(
                        event["author"], name=str(event.get("name", "")), handle=str(event.get("handle", ""))
                    ),
                    sent_at=read_time(event.get("sent_at")),
                    text=str(event.get("text", "")),
                    kind=MessageKind(event.get("kind", MessageKind.DIRECT_MESSAGE)),
                    button=event.get("button") if isinstance(event.get("button"), str) else None,
                    change=Change(event.get("change", Change.NEW)),
                    post=_post(event.get("post")),
                )
            ]
        except ValueError as error:
            raise BadPayload(f"{error}.") from error

    async def reply(self, message: OutboundMessage) -> Sent:
        """Write a public answer down."""
        return self._write(message, "reply")

    async def direct_message(self, message: OutboundMessage) -> Sent:
        """Write a private answer down."""
        return self._write(message, "direct_message")

    async def private_reply(self, message: OutboundMessage) -> Sent:
        """Write down a private answer to a public comment."""
        return self._write(message, "private_reply")

    async def hide(self, external_id: str) -> None:
        """Hide nothing: there is no platform."""

    async def unhide(self, external_id: str) -> None:
        """Show nothing again."""

    async def like(self, external_id: str) -> None:
        """Like nothing."""

    async def unlike(self, external_id: str) -> None:
        """Take no like back."""

    async def delete(self, external_id: str) -> None:
        """Delete nothing."""

    async def fetch(self, attachment: Attachment) -> bytes:
        """A picture of the folder `pictures`."""
        folder, name = self.config.settings.get("pictures"), attachment.external_id
        if not folder or Path(name).name != name or not (path := Path(folder) / name).is_file():
            raise Refused("There is no such picture.")
        return path.read_bytes()

    async def find_sent(self, message: OutboundMessage) -> Sent | None:
        """Look the message up in the journal."""
        path = self.config.settings.get("journal")
        return Sent(f"echo:{message.key}") if path and Journal(Path(path)).has(message.key) else None

    def _write(self, message: OutboundMessage, action: str) -> Sent:
        if len(message.text) > self.limits.text_length:
            raise Refused(f"The text has {len(message.text)} characters; {self.limits.text_length} are allowed.")
        if path := self.config.settings.get("journal"):
            Journal(Path(path)).add(message, action)
        return Sent(f"echo:{message.key}")


def _post(event: Json) -> Post | None:
    if not isinstance(event, dict) or not isinstance(event.get("id"), str) or not event["id"]:
        return None
    text, url, author, picture = (str(event.get(key) or "") for key in ("text", "url", "author", "picture"))
    attachment = Attachment("image", picture, picture) if picture else None
    return Post(
        event["id"], text, url, author, True, attachment, read_time(event["sent_at"]) if "sent_at" in event else None
    )


def read_time(value: Json) -> datetime:
    """An aware time from ISO 8601; now when there is none."""
    if value is None:
        return datetime.now(UTC)
    if not isinstance(value, str):
        raise ValueError("sent_at: expected an ISO 8601 time")
    found = datetime.fromisoformat(value)
    try:
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except OverflowError:
        raise ValueError("sent_at: too near to the first or last year") from None
