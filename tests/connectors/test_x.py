"""X: the contract, and its documented answers given by a fake that speaks HTTP, so that tweepy itself runs."""

import json
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
from aiohttp import web

from connectors.base import (
    Attachment,
    AuthExpired,
    Change,
    ChannelConfig,
    Connector,
    ConnectorError,
    Ignored,
    InboundMessage,
    MaybeSent,
    MessageKind,
    OutboundMessage,
    RawEvent,
    Refused,
    TryLater,
)
from connectors.x import XConnector
from tests.connectors.polling import PollContract
from tests.connectors.sending import Failure, PlatformContract
from tests.servers.platform import LOST, Answer, Call, Platform, platform

RECORDINGS = Path(__file__).parent / "recordings" / "x"
US = "2244994945"
KEYS = {
    "consumer_key": "consumer-key-of-tests",
    "consumer_secret": "consumer-secret-of-tests",
    "access_token": f"{US}-access-token-of-tests",
    "access_token_secret": "access-secret-of-tests",
}


def recorded(name: str) -> Any:
    """An answer after X's documentation."""
    return json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))


def opened(url: str | None = None, **settings: Any) -> XConnector:
    return XConnector(ChannelConfig(settings, KEYS, url))


def problem(status: int, title: str, detail: str, **headers: str) -> Answer:
    """X's errors (RFC 7807)."""
    return Answer(status, {"title": title, "detail": detail, "type": "about:blank", "status": status}, headers)


async def polled(answer: Any, cursor: Any = None, **settings: Any) -> Any:
    """A page of mentions, as the fake gave it."""
    async with platform(Answer(200, answer)) as here:
        connector = opened(here.url, messages="leave", **settings)
        page = await connector.poll(cursor)
        await connector.close()
    return page, here.calls


class TestX(PlatformContract, PollContract):
    """What every connector must do."""

    connector: ClassVar[type[Connector]] = XConnector
    when_the_answer_is_lost: ClassVar[type[ConnectorError]] = MaybeSent
    failures: ClassVar[tuple[Failure, ...]] = (
        Failure(problem(401, "Unauthorized", "Unauthorized"), AuthExpired, says="Unauthorized"),
        Failure(problem(403, "Forbidden", "You cannot send messages to this user."), Refused, says="You cannot send"),
        Failure(Answer(400, recorded("error_invalid")), Refused, says="is not valid"),
        Failure(problem(404, "Not Found Error", "Could not find user"), Refused, says="Could not find user"),
        Failure(
            problem(429, "Too Many Requests", "Too Many Requests", **{"x-rate-limit-reset": "1772366400"}),
            TryLater,
            retry_after=0.0,
        ),
        Failure(problem(429, "Too Many Requests", "Too Many Requests"), TryLater, retry_after=900.0),
        Failure(problem(503, "Service Unavailable", "Service Unavailable"), MaybeSent),
        Failure(Answer(502, b"<html>bad gateway</html>", {"Content-Type": "text/html"}), MaybeSent),
        Failure(Answer(403, b"<html>no</html>", {"Content-Type": "text/html"}), Refused),
        Failure(Answer(201, b"not JSON", {"Content-Type": "application/json"}), MaybeSent),
        Failure(Answer(201, {"data": {}}), MaybeSent),
    )

    def config(self) -> ChannelConfig:
        return ChannelConfig({}, KEYS)

    start: ClassVar[Any] = {name: {"since": "100", "token": None, "newest": "100"} for name in ("mentions", "messages")}

    def news(self) -> web.Application:
        """Pages of two, the newest first; mentions since a number, direct messages without any end but their own."""
        post, message = recorded("mentions_more")["data"][0], recorded("dm_events")["data"][0]

        def answer(call: Call) -> Answer:
            is_post = call.path.endswith("/mentions")
            item = (
                {key: value for key, value in post.items() if key != "edit_history_tweet_ids"} if is_post else message
            )
            since = int(call.fields.get("since_id", 90 if not is_post else 0))
            numbers = [number for number in range(105, 95, -1) if number > since]
            at = int(call.fields.get("pagination_token", "0"))
            meta = {"next_token": str(at + 2)} if at + 2 < len(numbers) else {}
            return Answer(200, {"data": [{**item, "id": str(n)} for n in numbers[at : at + 2]], "meta": meta})

        return Platform(answer).app()

    def samples(self) -> list[RawEvent]:
        posts, users = recorded("mentions"), recorded("mentions")["includes"]["users"]
        media = posts["includes"]["media"]
        events = [RawEvent({"post": item, "users": users, "media": media}) for item in posts["data"]]
        direct = recorded("dm_events")
        return events + [RawEvent({"message": i, "users": direct["includes"]["users"]}) for i in direct["data"]]

    def outbound(self, text: str = "Bonjour") -> OutboundMessage:
        return OutboundMessage("key-1", "dm:42", "42", text)

    def accepted(self) -> Answer:
        return Answer(201, recorded("dm_sent"))

    def text_of(self, call: Call) -> str:
        assert call.path == "/2/dm_conversations/with/42/messages"
        return str(call.json["text"])


