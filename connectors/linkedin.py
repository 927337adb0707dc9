"""LinkedIn: comments under the posts of an organisation's page, polled; answers in the organisation's name.

Written after https://learn.microsoft.com/linkedin/marketing/community-management (Posts API, Comments API) and
https://learn.microsoft.com/linkedin/shared/api-guide/concepts (error handling, rate limits).
"""

import re
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from urllib.parse import quote

from pydantic import BaseModel
from pydantic import Field as Data
from yarl import URL

from connectors.base import (
    Account,
    Attachment,
    AuthExpired,
    Author,
    Change,
    Field,
    Ignored,
    InboundMessage,
    Json,
    Limits,
    MaybeSent,
    MessageKind,
    OutboundMessage,
    Page,
    Post,
    RawEvent,
    Refused,
    Sent,
    TryLater,
)
from connectors.calls import Answer, CallingConnector
from connectors.download import download
from connectors.payload import UtcTime, understand

API = "https://api.linkedin.com"
VERSION = "202604"
POSTS = 20
"""The newest posts whose comments are read."""
NEWEST = 3
"""Of these the comments are read in each poll; of the others one post's, in turn."""
POLLS_PER_LIST = 4
"""How many polls the list of posts is used for."""
COMMENTS, PAGES = 100, 5
FEED = "https://www.linkedin.com/feed/update/"
# Posts API, "little text": @[Name](urn), {hashtag|\\#|word}, and a backslash before signs that mean something.
_NAME = re.compile(r"@\[([^\]]*)\]\([^)]*\)")
_HASHTAG = re.compile(r"\{hashtag\|\\?#\|([^}]*)\}")
_ESCAPED = re.compile(r"\\([|{}@\[\]()<>#*_~\\])")
_IMAGE = re.compile(r"urn:li:image:[A-Za-z0-9_-]{1,200}")
FILE_BYTES = 20_000_000
FILE_HOSTS = ("licdn.com", "linkedin.com")
_COMMENT = re.compile(r"urn:li:comment:\((urn:li:[A-Za-z]+:\d+),(\d+)\)")


class _Text(BaseModel):
    text: str = ""


class _Stamp(BaseModel):
    time: UtcTime


class _Comment(BaseModel):
    urn: str = Data(alias="commentUrn", min_length=1)
    actor: str = Data(min_length=1)
    message: _Text = _Text()
    created: _Stamp
    modified: _Stamp = Data(alias="lastModified")
    parent: str = Data(alias="parentComment", default="")
    object: str = ""


class _Image(BaseModel):
    id: str = ""


class _Shared(BaseModel):
    """A picture, video or document beside the words of a post; or an article, with a picture of its own."""

    id: str = ""
    thumbnail: str = ""


class _Several(BaseModel):
    images: list[_Image] = []


class _Content(BaseModel):
    media: _Shared = _Shared()
    article: _Shared = _Shared()
    several: _Several = Data(alias="multiImage", default=_Several())

    @property
    def picture(self) -> str:
        """The first picture; empty where there is none."""
        named = [self.media.id, self.article.thumbnail, *(image.id for image in self.several.images)]
        return next((urn for urn in named if _IMAGE.fullmatch(urn)), "")


class _Post(BaseModel):
    author: str = ""
    commentary: str = ""
    content: _Content = _Content()
    published: UtcTime | None = Data(alias="publishedAt", default=None)


class _Event(BaseModel):
    comment: _Comment
    top: str = Data(min_length=1)
    """The comment under the post with which the thread begins."""
    asker: str = ""
    post: str = ""
    is_known: bool = False
    """We have had it before, so this is an edit of it."""


