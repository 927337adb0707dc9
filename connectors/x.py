"""X (Twitter): mentions and replies, direct messages, recent search; polled, through tweepy.

Written after https://docs.x.com/x-api (API v2). Calls are signed with four pasted keys (OAuth 1.0a), or carry the token
of a sign-in (OAuth 2.0), which is renewed before it ends.
"""

import time
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar

from yarl import URL

from connectors import x_sign_in, x_usage
from connectors.base import (
    Account,
    Attachment,
    Change,
    ChannelConfig,
    Choice,
    Connector,
    Field,
    InboundMessage,
    Json,
    Limits,
    MaybeSent,
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
from connectors.download import download
from connectors.payload import understand
from connectors.x_calls import Calls
from connectors.x_length import length
from connectors.x_posts import (
    ASKED,
    ASKED_MESSAGES,
    MessageEvent,
    PostEvent,
    attachment_of,
    author_of,
    events_of,
    first_of,
    included,
    listed,
    next_state,
    read_message,
    read_post,
    whole,
)

SITE = "https://x.com"
POST_LENGTH = 280
FILE_BYTES = 20_000_000
SOURCES = ("mentions", "messages")


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
        self._calls = Calls(config)
        self._quiet_until = dict.fromkeys(SOURCES, 0.0)

    @property
    def quota(self) -> Quota | None:
        """The window of reading calls that is nearest to its end, as X said with its answers."""
        return max(self._calls.windows, key=lambda each: each.used / each.limit, default=None)

    @classmethod
    def asked(cls, kept: Collection[str]) -> tuple[Field, ...]:
        """The app's, where the account was signed in; else the four keys."""
        return x_sign_in.SIGN_IN.fields if "refresh_token" in kept else cls.fields

    async def connect(self) -> Account:
        """Who the keys or the sign-in belong to."""
        found = await self._calls.ask(self._calls.client.get_me(user_auth=True))
        user = first_of(found)
        missing = x_sign_in.missing(self.config, self._calls.credentials) if self._calls.is_signed_in else ()
        cap = await x_usage.month(self.config, self._calls.credentials, datetime.now(UTC))
        return Account(str(user.get("id")), f"@{user.get('username')}", missing_scopes=missing, cap=cap)

    async def revoke(self) -> None:
        """Give the token of a sign-in back, so that nobody can use it; pasted keys are the app's, and stay."""
        if not self._calls.is_signed_in:
            raise Refused("These keys are the app's own: they end in X's developer portal.")
        await x_sign_in.revoke(self.config, self._calls.credentials)

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
        found = await self._calls.ask(
            self._calls.client.search_recent_tweets(
                query, since_id=state.get("since"), next_token=state.get("token"), user_auth=True, **ASKED
            )
        )
        state = next_state(state, found, is_first=False)
        return Page(tuple(events_of(found)), cursor=state, more=bool(state["token"]))

    def read(self, raw: RawEvent) -> list[InboundMessage]:
        """A post that mentions or answers us, an edited one, or a direct message."""
        if isinstance(raw.payload, dict) and "message" in raw.payload:
            return [read_message(understand(MessageEvent, raw.payload), self._calls.me)]
        post = read_post(understand(PostEvent, raw.payload), self._calls.me)
        # X shows only the last version: one that was edited before we looked is new to us.
        return [post] if post.change is Change.NEW else [post, replace(post, change=Change.NEW)]

    async def reply(self, message: OutboundMessage) -> Sent:
        """Post an answer under the post that is answered."""
        if not (message.reply_to or "").isdecimal():
            raise Refused("A public answer on X needs the post that it answers.")
        if (long := length(message.text)) > POST_LENGTH:
            raise Refused(f"The text has {long} characters as X counts them; a post takes {POST_LENGTH}.")
        sending = self._calls.client.create_tweet(
            text=message.text, in_reply_to_tweet_id=message.reply_to, user_auth=True
        )
        return Sent(external_id=_id(await self._calls.ask(sending, is_sending=True), "id"))

    async def direct_message(self, message: OutboundMessage) -> Sent:
        """Send a direct message, to people who allow it."""
        sending = self._calls.client.create_direct_message(
            participant_id=message.recipient, text=message.text, user_auth=True
        )
        return Sent(external_id=f"dm:{_id(await self._calls.ask(sending, is_sending=True), 'dm_event_id')}")

    async def private_reply(self, message: OutboundMessage) -> Sent:
        """Send a direct message to who wrote the post."""
        return await self.direct_message(message)

    async def post(self, external_id: str) -> Post:
        """The post with which a conversation began; X counts it as one that was read."""
        asked = {name: value for name, value in ASKED.items() if name != "max_results"}
        found = await self._calls.ask(self._calls.client.get_tweet(_post_id(external_id), user_auth=True, **asked))
        if not first_of(found):
            raise Refused("X does not show this post: it was deleted, or its author hides it.")
        event = understand(PostEvent, {"post": first_of(found), **included(found)})
        author = author_of(event.post.author_id, event.users, event.post.author_id == self._calls.me)
        pictures = [each for media in event.media if (each := attachment_of(media, event.post.attachments.media_keys))]
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
        await self._calls.ask(self._calls.client.hide_reply(_post_id(external_id), user_auth=True))

    async def unhide(self, external_id: str) -> None:
        """Show a hidden reply again."""
        await self._calls.ask(self._calls.client.unhide_reply(_post_id(external_id), user_auth=True))

    async def like(self, external_id: str) -> None:
        """Like a post."""
        await self._calls.ask(self._calls.client.like(_post_id(external_id), user_auth=True))

    async def unlike(self, external_id: str) -> None:
        """Take a like back."""
        await self._calls.ask(self._calls.client.unlike(_post_id(external_id), user_auth=True))

    async def boost(self, external_id: str) -> None:
        """Repost a post."""
        await self._calls.ask(self._calls.client.retweet(_post_id(external_id), user_auth=True))

    async def unboost(self, external_id: str) -> None:
        """Take a repost back."""
        await self._calls.ask(self._calls.client.unretweet(_post_id(external_id), user_auth=True))

    async def delete(self, external_id: str) -> None:
        """Delete a post of ours."""
        await self._calls.ask(self._calls.client.delete_tweet(_post_id(external_id), user_auth=True))

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
        return length(text)

    async def close(self) -> None:
        """Close the connections; the next call would open them again."""
        await self._calls.close()

    async def _page(self, source: str, state: Json) -> tuple[list[RawEvent], Json]:
        """The next page of a source. Pages come newest first; `since` moves on only after the last of them, so
        that nothing is lost when X stops us in between."""
        is_first = not isinstance(state, dict)
        before: dict[str, Json] = {} if is_first else state
        if source == "mentions":
            asked = self._calls.client.get_users_mentions(
                self._calls.me,
                since_id=before.get("since"),
                pagination_token=before.get("token"),
                user_auth=True,
                **ASKED,
            )
            found = await self._calls.ask(asked)
            return events_of(found), next_state(before, found, is_first)
        asked = self._calls.client.get_direct_message_events(
            pagination_token=before.get("token"), user_auth=True, **ASKED_MESSAGES
        )
        found = await self._calls.ask(asked)
        items = listed(found, "data")
        since = whole(before.get("since"))
        fresh = [item for item in items if whole(item.get("id")) > since]
        # This endpoint knows no since_id: what is older ends the paging.
        if len(fresh) < len(items):
            found = {**found, "meta": {}}
        found = {**found, "data": fresh}
        users = listed(found.get("includes"), "users")
        events = [
            RawEvent(
                {"message": item, "users": [user for user in users if user.get("id") == item.get("sender_id")]},
                external_id=f"dm:{item.get('id')}",
            )
            for item in reversed(fresh)
        ]
        return events, next_state(before, found, is_first)


def _id(found: dict[str, Json], key: str) -> str:
    known = first_of(found).get(key)
    if not isinstance(known, str) or not known:
        raise MaybeSent("X took the text and did not number it.")
    return known


def _post_id(external_id: str) -> str:
    if not external_id.isdecimal():
        raise Refused("That can be done to posts only, not to direct messages.")
    return external_id
