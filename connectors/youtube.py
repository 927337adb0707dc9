"""YouTube: comments under the videos of one channel, polled within the day's quota.

Written after https://developers.google.com/youtube/v3/docs (commentThreads, comments, channels; errors; quota costs).
"""

import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel
from pydantic import Field as Data
from yarl import URL

from connectors.base import (
    Account,
    Attachment,
    AuthExpired,
    Author,
    Change,
    ChannelConfig,
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
    Quota,
    RawEvent,
    Refused,
    Sent,
    TryLater,
)
from connectors.calls import Answer, CallingConnector
from connectors.download import download
from connectors.payload import UtcTime, understand

API = "https://www.googleapis.com/youtube/v3"
WATCH = "https://www.youtube.com/watch?v="
TOKENS = "https://oauth2.googleapis.com"
PACIFIC = ZoneInfo("America/Los_Angeles")
"""Quotas begin anew at midnight there."""
READ, WRITE = 1, 50
"""Units of a call (https://developers.google.com/youtube/v3/determine_quota_cost)."""
DAILY_UNITS = 10_000
READING_SHARE = 0.8
"""How much of a day's units polling may use; the rest is left for answers."""
REVISITED_PAGES = 5
"""Pages of 100 threads, in which new answers to old comments are looked for, one page a poll."""
REPLY_PAGES = 5
PICTURES, PICTURE_BYTES = "i.ytimg.com", 5_000_000
SIZES = ("standard", "high", "medium", "default")
"""Of a video's pictures, in the order in which we like them: 640 points wide first."""
SPENT = frozenset({"quotaExceeded", "dailyLimitExceeded"})
TOO_FAST = frozenset({"rateLimitExceeded", "userRateLimitExceeded"})
SIGNED_OUT = frozenset({"authError", "insufficientPermissions", "accountClosed", "accountSuspended"})


class _Channel(BaseModel):
    value: str = ""


class _Snippet(BaseModel):
    text: str = Data(alias="textOriginal", default="")
    shown: str = Data(alias="textDisplay", default="")
    author: str = Data(alias="authorDisplayName", default="")
    author_channel: _Channel = Data(alias="authorChannelId", default=_Channel())
    published: UtcTime = Data(alias="publishedAt")
    updated: UtcTime = Data(alias="updatedAt")
    parent: str = Data(alias="parentId", default="")


class _Comment(BaseModel):
    id: str = Data(min_length=1)
    snippet: _Snippet


class _Picture(BaseModel):
    url: str = ""


class _About(BaseModel):
    title: str = ""
    description: str = ""
    author: str = Data(alias="channelTitle", default="")
    author_channel: str = Data(alias="channelId", default="")
    published: UtcTime | None = Data(alias="publishedAt", default=None)
    thumbnails: dict[str, _Picture] = {}


class _Video(BaseModel):
    snippet: _About


class _Event(BaseModel):
    comment: _Comment
    thread: str = Data(min_length=1)
    asker: str = ""
    """The channel that wrote the first comment of the thread."""
    video: str = ""
    is_known: bool = False
    """We have had it before, so this is an edit of it."""