class LinkedInConnector(CallingConnector):
    """One organisation's page. Cursor: the posts, and for each post and comment how far its comments were read."""

    name: ClassVar[str] = "linkedin"
    label: ClassVar[str] = "LinkedIn"
    about: ClassVar[str] = "Comments under the posts of your organisation's page."
    limits: ClassVar[Limits] = Limits(text_length=1250)
    poll_seconds: ClassVar[float] = 300.0
    slowest_poll_seconds: ClassVar[float] = 900.0
    fields: ClassVar[tuple[Field, ...]] = (
        Field(
            "organization",
            "Organisation number",
            "The number in the address of the page's admin view: linkedin.com/company/NUMBER/admin.",
        ),
        Field(
            "access_token",
            "Access token",
            "Of an administrator of the page, with r_organization_social and w_organization_social;"
            " it ends after 60 days.",
            help_url="https://www.linkedin.com/developers/tools/oauth",
            is_secret=True,
        ),
        Field(
            "version",
            "API version",
            "Year and month, like 202604; LinkedIn ends each version after about a year.",
            default=VERSION,
        ),
    )

    async def connect(self) -> Account:
        """The organisation, as the token may see it."""
        found = await self._ask("GET", f"organizations/{self._number}")
        return Account(external_id=self._us, name=str(found.get("localizedName") or self.label))

    async def poll(self, cursor: Json) -> Page:
        """New and changed comments under the newest posts, and under one older post in turn."""
        before: dict[str, Json] = cursor if isinstance(cursor, dict) else {}
        polls = before["polls"] if isinstance(before.get("polls"), int) else 0
        posts = before.get("posts")
        if not isinstance(posts, list) or polls % POLLS_PER_LIST == 0:
            posts = await self._posts()
        older = posts[NEWEST:]
        looked = [*posts[:NEWEST], *([older[polls % len(older)]] if older else [])]
        marks: dict[str, Json] = dict(before["marks"]) if isinstance(before.get("marks"), dict) else {}
        found: list[tuple[int, RawEvent]] = []
        for post in looked:
            tried = dict(marks)
            try:
                fresh = [_event(each, each, post, is_known) for each, is_known in await self._fresh(post, tried)]
                fresh += await self._answers(post, tried)
            except TryLater:
                if not found:
                    raise
                break  # LinkedIn's limits may last until midnight; what came before need not wait
            found, marks = found + fresh, tried
        kept = {urn: mark for urn, mark in marks.items() if mark[2] in posts}
        state = {"polls": polls + 1, "posts": posts, "marks": kept}
        return Page(tuple(raw for _, raw in sorted(found, key=lambda each: each[0])), cursor=state)

    def read(self, raw: RawEvent) -> list[InboundMessage]:
        """A comment or an answer to one; those of the organisation are known as ours."""
        event = understand(_Event, raw.payload)
        comment = event.comment
        is_self = comment.actor == self._us
        if is_self and comment.urn == event.top:
            raise Ignored("A comment of our own under a post.")
        if not comment.message.text.strip():
            raise Ignored("A comment without text.")
        return [
            InboundMessage(
                external_id=comment.urn,
                thread_key=f"{event.top}|{(event.asker or comment.actor) if is_self else comment.actor}",
                # LinkedIn names members to approved applications only.
                author=Author(comment.actor, f"LinkedIn {comment.actor.rpartition(':')[2][-6:]}", is_self=is_self),
                sent_at=comment.modified.time if event.is_known else comment.created.time,
                text=comment.message.text,
                kind=MessageKind.COMMENT,
                reply_to=comment.parent or comment.object or None,
                change=Change.EDIT if event.is_known else Change.NEW,
                post=Post(event.post, url=f"{FEED}{event.post}", is_self=True) if event.post else None,
            )
        ]

    async def post(self, external_id: str) -> Post:
        """What a post of the organisation says."""
        found = understand(_Post, await self._ask("GET", f"posts/{quote(external_id, safe='')}"))
        text = _HASHTAG.sub(r"#\1", _NAME.sub(r"\1", found.commentary))
        return Post(
            external_id=external_id,
            text=_ESCAPED.sub(r"\1", text),
            url=f"{FEED}{external_id}",
            is_self=found.author == self._us,
            picture=Attachment("image", found.content.picture) if found.content.picture else None,
            sent_at=found.published,
        )

    async def fetch(self, attachment: Attachment) -> bytes:
        """The bytes of a post's picture. Its address lasts for days, so it is asked for each time (Images API)."""
        if not _IMAGE.fullmatch(attachment.external_id):
            raise Refused("This is not a picture of LinkedIn's.")
        found = await self._ask("GET", f"images/{quote(attachment.external_id, safe='')}")
        address = str(found.get("downloadUrl") or "")
        host, own = _host(address), _host(self.config.api_url or "")
        if not any(host == each or host.endswith(f".{each}") for each in FILE_HOSTS) and not (own and host == own):
            raise Refused("LinkedIn gave no address of this picture.")
        trusted = (own,) if own else ()
        file = await download(address, most=FILE_BYTES, trusted=trusted)
        if file.status != 200:
            raise Refused(f"LinkedIn no longer gives this picture (it answered {file.status}).")
        return file.body

    async def reply(self, message: OutboundMessage) -> Sent:
        """Answer in the thread of a comment, in the organisation's name."""
        top = message.thread_key.partition("|")[0]
        found = _COMMENT.fullmatch(top)
        if not found:
            raise Refused("An answer on LinkedIn needs the comment that it answers.")
        activity = found[1]
        body = {"actor": self._us, "object": activity, "message": {"text": message.text}, "parentComment": top}
        path = f"socialActions/{quote(top, safe='')}/comments"
        answer = await self._call("POST", path, is_sending=True, json=body)
        said = answer.json if isinstance(answer.json, dict) else {}
        urn, number = said.get("commentUrn"), answer.headers.get("x-restli-id", "")
        if not isinstance(urn, str) or not urn:
            urn = f"urn:li:comment:({activity},{number})" if number.isdigit() else ""
        if not urn:
            raise MaybeSent("LinkedIn took the text and did not number it.")
        return Sent(external_id=urn)

    async def _posts(self) -> list[str]:
        path = f"posts?q=author&author={quote(self._us, safe='')}&count={POSTS}&sortBy=CREATED"
        found = await self._ask("GET", path, headers={"X-RestLi-Method": "FINDER"})
        return [post["id"] for post in _elements(found) if isinstance(post.get("id"), str)][:POSTS]

    async def _fresh(
        self, under: str, marks: dict[str, Json], post: str = "", count: int = 0
    ) -> list[tuple[dict[str, Json], bool]]:
        """The comments under a post or comment that are new or changed since its mark, and whether we had them."""
        mark = marks.get(under)
        since = mark[0] if isinstance(mark, list) and isinstance(mark[0], int) else -1
        comments: list[dict[str, Json]] = []
        for page in range(PAGES):
            path = f"socialActions/{quote(under, safe='')}/comments?start={page * COMMENTS}&count={COMMENTS}"
            found = _elements(await self._ask("GET", path))
            comments += found
            if len(found) < COMMENTS:
                break
        changed = [each for each in comments if _time(each, "lastModified") > since]
        newest = max([since, *(_time(each, "lastModified") for each in comments)])
        marks[under] = [newest, count, post or under]
        for each in comments:
            # What is asked for below a comment hangs on how many answers it has now.
            urn = str(each.get("commentUrn") or "")
            if urn and not post:
                known = marks.get(urn)
                marks[urn] = [*(known[:2] if isinstance(known, list) else [-1, 0]), under, _answer_count(each), each]
        return [(each, since >= 0 and _time(each, "created") <= since) for each in changed]

    async def _answers(self, post: str, marks: dict[str, Json]) -> list[tuple[int, RawEvent]]:
        """New and changed answers below the comments of a post, asked for where their number changed."""
        found: list[tuple[int, RawEvent]] = []
        for urn, mark in [(urn, mark) for urn, mark in marks.items() if len(mark) == 5 and mark[2] == post]:
            since, known, _, count, top = mark
            marks[urn] = [since, known, post]
            if count != known:
                fresh = await self._fresh(urn, marks, post, count)
                found += [_event(comment, top, post, is_known) for comment, is_known in fresh]
        return found

    async def _ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> dict[str, Json]:
        found = (await self._call(method, path, headers=headers)).json
        if not isinstance(found, dict):
            raise TryLater("LinkedIn answered in an unknown form.")
        return found

    async def _call(
        self,
        method: str,
        path: str,
        *,
        is_sending: bool = False,
        json: Json = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        token = self.config.credentials.get("access_token", "").strip()
        if not token:
            raise AuthExpired("The access token is missing.")
        version = str(self.config.settings.get("version") or VERSION)
        if not version.isascii() or not version.isdigit():
            raise Refused("The API version is not a year and month, like 202604.")
        sent = {"Authorization": f"Bearer {token}", "LinkedIn-Version": version, "X-Restli-Protocol-Version": "2.0.0"}
        url = URL(f"{(self.config.api_url or API).rstrip('/')}/rest/{path}", encoded=True)
        answer = await self.call(method, url, is_sending=is_sending, json=json, headers=sent | (headers or {}))
        if not answer.is_ok:
            raise _refusal(answer, is_sending)
        return answer

    @property
    def _number(self) -> str:
        number = str(self.config.settings.get("organization") or "").rpartition(":")[2].strip()
        if not number.isascii() or not number.isdigit():
            raise Refused("The organisation's number is not a number.")
        return number

    @property
    def _us(self) -> str:
        return f"urn:li:organization:{str(self.config.settings.get('organization') or '').rpartition(':')[2].strip()}"


def _host(address: str) -> str:
    try:
        return URL(address).host or ""
    except ValueError:
        return ""


def until_midnight(now: datetime | None = None) -> float:
    """Seconds until midnight UTC, when LinkedIn's daily limits begin anew."""
    now = now or datetime.now(UTC)
    midnight = datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), datetime.min.time(), UTC)
    return (midnight - now).total_seconds()