class TestReading:
    """X's documented payloads, in our words."""

    async def messages(self) -> dict[str, InboundMessage]:
        page, _ = await polled(recorded("mentions"))
        return {raw.payload["post"]["id"]: opened().read(raw)[0] for raw in page.events}

    async def test_a_mention_is_read_whole_with_its_picture(self) -> None:
        message = (await self.messages())["1301573587187331074"]
        assert message.text == "@wasla la fibre est coupée depuis hier https://t.co/abc"
        assert message.kind is MessageKind.MENTION
        assert message.thread_key == "1301573587187331074:1234567890"
        assert (message.author.name, message.author.handle) == ("Nadia B", "nadia_b")
        assert message.attachments == (Attachment("image", "https://pbs.twimg.com/media/EhA.jpg"),)
        assert message.sent_at.isoformat() == "2026-03-01T12:00:00+00:00"

    async def test_an_answer_to_us_is_a_comment_in_the_same_thread(self) -> None:
        message = (await self.messages())["1301573587187331080"]
        assert message.kind is MessageKind.COMMENT
        assert message.thread_key == "1301573587187331074:1234567890"
        assert message.reply_to == "1301573587187331077"
        assert message.text.endswith("toujours rien, quatre cents signes plus loin"), "the long text, not its beginning"

    async def test_an_edited_post_changes_the_first_one(self) -> None:
        message = (await self.messages())["1301573587187331090"]
        assert (message.change, message.external_id) == (Change.EDIT, "1301573587187331081")

    def test_our_own_post_is_known_as_ours(self) -> None:
        post = {**recorded("mentions")["data"][-1], "author_id": US, "in_reply_to_user_id": "1234567890"}
        [message] = opened().read(RawEvent({"post": post}))
        assert message.author.is_self
        assert message.thread_key == "1301573587187331074:1234567890", "the thread of whom we answered"

    def test_reposts_groups_and_comings_and_goings_are_ignored(self) -> None:
        repost = {**recorded("mentions")["data"][-1], "referenced_tweets": [{"type": "retweeted", "id": "1"}]}
        group = {**recorded("dm_events")["data"][0], "dm_conversation_id": "1578398451921985538"}
        joined = {**recorded("dm_events")["data"][0], "event_type": "ParticipantsJoin"}
        for payload in ({"post": repost}, {"message": group}, {"message": joined}):
            with pytest.raises(Ignored):
                opened().read(RawEvent(payload))

    def test_direct_messages_of_both_sides_are_one_thread(self) -> None:
        theirs, ours = (
            opened().read(RawEvent({"message": item, "users": []}))[0] for item in recorded("dm_events")["data"]
        )
        assert theirs.thread_key == ours.thread_key == "dm:9876543210"
        assert (theirs.author.is_self, ours.author.is_self) == (False, True)


