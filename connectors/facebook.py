"""A Facebook page: comments, nested comments and visitors' posts, by webhook and by looking again at old posts.

Written after https://developers.facebook.com/docs/pages-api and /docs/graph-api/webhooks/reference/page (`feed`).
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from pydantic import AliasPath, BaseModel
from pydantic import Field as Named

from connectors.base import (
    Attachment,
    Author,
    BadPayload,
    Change,
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
from connectors.meta import APP_ID, APP_SECRET, GRAPH_VERSION, PAGE_TOKEN, ChangeOf, Envelope, Id, MetaConnector
from connectors.meta_graph import listed, next_page, number_of
from connectors.meta_sign_in import CONFIGURATION, facebook_sign_in
from connectors.payload import UtcTime, understand

POSTS = 25
"""Posts in one page of the feed; one poll asks for one."""
PAGES = 8
"""Pages of the feed in one round: posts older than these 200 bring new comments by webhook only."""
COMMENTS = 50
MORE_COMMENTS = 20
"""Pages of older comments that one post may need."""
FIRST_LOOK = timedelta(hours=24)
COMMENT_FIELDS = "id,from,message,created_time,parent{id},attachment,permalink_url"
POST_FIELDS = "id,from,message,created_time,permalink_url,full_picture"
FEED_FIELDS = (
    f"{POST_FIELDS},comments.filter(stream).order(reverse_chronological).limit({COMMENTS}){{{COMMENT_FIELDS}}}"
)
VERBS = {"add": Change.NEW, "edit": Change.EDIT, "edited": Change.EDIT, "remove": Change.DELETE}
VERBS |= {"hide": Change.HIDE, "unhide": Change.UNHIDE}
POST_ITEMS = {"status", "post", "photo", "video", "link", "share", "album", "note"}


class _From(BaseModel):
    id: Id
    name: str = ""


class _Above(BaseModel):
    """What is told of a post beside a comment, or asked for."""

    id: Id = ""
    created_time: UtcTime | None = None
    sender: _From | None = Named(default=None, alias="from")
    message: str | None = None
    permalink_url: str | None = None
    full_picture: str | None = None


class _Feed(BaseModel):
    """The value of a change of `feed`."""

    item: str
    verb: str
    sender: _From | None = Named(default=None, alias="from")
    post_id: Id = ""
    comment_id: Id = ""
    parent_id: Id = ""
    created_time: UtcTime | None = None
    message: str = ""
    photo: str = ""
    photos: list[str] = []
    video: str = ""
    link: str = ""
    post: _Above = _Above()


class _Stub(BaseModel):
    id: Id


class _Attached(BaseModel):
    type: str = ""
    url: str = ""
    title: str = ""
    image: str = Named(default="", validation_alias=AliasPath("media", "image", "src"))
    video: str = Named(default="", validation_alias=AliasPath("media", "source"))


class _Polled(BaseModel):
    """A post or a comment as the Graph API gives it."""

    id: Id
    created_time: UtcTime
    sender: _From | None = Named(default=None, alias="from")
    message: str = ""
    parent: _Stub | None = None
    attachment: _Attached | None = None
    full_picture: str = ""


class _Found(BaseModel):
    """What `poll` makes an event of: a post, or a comment with its post's id."""

    post: Json = None
    comment: Json = None


