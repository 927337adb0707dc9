"""Bluesky, through an app password: mentions, replies and quotes, polled; answers in public.

Written after the lexicons of https://docs.bsky.app/docs/category/http-reference; "lexicon" below are those. atproto
signs in and keeps the session; answers are read as they came, so that a new field or kind of record stops nothing.
"""

import asyncio
import json
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any, ClassVar
from urllib.parse import urlencode

import regex
from yarl import URL

from connectors import bluesky_chat as chat
from connectors import tls
from connectors.base import (
    Account,
    Attachment,
    AuthExpired,
    ChannelConfig,
    Connector,
    Field,
    File,
    InboundMessage,
    Json,
    Limits,
    MaybeSent,
    OutboundMessage,
    Page,
    Post,
    RawEvent,
    Refused,
    Sent,
    TryLater,
)
from connectors.bluesky_errors import Ended, Exists, Lost, translate
from connectors.bluesky_posts import POST, above, facets, mentioned, read_post, rkey
from connectors.download import download
from connectors.payload import parse

REASONS = ("mention", "reply", "quote")
PER_PAGE = 100
PER_LOOK = 25
"""lexicon app.bsky.feed.getPosts: 25 addresses."""
WATCHED = 200
SEEN = 500
OVERLAP = timedelta(minutes=15)
FILE_BYTES = 20_000_000
MEDIA = dict.fromkeys(("image/jpeg", "image/png", "image/gif", "image/webp"), 1_000_000)
"""lexicon app.bsky.embed.images: 1,000,000 bytes each."""
DIRECT_MESSAGES = "direct messages"
log = logging.getLogger(__name__)