class TestPolling:
    """What is asked, and where it goes on."""

    async def test_the_first_page_is_enough_and_the_next_poll_begins_after_it(self) -> None:
        page, [call] = await polled(recorded("mentions"))
        assert call.path == f"/2/users/{US}/mentions"
        assert "since_id" not in call.fields
        assert call.headers["authorization"].startswith("OAuth ")
        assert [event.external_id for event in page.events] == sorted(e.external_id for e in page.events)
        assert not page.more
        _, [again] = await polled({"meta": {"result_count": 0}}, page.cursor)
        assert again.fields["since_id"] == "1301573587187331090"

    async def test_pages_are_followed_and_the_mark_moves_only_after_the_last(self) -> None:
        start = {"mentions": {"since": "100", "token": None, "newest": "100"}}
        page, _ = await polled(recorded("mentions_more"), start)
        assert page.more
        last, [call] = await polled({"data": [], "meta": {"result_count": 0}}, page.cursor)
        assert (call.fields["since_id"], call.fields["pagination_token"]) == ("100", "7140dibdnow9c7btw")
        assert last.cursor["mentions"] == {
            "since": "1301573587187331099",
            "token": None,
            "newest": "1301573587187331099",
        }

    async def test_a_limit_in_the_middle_of_paging_loses_nothing(self) -> None:
        reset = str(int(time.time()) + 600)
        state = {"mentions": {"since": "100", "token": "t", "newest": "200"}}
        async with platform(problem(429, "Too Many Requests", "wait", **{"x-rate-limit-reset": reset})) as here:
            connector = opened(here.url, messages="leave")
            for _ in range(2):
                with pytest.raises(TryLater) as raised:
                    await connector.poll(state)
                assert 590 < (raised.value.retry_after or 0) <= 600
            await connector.close()
        assert len(here.calls) == 1, "not asked again before the time that X named"

    async def test_a_limit_of_direct_messages_does_not_hold_up_mentions(self) -> None:
        async with platform(Answer(200, recorded("mentions"))) as here:
            here.answers["dm_events"] = problem(429, "Too Many Requests", "wait")
            connector = opened(here.url)
            page = await connector.poll(None)
            again = await connector.poll(page.cursor)
            await connector.close()
        assert len(page.events) == 3
        assert [call.path.rpartition("/")[2] for call in here.calls] == ["mentions", "dm_events", "mentions"]
        assert again.cursor["mentions"]["since"] == "1301573587187331090"

    async def test_direct_messages_that_were_read_are_not_read_again(self) -> None:
        async with platform(Answer(200, {"meta": {"result_count": 0}})) as here:
            here.answers["dm_events"] = Answer(200, recorded("dm_events"))
            connector = opened(here.url)
            first = await connector.poll(None)
            second = await connector.poll(first.cursor)
            await connector.close()
        assert [event.external_id for event in first.events] == ["dm:1585321444547837956", "dm:1585321444547837957"]
        assert (second.events, second.more) == ((), False)

    async def test_search_goes_on_where_it_ended(self) -> None:
        async with platform(Answer(200, recorded("mentions_more"))) as here:
            connector = opened(here.url)
            page = await connector.search("wasla -is:retweet", None)
            await connector.search("wasla -is:retweet", page.cursor)
            await connector.close()
        first, second = here.calls
        assert (first.path, first.fields["query"]) == ("/2/tweets/search/recent", "wasla -is:retweet")
        assert page.more
        assert second.fields["next_token"] == "7140dibdnow9c7btw"

    async def test_a_lost_sign_in_stops_polling_and_a_lost_answer_does_not(self) -> None:
        for answer, error in ((problem(401, "Unauthorized", "Unauthorized"), AuthExpired), (LOST, TryLater)):
            async with platform(answer) as here:
                connector = opened(here.url, messages="leave")
                with pytest.raises(error):
                    await connector.poll(None)
                await connector.close()


class TestActing:
    """What we do on X."""

    async def test_connecting_says_who_we_are(self) -> None:
        async with platform(Answer(200, {"data": {"id": US, "name": "Wasla", "username": "wasla"}})) as here:
            connector = opened(here.url)
            account = await connector.connect()
            await connector.close()
        assert (account.external_id, account.name) == (US, "@wasla")
        with pytest.raises(AuthExpired):
            await XConnector(ChannelConfig()).connect()

    async def test_an_answer_is_a_reply_of_at_most_280_weighted_characters(self) -> None:
        async with platform(Answer(201, {"data": {"id": "9", "text": "x"}})) as here:
            connector = opened(here.url)
            sent = await connector.reply(OutboundMessage("k", "t", "42", "é" * 280, reply_to="13"))
            for text, reply_to in (("✓" * 141, "13"), ("ok", None), ("ok", "dm:1")):
                with pytest.raises(Refused):
                    await connector.reply(OutboundMessage("k", "t", "42", text, reply_to=reply_to))
            await connector.close()
        [call] = here.calls
        assert sent.external_id == "9"
        assert call.json == {"text": "é" * 280, "reply": {"in_reply_to_tweet_id": "13"}}

    async def test_liking_hiding_and_deleting_are_asked_for(self) -> None:
        async with platform(Answer(200, {"data": {"liked": True}})) as here:
            connector = opened(here.url)
            await connector.like("13")
            await connector.hide("14")
            await connector.delete("15")
            with pytest.raises(Refused):
                await connector.like("dm:16")
            await connector.close()
        assert [(call.method, call.path) for call in here.calls] == [
            ("POST", f"/2/users/{US}/likes"),
            ("PUT", "/2/tweets/14/hidden"),
            ("DELETE", "/2/tweets/15"),
        ]

    async def test_only_files_of_x_are_fetched(self) -> None:
        with pytest.raises(Refused):
            await opened().fetch(Attachment("image", "https://elsewhere.example/a.jpg"))

    @pytest.mark.parametrize(
        ("text", "length"),
        [
            ("Bonjour é", 9),
            ("مرحبا", 5),
            ("日本", 4),
            ("😀", 2),
            ("👨‍👩‍👧", 2),
            ("👍🏽", 2),
            ("🇩🇿", 2),
            ("voir https://example.com/" + "a" * 200, 28),
            ("e\u0301", 1),
            ("✓", 2),
        ],
    )
    def test_a_text_is_counted_as_x_counts(self, text: str, length: int) -> None:
        assert XConnector.length(text) == length

    def test_the_limit_is_another_in_public(self) -> None:
        assert XConnector.limits.text_length_of(MessageKind.COMMENT) == 280
        assert XConnector.limits.text_length_of(MessageKind.DIRECT_MESSAGE) == 10_000