class FacebookConnector(MetaConnector):
    """One page. Private replies go to who wrote a comment; other private messages are Messenger's."""

    name: ClassVar[str] = "facebook"
    label: ClassVar[str] = "Facebook page"
    about: ClassVar[str] = "Comments and visitors' posts on your page."
    limits: ClassVar[Limits] = Limits(text_length=8000, private_reply_hours=7 * 24.0)
    fields: ClassVar[tuple[Field, ...]] = (APP_ID, APP_SECRET, PAGE_TOKEN, GRAPH_VERSION)
    sign_in: ClassVar[SignIn | None] = facebook_sign_in(APP_ID, APP_SECRET, CONFIGURATION, GRAPH_VERSION)
    webhook_object: ClassVar[str] = "page"
    webhook_fields: ClassVar[tuple[str, ...]] = ("feed",)
    permissions: ClassVar[tuple[str, ...]] = (
        "pages_show_list",
        "pages_read_engagement",
        "pages_read_user_content",
        "pages_manage_engagement",
        "pages_manage_metadata",
    )
    wishes: ClassVar[tuple[str, ...]] = ("pages_messaging",)
    poll_seconds: ClassVar[float] = 300.0
    """Webhooks bring what is new at once; polling finds what they missed."""
    slowest_poll_seconds: ClassVar[float] = 900.0

    async def who(self) -> tuple[str, str]:
        """The page that the token belongs to."""
        page = await self.graph.get("me", {"fields": "id,name"})
        return str(page.get("id") or ""), str(page.get("name") or self.label)

    async def poll(self, cursor: Json) -> Page:
        """One page of the feed: visitors' posts and comments newer than the last whole round. The cursor holds that
        time, the newest time of this round, and where in the feed it is."""
        state = cursor if isinstance(cursor, dict) else {}
        since = _time(state.get("since")) or datetime.now(UTC) - FIRST_LOOK
        newest = max(_time(state.get("newest")) or since, since)
        page = state.get("page")
        number = page if isinstance(page, int) else 0
        events, after = await self._look(state.get("after"), since)
        newest = max([newest, *(at for at, _ in events)])
        raw = tuple(event for _, event in events)
        if after and number + 1 < PAGES:
            state = {"since": since.isoformat(), "newest": newest.isoformat(), "after": after, "page": number + 1}
            return Page(raw, cursor=state, more=True)
        return Page(raw, cursor={"since": newest.isoformat()})

    async def backfill(self, since: datetime) -> AsyncIterator[Page]:
        """Posts and comments since a time, page by page of the feed, as far back as Meta shows it."""
        after: Json = None
        while True:
            events, after = await self._look(after, since)
            yield Page(tuple(event for _, event in events), cursor=after, more=bool(after))
            if not after:
                return

    async def _look(self, after: Json, since: datetime) -> tuple[list[tuple[datetime, RawEvent]], str | None]:
        """What is newer than `since` in one page of the feed, oldest first, and the cursor of the page after it."""
        fields = {"fields": FEED_FIELDS, "limit": str(POSTS)}
        answer = await self.graph.get("me/feed", {**fields, "after": after} if isinstance(after, str) else fields)
        found: list[tuple[datetime, RawEvent]] = []
        for post in listed(answer):
            if not isinstance(post, dict):
                continue
            comments = post.pop("comments", None)
            if (at := _time(post.get("created_time"))) and at > since:
                found.append((at, self._event({"post": post})))
            edge = comments if isinstance(comments, dict) else {}
            new = [(at, each) for each in listed(edge) if (at := _created(each)) and at > since]
            if len(new) == len(listed(edge)) and next_page(edge):
                new += await self._older(str(post.get("id")), next_page(edge) or "", since)
            found += [(at, self._event({"post": post, "comment": each})) for at, each in new]
        return sorted(found, key=lambda pair: pair[0]), next_page(answer)

    async def _older(self, post: str, after: str, since: datetime) -> list[tuple[datetime, Json]]:
        """Comments that did not fit beside their post, down to `since`."""
        fields = {"fields": COMMENT_FIELDS, "filter": "stream", "order": "reverse_chronological", "limit": "100"}
        found: list[tuple[datetime, Json]] = []
        async for answer in self.graph.pages(f"{post}/comments", {**fields, "after": after}, MORE_COMMENTS):
            new = [(at, each) for each in listed(answer) if (at := _created(each)) and at > since]
            found += new
            if len(new) < len(listed(answer)):
                break
        return found

    def _event(self, polled: Json) -> RawEvent:
        item = polled.get("comment") or polled["post"]
        known = item.get("id")
        payload = {"object": self.webhook_object, "id": self.account_id, "polled": polled}
        return RawEvent(payload, external_id=known if isinstance(known, str) else None)

    def read_change(self, event: Envelope, change: ChangeOf) -> list[InboundMessage]:
        """A comment or a visitor's post: new, edited, removed, hidden or shown again."""
        if change.field != "feed":
            return super().read_change(event, change)
        value = understand(_Feed, change.value)
        kind = VERBS.get(value.verb)
        if kind is None:
            raise Ignored(f"A {value.item[:40]} was changed on Facebook: {value.verb[:40]}.")
        if value.item == "comment":
            number, thread = value.comment_id, self._thread(event.id, value)
        elif value.item in POST_ITEMS:
            number = thread = value.post_id
        else:
            raise Ignored(f"Facebook tells of a {value.item[:40]}; comments and posts are read.")
        if not number:
            raise BadPayload("change.value: neither a comment_id nor a post_id.")
        sent_at = value.created_time if kind is Change.NEW else event.time or value.created_time
        if sent_at is None:
            raise BadPayload("change.value.created_time: Field required.")
        pictures = [("image", url) for url in ([value.photo] if value.photo else value.photos)]
        files = pictures + ([("video", value.video)] if value.video else [])
        text = value.message or (value.link if not files else "")
        message = self._message(event.id, number, thread, value.sender, sent_at, text, files, kind)
        above = value.post.model_copy(update={"id": value.post_id})
        return [replace(message, post=self._above(event.id, above) if value.item == "comment" else None)]

    def read_polled(self, event: Envelope) -> list[InboundMessage]:
        """A post or comment that polling found."""
        found = understand(_Found, event.polled)
        item = understand(_Polled, found.comment if found.comment is not None else found.post)
        thread = item.parent.id if item.parent and found.comment is not None else item.id
        files = [("image", item.full_picture)] if item.full_picture else []
        text = item.message
        if item.attachment:
            files += [("image", item.attachment.image)] if item.attachment.image else []
            text = text or ("" if files else item.attachment.url)
        page = event.id or self.account_id
        message = self._message(page, item.id, thread, item.sender, item.created_time, text, files, Change.NEW)
        is_comment = found.comment is not None and isinstance(found.post, dict)
        return [replace(message, post=self._above(page, understand(_Above, found.post)) if is_comment else None)]

    def _message(
        self,
        page: str,
        number: str,
        thread: str,
        sender: _From | None,
        sent_at: datetime,
        text: str,
        files: list[tuple[str, str]],
        change: Change,
    ) -> InboundMessage:
        is_self = sender is not None and bool(page) and sender.id == page
        if is_self and thread == number:
            raise Ignored("The page's own post or comment: shown on Facebook, answered by nobody here.")
        if change in (Change.NEW, Change.EDIT) and not text and not files:
            raise Ignored("A post or comment without words or pictures, as a sticker or a check-in.")
        # Facebook names only those who allow it; whoever is not named is somebody new each time.
        author = Author(sender.id, sender.name, is_self=is_self) if sender else Author(f"unnamed:{number}")
        return InboundMessage(
            external_id=number,
            thread_key=thread,
            author=author,
            sent_at=sent_at,
            text=text,
            kind=MessageKind.COMMENT,
            reply_to=thread if thread != number else None,
            attachments=tuple(Attachment(kind, url) for kind, url in files),
            change=change,
        )

    def _above(self, page: str, post: _Above) -> Post | None:
        """The post in our words; of a webhook's there is often no more than its number."""
        if not post.id:
            return None
        return Post(
            external_id=post.id,
            text=post.message or "",
            url=post.permalink_url or "",
            author=post.sender.name if post.sender else "",
            is_self=post.sender is not None and bool(page) and post.sender.id == page,
            picture=Attachment("image", post.full_picture) if post.full_picture else None,
            sent_at=post.created_time,
        )

    def _thread(self, page: str, value: _Feed) -> str:
        """The comment that a comment stands under; its own where it stands under the post."""
        is_under_post = not value.parent_id or value.parent_id == value.post_id or self._is_post(page, value.parent_id)
        return value.comment_id if is_under_post else value.parent_id

    def _is_post(self, page: str, number: str) -> bool:
        """A post's id begins with the page's; a comment's begins with the post's."""
        return bool(page) and number.startswith(f"{page}_")

    async def reply(self, message: OutboundMessage) -> Sent:
        """Comment under the comment or post that is answered."""
        under = message.reply_to or message.thread_key
        made = await self.graph.post(f"{_id(under)}/comments", {"message": message.text}, is_sending=True)
        return Sent(external_id=number_of(made, "id"))

    async def post(self, external_id: str) -> Post:
        """What a post says: a webhook tells only its number."""
        found = understand(_Above, await self.graph.get(_id(external_id), {"fields": POST_FIELDS}))
        return self._above(self.account_id, found.model_copy(update={"id": external_id})) or Post(external_id)

    async def private_reply(self, message: OutboundMessage) -> Sent:
        """Once for a comment or visitor's post, in its first seven days; it opens in Messenger."""
        if not message.reply_to:
            raise Refused("A private reply needs the comment that it answers.")
        key = "post_id" if self._is_post(self.account_id, message.reply_to) else "comment_id"
        body = {"recipient": {key: message.reply_to}, "message": {"text": message.text}, "messaging_type": "RESPONSE"}
        made = await self.graph.post("me/messages", body, is_sending=True)
        return Sent(external_id=number_of(made, "message_id"))

    async def hide(self, external_id: str) -> None:
        """Hide a comment from all but its author and their friends."""
        await self.graph.post(_id(external_id), {"is_hidden": True})

    async def unhide(self, external_id: str) -> None:
        """Show a hidden comment to everybody again."""
        await self.graph.post(_id(external_id), {"is_hidden": False})

    async def like(self, external_id: str) -> None:
        """Like a comment or post as the page."""
        await self.graph.post(f"{_id(external_id)}/likes", {})

    async def unlike(self, external_id: str) -> None:
        """Take the page's like back."""
        await self.graph.delete(f"{_id(external_id)}/likes")

    async def delete(self, external_id: str) -> None:
        """Delete a comment: ours, or one on a post of ours."""
        await self.graph.delete(_id(external_id))

    async def fetch(self, attachment: Attachment) -> bytes:
        """The bytes of a picture, while Facebook's address of it lasts."""
        return await self.graph.download(attachment.external_id)


def _id(number: str) -> str:
    """A number of Meta's, safe in a path."""
    if not number or not all(part.isascii() and part.isdigit() for part in number.split("_")):
        raise Refused("This is not a post or comment of Facebook's.")
    return number


def _time(value: Json) -> datetime | None:
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
        return at.astimezone(UTC) if at and at.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _created(item: Json) -> datetime | None:
    return _time(item.get("created_time")) if isinstance(item, dict) else None
