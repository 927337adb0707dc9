"""X (Twitter): mentions and replies, direct messages, recent search; polled, through tweepy.

Written after https://docs.x.com/x-api (API v2). Calls are signed with four pasted keys (OAuth 1.0a), or carry the token
of a sign-in (OAuth 2.0), which is renewed before it ends.
"""

import logging
import re
import time
import unicodedata
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar

import aiohttp
from pydantic import BaseModel
from pydantic import Field as Data
from tweepy.asynchronous import AsyncClient
from tweepy.errors import HTTPException, TooManyRequests, TweepyException
from yarl import URL

from connectors import x_sign_in
from connectors.base import (
    Account,
    Attachment,
    AuthExpired,
    Author,
    Change,
    ChannelConfig,
    Choice,
    Connector,
    ConnectorError,
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
    SignIn,
    TryLater,
)
from connectors.download import download, retry_after
from connectors.payload import UtcTime, understand

logging.getLogger("tweepy").setLevel(logging.CRITICAL)  # at DEBUG it logs texts and headers with tokens

SITE = "https://x.com"
POST_LENGTH = 280
LINK_LENGTH = 23
"""Every address becomes one of t.co (https://docs.x.com/fundamentals/counting-characters)."""
FILE_BYTES = 20_000_000
NEVER = 10**11
"""Seconds since 1970 that no calendar holds."""
NO_TIME_WAIT = 900.0
"""Most of X's limits are for 15 minutes; where an answer names no time."""
KEYS = ("consumer_key", "consumer_secret", "access_token", "access_token_secret")
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
SOURCES = ("mentions", "messages")

# https://github.com/twitter/twitter-text, config v3: letters of these ranges weigh one, others and emoji two.
_LIGHT = ((0, 4351), (8192, 8205), (8208, 8223), (8242, 8247))
_PICTURE = "[\U0001f000-\U0001faff\u2600-\u27bf\u2300-\u23ff\u2b00-\u2bff]"
_ONE_PICTURE = f"{_PICTURE}\ufe0f?[\U0001f3fb-\U0001f3ff]?"
_EMOJI = re.compile(
    f"[\U0001f1e6-\U0001f1ff]{{2}}|[#*0-9]\ufe0f?\u20e3|{_ONE_PICTURE}(?:\u200d(?:{_ONE_PICTURE}|[\u2640\u2642]\ufe0f?))*"
)
_LINK = re.compile(
    r"https?://\S+|\b(?:[a-z0-9-]+\.)+(?:com|net|org|io|dz|ma|tn|fr|eu|info|app|dev|me|tv)\b(?:/\S*)?", re.I
)


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


class _PostEvent(BaseModel):
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


class _MessageEvent(BaseModel):
    message: _Message
    users: list[_User] = []


class _Session:
    """What tweepy needs of a session; asks `server` instead of X's own address where one is given."""

    def __init__(self, seconds: float, server: str | None) -> None:
        self._server = server
        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(self._note_window)
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=min(seconds / 2, 10))
        self._session = aiohttp.ClientSession(timeout=timeout, trace_configs=[trace])
        self.windows: dict[str, Quota] = {}
        """By path, what X last said of how many more calls of it are read."""

    def request(self, method: str, url: str | URL, **options: Any) -> Any:
        """A request of tweepy's, whose signature covers the address as it was."""
        if self._server:
            own = URL(self._server)
            url = URL(url).with_scheme(own.scheme).with_host(own.host or "").with_port(own.port)
        return self._session.request(method, url, allow_redirects=False, **options)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def _note_window(self, session: object, context: object, done: aiohttp.TraceRequestEndParams) -> None:
        """tweepy keeps the headers of answers to itself (https://docs.x.com/x-api/fundamentals/rate-limits)."""
        headers = done.response.headers
        limit, left, reset = (_number(headers.get(f"x-rate-limit-{part}")) for part in ("limit", "remaining", "reset"))
        if done.method == "GET" and limit and 0 < reset < NEVER:
            self.windows[done.url.path] = Quota(max(limit - left, 0), limit, datetime.fromtimestamp(reset, UTC))