def _refusal(answer: Answer, is_sending: bool) -> AuthExpired | TryLater | Refused | MaybeSent:
    """What an error means: LinkedIn's JSON has `message`, `status` and a code of its own."""
    found = answer.json if isinstance(answer.json, dict) else {}
    words = f"LinkedIn: {' '.join(str(found.get('message') or answer.text).split())[:300]}"
    if answer.status == 401:
        return AuthExpired(words)
    if answer.status == 429:
        wait = answer.retry_after()
        return TryLater(words, until_midnight() if wait is None else wait)
    if answer.status == 426:
        return Refused(f"{words} Reconnect the channel with a newer API version.")
    if answer.status < 500:
        return Refused(words)
    return MaybeSent(words) if is_sending else TryLater(words, answer.retry_after())


def _event(comment: dict[str, Json], top: dict[str, Json], post: str, is_known: bool) -> tuple[int, RawEvent]:
    payload = {
        "comment": comment,
        "top": str(top.get("commentUrn") or ""),
        "asker": str(top.get("actor") or ""),
        "post": post,
        "is_known": is_known,
    }
    return _time(comment, "lastModified"), RawEvent(payload, external_id=str(comment.get("commentUrn")))


def _elements(found: dict[str, Json]) -> list[dict[str, Json]]:
    elements = found.get("elements")
    return [each for each in elements if isinstance(each, dict)] if isinstance(elements, list) else []


def _time(comment: dict[str, Json], key: str) -> int:
    """Milliseconds since 1970; 0 where there are none."""
    stamp = comment.get(key)
    at = stamp.get("time") if isinstance(stamp, dict) else None
    return at if isinstance(at, int) else 0


def _answer_count(comment: dict[str, Json]) -> int:
    summary = comment.get("commentsSummary")
    count = summary.get("aggregatedTotalComments") if isinstance(summary, dict) else None
    return count if isinstance(count, int) else 0