class YouTubeConnector(CallingConnector):
    """One YouTube channel. Answers stand under the comment that began the thread: YouTube has one level of answers."""

    name: ClassVar[str] = "youtube"
    label: ClassVar[str] = "YouTube"
    about: ClassVar[str] = "Comments under the videos of your channel."
    limits: ClassVar[Limits] = Limits(text_length=10_000)
    poll_seconds: ClassVar[float] = 60.0
    slowest_poll_seconds: ClassVar[float] = 300.0
    fields: ClassVar[tuple[Field, ...]] = (
        Field(
            "client_id",
            "OAuth client ID",
            "In the Google Cloud console, of a project with the YouTube Data API v3: Credentials, OAuth client ID.",
            help_url="https://console.cloud.google.com/apis/credentials",
        ),
        Field("client_secret", "OAuth client secret", "Beside the client ID.", is_secret=True),
        Field(
            "refresh_token",
            "Refresh token",
            "Of the channel's own Google account, for the scope youtube.force-ssl and access_type=offline.",
            help_url="https://developers.google.com/youtube/v3/guides/auth/server-side-web-apps",
            is_secret=True,
        ),
        Field(
            "daily_units",
            "Quota units a day",
            "As the project's Quotas page says; 10000 where nothing else was agreed with Google.",
            default=str(DAILY_UNITS),
        ),
    )

    def __init__(self, config: ChannelConfig) -> None:
        super().__init__(config)
        # An access token that somebody got already is used until Google refuses it.
        self._token = config.credentials.get("access_token", "")
        self._token_ends = math.inf if self._token else 0.0
        self._day, self._spent = "", 0

    @property
    def quota(self) -> Quota | None:
        """The day's units, as far as they were spent by us."""
        if self._day != self._today():
            return None
        budget, now = self._budget(), _now()
        return Quota(min(self._spent, budget), budget, now + timedelta(seconds=until_midnight(now)), "units")

    async def connect(self) -> Account:
        """The channel of the account. Raises AuthExpired when Google no longer knows the refresh token."""
        found = await self._read("channels", part="snippet", mine="true")
        items = _list(found, "items")
        if not items:
            raise Refused("This Google account has no YouTube channel.")
        snippet = items[0].get("snippet")
        title = snippet.get("title") if isinstance(snippet, dict) else ""
        return Account(external_id=str(items[0].get("id")), name=str(title or self.label))

    async def poll(self, cursor: Json) -> Page:
        """The newest threads, one page of older ones, and the answers in those that changed.

        The cursor holds, for each thread, when it last changed and how many answers it had; and what the day's polls
        have spent, so that a restart does not forget it.
        """
        before: dict[str, Json] = cursor if isinstance(cursor, dict) else {}
        if before.get("day") == self._today() and isinstance(before.get("spent"), int):
            self._spent = max(self._spent, before["spent"])
        known = dict(before["threads"]) if isinstance(before.get("threads"), dict) else {}
        newest = await self._threads("")
        pages = [newest]
        token, depth = str(before.get("token") or ""), int(before.get("depth") or 0)
        if cursor is not None:
            if token:
                pages.append(await self._threads(token))
                depth += 1
            token = str(pages[-1].get("nextPageToken") or "")
            if depth >= REVISITED_PAGES or not token:
                token, depth = "", 0
        events: list[tuple[str, RawEvent]] = []
        for thread in {
            each["id"]: each for page in pages for each in _list(page, "items") if _is_thread(each)
        }.values():
            try:
                events += await self._changed(thread, known)
            except TryLater:
                if not events:
                    raise
                # What came before need not wait for midnight; the page of older threads is asked for again.
                token, depth = str(before.get("token") or ""), int(before.get("depth") or 0)
                break
        kept = dict(
            sorted(known.items(), key=lambda item: str(item[1][0]), reverse=True)[: (REVISITED_PAGES + 1) * 100]
        )
        state = {"threads": kept, "token": token, "depth": depth, "day": self._today(), "spent": self._spent}
        return Page(tuple(raw for _, raw in sorted(events, key=lambda event: event[0])), cursor=state)

    def read(self, raw: RawEvent) -> list[InboundMessage]:
        """A comment or an answer to one; our own ones are known as ours."""
        event = understand(_Event, raw.payload)
        snippet = event.comment.snippet
        author = snippet.author_channel.value
        is_self = bool(author) and author == str(self.config.settings.get("account_id") or "")
        if is_self and event.comment.id == event.thread:
            raise Ignored("A comment of our own that began a thread.")
        text = snippet.text or snippet.shown
        if not text.strip():
            raise Ignored("A comment without text.")
        author = author or f"unknown:{event.comment.id}"
        return [
            InboundMessage(
                external_id=event.comment.id,
                thread_key=f"{event.thread}:{event.asker if is_self else author}",
                author=Author(author, snippet.author, snippet.author, is_self=is_self),
                sent_at=snippet.updated if event.is_known else snippet.published,
                text=text,
                kind=MessageKind.COMMENT,
                reply_to=snippet.parent or (f"video:{event.video}" if event.video else None),
                change=Change.EDIT if event.is_known else Change.NEW,
                post=Post(event.video, url=f"{WATCH}{event.video}") if event.video else None,
            )
        ]

    async def post(self, external_id: str) -> Post:
        """A video's title and description; one unit."""
        items = _list(await self._read("videos", part="snippet", id=external_id), "items")
        if not items:
            raise Refused("YouTube no longer has this video.")
        about = understand(_Video, items[0]).snippet
        picture = next((about.thumbnails[size].url for size in SIZES if size in about.thumbnails), "")
        return Post(
            external_id=external_id,
            text="\n\n".join(filter(None, (about.title, about.description.strip()))),
            url=f"{WATCH}{external_id}",
            author=about.author,
            is_self=about.author_channel == str(self.config.settings.get("account_id") or ""),
            picture=Attachment("image", picture) if picture else None,
            sent_at=about.published,
        )

    async def reply(self, message: OutboundMessage) -> Sent:
        """Answer in the thread of the comment that is answered."""
        thread = (message.reply_to or message.thread_key).partition(":")[0].partition(".")[0]
        if not thread or thread == "video":
            raise Refused("An answer on YouTube needs the comment that it answers.")
        body = {"snippet": {"parentId": thread, "textOriginal": message.text}}
        found = await self._ask("POST", "comments", WRITE, is_sending=True, params={"part": "snippet"}, json=body)
        if not isinstance(found.get("id"), str) or not found["id"]:
            raise MaybeSent("YouTube took the text and did not number it.")
        snippet = found.get("snippet")
        published = snippet.get("publishedAt") if isinstance(snippet, dict) else None
        return Sent(found["id"], _time(published))

    async def hide(self, external_id: str) -> None:
        """Reject a comment: nobody but its author sees it any more."""
        await self._moderate(external_id, "rejected")

    async def unhide(self, external_id: str) -> None:
        """Publish a rejected comment again."""
        await self._moderate(external_id, "published")

    async def delete(self, external_id: str) -> None:
        """Delete a comment of ours."""
        await self._ask("DELETE", "comments", WRITE, params={"id": external_id})

    async def fetch(self, attachment: Attachment) -> bytes:
        """The bytes of a video's picture."""
        if URL(attachment.external_id).host != PICTURES:
            raise Refused("Only pictures that lie with YouTube are fetched.")
        found = await download(attachment.external_id, most=PICTURE_BYTES)
        if found.status != 200:
            raise Refused(f"YouTube no longer gives this picture (it answered {found.status}).")
        return found.body

    async def _moderate(self, external_id: str, status: str) -> None:
        params = {"id": external_id, "moderationStatus": status}
        await self._ask("POST", "comments/setModerationStatus", WRITE, params=params)

    async def _threads(self, token: str) -> dict[str, Json]:
        own = str(self.config.settings.get("account_id") or "") or (await self.connect()).external_id
        more = {"pageToken": token} if token else {}
        parts = {"part": "snippet,replies", "order": "time", "maxResults": "100", "textFormat": "plainText"}
        return await self._read("commentThreads", allThreadsRelatedToChannelId=own, **parts, **more)

    async def _changed(self, thread: dict[str, Json], known: dict[str, Json]) -> list[tuple[str, RawEvent]]:
        """The comments of a thread that are new or newer than what we know of it, each with its time."""
        number, snippet = str(thread["id"]), thread["snippet"]
        first = snippet["topLevelComment"]
        inline = _list(thread.get("replies"), "comments")
        total = snippet.get("totalReplyCount") if isinstance(snippet.get("totalReplyCount"), int) else len(inline)
        mark = known.get(number)
        since, count = (str(mark[0]), mark[1]) if isinstance(mark, list) and len(mark) == 2 else ("", -1)
        comments = [first, *inline]
        if total > len(inline) and (total != count or any(_updated(each) > since for each in inline)):
            comments = [first, *await self._answers(number)]
        fresh = [each for each in comments if _updated(each) > since or not since]
        known[number] = [max([since, *(_updated(each) for each in comments)]), total]
        asker = _author_of(first)
        return [
            (
                _updated(each),
                RawEvent(
                    {
                        "comment": each,
                        "thread": number,
                        "asker": asker,
                        "video": str(snippet.get("videoId") or ""),
                        "is_known": bool(since) and _published(each) <= since,
                    },
                    external_id=str(each.get("id")),
                ),
            )
            for each in fresh
        ]

    async def _answers(self, thread: str) -> list[dict[str, Json]]:
        """All answers in a thread: a thread brings only some of them with it."""
        found: list[dict[str, Json]] = []
        token = ""
        for _ in range(REPLY_PAGES):
            more = {"pageToken": token} if token else {}
            parts = {"part": "snippet", "maxResults": "100", "textFormat": "plainText"}
            page = await self._read("comments", parentId=thread, **parts, **more)
            found += _list(page, "items")
            token = str(page.get("nextPageToken") or "")
            if not token:
                break
        return found

    async def _read(self, path: str, **params: str) -> dict[str, Json]:
        return await self._ask("GET", path, READ, params=params)

    async def _ask(
        self, method: str, path: str, units: int, *, is_sending: bool = False, params: dict[str, str], json: Json = None
    ) -> dict[str, Json]:
        """One call, if the day's units allow it."""
        self._spend(units)
        headers = {"Authorization": f"Bearer {await self._access()}"}
        url = f"{(self.config.api_url or API).rstrip('/')}/{path}"
        answer = await self.call(method, url, is_sending=is_sending, params=params, json=json, headers=headers)
        if not answer.is_ok:
            raise self._refusal(answer, is_sending)
        found = answer.json
        if isinstance(found, dict):
            return found
        if answer.status == 204:
            return {}
        raise MaybeSent("YouTube answered in an unknown form.") if is_sending else TryLater("YouTube answered nothing.")

    async def _access(self) -> str:
        """An access token, which lives for an hour; got with the refresh token."""
        if time.monotonic() < self._token_ends:
            return self._token
        secrets = {key: self.config.credentials.get(key, "") for key in ("client_secret", "refresh_token")}
        form = {"client_id": str(self.config.settings.get("client_id") or ""), "grant_type": "refresh_token", **secrets}
        if not all(form.values()):
            raise AuthExpired("The OAuth client or the refresh token is missing.")
        answer = await self.call("POST", f"{(self.config.api_url or TOKENS).rstrip('/')}/token", data=form)
        found = answer.json if isinstance(answer.json, dict) else {}
        token, lives = found.get("access_token"), found.get("expires_in")
        if not answer.is_ok:
            words = f"Google: {str(found.get('error_description') or found.get('error') or answer.text)[:300]}"
            if answer.status in (400, 401, 403):
                raise AuthExpired(words)
            raise TryLater(words, answer.retry_after())
        if not isinstance(token, str) or not token:
            raise TryLater("Google answered without an access token.")
        self._token = token
        self._token_ends = time.monotonic() + (lives if isinstance(lives, int) else 3600) - 60
        return token

    def _spend(self, units: int) -> None:
        """Take units from the day's quota. Raises TryLater until midnight in California where they are used up."""
        today = self._today()
        if today != self._day:
            self._day, self._spent = today, self._spent if not self._day else 0
        budget = self._budget()
        if self._spent + units > (budget * READING_SHARE if units == READ else budget):
            raise TryLater(
                "Today's YouTube quota is used up; it begins anew at midnight Pacific time.", until_midnight()
            )
        self._spent += units

    def _budget(self) -> int:
        try:
            return int(self.config.settings.get("daily_units") or DAILY_UNITS)
        except (TypeError, ValueError):
            raise Refused("The daily quota units are not a number.") from None

    def _today(self) -> str:
        return _now().astimezone(PACIFIC).date().isoformat()

    def _refusal(self, answer: Answer, is_sending: bool) -> AuthExpired | TryLater | Refused | MaybeSent:
        """What an error means: its JSON names a reason and says it in words."""
        found = answer.json if isinstance(answer.json, dict) else {}
        said = found.get("error")
        error: dict[str, Json] = said if isinstance(said, dict) else {}
        reasons = {str(each.get("reason")) for each in _list(error, "errors")}
        words = f"YouTube: {' '.join(str(error.get('message') or answer.text).split())[:300]}"
        if reasons & SPENT:
            self._spent = 10**9
            return TryLater(words, until_midnight())
        if answer.status == 429 or reasons & TOO_FAST:
            return TryLater(words, answer.retry_after() or 60.0)
        if answer.status == 401 or reasons & SIGNED_OUT:
            self._token_ends = 0.0
            return AuthExpired(words)
        if answer.status < 500:
            return Refused(words)
        return MaybeSent(words) if is_sending else TryLater(words, answer.retry_after())