class XConnector(Connector):
    """One account. What it answers in public is a reply to the post that is answered."""

    name: ClassVar[str] = "x"
    label: ClassVar[str] = "X"
    about: ClassVar[str] = "Mentions, replies and direct messages of your account on X."
    limits: ClassVar[Limits] = Limits(text_length=10_000, public_length=POST_LENGTH)
    poll_seconds: ClassVar[float] = 90.0
    """X counts every post that is read, and allows some plans ten polls in a quarter of an hour."""
    slowest_poll_seconds: ClassVar[float] = 900.0
    fields: ClassVar[tuple[Field, ...]] = (
        Field(
            "consumer_key",
            "API key",
            "In the developer portal: your app, Keys and tokens, Consumer keys."
            " The app needs the permission to read, write and send direct messages.",
            help_url="https://developer.x.com/en/portal/dashboard",
            is_secret=True,
        ),
        Field("consumer_secret", "API key secret", "Beside the API key.", is_secret=True),
        Field(
            "access_token",
            "Access token",
            "On the same page, Authentication tokens; made again after the app's permissions were changed.",
            is_secret=True,
        ),
        Field("access_token_secret", "Access token secret", "Beside the access token.", is_secret=True),
        x_sign_in.MESSAGES_FIELD,
    )
    sign_in: ClassVar[SignIn | None] = x_sign_in.SIGN_IN

    def __init__(self, config: ChannelConfig) -> None:
        super().__init__(config)
        self._credentials: Mapping[str, str] = config.credentials
        self._opened: tuple[AsyncClient, _Session] | None = None
        self._quiet_until = dict.fromkeys(SOURCES, 0.0)

    @property
    def quota(self) -> Quota | None:
        """The window of reading calls that is nearest to its end, as X said with its answers."""
        windows = self._opened[1].windows.values() if self._opened else ()
        running = [each for each in windows if each.resets_at and each.resets_at.timestamp() > time.time()]
        return max(running, key=lambda each: each.used / each.limit, default=None)

    @classmethod
    def asked(cls, kept: Collection[str]) -> tuple[Field, ...]:
        """The app's, where the account was signed in; else the four keys."""
        return x_sign_in.SIGN_IN.fields if "refresh_token" in kept else cls.fields

    async def connect(self) -> Account:
        """Who the keys or the sign-in belong to."""
        found = await self._ask(self._client.get_me(user_auth=True))
        user = _first(found)
        missing = x_sign_in.missing(self.config, self._credentials) if self._is_signed_in else ()
        return Account(str(user.get("id")), f"@{user.get('username')}", missing_scopes=missing)

    def authorize_url(self, redirect_url: str, state: str, challenge: str) -> str:
        """X's page that asks whether our app may act for the account."""
        return x_sign_in.authorize_url(self.config, redirect_url, state, challenge)

    async def exchange(self, code: str, verifier: str, redirect_url: str) -> tuple[Choice, ...]:
        """The one account that was signed in."""
        granted = await x_sign_in.exchange(self.config, code, verifier, redirect_url)
        opened = type(self)(replace(self.config, credentials={**self.config.credentials, **granted}))
        try:
            return (Choice(await opened.connect(), granted),)
        finally:
            await opened.close()

    async def poll(self, cursor: Json) -> Page:
        """One page of mentions and one of direct messages, each from where its last page ended.

        A source at its limit is left alone until the time that X named; the other goes on."""
        states: dict[str, Json] = dict(cursor) if isinstance(cursor, dict) else {}
        sources = SOURCES if self.config.settings.get("messages") != "leave" else SOURCES[:1]
        events: list[RawEvent] = []
        waits: list[TryLater] = []
        for source in sources:
            quiet = self._quiet_until[source] - time.time()
            try:
                if quiet > 0:
                    raise TryLater("X's limit is reached.", quiet)
                found, states[source] = await self._page(source, states.get(source))
                events += found
            except TryLater as error:
                self._quiet_until[source] = time.time() + (error.retry_after or 0)
                waits.append(error)
        if len(waits) == len(sources):
            raise min(waits, key=lambda error: error.retry_after or 0.0)
        more = any(isinstance(states.get(source), dict) and states[source].get("token") for source in sources)
        return Page(tuple(events), cursor=states, more=more and not waits)

    async def search(self, query: str, cursor: Json) -> Page:
        """Posts of the last seven days that match a query of X's own form."""
        state = cursor if isinstance(cursor, dict) else {}
        found = await self._ask(
            self._client.search_recent_tweets(
                query, since_id=state.get("since"), next_token=state.get("token"), user_auth=True, **ASKED
            )
        )
        state = _next_state(state, found, is_first=False)
        return Page(tuple(_posts(found)), cursor=state, more=bool(state["token"]))

    def read(self, raw: RawEvent) -> list[InboundMessage]:
        """A post that mentions or answers us, an edited one, or a direct message."""
        if isinstance(raw.payload, dict) and "message" in raw.payload:
            return [self._read_message(understand(_MessageEvent, raw.payload))]
        post = self._read_post(understand(_PostEvent, raw.payload))
        # X shows only the last version: one that was edited before we looked is new to us.
        return [post] if post.change is Change.NEW else [post, replace(post, change=Change.NEW)]

    async def reply(self, message: OutboundMessage) -> Sent:
        """Post an answer under the post that is answered."""
        if not (message.reply_to or "").isdecimal():
            raise Refused("A public answer on X needs the post that it answers.")
        if (length := self.length(message.text)) > POST_LENGTH:
            raise Refused(f"The text has {length} characters as X counts them; a post takes {POST_LENGTH}.")
        sending = self._client.create_tweet(text=message.text, in_reply_to_tweet_id=message.reply_to, user_auth=True)
        return Sent(external_id=_id(await self._ask(sending, is_sending=True), "id"))

    async def direct_message(self, message: OutboundMessage) -> Sent:
        """Send a direct message, to people who allow it."""
        sending = self._client.create_direct_message(
            participant_id=message.recipient, text=message.text, user_auth=True
        )
        return Sent(external_id=f"dm:{_id(await self._ask(sending, is_sending=True), 'dm_event_id')}")

    async def private_reply(self, message: OutboundMessage) -> Sent:
        """Send a direct message to who wrote the post."""
        return await self.direct_message(message)

    async def post(self, external_id: str) -> Post:
        """The post with which a conversation began; X counts it as one that was read."""
        asked = {name: value for name, value in ASKED.items() if name != "max_results"}
        found = await self._ask(self._client.get_tweet(_post_id(external_id), user_auth=True, **asked))
        if not _first(found):
            raise Refused("X does not show this post: it was deleted, or its author hides it.")
        event = understand(_PostEvent, {"post": _first(found), **_included(found)})
        author = _author(event.post.author_id, event.users, event.post.author_id == self._me)
        pictures = [each for media in event.media if (each := _attachment(media, event.post.attachments.media_keys))]
        return Post(
            external_id=external_id,
            text=event.post.note_tweet.text or event.post.text,
            url=f"{SITE}/{author.handle or 'i/web'}/status/{external_id}",
            author=author.name or author.handle,
            is_self=author.is_self,
            picture=next((each for each in pictures if each.kind == "image"), None),
            sent_at=event.post.created_at,
        )

    async def hide(self, external_id: str) -> None:
        """Hide a reply in a conversation that we began."""
        await self._ask(self._client.hide_reply(_post_id(external_id), user_auth=True))

    async def unhide(self, external_id: str) -> None:
        """Show a hidden reply again."""
        await self._ask(self._client.unhide_reply(_post_id(external_id), user_auth=True))

    async def like(self, external_id: str) -> None:
        """Like a post."""
        await self._ask(self._client.like(_post_id(external_id), user_auth=True))

    async def unlike(self, external_id: str) -> None:
        """Take a like back."""
        await self._ask(self._client.unlike(_post_id(external_id), user_auth=True))

    async def boost(self, external_id: str) -> None:
        """Repost a post."""
        await self._ask(self._client.retweet(_post_id(external_id), user_auth=True))

    async def unboost(self, external_id: str) -> None:
        """Take a repost back."""
        await self._ask(self._client.unretweet(_post_id(external_id), user_auth=True))

    async def delete(self, external_id: str) -> None:
        """Delete a post of ours."""
        await self._ask(self._client.delete_tweet(_post_id(external_id), user_auth=True))

    async def fetch(self, attachment: Attachment) -> bytes:
        """The bytes of a picture or video of a post."""
        host = URL(attachment.external_id).host or ""
        if not host.endswith(".twimg.com"):
            raise Refused("Only files that lie with X are fetched.")
        found = await download(attachment.external_id, most=FILE_BYTES)
        if found.status != 200:
            raise Refused(f"X no longer gives this file (it answered {found.status}).")
        return found.body

    @classmethod
    def length(cls, text: str) -> int:
        """As X counts: most Latin, Arabic and Cyrillic letters one, others and each emoji two, each address 23."""
        text = unicodedata.normalize("NFC", text)
        text, links = _LINK.subn("", text)
        text, emoji = _EMOJI.subn("", text)
        return links * LINK_LENGTH + emoji * 2 + sum(1 if _is_light(ord(sign)) else 2 for sign in text)

    async def close(self) -> None:
        """Close the connections; the next call would open them again."""
        opened, self._opened = self._opened, None
        if opened:
            await opened[1].close()

    async def _page(self, source: str, state: Json) -> tuple[list[RawEvent], Json]:
        """The next page of a source. Pages come newest first; `since` moves on only after the last of them, so
        that nothing is lost when X stops us in between."""
        is_first = not isinstance(state, dict)
        before: dict[str, Json] = {} if is_first else state
        if source == "mentions":
            asked = self._client.get_users_mentions(
                self._me, since_id=before.get("since"), pagination_token=before.get("token"), user_auth=True, **ASKED
            )
            found = await self._ask(asked)
            return _posts(found), _next_state(before, found, is_first)
        asked = self._client.get_direct_message_events(
            pagination_token=before.get("token"), user_auth=True, **ASKED_MESSAGES
        )
        found = await self._ask(asked)
        items = _list(found, "data")
        since = _number(before.get("since"))
        fresh = [item for item in items if _number(item.get("id")) > since]
        # This endpoint knows no since_id: what is older ends the paging.
        if len(fresh) < len(items):
            found = {**found, "meta": {}}
        found = {**found, "data": fresh}
        users = _list(found.get("includes"), "users")
        events = [
            RawEvent(
                {"message": item, "users": [user for user in users if user.get("id") == item.get("sender_id")]},
                external_id=f"dm:{item.get('id')}",
            )
            for item in reversed(fresh)
        ]
        return events, _next_state(before, found, is_first)

    def _read_post(self, event: _PostEvent) -> InboundMessage:
        post = event.post
        kinds = {reference.type: reference.id for reference in post.referenced_tweets}
        if "retweeted" in kinds:
            raise Ignored("A repost without words of its own.")
        is_self = post.author_id == self._me
        other = post.in_reply_to_user_id if is_self else post.author_id
        first = post.edit_history_tweet_ids[0] if post.edit_history_tweet_ids else post.id
        is_answer = bool(self._me) and post.in_reply_to_user_id == self._me
        attachments = tuple(
            attachment for media in event.media if (attachment := _attachment(media, post.attachments.media_keys))
        )
        text = post.note_tweet.text or post.text
        if not text and not attachments:
            raise Ignored("A post without text.")
        return InboundMessage(
            external_id=first,
            thread_key=f"{post.conversation_id or first}:{other or post.author_id}",
            author=_author(post.author_id, event.users, is_self),
            sent_at=post.created_at,
            text=text,
            kind=MessageKind.COMMENT if is_answer else MessageKind.MENTION,
            reply_to=kinds.get("replied_to"),
            attachments=attachments,
            change=Change.NEW if first == post.id else Change.EDIT,
            post=Post(post.conversation_id) if post.conversation_id not in ("", first, post.id) else None,
        )

    def _read_message(self, event: _MessageEvent) -> InboundMessage:
        message = event.message
        if message.event_type != "MessageCreate":
            raise Ignored("Somebody joined or left a conversation.")
        people = message.dm_conversation_id.split("-")
        if len(people) != 2:
            raise Ignored("A message in a group; only conversations with one person are read.")
        if not message.text:
            raise Ignored("A direct message without text.")
        is_self = message.sender_id == self._me
        other = next((person for person in people if person != self._me), message.sender_id)
        return InboundMessage(
            external_id=f"dm:{message.id}",
            thread_key=f"dm:{other}",
            author=_author(message.sender_id, event.users, is_self),
            sent_at=message.created_at,
            text=message.text,
        )

    async def _ask(self, asked: Coroutine[Any, Any, Any], *, is_sending: bool = False) -> dict[str, Json]:
        """What X answers with a token that lasts, or the error that it means."""
        try:
            await self._renew()
        except BaseException:
            asked.close()
            raise
        try:
            return await self._answer(asked, is_sending=is_sending)
        except AuthExpired as error:
            await self._take_newer(error)
            raise TryLater("The sign-in on X was renewed just now.", 1.0) from error

    async def _renew(self) -> None:
        """Renew the token of a sign-in before it ends; while X cannot be asked, go on with what is left of it."""
        keeper, left = self.config.keeper, x_sign_in.seconds_left(self._credentials)
        if not self._is_signed_in or keeper is None or left > x_sign_in.EARLY:
            return
        try:
            self._use(await keeper.renewed(self._credentials, partial(x_sign_in.renew, self.config)))
        except TryLater:
            if left <= 0:
                raise

    async def _take_newer(self, error: AuthExpired) -> None:
        """Use what another process renewed, since X took our token no more; raises `error` where nobody has."""

        async def refuse(spent: Mapping[str, str]) -> Mapping[str, str]:
            raise error

        if not self._is_signed_in or self.config.keeper is None:
            raise error
        self._use(await self.config.keeper.renewed(self._credentials, refuse))

    def _use(self, credentials: Mapping[str, str]) -> None:
        self._credentials = credentials
        self._client.bearer_token = credentials.get("access_token", "")

    async def _answer(self, asked: Coroutine[Any, Any, Any], *, is_sending: bool) -> dict[str, Json]:
        try:
            found = await asked
        except HTTPException as error:
            raise await _translated(error, is_sending) from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise TryLater(f"X cannot be reached: {type(error).__name__}.") from error
        except aiohttp.ContentTypeError as error:
            wait = retry_after(error.headers.get("Retry-After", "") if error.headers else "") or NO_TIME_WAIT
            raise _meant(error.status, f"X answered {error.status} in an unknown form.", is_sending, wait) from error
        except (aiohttp.ClientError, TimeoutError, TweepyException, ValueError) as error:
            words = f"X did not answer as it should: {type(error).__name__}."
            raise MaybeSent(words) if is_sending else TryLater(words) from error
        if not isinstance(found, dict):
            raise MaybeSent("X answered in an unknown form.") if is_sending else TryLater("X answered nothing.")
        return found

    @property
    def _is_signed_in(self) -> bool:
        return x_sign_in.is_signed_in(self._credentials)

    @property
    def _me(self) -> str:
        """Our number: kept since the account was connected, and what every access token of OAuth 1.0a begins with."""
        if self._is_signed_in:
            return str(self.config.settings.get("account_id") or "")
        return self.config.credentials.get("access_token", "").partition("-")[0].strip()

    @property
    def _client(self) -> AsyncClient:
        if self._opened is None:
            client = self._new_client()
            try:
                seconds = float(self.config.settings.get("request_timeout", 30))
            except (TypeError, ValueError):
                raise Refused("The setting request_timeout is not a number of seconds.") from None
            client.session = session = _Session(seconds, self.config.api_url)
            self._opened = client, session
        return self._opened[0]

    def _new_client(self) -> AsyncClient:
        if self._is_signed_in:
            return x_sign_in.SignedInClient(self._me, self._credentials.get("access_token", ""))
        keys = {key: self._credentials.get(key, "").strip() for key in KEYS}
        if not all(keys.values()):
            raise AuthExpired("One of the four keys of X is missing.")
        return AsyncClient(**keys, return_type=dict, wait_on_rate_limit=False)


