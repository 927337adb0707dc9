"""Bluesky's private messages, which a service of its own keeps: read from its log, answered there.

Written after the lexicons chat.bsky.convo.*; every call is handed on by our own server, which the header asks for
(https://docs.bsky.app/docs/api/chat-bsky-convo-get-log). There is no such service on servers of one's own.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints

from connectors.base import Author, BadPayload, Change, Ignored, InboundMessage, Json, RawEvent, Sent
from connectors.bluesky_posts import page_of
from connectors.payload import UtcTime, understand

HEADERS = {"atproto-proxy": "did:web:api.bsky.chat#bsky_chat"}
TEXT = 1000
"""lexicon chat.bsky.convo.defs#messageInput: graphemes."""
MARK = "chat:"
"""Begins our thread keys and numbers of private messages, which have no address of their own."""
LOGS = {"chat.bsky.convo.defs#logCreateMessage": "message", "chat.bsky.convo.defs#logDeleteMessage": "message_deleted"}
PERSON = ("did", "handle", "displayName")
PAGES = 20
KNOWN = 2000

Call = Callable[..., Awaitable[dict[str, Json]]]
_Id = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class _Person(BaseModel):
    did: _Id
    handle: str = ""
    displayName: str | None = None


class _Sender(BaseModel):
    did: _Id


class _Record(BaseModel):
    uri: str = ""


class _Embed(BaseModel):
    record: _Record | None = None


class _Message(BaseModel):
    id: _Id
    sender: _Sender
    sentAt: UtcTime
    text: str = ""
    embed: _Embed | None = None


class _Event(BaseModel):
    reason: str
    convoId: _Id
    message: _Message
    members: list[_Person] = Field(default=[], max_length=100)
    is_group: bool = False
    at: UtcTime | None = None


def is_chat(payload: Json) -> bool:
    """Whether a raw event is one of these."""
    return isinstance(payload, dict) and payload.get("reason") in LOGS.values()


def read_chat(raw: RawEvent, me: str) -> list[InboundMessage]:
    """A private message or the deletion of one. `me` is our DID. No I/O."""
    event = understand(_Event, raw.payload)
    message = event.message
    if event.is_group:
        raise Ignored("A message in a group on Bluesky; only private ones are read.")
    person = next((each for each in event.members if each.did == message.sender.did), _Person(did=message.sender.did))
    author = Author(person.did, person.displayName or "", person.handle, is_self=person.did == me)
    thread, number = f"{MARK}{event.convoId}", f"{MARK}{event.convoId}:{message.id}"
    if event.reason == "message_deleted":
        if event.at is None:
            raise BadPayload("at: Field required.")
        return [InboundMessage(number, thread, author, event.at, change=Change.DELETE)]
    record = message.embed.record if message.embed else None
    shared = f"🔗 {page_of(record.uri)}" if record and record.uri.startswith("at://") else ""
    text = "\n\n".join(part for part in (message.text, shared) if part)
    if not text:
        raise Ignored("A private message on Bluesky that says nothing.")
    return [InboundMessage(number, thread, author, message.sentAt, text)]


class Chat:
    """The chat of one account. `ask` and `do` call a method by its name with parameters or data, and more headers."""

    def __init__(self, ask: Call, do: Call) -> None:
        self._ask, self._do = ask, do
        self._convos: dict[str, dict[str, Any]] = {}

    async def news(self, rev: str | None) -> tuple[list[RawEvent], str]:
        """What was written or deleted since `rev`, oldest first, and the rev to go on from; at first nothing, from now
        on."""
        if rev is None:
            convos = await self._get("listConvos", limit=1)
            return [], max((str(c.get("rev")) for c in _list(convos.get("convos"))), default="")
        events: list[RawEvent] = []
        for _ in range(PAGES):
            logs = _list((await self._get("getLog", **({"cursor": rev} if rev else {}))).get("logs"))
            for log in logs:
                rev = max(rev, str(log.get("rev") or ""))
                if log.get("$type") in LOGS:
                    events.append(await self._event(log))
            if not logs:
                break
        return events, rev

    async def convo_with(self, did: str) -> str:
        """The conversation with somebody, begun where there is none. Raises Refused where they do not want that."""
        found = (await self._get("getConvoForMembers", members=[did])).get("convo")
        return str(found.get("id") or "") if isinstance(found, dict) else ""

    async def send(self, convo: str, text: str, marks: list[dict[str, Json]]) -> Sent:
        """Write into a conversation. There is no key that would make a second attempt harmless."""
        message: dict[str, Json] = {"text": text, **({"facets": marks} if marks else {})}
        sent = await self._do("chat.bsky.convo.sendMessage", {"convoId": convo, "message": message}, headers=HEADERS)
        return Sent(f"{MARK}{convo}:{sent.get('id')}" if sent.get("id") else None, datetime.now(UTC))

    async def mark_read(self, convo: str) -> None:
        """Show that everything was read."""
        await self._do("chat.bsky.convo.updateRead", {"convoId": convo}, headers=HEADERS)

    async def _event(self, log: dict[str, Json]) -> RawEvent:
        """A line of the log with who takes part, which the log leaves out."""
        convo, message = str(log.get("convoId")), log.get("message")
        if convo not in self._convos:
            found = (await self._get("getConvo", convoId=convo)).get("convo")
            if len(self._convos) >= KNOWN:
                self._convos.pop(next(iter(self._convos)))
            self._convos[convo] = found if isinstance(found, dict) else {}
        known = self._convos[convo]
        members = [
            {k: m.get(k) for k in ("did", "handle", "displayName") if m.get(k)} for m in _list(known.get("members"))
        ]
        kind = known.get("kind")
        is_group = isinstance(kind, dict) and str(kind.get("$type")).endswith("#groupConvo")
        reason, number = LOGS[str(log["$type"])], message.get("id") if isinstance(message, dict) else ""
        payload = {"reason": reason, "convoId": convo, "message": message, "members": members, "is_group": is_group}
        payload["at"] = datetime.now(UTC).isoformat()
        return RawEvent(payload, f"{reason}:{convo}:{number}")

    async def _get(self, method: str, **params: Json) -> dict[str, Json]:
        return await self._ask(f"chat.bsky.convo.{method}", params, headers=HEADERS)


def _list(value: Json) -> list[dict[str, Json]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
