"""Bluesky's posts in our words, and ours in Bluesky's; the models name what is used of app.bsky.feed.post."""

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from connectors.base import (
    Attachment,
    Author,
    BadPayload,
    Change,
    Ignored,
    InboundMessage,
    Json,
    MessageKind,
    Post,
    RawEvent,
)
from connectors.payload import UtcTime, understand

POST = "app.bsky.feed.post"
_LINK = re.compile(r"(?<![\w@/.])https?://[^\s<>\"]+[^\s<>\"'.,;:!?)\]}»…]")
_MENTION = re.compile(
    r"(?<![\w@/.])@((?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+[a-zA-Z][a-zA-Z0-9-]{0,61})\b"
)
_TAG = re.compile(r"(?<![\w#/&])#([^\W\d_][\w]{0,63})")
_BASE32 = "234567abcdefghijklmnopqrstuvwxyz"
_FIRST_TID = 1_672_531_200_000_000
_TIDS = 94_608_000_000_000

_Id = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class _Author(BaseModel):
    did: _Id
    handle: str = ""
    displayName: str | None = None


class _Ref(BaseModel):
    uri: _Id


class _Reply(BaseModel):
    root: _Ref
    parent: _Ref


class _Slice(BaseModel):
    byteStart: int = Field(ge=0)
    byteEnd: int = Field(ge=0)


class _Feature(BaseModel):
    uri: str | None = None


class _Facet(BaseModel):
    index: _Slice
    features: list[_Feature] = []


class _Image(BaseModel):
    alt: str = ""


class _External(BaseModel):
    uri: str
    title: str = ""


class _Media(BaseModel):
    type: str = Field(default="", alias="$type")
    images: list[_Image] = Field(default=[], max_length=20)
    external: _External | None = None


class _Quoted(BaseModel):
    uri: str = ""
    record: "_Quoted | None" = None


class _Embed(_Media):
    media: _Media | None = None
    record: _Quoted | None = None
    """The quoted post; where it has media beside it, one level deeper."""


class _Record(BaseModel):
    text: str = ""
    reply: _Reply | None = None
    facets: list[_Facet] = []
    embed: _Embed | None = None


class _Post(BaseModel):
    reason: str
    uri: _Id
    indexedAt: UtcTime
    author: _Author | None = None
    record: _Record | None = None
    did: str = ""


def read_post(raw: RawEvent, me: str) -> list[InboundMessage]:
    """What `poll` and `search` keep: a notification, a post that was found, a deletion. `me` is our DID. No I/O."""
    post = understand(_Post, raw.payload)
    if post.reason == "deleted":
        if not post.did:
            raise BadPayload("did: Field required.")
        key = f"{post.uri}#{post.did}"
        return [InboundMessage(post.uri, key, Author(post.did), post.indexedAt, change=Change.DELETE)]
    if post.reason not in ("mention", "reply", "quote", "found"):
        raise Ignored(f"A Bluesky notification of the kind {post.reason[:40]!r}; only posts are read.")
    if post.author is None or post.record is None:
        raise BadPayload("author, record: Field required.")
    text, files = _text(post.record, post.uri), _files(post.record, post.uri)
    if not text and not files:
        raise Ignored("A Bluesky post that says nothing.")
    reply, author = post.record.reply, post.author
    stands_under = reply.root.uri if reply else _quoted(post.record)
    return [
        InboundMessage(
            external_id=post.uri,
            thread_key=f"{reply.root.uri if reply else post.uri}#{author.did}",
            author=Author(author.did, author.displayName or "", author.handle, is_self=author.did == me),
            sent_at=post.indexedAt,
            text=text,
            kind=MessageKind.COMMENT if post.reason == "reply" else MessageKind.MENTION,
            reply_to=reply.parent.uri if reply else None,
            attachments=files,
            post=Post(stands_under) if f"/{POST}/" in stands_under else None,
        )
    ]


