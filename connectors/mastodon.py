"""Mastodon, through an access token: mentions, replies and private mentions, polled.

Written after https://docs.joinmastodon.org/methods/; "API" below are those pages. Mastodon.py is synchronous, so its
calls run in threads, each with a client of its own.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, ClassVar

import requests
from mastodon import Mastodon
from mastodon.errors import (
    MastodonAPIError,
    MastodonError,
    MastodonNetworkError,
    MastodonNotFoundError,
    MastodonRatelimitError,
    MastodonServerError,
    MastodonUnauthorizedError,
)
from yarl import URL

from connectors.base import (
    Account,
    Attachment,
    AuthExpired,
    ChannelConfig,
    Connector,
    ConnectorError,
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
from connectors.cause import cause
from connectors.download import download, retry_after
from connectors.mastodon_posts import URLS, read_event, read_post
from connectors.payload import parse

FILE_BYTES = 40_000_000
"""API, instance: a video may have 40 MB by default."""
MEDIA = dict.fromkeys(("image/jpeg", "image/png", "image/gif", "image/webp", "image/heic", "image/avif"), 16_000_000)
MEDIA |= {"audio/*": FILE_BYTES, "video/mp4": FILE_BYTES, "video/webm": FILE_BYTES, "video/quicktime": FILE_BYTES}
"""API, instance: what servers take by default; one that takes less says so."""
PER_POLL = 20
"""Notifications in one page, and posts that are looked at again: `GET /api/v1/statuses` takes 20."""
WATCHED = 100
KEPT_BACK = 20
"""Requests left in the window under which posts are not looked at again, so that answers still get out."""
KEY_SECONDS = 3000
"""API, POST /api/v1/statuses: "Idempotency keys are stored for up to 1 hour"."""
SCOPES = ("read", "write")


class _Session(requests.Session):
    """Remembers the last response: its headers, and the JSON as it came, before Mastodon.py makes objects of it."""

    last: requests.Response | None = None

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        self.last = None
        self.last = super().request(*args, **kwargs)
        return self.last


class MastodonConnector(Connector):
    """One account. Public answers keep the visibility of what they answer; private ones are private mentions."""

    name: ClassVar[str] = "mastodon"
    label: ClassVar[str] = "Mastodon"
    about: ClassVar[str] = "Mentions, replies and private messages of your account."
    # 500 by default, less the longest mention that we put before the text: @, a name of 30 characters, a space.
    limits: ClassVar[Limits] = Limits(text_length=468, media=MEDIA, public_media=MEDIA, files=4)
    fields: ClassVar[tuple[Field, ...]] = (
        Field(
            "server", "Server", help="The address of the server where your account is, like https://mastodon.social."
        ),
        Field(
            "token",
            "Access token",
            help="On your server: Preferences, Development, New application, with the scopes read and write."
            " Save it, open it again and copy “Your access token”.",
            help_url="https://docs.joinmastodon.org/client/token/",
            is_secret=True,
        ),
    )
    poll_seconds: ClassVar[float] = 15.0
    """Two requests each time, of 300 that a server allows in five minutes."""
    slowest_poll_seconds: ClassVar[float] = 60.0

    deletes_private: ClassVar[bool] = True

    def __init__(self, config: ChannelConfig) -> None:
        super().__init__(config)
        self._idle: list[tuple[Mastodon, _Session]] = []
        self._uncertain: dict[str, float] = {}
        self._uploaded: dict[tuple[str, str], str] = {}
        """(a message's key, a file's hash) -> the id of what was uploaded for it and not yet posted."""
        self._left: int | None = None

    @classmethod
    def length(cls, text: str) -> int:
        """API, posting: each address counts as 23 characters."""
        return len(URLS.sub("x" * 23, text))

    async def connect(self) -> Account:
        """The account that the token belongs to, and the scopes that the token lacks."""
        me = _object(await self._call(lambda api: api.account_verify_credentials()))
        host = URL(self._server()).host
        try:
            app = _object(await self._call(lambda api: api.app_verify_credentials()))
        except (Refused, AuthExpired):
            app = {}  # the account was just told, so the token is fine
        granted = app.get("scopes")
        missing = tuple(each for each in SCOPES if each not in granted) if isinstance(granted, list) else ()
        return Account(f"{me.get('id')}@{host}", f"@{me.get('acct')}@{host}", missing_scopes=missing)

    async def poll(self, cursor: Json) -> Page:
        """Mentions since `cursor`, and what became of the newest of those that we know: changed, or deleted.

        The cursor holds the last notification's id and the posts that are looked at again, 20 each time.
        """
        known = cursor if isinstance(cursor, dict) else {}
        asked = {"types": ["mention", "quote"], "limit": PER_POLL, "min_id": known.get("min_id")}
        found = await self._notifications(**asked)
        watched = {post[0]: post for post in known.get("watched", ())}
        changes = await self._look_again(watched)
        events = [await self._rooted(notification) for notification in found]
        for event in events:
            status = event.payload.get("status")
            if isinstance(status, dict) and isinstance(status.get("id"), str):
                acct = (status.get("account") or {}).get("acct", "")
                watched[status["id"]] = [status["id"], status.get("edited_at"), acct, event.payload.get("root")]
        return Page(
            (*events, *changes),
            {"min_id": _last(found) or known.get("min_id"), "watched": list(watched.values())[-WATCHED:]},
            more=len(found) == PER_POLL,
        )

    async def search(self, query: str, cursor: Json) -> Page:
        """Public posts under a hashtag (`#word`), else those that the server's search finds; the cursor is an id."""
        tag = query.strip().removeprefix("#")
        if query.strip().startswith("#") and tag.isalnum():
            found = _list(await self._call(lambda api: api.timeline_hashtag(tag, min_id=cursor, limit=PER_POLL)))
        else:
            # About tags only; where it is not said, Mastodon.py asks for the server's version, on trouble for ever.
            asked = {"result_type": "statuses", "min_id": cursor, "exclude_unreviewed": False}
            result = await self._call(lambda api: api.search_v2(query, **asked))
            found = _list(_object(result).get("statuses"))
        found = sorted((each for each in found if cursor is None or _order(each) > _order({"id": cursor})), key=_order)
        events = tuple(RawEvent({"type": "found", "status": each}, f"found:{each['id']}") for each in found)
        return Page(events, _last(found) or cursor, more=len(found) == PER_POLL)

    async def backfill(self, since: datetime) -> AsyncIterator[Page]:
        """Mentions since a time, the newest page first; the server keeps them."""
        before = None
        while True:
            found = await self._notifications(types=["mention", "quote"], limit=PER_POLL, max_id=before)
            wanted = [each for each in found if str(each.get("created_at")) >= since.astimezone(UTC).isoformat()]
            if wanted:
                yield Page(tuple([await self._rooted(each) for each in wanted]))
            if len(wanted) < PER_POLL:
                return
            before = found[0]["id"]

    def read(self, raw: RawEvent) -> list[InboundMessage]:
        """A mention, a reply, a private mention, a post that was found; a change of one of these."""
        return read_event(raw, self._number())

    async def reply(self, message: OutboundMessage) -> Sent:
        """Answer under a post, as public as that is, naming its author."""
        answered = message.reply_to or _root(message.thread_key)
        status = _object(await self._call(lambda api: api.status(answered)))
        return await self._post(message, answered, str(status.get("visibility") or "unlisted"))

    async def direct_message(self, message: OutboundMessage) -> Sent:
        """A private mention in the thread; where its first post was deleted, one that begins a new thread."""
        try:
            return await self._post(message, _root(message.thread_key), "direct")
        except _Gone:
            return await self._post(message, None, "direct")

    async def private_reply(self, message: OutboundMessage) -> Sent:
        """A private mention under the post that is answered."""
        return await self._post(message, message.reply_to, "direct")

    async def post(self, external_id: str) -> Post:
        """The first post of a thread."""
        return read_post(_object(await self._call(lambda api: api.status(external_id))), self._number())

    async def like(self, external_id: str) -> None:
        """Favourite a post."""
        await self._call(lambda api: api.status_favourite(external_id))

    async def unlike(self, external_id: str) -> None:
        """Take a favourite back."""
        await self._call(lambda api: api.status_unfavourite(external_id))

    async def boost(self, external_id: str) -> None:
        """Boost a public post."""
        await self._call(lambda api: api.status_reblog(external_id))

    async def unboost(self, external_id: str) -> None:
        """Take a boost back."""
        await self._call(lambda api: api.status_unreblog(external_id))

    async def delete(self, external_id: str) -> None:
        """Delete a post of ours, everywhere where servers obey."""
        await self._call(lambda api: api.status_delete(external_id))

    async def fetch(self, attachment: Attachment) -> bytes:
        """The bytes of a picture or recording of up to 40 MB, from wherever the server keeps its files."""
        host = URL(self._server()).host or ""
        answer = await download(attachment.external_id, trusted=(host,), most=FILE_BYTES, seconds=60)
        if answer.status >= 500 or answer.status == 429:
            wait = retry_after(answer.headers.get("retry-after", ""))
            raise TryLater(f"The file's server answered {answer.status}.", wait)
        if answer.status != 200:
            raise Refused(f"The file's server answered {answer.status}.")
        return answer.body

    async def close(self) -> None:
        """Close the connections; the next call would open them again."""
        idle, self._idle = self._idle, []
        for _, session in idle:
            session.close()

    async def _post(self, message: OutboundMessage, answered: str | None, visibility: str) -> Sent:
        """One post. The key makes a second attempt harmless while the server remembers it; later nobody knows."""
        first = self._uncertain.get(message.key)
        if first is not None and time.monotonic() - first > KEY_SECONDS:
            raise MaybeSent("Mastodon did not say whether it took the message, and has forgotten its key by now.")
        mention = f"@{message.recipient}"
        is_named = mention.casefold() in message.text.casefold().split()
        text = message.text if is_named else f"{mention} {message.text}".rstrip()
        files = [await self._upload(message.key, file) for file in message.attachments]
        try:
            made = await self._call(
                lambda api: api.status_post(
                    text,
                    in_reply_to_id=answered,
                    visibility=visibility,
                    idempotency_key=message.key,
                    media_ids=files or None,
                )
            )
        except _Unsure as error:
            self._uncertain.setdefault(message.key, time.monotonic())
            raise TryLater(error.reason, error.retry_after) from error
        status = _object(made)
        self._uncertain.pop(message.key, None)
        for file in message.attachments:
            self._uploaded.pop((message.key, file.sha256), None)
        number = status.get("id")
        return Sent(str(number) if number else None, _time(status.get("created_at")))

    def _number(self) -> str:
        """Our account's id on its server."""
        return str(self.config.settings.get("account_id", "")).partition("@")[0]

    async def _upload(self, key: str, file: File) -> str:
        """The id of a file that the server has and is ready with; one that no post takes up is forgotten there. Raises
        TryLater while the server works on it; the next attempt goes on with the same id."""
        known = self._uploaded.get((key, file.sha256))
        if known is None:
            content, name = await file.read(), file.name or "file"
            made = _object(await self._call(lambda api: api.media_post(content, file.content_type, file_name=name)))
            known = self._uploaded[key, file.sha256] = str(made.get("id") or "")
        else:
            number = known
            made = _object(await self._call(lambda api: api.media(number)))
        if made.get("url") is None:
            raise TryLater("Mastodon is still preparing the file.")
        return known

    async def _notifications(self, **asked: Any) -> list[dict[str, Json]]:
        """A page of notifications, oldest first."""
        given = {name: value for name, value in asked.items() if value is not None}
        return sorted(_list(await self._call(lambda api: api.notifications(**given))), key=_order)

    async def _rooted(self, notification: dict[str, Json]) -> RawEvent:
        """The notification with the first post of its thread, which Mastodon does not tell in it."""
        status, above = notification.get("status"), None
        root = status.get("id") if isinstance(status, dict) else None
        if isinstance(status, dict) and status.get("in_reply_to_id"):
            try:
                context = _object(await self._call(lambda api: api.status_context(status["id"])))
            except Refused:
                context = {}  # deleted meanwhile
            ancestors = _list(context.get("ancestors"))
            above = ancestors[0] if ancestors else None
            root = above["id"] if above else status["in_reply_to_id"]
        return RawEvent({**notification, "root": root, "above": above}, external_id=str(notification["id"]))

    async def _look_again(self, watched: dict[str, list[Json]]) -> list[RawEvent]:
        """Edits and deletions among the next 20 posts of `watched`, which is turned and kept up to date.

        Mastodon tells of an edit of a mention, and of a deletion, only on its streams.
        """
        if not watched or (self._left is not None and self._left < KEPT_BACK):
            return []
        turn = list(watched)[:PER_POLL]
        for number in turn:
            watched[number] = watched.pop(number)
        try:
            found = {each["id"]: each for each in _list(await self._call(lambda api: api.statuses(turn)))}
        except Refused:
            return []  # a server before 4.3
        events = []
        for number in turn:
            _, edited_at, acct, root = watched[number]
            status = found.get(number)
            if status is None and await self._is_gone(number):
                del watched[number]
                gone = {"type": "deleted", "id": number, "acct": acct, "root": root}
                at = datetime.now(UTC).isoformat()
                events.append(RawEvent({**gone, "at": at}, external_id=f"deleted:{number}"))
            elif status is not None and status.get("edited_at") != edited_at:
                watched[number][1] = status.get("edited_at")
                edited = {"type": "edited", "status": status, "root": root}
                events.append(RawEvent(edited, external_id=f"edited:{number}:{status.get('edited_at')}"))
        return events

    async def _is_gone(self, number: str) -> bool:
        try:
            await self._call(lambda api: api.status(number))
        except _Gone:
            return True
        return False

    async def _call(self, use: Callable[[Mastodon], object]) -> Json:
        """What the server answered to one call, as it came."""
        return await asyncio.to_thread(self._call_now, use)

    def _call_now(self, use: Callable[[Mastodon], object]) -> Json:
        try:
            api, session = self._idle.pop()
        except IndexError:
            api, session = self._client()
        session.last = None
        try:
            use(api)
        except MastodonError as error:
            raise _translate(error, session.last) from error
        except (TypeError, ValueError, AttributeError, KeyError):
            # One odd value that Mastodon.py cannot make an object of must not lose the whole page.
            if session.last is None or not session.last.ok:
                raise
        finally:
            if session.last is not None:
                left = session.last.headers.get("X-RateLimit-Remaining", "")
                self._left = int(left) if left.isascii() and left.isdigit() else None
            self._idle.append((api, session))
        answer = parse(session.last.content) if session.last is not None else None
        if not isinstance(answer, dict | list):
            raise _Unsure("Mastodon did not answer as it should.")
        return answer

    def _client(self) -> tuple[Mastodon, _Session]:
        token = self.config.credentials.get("token", "").strip()
        if not token:
            raise AuthExpired("The access token is missing.")
        session = _Session()
        api = Mastodon(
            access_token=token,
            api_base_url=self._server(),
            request_timeout=self._seconds(),
            ratelimit_method="throw",
            version_check_mode="none",
            user_agent="SocialCRM",
            session=session,
        )
        return api, session

    def _server(self) -> str:
        server = self.config.api_url or str(self.config.settings.get("server") or "").strip()
        try:
            url = URL(server if "://" in server else f"https://{server}")
            is_http = url.scheme in ("http", "https") and bool(url.host)
        except ValueError:
            is_http = False
        if not is_http:
            raise Refused("The server's address must look like https://mastodon.social.")
        return str(url.origin())

    def _seconds(self) -> float:
        try:
            return float(self.config.settings.get("request_timeout", 30))
        except (TypeError, ValueError):
            raise Refused("The setting request_timeout is not a number of seconds.") from None


