"""An Instagram professional account that is linked to a Facebook page: comments, mentions and private messages.

Written after https://developers.facebook.com/docs/instagram-platform (Instagram API with Facebook Login: webhooks,
comments, mentions) and /docs/messenger-platform/instagram.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from pydantic import BaseModel
from pydantic import Field as Named

from connectors.base import (
    Attachment,
    Author,
    BadPayload,
    Field,
    Ignored,
    InboundMessage,
    Json,
    Limits,
    MessageKind,
    OutboundMessage,
    Page,
    Post,
    RawEvent,
    Refused,
    Sent,
    SignIn,
)
from connectors.instagram_media import POST_FIELDS, look, written_at
from connectors.meta import APP_ID, APP_SECRET, GRAPH_VERSION, PAGE_TOKEN, ChangeOf, Envelope, Id
from connectors.meta_graph import number_of
from connectors.meta_messages import LATE_ANSWERS, WINDOW_HOURS, MessagesConnector
from connectors.meta_sign_in import CONFIGURATION, facebook_sign_in
from connectors.payload import UtcTime, understand

MENTION = "mention"
"""Begins the id of a mention, which is not a comment of ours to act on: mention:<media>:<comment>."""
MENTIONED_COMMENT = "id,text,timestamp,username,media{id,permalink}"
MENTIONED_MEDIA = "id,caption,timestamp,username,permalink"
PAGES = 8
"""Pages of media in one round: pictures older than these 200 bring new comments by webhook only."""
FIRST_LOOK = timedelta(hours=24)


class _From(BaseModel):
    id: Id
    username: str = ""
    self_ig_scoped_id: Id = ""


class _Media(BaseModel):
    id: Id = ""
    permalink: str = ""


class _Post(_Media):
    """A picture, video or album of ours."""

    caption: str = ""
    media_type: str = ""
    media_url: str = ""
    thumbnail_url: str = ""
    timestamp: UtcTime | None = None
    username: str = ""


class _Comment(BaseModel):
    """The value of a change of `comments` or `live_comments`."""

    id: Id
    sender: _From | None = Named(default=None, alias="from")
    media: _Media = _Media()
    parent_id: Id = ""
    text: str = ""


class _Looked(BaseModel):
    """A comment as looking finds it."""

    id: Id
    timestamp: UtcTime
    text: str = ""
    username: str = ""
    sender: _From | None = Named(default=None, alias="from")


class _Found(BaseModel):
    """What `poll` makes an event of."""

    comment: _Looked
    media: _Post
    above: Id = ""


class _Mention(BaseModel):
    media_id: Id
    comment_id: Id = ""


class _Mentioned(BaseModel):
    """What `complete` asked for: the comment or the caption in which we are mentioned."""

    username: str
    timestamp: UtcTime
    text: str = ""
    caption: str = ""
    media: _Media = _Media()


class InstagramConnector(MessagesConnector):
    """One account; its private messages travel through the page that it is linked to."""

    name: ClassVar[str] = "instagram"
    label: ClassVar[str] = "Instagram"
    about: ClassVar[str] = "Comments, mentions and private messages of your professional account."
    # Instagram messaging: 1000 bytes of UTF-8, 13 quick replies.
    limits: ClassVar[Limits] = Limits(
        text_length=1000, buttons=13, window_hours=WINDOW_HOURS, private_reply_hours=7 * 24.0
    )
    fields: ClassVar[tuple[Field, ...]] = (APP_ID, APP_SECRET, PAGE_TOKEN, LATE_ANSWERS, GRAPH_VERSION)
    sign_in: ClassVar[SignIn | None] = facebook_sign_in(APP_ID, APP_SECRET, CONFIGURATION, LATE_ANSWERS, GRAPH_VERSION)
    webhook_object: ClassVar[str] = "instagram"
    webhook_fields: ClassVar[tuple[str, ...]] = (
        "comments",
        "live_comments",
        "mentions",
        "messages",
        "messaging_postbacks",
        "messaging_seen",
    )
    page_fields: ClassVar[tuple[str, ...]] = ("feed",)
    permissions: ClassVar[tuple[str, ...]] = (
        "instagram_basic",
        "instagram_manage_comments",
        "instagram_manage_messages",
        "pages_manage_metadata",
        "pages_show_list",
    )
    wishes: ClassVar[tuple[str, ...]] = ("pages_messaging", "pages_read_engagement")
    profile_fields: ClassVar[str] = "name,username"
    poll_seconds: ClassVar[float] = 300.0
    """Webhooks bring what is new at once; polling finds what they missed."""
    slowest_poll_seconds: ClassVar[float] = 900.0

    @classmethod
    def length(cls, text: str) -> int:
        """Instagram counts bytes: an Arabic letter is two, an emoji four."""
        return len(text.encode(errors="replace"))

    async def who(self) -> tuple[str, str]:
        """The account that the token's page is linked to."""
        page = await self.graph.get("me", {"fields": "id,name,instagram_business_account{id,username}"})
        if (found := self.account_on(page)) is None:
            raise Refused("No Instagram professional account is linked to the page that this token belongs to.")
        return found

    def account_on(self, page: Mapping[str, Json]) -> tuple[str, str] | None:
        """The account that a page is linked to."""
        account = page.get("instagram_business_account")
        if not isinstance(account, dict) or not account.get("id"):
            return None
        return str(account["id"]), f"@{account['username']}" if account.get("username") else self.label

    async def poll(self, cursor: Json) -> Page:
        """Comments under one page of our media that are newer than the last whole round. The cursor holds that time,
        the newest time of this round, and where it is."""
        state = cursor if isinstance(cursor, dict) else {}
        since = written_at({"timestamp": state.get("since")}) or datetime.now(UTC) - FIRST_LOOK
        newest = max(written_at({"timestamp": state.get("newest")}) or since, since)
        number = state["page"] if isinstance(state.get("page"), int) else 0
        after = state["after"] if isinstance(state.get("after"), str) else None
        found, after = await look(self.graph, _digits(self.account_id), after, since)
        newest = max([newest, *(at for at, _ in found)])
        events = tuple(self._event(item) for _, item in found)
        if after and number + 1 < PAGES:
            state = {"since": since.isoformat(), "newest": newest.isoformat(), "after": after, "page": number + 1}
            return Page(events, cursor=state, more=True)
        return Page(events, cursor={"since": newest.isoformat()})

    async def backfill(self, since: datetime) -> AsyncIterator[Page]:
        """Comments since a time, page by page of our media, as far back as Instagram shows them."""
        after: str | None = None
        while True:
            found, after = await look(self.graph, _digits(self.account_id), after, since)
            yield Page(tuple(self._event(item) for _, item in found), cursor=after, more=bool(after))
            if not after:
                return

    def _event(self, polled: dict[str, Json]) -> RawEvent:
        number = polled["comment"].get("id")
        payload = {"object": self.webhook_object, "id": self.account_id, "polled": polled}
        return RawEvent(payload, external_id=number if isinstance(number, str) else None)

    def read_polled(self, event: Envelope) -> list[InboundMessage]:
        """A comment that polling found, as the webhook would have brought it."""
        found = understand(_Found, event.polled)
        comment, sender = found.comment, found.comment.sender
        if sender is None and comment.username:
            sender = _From(id=f"@{comment.username}", username=comment.username)
        is_self = bool(comment.username) and comment.username == found.media.username
        is_self = is_self or (sender is not None and event.id in (sender.id, sender.self_ig_scoped_id))
        told = _Comment(id=comment.id, text=comment.text, parent_id=found.above, media=found.media)
        return [self._inbound_comment(told, sender, comment.timestamp, self._above(found.media), is_self=is_self)]

    async def complete(self, raw: RawEvent) -> RawEvent:
        """The event with the text of a mention, or the name of who wrote, which Meta's calls leave out."""
        payload = raw.payload
        change = payload.get("change") if isinstance(payload, dict) else None
        if not isinstance(change, dict) or change.get("field") != "mentions":
            return await super().complete(raw)
        account, mention = payload.get("id"), understand(_Mention, change.get("value"))
        if self.account_id and account != self.account_id:
            return raw
        edge, number, fields = "mentioned_media", mention.media_id, MENTIONED_MEDIA
        if mention.comment_id:
            edge, number, fields = "mentioned_comment", mention.comment_id, MENTIONED_COMMENT
        inside = "comment_id" if mention.comment_id else "media_id"
        found = await self.graph.get(
            _digits(str(account)), {"fields": f"{edge}.{inside}({_digits(number)}){{{fields}}}"}
        )
        return RawEvent({**payload, "mentioned": found.get(edge)}, raw.external_id)

    def read_change(self, event: Envelope, change: ChangeOf) -> list[InboundMessage]:
        """A comment under one of our media, or a mention elsewhere."""
        if change.field in ("comments", "live_comments"):
            return [self._comment(event, understand(_Comment, change.value))]
        if change.field == "mentions":
            return [self._mention(event, understand(_Mention, change.value))]
        return super().read_change(event, change)

    def _comment(self, event: Envelope, comment: _Comment) -> InboundMessage:
        if event.time is None:
            raise BadPayload("time: Field required.")
        sender = comment.sender
        is_self = sender is not None and event.id in (sender.id, sender.self_ig_scoped_id) and bool(event.id)
        above = Post(comment.media.id, is_self=True) if comment.media.id else None
        return self._inbound_comment(comment, sender, event.time, above, is_self=is_self)

    def _inbound_comment(
        self, comment: _Comment, sender: _From | None, sent_at: datetime, above: Post | None, *, is_self: bool
    ) -> InboundMessage:
        if not comment.text:
            raise Ignored("A comment without words, as a picture.")
        if not comment.id:
            raise BadPayload("change.value.id: empty.")
        if is_self and not comment.parent_id:
            raise Ignored("The account's own comment: shown on Instagram, answered by nobody here.")
        return InboundMessage(
            external_id=comment.id,
            thread_key=comment.parent_id or comment.id,
            author=_author(sender, comment.id, is_self=is_self),
            sent_at=sent_at,
            text=comment.text,
            kind=MessageKind.COMMENT,
            reply_to=comment.parent_id or None,
            post=above,
        )

    def _mention(self, event: Envelope, mention: _Mention) -> InboundMessage:
        if event.mentioned is None:
            raise BadPayload("Instagram did not say what the mention says when it came: look at it on Instagram.")
        said = understand(_Mentioned, event.mentioned)
        text = said.text or said.caption
        if not text or not said.username:
            raise Ignored("A mention without words.")
        number = f"{MENTION}:{mention.media_id}:{mention.comment_id}"
        author = Author(f"@{said.username}", said.username, said.username)
        # Under somebody else's picture: of that we may know no more than its address.
        above = Post(mention.media_id, url=said.media.permalink) if mention.comment_id else None
        return InboundMessage(number, number, author, said.timestamp, text, MessageKind.MENTION, post=above)

    async def reply(self, message: OutboundMessage) -> Sent:
        """Answer under a comment, or where we were mentioned. Instagram keeps one level of answers: those to an answer
        stand under the same comment."""
        if message.thread_key.startswith(f"{MENTION}:"):
            _, media, comment = message.thread_key.split(":", 2)
            body = {"message": message.text, "media_id": media, **({"comment_id": comment} if comment else {})}
            made = await self.graph.post(f"{_digits(self.account_id)}/mentions", body, is_sending=True)
        else:
            path = f"{_digits(message.thread_key)}/replies"
            made = await self.graph.post(path, {"message": message.text}, is_sending=True)
        return Sent(external_id=number_of(made, "id"))

    async def direct_message(self, message: OutboundMessage) -> Sent:
        """Send a private message."""
        return await self.send({"id": message.recipient}, message)

    async def private_reply(self, message: OutboundMessage) -> Sent:
        """Once for a comment, in its first seven days; no window of 24 hours counts for it."""
        body = {"recipient": {"comment_id": _digits(message.reply_to or "")}, "message": {"text": message.text}}
        made = await self.graph.post("me/messages", body, is_sending=True)
        return Sent(external_id=number_of(made, "message_id"))

    async def post(self, external_id: str) -> Post:
        """What the picture or video shows that a comment stands under: a webhook tells only its number."""
        found = understand(_Post, await self.graph.get(_digits(external_id), {"fields": POST_FIELDS}))
        return self._above(found.model_copy(update={"id": external_id})) or Post(external_id)

    def _above(self, found: _Post) -> Post | None:
        if not found.id:
            return None
        picture = found.thumbnail_url or (found.media_url if found.media_type != "VIDEO" else "")
        return Post(
            external_id=found.id,
            text=found.caption,
            url=found.permalink,
            author=found.username,
            is_self=True,  # others' media are not shown to us
            picture=Attachment("image", picture) if picture else None,
            sent_at=found.timestamp,
        )

    async def hide(self, external_id: str) -> None:
        """Hide a comment under one of our media."""
        await self.graph.post(_digits(external_id), {"hide": True})

    async def unhide(self, external_id: str) -> None:
        """Show a hidden comment again."""
        await self.graph.post(_digits(external_id), {"hide": False})

    async def delete(self, external_id: str) -> None:
        """Delete a comment: ours, or one under one of our media."""
        await self.graph.delete(_digits(external_id))


def _author(sender: _From | None, comment: str, *, is_self: bool) -> Author:
    if sender is None or not sender.id:
        return Author(f"unnamed:{comment}")
    return Author(sender.id, sender.username, sender.username, is_self=is_self)


def _digits(number: str) -> str:
    if not (number.isascii() and number.isdigit()):
        raise Refused("This is not a comment under one of our media.")
    return number