async def _translated(error: HTTPException, is_sending: bool) -> ConnectorError:
    response = error.response
    try:
        body = await response.json(content_type=None)
    except (ValueError, aiohttp.ClientError):
        body = {}
    body = body if isinstance(body, dict) else {}
    errors = body.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    words = first.get("message") or first.get("detail") or body.get("detail") or body.get("title") or response.reason
    wait = None
    if isinstance(error, TooManyRequests):
        reset = response.headers.get("x-rate-limit-reset", "")
        wait = max(0.0, int(reset) - time.time()) if reset.isascii() and reset.isdigit() else NO_TIME_WAIT
    return _meant(response.status, f"X: {' '.join(str(words).split())[:300]}", is_sending, wait)


def _meant(status: int, words: str, is_sending: bool, wait: float | None) -> ConnectorError:
    if status == 401:
        return AuthExpired(words)
    if status == 429:
        return TryLater(words, wait)
    if status < 500 and status >= 300:
        return Refused(words)
    return MaybeSent(words) if is_sending else TryLater(words)


def _posts(found: dict[str, Json]) -> list[RawEvent]:
    """The posts of a page, oldest first, each with its own author and media."""
    users, media = _list(found.get("includes"), "users"), _list(found.get("includes"), "media")
    events = []
    for item in reversed(_list(found, "data")):
        held = item.get("attachments")
        keys = held.get("media_keys") if isinstance(held, dict) else None
        payload = {
            "post": item,
            "users": [user for user in users if user.get("id") == item.get("author_id")],
            "media": [each for each in media if isinstance(keys, list) and each.get("media_key") in keys],
        }
        events.append(RawEvent(payload, external_id=str(item.get("id"))))
    return events


