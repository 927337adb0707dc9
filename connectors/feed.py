"""Blogs, forums and news, by the RSS or Atom feed that they publish. Read only: a feed takes no answers.

Written after RFC 4287 (Atom), https://www.rssboard.org/rss-specification and RFC 4685 (threads in Atom); feedparser
reads both, and what is no longer XML as well as it can.
"""

import asyncio
import base64
import calendar
import hashlib
import io
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal

import feedparser
import pydantic
from pydantic import BaseModel, StringConstraints
from yarl import URL

from connectors.base import (
    Account,
    Attachment,
    AuthExpired,
    Author,
    BadPayload,
    Change,
    Connector,
    Field,
    InboundMessage,
    Json,
    Limits,
    MessageKind,
    Page,
    RawEvent,
    Refused,
    TryLater,
)
from connectors.download import Download, download, retry_after
from connectors.payload import UtcTime, understand
from connectors.plain import plain

FEED_BYTES = 10_000_000
FILE_BYTES = 20_000_000
TEXT_LENGTH = 100_000
ITEMS_REMEMBERED = 2_000
AGENT = "SocialCRM feed reader"

_REFERENCE = re.compile(rb"&#([xX][0-9a-fA-F]{1,8}|[0-9]{1,8});")

_Id = Annotated[str, StringConstraints(min_length=1, max_length=2000)]


class _File(BaseModel):
    url: _Id
    content_type: str = ""
    size: int | None = None


class _Item(BaseModel):
    """One item, as `poll` took it from the feed."""

    id: _Id
    feed: _Id
    change: Literal[Change.NEW, Change.EDIT] = Change.NEW
    feed_title: str = ""
    link: str = ""
    title: str = ""
    html: str = ""
    author: str = ""
    author_id: str = ""
    at: UtcTime | None = None
    changed_at: UtcTime | None = None
    reply_to: _Id | None = None
    files: list[_File] = pydantic.Field(default=[], max_length=100)