def above(found: Json, me: str) -> Post:
    """What `getPosts` tells of a post that others stand under."""
    post = understand(_Post, {"reason": "above", **found} if isinstance(found, dict) else found)
    if post.author is None or post.record is None:
        raise BadPayload("author, record: Field required.")
    files = _files(post.record, post.uri)
    return Post(
        external_id=post.uri,
        text=_text(post.record, post.uri),
        url=page_of(post.uri),
        author=post.author.displayName or post.author.handle,
        is_self=post.author.did == me,
        picture=files[0] if files else None,
        sent_at=post.indexedAt,
    )


def mentioned(text: str) -> list[str]:
    """The handles that `text` names, in lower case, each once."""
    return list(dict.fromkeys(found[1].lower() for found in _MENTION.finditer(text)))


def facets(text: str, dids: Mapping[str, str]) -> list[dict[str, Json]]:
    """Where links, hashtags and mentions stand: lexicon app.bsky.richtext.facet counts bytes of UTF-8."""
    marks: list[tuple[int, int, dict[str, str]]] = []
    for found in _LINK.finditer(text):
        marks.append((*found.span(), {"$type": "app.bsky.richtext.facet#link", "uri": found[0]}))
    for found in _MENTION.finditer(text):
        if did := dids.get(found[1].lower()):
            marks.append((*found.span(), {"$type": "app.bsky.richtext.facet#mention", "did": did}))
    for found in _TAG.finditer(text):
        marks.append((*found.span(), {"$type": "app.bsky.richtext.facet#tag", "tag": found[1]}))
    made: list[dict[str, Json]] = []
    end = 0
    for start, stop, feature in sorted(marks, key=lambda mark: mark[:2]):
        if start >= end:  # a hashtag inside a link is a part of the link
            index = {"byteStart": len(text[:start].encode()), "byteEnd": len(text[:stop].encode())}
            made.append({"index": index, "features": [feature]})
            end = stop
    return made


def rkey(key: str) -> str:
    """A record key in the form that posts need (https://atproto.com/specs/tid), always the same for one message."""
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16])
    tid = (_FIRST_TID + number % _TIDS) << 10 | (number // _TIDS) % 1024
    return "".join(_BASE32[tid >> shift & 31] for shift in range(60, -1, -5))


def _text(record: _Record, uri: str) -> str:
    """The text with links in full, which posts show cut, and what is attached to it in words."""
    content = record.text.encode(errors="replace")
    links = [(f.index, next((x.uri for x in f.features if x.uri), None)) for f in record.facets]
    for index, link in sorted(links, key=lambda each: -each[0].byteStart):
        if link and index.byteStart < index.byteEnd <= len(content):
            content = content[: index.byteStart] + link.encode(errors="replace") + content[index.byteEnd :]
    text = content.decode(errors="replace")
    parts = [text]
    for media in filter(None, (record.embed, record.embed.media if record.embed else None)):
        if media.external and media.external.uri not in text:
            parts.append(f"{media.external.title}\n{media.external.uri}".strip())
        if media.type == "app.bsky.embed.video":
            parts.append(f"🎬 {page_of(uri)}")
    return "\n\n".join(part for part in parts if part)


def page_of(uri: str) -> str:
    """Where people read a post."""
    repo, _, rest = uri.removeprefix("at://").partition("/")
    return f"https://bsky.app/profile/{repo}/post/{rest.rpartition('/')[2]}"


def _quoted(record: _Record) -> str:
    quoted = record.embed.record if record.embed else None
    inner = quoted.record if quoted else None
    return (quoted.uri if quoted else "") or (inner.uri if inner else "")


def _files(record: _Record, uri: str) -> tuple[Attachment, ...]:
    embed = record.embed
    images = (embed.images or (embed.media.images if embed.media else [])) if embed else []
    return tuple(Attachment("image", f"{uri}#{place}", image.alt[:200]) for place, image in enumerate(images))