def _included(found: dict[str, Json]) -> dict[str, Json]:
    includes = found.get("includes")
    return {"users": list(_list(includes, "users")), "media": list(_list(includes, "media"))}


def _next_state(before: dict[str, Json], found: dict[str, Json], is_first: bool) -> dict[str, Json]:
    """Where to go on: `token` while pages are left, else `since` as the newest number that was seen. At first one
    page is enough: what is older was before we were connected."""
    meta = found.get("meta")
    token = meta.get("next_token") if isinstance(meta, dict) and not is_first else None
    seen = [_number(item.get("id")) for item in _list(found, "data")]
    newest = max([*seen, _number(before.get("newest")), _number(before.get("since"))])
    known = str(newest) if newest else None
    return {"since": before.get("since") if token else known, "token": token, "newest": known}


def _list(holder: Json, key: str) -> Sequence[dict[str, Json]]:
    found = holder.get(key) if isinstance(holder, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _first(found: dict[str, Json]) -> dict[str, Json]:
    data = found.get("data")
    return data if isinstance(data, dict) else {}


def _id(found: dict[str, Json], key: str) -> str:
    known = _first(found).get(key)
    if not isinstance(known, str) or not known:
        raise MaybeSent("X took the text and did not number it.")
    return known


def _number(value: Json) -> int:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 25 else 0


def _post_id(external_id: str) -> str:
    if not external_id.isdecimal():
        raise Refused("That can be done to posts only, not to direct messages.")
    return external_id


def _author(number: str, users: list[_User], is_self: bool) -> Author:
    user = next((user for user in users if user.id == number), _User(id=number))
    return Author(number, user.name, user.username, is_self=is_self)


def _attachment(media: _Media, keys: list[str]) -> Attachment | None:
    if media.media_key not in keys:
        return None
    if media.type == "photo" and media.url:
        return Attachment("image", media.url)
    films = [each for each in media.variants if each.get("content_type") == "video/mp4" and _text(each.get("url"))]
    best = max(films, key=lambda each: each["bit_rate"] if isinstance(each.get("bit_rate"), int) else 0, default=None)
    return Attachment("video", _text(best["url"]), content_type="video/mp4") if best else None


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _is_light(code: int) -> bool:
    return any(start <= code <= end for start, end in _LIGHT)