class FeedConnector(Connector):
    """One feed. Items are public mentions; a later version of an item is an edit of it."""

    name: ClassVar[str] = "feed"
    label: ClassVar[str] = "Feed"
    about: ClassVar[str] = "Blogs, forums and news, by RSS or Atom."
    limits: ClassVar[Limits] = Limits(text_length=TEXT_LENGTH)
    fields: ClassVar[tuple[Field, ...]] = (
        Field(
            "url",
            "Feed address",
            help="The address of the RSS or Atom feed. For a page that has one, paste the page's address: we say"
            " which feeds it names.",
        ),
        Field(
            "own_names",
            "Names under which you publish",
            help="Separated by commas, as the feed writes them. Items by these authors are shown as yours.",
            is_required=False,
        ),
        Field("user", "User name", help="Only for feeds that ask for one.", is_required=False),
        Field(
            "password",
            "Password",
            help="Only for feeds that ask for one; the site that publishes the feed gives it.",
            is_secret=True,
            is_required=False,
        ),
    )
    poll_seconds: ClassVar[float] = 300.0
    slowest_poll_seconds: ClassVar[float] = 1800.0

    async def connect(self) -> Account:
        """Fetch the feed once. Raises Refused where it is none, with the feeds that the page names."""
        answer = await self._get({})
        parsed = await asyncio.to_thread(_parsed, answer)
        title = _clean(plain(parsed.feed.get("title", "")))[:200]
        return Account(external_id=str(self._url()), name=title or self._url().host or self.label)

    async def poll(self, cursor: Json) -> Page:
        """Items that are new or changed since `cursor`: what the server said of its version, and what we have seen.

        Asks with If-None-Match and If-Modified-Since, so a feed without news costs an empty answer.
        """
        known = cursor if isinstance(cursor, dict) and cursor.get("url") == str(self._url()) else {}
        asked = {"If-None-Match": known.get("etag"), "If-Modified-Since": known.get("modified")}
        answer = await self._get({name: value for name, value in asked.items() if value})
        if answer.status == 304:
            return Page((), cursor)
        items = await asyncio.to_thread(_items, answer)
        seen: dict[str, str] = dict(known.get("seen", ()))
        events, fresh = [], {}
        for item in items:
            number, digest = _digest(item["id"]), _digest(item["title"], plain(item["html"]), item["link"])
            if number in fresh:
                continue
            fresh[number] = digest
            if seen.get(number) != digest:
                change = Change.EDIT if number in seen else Change.NEW
                events.append(RawEvent({**item, "change": change.value}, external_id=f"{number}:{digest}"))
        kept = [*((n, d) for n, d in seen.items() if n not in fresh), *fresh.items()]
        return Page(
            tuple(events),
            {
                "url": str(self._url()),
                "etag": answer.headers.get("etag"),
                "modified": answer.headers.get("last-modified"),
                "seen": [list(pair) for pair in kept[-max(ITEMS_REMEMBERED, len(fresh)) :]],
            },
        )

    def read(self, raw: RawEvent) -> list[InboundMessage]:
        """The item in our words. An item without a date has the time at which the ledger got it."""
        item = understand(_Item, raw.payload)
        at = (item.changed_at or item.at) if item.change is Change.EDIT else (item.at or item.changed_at)
        if at is None and raw.received_at is not None:
            at = raw.received_at.astimezone(UTC)
        if at is None:
            raise BadPayload("at: the item has no date, and nobody knows when it came.")
        title, body = plain(item.title), plain(item.html)
        text = "\n\n".join(part for part in (title if not body.startswith(title) else "", body, item.link) if part)
        files = tuple(Attachment(_kind(f), f.url, _name(f.url), f.content_type, f.size) for f in item.files)
        if not text and not files:
            raise BadPayload("title: the item has neither title, text, link nor file.")
        return [
            InboundMessage(
                external_id=_short(item.id),
                thread_key=_short(item.reply_to or item.id),
                author=self._author(item),
                sent_at=at,
                text=text,
                kind=MessageKind.MENTION,
                reply_to=_short(item.reply_to) if item.reply_to else None,
                attachments=files,
                change=item.change,
            )
        ]

    async def fetch(self, attachment: Attachment) -> bytes:
        """The bytes of a picture or recording of up to 20 MB; never from a private network but the feed's own host."""
        host = self._url().host or ""
        answer = await download(attachment.external_id, trusted=(host,), headers={"User-Agent": AGENT}, most=FILE_BYTES)
        if answer.status != 200:
            _check(answer)
            raise Refused(f"{URL(answer.url).host} answered {answer.status}.")
        return answer.body

    def _author(self, item: _Item) -> Author:
        name = plain(item.author) or plain(item.feed_title) or item.feed
        own = {each.strip().casefold() for each in str(self.config.settings.get("own_names") or "").split(",")} - {""}
        return Author(
            external_id=_short(f"{item.feed} {(item.author_id or item.author).casefold()}".strip()),
            name=name[:200],
            is_self=bool({item.author.strip().casefold(), item.author_id.casefold()} & own),
        )

    def _url(self) -> URL:
        try:
            url = URL(self.config.api_url or str(self.config.settings.get("url") or "").strip())
            is_http = url.scheme in ("http", "https") and bool(url.host)
        except ValueError:
            is_http = False
        if not is_http:
            raise Refused("The feed's address must start with https:// or http://.")
        return url.with_user(None).with_fragment(None)

    async def _get(self, headers: Mapping[str, str]) -> Download:
        url = self._url()
        user, password = self.config.settings.get("user") or "", self.config.credentials.get("password", "")
        secrets = {}
        if user or password:
            secrets["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        accept = "application/atom+xml, application/rss+xml, application/xml;q=0.9, */*;q=0.5"
        answer = await download(
            str(url),
            trusted=(url.host or "",),
            headers={"User-Agent": AGENT, "Accept": accept, **headers},
            secret_headers=secrets,
            most=FEED_BYTES,
            seconds=self._seconds(),
        )
        _check(answer)
        return answer

    def _seconds(self) -> float:
        try:
            return float(self.config.settings.get("request_timeout", 30))
        except (TypeError, ValueError):
            raise Refused("The setting request_timeout is not a number of seconds.") from None


def _check(answer: Download) -> None:
    """Raise what an answer other than 200 and 304 means. What is gone or forbidden is asked for once an hour."""
    if answer.status in (200, 304):
        return
    host = URL(answer.url).host
    wait = retry_after(answer.headers.get("retry-after", ""))
    if answer.status == 401:
        raise AuthExpired(f"{host} asks for a user name and a password, or does not know these.")
    if answer.status == 410:
        raise TryLater(f"{host} says that the feed is gone for good (410). Disconnect the channel.", 86_400)
    if answer.status in (403, 404):
        raise TryLater(f"{host} answered {answer.status}: there is no feed for us at this address.", wait or 3600)
    raise TryLater(f"{host} answered {answer.status}.", wait)


def _parsed(answer: Download) -> Any:
    """The feed of an answer; raises Refused where it is none. The encoding is found from header, XML and bytes."""
    known = {"content-type": answer.headers.get("content-type", ""), "content-location": answer.url}
    body = _REFERENCE.sub(_possible, answer.body)
    try:
        parsed = feedparser.parse(io.BytesIO(body), response_headers=known)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise Refused(f"The feed cannot be read: {type(error).__name__}.") from error
    if not parsed.get("version") and not parsed.entries:
        named = [link["href"] for link in parsed.feed.get("links", ()) if _is_feed_link(link)]
        hint = f" The page names these: {', '.join(named[:3])}" if named else ""
        raise Refused(f"There is no RSS or Atom feed at this address.{hint}"[:450])
    return parsed


def _possible(reference: re.Match[bytes]) -> bytes:
    """A character reference as it is, or that of U+FFFD where no text may hold the character."""
    number = reference[1]
    known = int(number[1:], 16) if number[:1] in b"xX" else int(number)
    return reference[0] if 0 < known < 0xD800 or 0xDFFF < known < 0x110000 else b"&#65533;"


def _is_feed_link(link: Mapping[str, str]) -> bool:
    kinds = ("application/rss+xml", "application/atom+xml")
    return link.get("rel") == "alternate" and link.get("type") in kinds and bool(link.get("href"))


def _items(answer: Download) -> list[dict[str, Json]]:
    """The items of a feed, oldest first as far as they have dates; JSON that any database keeps."""
    parsed = _parsed(answer)
    found = [_item(entry, parsed.feed, answer.url) for entry in reversed(parsed.entries)]  # feeds put the newest first
    if all(item["at"] or item["changed_at"] for item in found):
        found.sort(key=lambda item: item["at"] or item["changed_at"])
    return found


def _item(entry: Any, feed: Any, url: str) -> dict[str, Json]:
    contents = entry.get("content") or [{"value": entry.get("summary", "")}]
    body = max((str(each.get("value") or "") for each in contents), key=len)
    title, link = _clean(entry.get("title")), _clean(entry.get("link"))
    if not link.startswith(("https://", "http://")):
        link = ""  # feedparser takes an id for a link where there is none
    author = entry.get("author_detail") or {}
    replied = entry.get("thr_in-reply-to")
    # Without an id the address is one, and without that what it says.
    number = _clean(entry.get("id")) or link or f"sha256:{_digest(title, plain(body))}"
    return {
        "id": number[:2000],
        "feed": (URL(url).host or url)[:2000],
        "feed_title": _clean(feed.get("title"))[:500],
        "link": link[:2000],
        "title": title[:2000],
        "html": _clean(body)[:TEXT_LENGTH],
        "author": _clean(author.get("name") or entry.get("author"))[:500],
        "author_id": _clean(author.get("href") or author.get("email"))[:500],
        "at": _time(entry.get("published_parsed") if "published" in entry else None),
        "changed_at": _time(entry.get("updated_parsed") if "updated" in entry else None),
        "reply_to": (_clean(replied.get("ref"))[:2000] if isinstance(replied, dict) else "") or None,
        "files": list(_files(entry))[:20],
    }


def _files(entry: Any) -> Iterator[dict[str, Json]]:
    """Enclosures, and the pictures of Media RSS; each address once."""
    seen = set()
    for file in (*entry.get("enclosures", ()), *entry.get("media_content", ())):
        address = _clean(file.get("href") or file.get("url"))[:2000]
        if address.startswith(("https://", "http://")) and address not in seen:
            seen.add(address)
            size = str(file.get("length") or file.get("filesize") or "")
            known = int(size) if size.isascii() and size.isdigit() and len(size) < 15 else None
            kind = _clean(file.get("type") or file.get("medium"))[:100]
            yield {"url": address, "content_type": kind, "size": known}


def _time(parsed: time.struct_time | None) -> str | None:
    """feedparser gives UTC; what it cannot read, or no calendar has, is no time."""
    try:
        return datetime.fromtimestamp(calendar.timegm(parsed), UTC).isoformat() if parsed else None
    except (ValueError, OverflowError, OSError):
        return None


def _clean(text: object) -> str:
    """Text that any database keeps: no NUL, no half of a surrogate pair."""
    return str(text or "").replace("\0", "").encode(errors="replace").decode().strip()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="replace")).hexdigest()[:24]


def _short(number: str) -> str:
    """An id as it is, or a digest of one that is too long for a key."""
    return number if len(number) <= 300 else f"sha256:{_digest(number)}"


def _kind(file: _File) -> str:
    start = file.content_type.partition("/")[0]
    return start if start in ("image", "audio", "video") else "document"


def _name(address: str) -> str:
    try:
        return URL(address).name[:200]
    except ValueError:
        return ""