class _Gone(Refused):
    """404."""


class _Unsure(TryLater):
    """Nobody knows whether it was done; a second attempt with the same key is harmless."""


def _translate(error: MastodonError, response: requests.Response | None) -> ConnectorError:
    headers = response.headers if response is not None else {}
    wait = _reset(headers.get("X-RateLimit-Reset", "")) or retry_after(headers.get("Retry-After", ""))
    # Mastodon.py: (what happened, status, reason, the server's words)
    said = error.args[3] if isinstance(error, MastodonAPIError) and len(error.args) > 3 else None
    words = f"Mastodon answered: {' '.join(str(said or type(error).__name__).split())[:300]}"
    status = response.status_code if response is not None else 0
    match error:
        case MastodonRatelimitError():
            return TryLater("Mastodon asks us to wait: too many requests.", wait)
        case MastodonUnauthorizedError():
            return AuthExpired(f"Mastodon does not accept the access token. {words}")
        case MastodonNotFoundError():
            return _Gone(words)
        case MastodonServerError():
            return _Unsure(f"Mastodon has trouble ({status}).", retry_after(headers.get("Retry-After", "")))
        case MastodonNetworkError():
            below = error.__context__
            if isinstance(below, requests.exceptions.InvalidURL | requests.exceptions.InvalidHeader):
                return Refused("The server's address or the access token cannot be sent.")
            return _Unsure(f"Mastodon cannot be reached: {cause(error)}.")
        case MastodonAPIError() if 200 <= status < 300 or status == 408:
            return _Unsure("Mastodon did not answer as it should.")
    return Refused(words)


def _reset(header: str) -> float | None:
    """API, rate limits: the time at which the next window begins; some other servers say it in unix seconds."""
    is_unix = header.isascii() and header.isdigit() and len(header) <= 11
    until = datetime.fromtimestamp(int(header), UTC) if is_unix else _time(header)
    return max(0.0, (until - datetime.now(UTC)).total_seconds()) if until else None


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _root(thread_key: str) -> str:
    return thread_key.partition(":")[0]


def _order(each: dict[str, Json]) -> tuple[int, str]:
    """API, ids: "cast from an integer but not guaranteed to be a number"; longer is later."""
    return len(each["id"]), each["id"]


def _last(found: list[dict[str, Json]]) -> str | None:
    number = max(found, key=_order)["id"] if found else None
    return number if isinstance(number, str) else None


def _list(answer: Json) -> list[dict[str, Json]]:
    """The things with an id in a list."""
    known = answer if isinstance(answer, list) else []
    return [each for each in known if isinstance(each, dict) and isinstance(each.get("id"), str)]


def _object(answer: Json) -> dict[str, Json]:
    return answer if isinstance(answer, dict) else {}