def until_midnight(now: datetime | None = None) -> float:
    """Seconds until the next midnight in California; on two days of the year that is an hour more or less."""
    here = (now or _now()).astimezone(PACIFIC)
    midnight = datetime.combine(here.date() + timedelta(days=1), datetime.min.time(), PACIFIC)
    return (midnight.astimezone(UTC) - here.astimezone(UTC)).total_seconds()


def _now() -> datetime:
    return datetime.now(UTC)


def _list(holder: Json, key: str) -> Sequence[dict[str, Json]]:
    found = holder.get(key) if isinstance(holder, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _is_thread(thread: dict[str, Json]) -> bool:
    snippet = thread.get("snippet")
    return (
        isinstance(thread.get("id"), str)
        and isinstance(snippet, dict)
        and isinstance(snippet.get("topLevelComment"), dict)
    )


def _snippet(comment: dict[str, Json]) -> dict[str, Json]:
    found = comment.get("snippet")
    return found if isinstance(found, dict) else {}


def _updated(comment: dict[str, Json]) -> str:
    """YouTube writes all times in one form, so they compare as text."""
    return str(_snippet(comment).get("updatedAt") or "")


def _published(comment: dict[str, Json]) -> str:
    return str(_snippet(comment).get("publishedAt") or "")


def _author_of(comment: dict[str, Json]) -> str:
    channel = _snippet(comment).get("authorChannelId")
    return str(channel.get("value") or "") if isinstance(channel, dict) else ""


def _time(written: Json) -> datetime | None:
    try:
        return datetime.fromisoformat(written).astimezone(UTC) if isinstance(written, str) else None
    except (ValueError, OverflowError):
        return None
