"""Posts and messages of X in our words: what is asked for with each page, and how a page becomes raw events.

Written after https://docs.x.com/x-api (API v2, data dictionary).
"""

from collections.abc import Sequence

from pydantic import BaseModel
from pydantic import Field as Data

from connectors.base import Attachment, Author, Change, Ignored, InboundMessage, Json, MessageKind, Post, RawEvent
from connectors.payload import UtcTime

TWEET_FIELDS = ["author_id", "conversation_id", "created_at", "edit_history_tweet_ids", "in_reply_to_user_id"]
ASKED: dict[str, Json] = {
    "tweet_fields": [*TWEET_FIELDS, "note_tweet", "referenced_tweets", "attachments"],
    "user_fields": ["name", "username"],
    "media_fields": ["type", "url", "variants"],
    "expansions": ["author_id", "attachments.media_keys"],
    "max_results": 100,
}
ASKED_MESSAGES: dict[str, Json] = {
    "dm_event_fields": ["created_at", "dm_conversation_id", "event_type", "sender_id", "text"],
    "user_fields": ["name", "username"],
    "expansions": ["sender_id"],
    "event_types": "MessageCreate",
    "max_results": 100,
}


class _User(BaseModel):
    id: str
    name: str = ""
    username: str = ""


class _Media(BaseModel):
    media_key: str
    type: str = ""
    url: str = ""
    variants: list[dict[str, Json]] = []


class _Reference(BaseModel):
    type: str
    id: str


class _Keys(BaseModel):
    media_keys: list[str] = []


class _Note(BaseModel):
    text: str = ""


class _Post(BaseModel):
    id: str
    text: str = ""
    author_id: str = Data(min_length=1)
    created_at: UtcTime
    conversation_id: str = ""
    in_reply_to_user_id: str = ""
    referenced_tweets: list[_Reference] = []
    edit_history_tweet_ids: list[str] = []
    attachments: _Keys = _Keys()
    note_tweet: _Note = _Note()


class PostEvent(BaseModel):
    """A post with its own author and media."""

    post: _Post
    users: list[_User] = []
    media: list[_Media] = []


class _Message(BaseModel):
    id: str
    event_type: str
    text: str = ""
    sender_id: str = Data(min_length=1)
    dm_conversation_id: str = ""
    created_at: UtcTime


class MessageEvent(BaseModel):
    """A direct message with its sender."""

    message: _Message
    users: list[_User] = []


def events_of(found: dict[str, Json]) -> list[RawEvent]:
    """The posts of a page, oldest first, each with its own author and media."""
    users, media = listed(found.get("includes"), "users"), listed(found.get("includes"), "media")
    events = []
    for item in reversed(listed(found, "data")):
        held = item.get("attachments")
        keys = held.get("media_keys") if isinstance(held, dict) else None
        payload = {
            "post": item,
            "users": [user for user in users if user.get("id") == item.get("author_id")],
            "media": [each for each in media if isinstance(keys, list) and each.get("media_key") in keys],
        }
        events.append(RawEvent(payload, external_id=str(item.get("id"))))
    return events


def read_post(event: PostEvent, me: str) -> InboundMessage:
    """A post that mentions or answers us, an edited one, or one of our own; `me` is our number. Raises Ignored."""
    post = event.post
    kinds = {reference.type: reference.id for reference in post.referenced_tweets}
    if "retweeted" in kinds:
        raise Ignored("A repost without words of its own.")
    is_self = post.author_id == me
    other = post.in_reply_to_user_id if is_self else post.author_id
    first = post.edit_history_tweet_ids[0] if post.edit_history_tweet_ids else post.id
    is_answer = bool(me) and post.in_reply_to_user_id == me
    attachments = tuple(
        attachment for media in event.media if (attachment := attachment_of(media, post.attachments.media_keys))
    )
    text = post.note_tweet.text or post.text
    if not text and not attachments:
        raise Ignored("A post without text.")
    return InboundMessage(
        external_id=first,
        thread_key=f"{post.conversation_id or first}:{other or post.author_id}",
        author=author_of(post.author_id, event.users, is_self),
        sent_at=post.created_at,
        text=text,
        kind=MessageKind.COMMENT if is_answer else MessageKind.MENTION,
        reply_to=kinds.get("replied_to"),
        attachments=attachments,
        change=Change.NEW if first == post.id else Change.EDIT,
        post=Post(post.conversation_id) if post.conversation_id not in ("", first, post.id) else None,
    )


def read_message(event: MessageEvent, me: str) -> InboundMessage:
    """A direct message between one person and us. Raises Ignored."""
    message = event.message
    if message.event_type != "MessageCreate":
        raise Ignored("Somebody joined or left a conversation.")
    people = message.dm_conversation_id.split("-")
    if len(people) != 2:
        raise Ignored("A message in a group; only conversations with one person are read.")
    if not message.text:
        raise Ignored("A direct message without text.")
    is_self = message.sender_id == me
    other = next((person for person in people if person != me), message.sender_id)
    return InboundMessage(
        external_id=f"dm:{message.id}",
        thread_key=f"dm:{other}",
        author=author_of(message.sender_id, event.users, is_self),
        sent_at=message.created_at,
        text=message.text,
    )


def included(found: dict[str, Json]) -> dict[str, Json]:
    """Users and media that an answer names beside its posts."""
    includes = found.get("includes")
    return {"users": list(listed(includes, "users")), "media": list(listed(includes, "media"))}


def next_state(before: dict[str, Json], found: dict[str, Json], is_first: bool) -> dict[str, Json]:
    """Where to go on: `token` while pages are left, else `since` as the newest number that was seen. At first one
    page is enough: what is older was before we were connected."""
    meta = found.get("meta")
    token = meta.get("next_token") if isinstance(meta, dict) and not is_first else None
    seen = [whole(item.get("id")) for item in listed(found, "data")]
    newest = max([*seen, whole(before.get("newest")), whole(before.get("since"))])
    known = str(newest) if newest else None
    return {"since": before.get("since") if token else known, "token": token, "newest": known}


def listed(holder: Json, key: str) -> Sequence[dict[str, Json]]:
    """The objects of a list in an answer."""
    found = holder.get(key) if isinstance(holder, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def first_of(found: dict[str, Json]) -> dict[str, Json]:
    """The one object of an answer; empty where there is none."""
    data = found.get("data")
    return data if isinstance(data, dict) else {}


def whole(value: Json) -> int:
    """A number that X writes as text; 0 where it is none."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 25 else 0


def author_of(number: str, users: list[_User], is_self: bool) -> Author:
    """Who has this number, as far as the answer tells."""
    user = next((user for user in users if user.id == number), _User(id=number))
    return Author(number, user.name, user.username, is_self=is_self)


def attachment_of(media: _Media, keys: list[str]) -> Attachment | None:
    """A picture, or the best film that comes as one file."""
    if media.media_key not in keys:
        return None
    if media.type == "photo" and media.url:
        return Attachment("image", media.url)
    films = [each for each in media.variants if each.get("content_type") == "video/mp4" and _text(each.get("url"))]
    best = max(films, key=lambda each: each["bit_rate"] if isinstance(each.get("bit_rate"), int) else 0, default=None)
    return Attachment("video", _text(best["url"]), content_type="video/mp4") if best else None


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