class BlueskyConnector(Connector):
    """One account, on Bluesky's own or any other server of the AT protocol."""

    name: ClassVar[str] = "bluesky"
    label: ClassVar[str] = "Bluesky"
    about: ClassVar[str] = "Mentions, replies and quotes of your account, and private messages."
    limits: ClassVar[Limits] = Limits(text_length=chat.TEXT, public_length=300, public_media=MEDIA, files=4)
    fields: ClassVar[tuple[Field, ...]] = (
        Field("handle", "Handle", help="Your account's name without @, like brand.bsky.social or brand.com."),
        Field(
            "app_password",
            "App password",
            help="In Bluesky: Settings, Privacy and security, App passwords, Add."
            " Allow it access to your direct messages if agents should answer those."
            " Not the password with which you sign in.",
            help_url="https://bsky.app/settings/app-passwords",
            is_secret=True,
        ),
        Field(
            "service",
            "Server",
            help="Only for accounts on a server of their own.",
            is_required=False,
            default="https://bsky.social",
        ),
    )
    poll_seconds: ClassVar[float] = 15.0
    slowest_poll_seconds: ClassVar[float] = 60.0

    def __init__(self, config: ChannelConfig) -> None:
        super().__init__(config)
        self._open: Any = None
        self._session: Any = None
        self._signing_in = asyncio.Lock()
        self._chat = chat.Chat(self._ask, self._do)
        self._has_chat = True

    @classmethod
    def length(cls, text: str) -> int:
        """lexicon app.bsky.feed.post: graphemes, so an emoji of many code points counts once."""
        return len(regex.findall(r"\X", text))

    async def connect(self) -> Account:
        """Sign in, and see whether the app password may read private messages. Raises AuthExpired where the handle or
        the app password is wrong."""
        await self.close()
        await self._client()
        self._has_chat = True
        await self._private({})
        missing = () if self._has_chat else (DIRECT_MESSAGES,)
        return Account(external_id=self._session.did, name=f"@{self._session.handle}", missing_scopes=missing)

    async def poll(self, cursor: Json) -> Page:
        """Mentions, replies, quotes and private messages since `cursor`, and which of the newest known posts were
        deleted meanwhile.

        The platform pages backwards from now, so pages are asked for until one reaches what we know.
        """
        known = cursor if isinstance(cursor, dict) else {}
        asked = {"limit": PER_PAGE, "reasons": list(REASONS)}
        found = await self._newer("app.bsky.notification.listNotifications", asked, "notifications", known)
        wanted = [each for each in found if each.get("reason") in REASONS]
        watched = {post[0]: post for post in known.get("watched", ())}
        gone = await self._look_again(watched)
        watched |= {each["uri"]: [each["uri"], _did(each), 0] for each in wanted}
        events = tuple(_raw(each, str(each["reason"])) for each in wanted)
        private, rev = await self._private(known)
        marks = {**_mark(found, known), "watched": list(watched.values())[-WATCHED:], "chat": rev}
        return Page((*events, *gone, *private), marks)

    async def search(self, query: str, cursor: Json) -> Page:
        """Public posts that match, in the search language of Bluesky (words, "phrase", #tag, from:, lang:, …)."""
        known = cursor if isinstance(cursor, dict) else {}
        asked = {"q": query, "sort": "latest", "limit": PER_PAGE, "since": _earlier(known.get("at")) or None}
        found = await self._newer("app.bsky.feed.searchPosts", asked, "posts", known)
        return Page(tuple(_raw(each, "found") for each in found), _mark(found, known))

    def read(self, raw: RawEvent) -> list[InboundMessage]:
        """A mention, a reply, a quote, a post that was found, a private message; a deletion."""
        me = str(self.config.settings.get("account_id", ""))
        return chat.read_chat(raw, me) if chat.is_chat(raw.payload) else read_post(raw, me)

    async def direct_message(self, message: OutboundMessage) -> Sent:
        """Answer a private message. Raises MaybeSent where nobody knows whether it went out: there is no key, and the
        chat cannot be asked."""
        convo = message.thread_key.removeprefix(chat.MARK)
        marks = facets(message.text, await self._dids(message.text))
        try:
            return await self._chat.send(convo, message.text, marks)
        except Lost as error:
            raise MaybeSent(f"Nobody knows whether it was sent. {error.reason}") from error

    async def private_reply(self, message: OutboundMessage) -> Sent:
        """Write to the author of a public post in private, where they let us."""
        convo = await self._chat.convo_with(message.recipient)
        return await self.direct_message(replace(message, thread_key=f"{chat.MARK}{convo}"))

    async def mark_read(self, thread_key: str) -> None:
        """Show that a private conversation was read; public posts have no such thing."""
        if thread_key.startswith(chat.MARK):
            await self._chat.mark_read(thread_key.removeprefix(chat.MARK))

    async def reply(self, message: OutboundMessage) -> Sent:
        """Answer under a post, with links, hashtags and mentions marked.

        The record's key is made from ours, and must be new: so a second attempt never makes a second post.
        """
        parent = await self._post(message.reply_to or message.thread_key.partition("#")[0])
        own = {"uri": parent["uri"], "cid": parent.get("cid")}
        record = parent.get("record")
        above = record.get("reply") if isinstance(record, dict) else None
        root = above.get("root") if isinstance(above, dict) else None
        now = datetime.now(UTC)
        made: dict[str, Json] = {
            "$type": POST,
            "text": message.text,
            "createdAt": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "reply": {"root": root if isinstance(root, dict) else own, "parent": own},
        }
        if message.attachments:
            images = [{"image": await self._upload(file), "alt": ""} for file in message.attachments]
            made["embed"] = {"$type": "app.bsky.embed.images", "images": images}
        marks = facets(message.text, await self._dids(message.text))
        if marks:
            made["facets"] = marks
        did = await self._me()
        data = {"repo": did, "collection": POST, "rkey": rkey(message.key), "record": made, "swapRecord": None}
        try:
            sent = await self._do("com.atproto.repo.putRecord", data)
        except Exists:
            return await self.find_sent(message) or Sent()
        return Sent(str(sent.get("uri") or f"at://{did}/{POST}/{rkey(message.key)}"), now)

    async def find_sent(self, message: OutboundMessage) -> Sent | None:
        """The post that this message became, by its key. A private message has none: Refused, so that a person
        decides."""
        if message.thread_key.startswith(chat.MARK):
            raise Refused("Bluesky's chat cannot say whether it has this message.")
        asked = {"repo": await self._me(), "collection": POST, "rkey": rkey(message.key)}
        try:
            found = await self._ask("com.atproto.repo.getRecord", asked)
        except Refused:
            return None
        value = found.get("value")
        return Sent(str(found.get("uri")), _time(value.get("createdAt") if isinstance(value, dict) else None))

    async def post(self, external_id: str) -> Post:
        """The post that answers and quotes stand under."""
        return above(await self._post(external_id), str(self.config.settings.get("account_id", "")))

    async def like(self, external_id: str) -> None:
        """Like a post."""
        await self._mark(external_id, "like")

    async def unlike(self, external_id: str) -> None:
        """Take a like back."""
        await self._unmark(external_id, "like")

    async def boost(self, external_id: str) -> None:
        """Repost a post."""
        await self._mark(external_id, "repost")

    async def unboost(self, external_id: str) -> None:
        """Take a repost back."""
        await self._unmark(external_id, "repost")

    async def delete(self, external_id: str) -> None:
        """Delete a post of ours."""
        repo, _, rest = external_id.removeprefix("at://").partition("/")
        collection, _, key = rest.partition("/")
        if repo != await self._me() or not key:
            raise Refused("Only posts of our own can be deleted.")
        await self._do("com.atproto.repo.deleteRecord", {"repo": repo, "collection": collection, "rkey": key})

    async def fetch(self, attachment: Attachment) -> bytes:
        """A picture of a post, from where Bluesky serves it; up to 20 MB."""
        uri, _, place = attachment.external_id.rpartition("#")
        embed = (await self._post(uri)).get("embed") or {}
        images = embed.get("images") or (embed.get("media") or {}).get("images") or []
        try:
            address = images[int(place)]["fullsize"]
        except (ValueError, LookupError, TypeError):
            raise Refused("Bluesky no longer has this picture.") from None
        host = URL(self._service()).host or ""
        answer = await download(str(address), trusted=(host,), most=FILE_BYTES)
        if answer.status != 200:
            raise Refused(f"The picture's server answered {answer.status}.")
        return answer.body

    async def close(self) -> None:
        """Close the connections; the next call signs in anew."""
        client, self._open, self._session = self._open, None, None
        if client:
            await client.request.close()

    async def _private(self, known: dict[str, Json]) -> tuple[list[RawEvent], Json]:
        """Private messages since the cursor, and where to go on. Trouble there does not hold up what is public; a
        password without that right, or a server without a chat, is not asked again until the next sign-in."""
        rev = known.get("chat")
        if not self._has_chat:
            return [], rev
        try:
            return await self._chat.news(rev if isinstance(rev, str) else None)
        except Refused:
            self._has_chat = False
        except TryLater:
            log.info("Bluesky's chat cannot be asked now")
        return [], rev

    async def _newer(
        self, method: str, asked: dict[str, Json], key: str, known: dict[str, Json]
    ) -> list[dict[str, Json]]:
        """What came since the cursor `known`, oldest first; at first one page.

        Posts stand where their author's clock put them, so the last quarter of an hour is looked through again.
        """
        since, seen = _earlier(known.get("at")), set(known.get("seen") or ())
        found: dict[str, dict[str, Json]] = {}
        while True:
            answer = await self._ask(method, {name: value for name, value in asked.items() if value is not None})
            page = [each for each in answer.get(key) or () if isinstance(each, dict) and _is_post(each)]
            found |= {each["uri"]: each for each in page if _at(each) >= since and each["uri"] not in seen}
            if not since or not page or not answer.get("cursor") or _at(page[-1]) < since:
                return sorted(found.values(), key=_at)
            asked = {**asked, "cursor": answer["cursor"]}

    async def _look_again(self, watched: dict[str, list[Json]]) -> list[RawEvent]:
        """Deletions among the next 25 of `watched`: posts that were missing twice. Posts cannot be changed."""
        turn = list(watched)[:PER_LOOK]
        if not turn:
            return []
        answer = await self._ask("app.bsky.feed.getPosts", {"uris": turn})
        there = {each.get("uri") for each in answer.get("posts") or () if isinstance(each, dict)}
        events = []
        for uri in turn:
            post = watched.pop(uri)
            post[2] = 0 if uri in there else post[2] + 1
            if post[2] < 2:
                watched[uri] = post
            else:
                gone = {"reason": "deleted", "uri": uri, "did": post[1], "indexedAt": datetime.now(UTC).isoformat()}
                events.append(RawEvent(gone, external_id=f"deleted:{uri}"))
        return events

    async def _post(self, uri: str) -> dict[str, Json]:
        answer = await self._ask("app.bsky.feed.getPosts", {"uris": [uri]})
        for each in answer.get("posts") or ():
            if isinstance(each, dict) and each.get("uri") == uri:
                return each
        raise Refused("This post is no longer there, or not shown to us.")

    async def _mark(self, uri: str, mark: str) -> None:
        """Point a record of ours at a post, like or repost, unless one does already."""
        post = await self._post(uri)
        if _ours(post, mark):
            return
        collection = f"app.bsky.feed.{mark}"
        record = {
            "$type": collection,
            "subject": {"uri": post["uri"], "cid": post.get("cid")},
            "createdAt": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        await self._do(
            "com.atproto.repo.createRecord", {"repo": await self._me(), "collection": collection, "record": record}
        )

    async def _unmark(self, uri: str, mark: str) -> None:
        if record := _ours(await self._post(uri), mark):
            await self.delete(record)

    async def _dids(self, text: str) -> dict[str, str]:
        """The account of each handle that `text` names; names that are none are left out."""
        found = {}
        for handle in mentioned(text):
            try:
                answer = await self._ask("com.atproto.identity.resolveHandle", {"handle": handle})
            except Refused:
                continue
            found[handle] = str(answer.get("did"))
        return found

    async def _upload(self, file: File) -> Json:
        """The reference to a file that the server has now; one that no record takes up is forgotten there."""
        what = {"content": await file.read(), "input_encoding": file.content_type}
        return (await self._call("invoke_procedure", "com.atproto.repo.uploadBlob", **what)).get("blob")

    async def _me(self) -> str:
        await self._client()
        return str(self._session.did)

    async def _client(self) -> Any:
        """The signed-in client; atproto renews its session by itself."""
        async with self._signing_in:
            if self._open is None:
                handle = str(self.config.settings.get("handle") or "").strip().removeprefix("@")
                password = self.config.credentials.get("app_password", "").strip()
                if not handle or not password:
                    raise AuthExpired("The handle or the app password is missing.")
                # Its models take seconds to import, so not before they are needed.
                atproto = await asyncio.to_thread(import_module, "atproto_client")
                requests = await asyncio.to_thread(import_module, "atproto_client.request")
                client = atproto.AsyncClient(
                    self._service(), requests.AsyncRequest(timeout=self._seconds(), verify=tls.context())
                )

                def keep(_: object, session: Any) -> None:
                    self._session = session

                client.on_session_change(keep)
                try:
                    await client.login(handle, password, fetch_bsky_profile=False)
                except Exception as error:
                    await client.request.close()
                    raise translate(error, is_signing_in=True) from error
                self._open = client
        return self._open

    async def _ask(self, method: str, params: dict[str, Json], **more: Any) -> dict[str, Json]:
        # atproto takes parameters only as objects of its own, which know no new ones.
        return await self._call("invoke_query", f"{method}?{urlencode(params, doseq=True)}", **more)

    async def _do(self, method: str, data: dict[str, Json], **more: Any) -> dict[str, Json]:
        body = json.dumps(data).encode()
        return await self._call("invoke_procedure", method, content=body, input_encoding="application/json", **more)

    async def _call(self, how: str, method: str, **what: Any) -> dict[str, Json]:
        client = await self._client()
        try:
            response = await getattr(client, how)(method, **what)
        except Exception as error:
            translated = translate(error)
            if isinstance(translated, Ended):
                await self.close()
                raise TryLater("Bluesky ended our session; we sign in anew.", 1) from error
            raise translated from error
        answer = response.content or {}
        if not isinstance(answer, dict):  # a proxy's page
            raise Lost("Bluesky answered in an unknown form.")
        return answer

    def _service(self) -> str:
        service = self.config.api_url or str(self.config.settings.get("service") or "").strip() or "https://bsky.social"
        try:
            url = URL(service if "://" in service else f"https://{service}")
            is_http = url.scheme in ("http", "https") and bool(url.host)
        except ValueError:
            is_http = False
        if not is_http:
            raise Refused("The server's address must look like https://bsky.social.")
        return str(url.origin())

    def _seconds(self) -> float:
        try:
            return float(self.config.settings.get("request_timeout", 30))
        except (TypeError, ValueError):
            raise Refused("The setting request_timeout is not a number of seconds.") from None


def _raw(each: dict[str, Json], reason: str) -> RawEvent:
    """JSON that any database keeps; what is none becomes a dead letter, with the rest of the page unharmed."""
    return RawEvent(parse(json.dumps({**each, "reason": reason}).encode()), external_id=f"{reason}:{each['uri']}")


def _mark(found: list[dict[str, Json]], known: dict[str, Json]) -> dict[str, Json]:
    """The cursor after `found`: the last time, and what was seen lately."""
    last = max((_at(each) for each in found), default="")
    seen = [*(known.get("seen") or ()), *(each["uri"] for each in found)]
    return {"at": max(last, known.get("at") or "") or None, "seen": seen[-SEEN:]}


def _earlier(at: object) -> str:
    """The time from which on to look again; empty where nothing is known yet."""
    time = _time(at) if at else None
    return (time - OVERLAP).isoformat(timespec="milliseconds").replace("+00:00", "Z") if time else ""


def _ours(post: dict[str, Json], mark: str) -> str:
    """The address of our like or repost of a post (lexicon app.bsky.feed.defs#viewerState); empty: there is none."""
    viewer = post.get("viewer")
    found = viewer.get(mark) if isinstance(viewer, dict) else None
    return found if isinstance(found, str) else ""


def _is_post(each: dict[str, Json]) -> bool:
    return isinstance(each.get("uri"), str) and bool(each["uri"])


def _at(each: dict[str, Json]) -> str:
    at = each.get("indexedAt")
    return at if isinstance(at, str) else ""


def _did(each: dict[str, Json]) -> str:
    author = each.get("author")
    return str(author.get("did", "")) if isinstance(author, dict) else ""


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
