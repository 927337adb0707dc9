"""YouTube: the contract, and its documented answers given by a fake that speaks HTTP."""

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from aiohttp import web

from connectors.base import (
    AuthExpired,
    BadPayload,
    Change,
    ChannelConfig,
    Connector,
    ConnectorError,
    Ignored,
    InboundMessage,
    MaybeSent,
    MessageKind,
    OutboundMessage,
    Page,
    RawEvent,
    Refused,
    TryLater,
)
from connectors.youtube import YouTubeConnector, until_midnight
from tests.connectors.polling import PollContract
from tests.connectors.sending import Failure, PlatformContract
from tests.servers.platform import LOST, Answer, Call, Platform, platform

RECORDINGS = Path(__file__).parent / "recordings" / "youtube"
US = "UCwaslaWASLAwaslaWASLA01"
SETTINGS = {"client_id": "client.apps.example", "daily_units": "10000", "account_id": US}
SECRETS = {"client_secret": "client-secret-of-tests", "refresh_token": "refresh-token-of-tests"}
NADIA = "UCnadiaNADIAnadiaNADIA02"


def recorded(name: str) -> Any:
    """An answer after YouTube's documentation."""
    return json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))


def opened(url: str | None = None, **settings: Any) -> YouTubeConnector:
    secrets = {**SECRETS, "access_token": "ya29.access-token-of-tests"}
    return YouTubeConnector(ChannelConfig({**SETTINGS, **settings}, secrets, url))


def error(status: int, reason: str, message: str) -> Answer:
    """https://developers.google.com/youtube/v3/docs/errors"""
    inner = {"message": message, "domain": "youtube.quota", "reason": reason}
    return Answer(status, {"error": {"code": status, "message": message, "errors": [inner]}})


def events(page: Page) -> list[InboundMessage]:
    return [message for raw in page.events for message in opened().read(raw)]


def calls(here: Platform) -> list[str]:
    return [call.path.rpartition("/")[2] for call in here.calls]


class TestYouTube(PlatformContract, PollContract):
    """What every connector must do."""

    connector: ClassVar[type[Connector]] = YouTubeConnector
    sends: ClassVar[str] = "reply"
    when_the_answer_is_lost: ClassVar[type[ConnectorError]] = MaybeSent
    failures: ClassVar[tuple[Failure, ...]] = (
        Failure(error(401, "authError", "Invalid Credentials"), AuthExpired, says="Invalid Credentials"),
        Failure(error(403, "insufficientPermissions", "Insufficient Permission"), AuthExpired),
        Failure(error(403, "forbidden", "The comment thread cannot be answered."), Refused, says="cannot be answered"),
        Failure(error(400, "commentTextTooLong", "The comment text is too long."), Refused, says="too long"),
        Failure(error(404, "parentCommentNotFound", "The specified parent comment could not be found."), Refused),
        Failure(error(403, "rateLimitExceeded", "Rate Limit Exceeded"), TryLater, retry_after=60.0),
        Failure(Answer(429, b"slow down", {"Retry-After": "35"}), TryLater, retry_after=35.0),
        Failure(error(500, "processingFailure", "The API server failed."), MaybeSent),
        Failure(Answer(200, b"not JSON"), MaybeSent),
        Failure(Answer(200, {"kind": "youtube#comment"}), MaybeSent),
    )

    def config(self) -> ChannelConfig:
        return ChannelConfig(SETTINGS, {**SECRETS, "access_token": "ya29.access-token-of-tests"})

    def samples(self) -> list[RawEvent]:
        thread = recorded("commentThreads")["items"][0]
        comments = [thread["snippet"]["topLevelComment"], *thread["replies"]["comments"]]
        return [RawEvent({"comment": c, "thread": thread["id"], "asker": NADIA, "video": "v1"}) for c in comments]

    def outbound(self, text: str = "Bonjour") -> OutboundMessage:
        return OutboundMessage("key-1", f"UgThread1:{NADIA}", NADIA, text, reply_to="UgThread1.reply1")

    def accepted(self) -> Answer:
        return Answer(200, recorded("comment_inserted"))

    def news(self) -> web.Application:
        """Two pages of threads; the first thread has more answers than come with it."""
        newest, older = (
            recorded("commentThreads"),
            json.loads(json.dumps(recorded("commentThreads")).replace("Thread1", "2")),
        )
        newest["items"][0]["snippet"]["totalReplyCount"] = 7
        here = Platform(
            lambda call: Answer(200, older if "pageToken" in call.fields else newest | {"nextPageToken": "2"})
        )
        here.answers["comments"] = Answer(200, recorded("comments"))
        return here.app()

    def text_of(self, call: Call) -> str:
        assert (call.path, call.fields["part"]) == ("/comments", "snippet")
        assert call.json["snippet"]["parentId"] == "UgThread1", "YouTube has one level of answers"
        return str(call.json["snippet"]["textOriginal"])


class TestReading:
    """YouTube's documented payloads, in our words."""

    def test_a_comment_and_our_answer_are_one_thread(self) -> None:
        theirs, ours = (opened().read(raw)[0] for raw in TestYouTube().samples())
        assert theirs.external_id == "UgThread1"
        assert theirs.text == "La box ne marche pas 😕 <b>aidez-moi</b>"
        assert (theirs.author.external_id, theirs.author.name) == (NADIA, "@nadia")
        assert theirs.kind is MessageKind.COMMENT
        assert theirs.reply_to == "video:v1"
        assert theirs.sent_at == datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
        assert ours.author.is_self
        assert ours.reply_to == "UgThread1"
        assert theirs.thread_key == ours.thread_key

    def test_a_comment_of_ours_that_begins_a_thread_is_ignored(self) -> None:
        payload = copy.deepcopy(TestYouTube().samples()[0].payload)
        payload["comment"]["snippet"]["authorChannelId"]["value"] = US
        with pytest.raises(Ignored, match="our own"):
            opened().read(RawEvent(payload))

    def test_a_wrong_field_is_named(self) -> None:
        payload = copy.deepcopy(TestYouTube().samples()[0].payload)
        payload["comment"]["snippet"]["publishedAt"] = "soon"
        with pytest.raises(BadPayload, match=r"comment\.snippet\.publishedAt"):
            opened().read(RawEvent(payload))


class TestPolling:
    """What is asked, what it costs, and what counts as new."""

    async def test_only_what_is_new_or_changed_comes_again(self) -> None:
        threads = recorded("commentThreads")
        async with platform(Answer(200, threads)) as here:
            connector = opened(here.url)
            first = await connector.poll(None)
            same = await connector.poll(first.cursor)
            changed = copy.deepcopy(threads)
            comment = changed["items"][0]["snippet"]["topLevelComment"]["snippet"]
            comment |= {"textOriginal": "La box remarche", "updatedAt": "2026-03-01T13:00:00Z"}
            late = copy.deepcopy(changed["items"][0]["replies"]["comments"][0])
            late["id"] = "UgThread1.reply2"
            late["snippet"] |= {"publishedAt": "2026-03-01T13:05:00Z", "updatedAt": "2026-03-01T13:05:00Z"}
            changed["items"][0]["replies"]["comments"].append(late)
            changed["items"][0]["snippet"]["totalReplyCount"] = 2
            here.answer = Answer(200, changed)
            third = await connector.poll(same.cursor)
            await connector.close()
        asked = here.calls[0].fields
        assert (asked["allThreadsRelatedToChannelId"], asked["order"]) == (US, "time")
        assert here.calls[0].headers["authorization"] == "Bearer ya29.access-token-of-tests"
        assert [message.external_id for message in events(first)] == ["UgThread1", "UgThread1.reply1"]
        assert same.events == ()
        edited, new = events(third)
        assert (edited.external_id, edited.change, edited.text) == ("UgThread1", Change.EDIT, "La box remarche")
        assert (new.external_id, new.change) == ("UgThread1.reply2", Change.NEW)

    async def test_a_comment_that_was_edited_before_we_saw_it_is_new(self) -> None:
        threads = recorded("commentThreads")
        threads["items"][0]["snippet"]["topLevelComment"]["snippet"]["updatedAt"] = "2026-03-01T12:01:00Z"
        async with platform(Answer(200, threads)) as here:
            connector = opened(here.url)
            page = await connector.poll(None)
            await connector.close()
        assert {message.change for message in events(page)} == {Change.NEW}

    async def test_all_answers_are_asked_for_where_a_thread_brings_only_some(self) -> None:
        threads = recorded("commentThreads")
        threads["items"][0]["snippet"]["totalReplyCount"] = 7
        async with platform(Answer(200, threads)) as here:
            here.answers["comments"] = Answer(200, recorded("comments"))
            connector = opened(here.url)
            page = await connector.poll(None)
            again = await connector.poll(page.cursor)
            await connector.close()
        assert calls(here) == ["commentThreads", "comments", "commentThreads"]
        assert here.calls[1].fields["parentId"] == "UgThread1"
        assert "UgThread1.reply9" in [message.external_id for message in events(page)]
        assert again.events == ()

    async def test_older_threads_are_revisited_one_page_a_poll(self) -> None:
        async with platform(Answer(200, {**recorded("commentThreads"), "nextPageToken": "older"})) as here:
            connector = opened(here.url)
            cursor = (await connector.poll(None)).cursor
            for _ in range(7):
                cursor = (await connector.poll(cursor)).cursor
            await connector.close()
        tokens = [call.fields.get("pageToken", "") for call in here.calls]
        assert tokens.count("older") == 5, "five pages deep, then from the newest again"
        assert len(cursor["threads"]) == 1

    async def test_polling_leaves_a_part_of_the_quota_for_answers(self) -> None:
        async with platform(Answer(200, recorded("commentThreads"))) as here:
            here.answers["comments"] = Answer(200, recorded("comment_inserted"))
            connector = opened(here.url, daily_units="60")
            cursor = None
            with pytest.raises(TryLater, match="quota") as raised:
                for _ in range(60):
                    cursor = (await connector.poll(cursor)).cursor
            assert len(here.calls) == 48
            assert 0 < (raised.value.retry_after or 0) <= 25 * 3600
            with pytest.raises(TryLater):
                await connector.reply(TestYouTube().outbound())
            await connector.close()
            restarted = opened(here.url, daily_units="60")
            with pytest.raises(TryLater):
                await restarted.poll(cursor)
            await restarted.close()
        assert len(here.calls) == 48, "a restart does not forget what was spent"

    async def test_googles_own_word_that_the_quota_is_used_up_is_obeyed_until_midnight(self) -> None:
        async with platform(error(403, "quotaExceeded", "The request cannot be completed")) as here:
            connector = opened(here.url)
            for _ in range(2):
                with pytest.raises(TryLater) as raised:
                    await connector.poll(None)
                assert (raised.value.retry_after or 0) == pytest.approx(until_midnight(), abs=60)
            await connector.close()
        assert len(here.calls) == 1

    def test_midnight_is_that_of_california_in_winter_and_summer(self) -> None:
        assert until_midnight(datetime(2026, 1, 10, 7, 0, tzinfo=UTC)) == 3600
        assert until_midnight(datetime(2026, 7, 10, 6, 0, tzinfo=UTC)) == 3600
        assert until_midnight(datetime(2026, 3, 8, 8, 0, tzinfo=UTC)) == 23 * 3600, "an hour is left out that day"

    async def test_what_came_before_a_limit_does_not_wait_for_midnight(self) -> None:
        threads = recorded("commentThreads")
        more = json.loads(json.dumps(threads["items"][0]).replace("Thread1", "Thread2"))
        more["snippet"]["totalReplyCount"] = 7
        async with platform(Answer(200, {**threads, "items": [*threads["items"], more]})) as here:
            here.answers["comments"] = error(403, "quotaExceeded", "The request cannot be completed")
            connector = opened(here.url)
            page = await connector.poll(None)
            with pytest.raises(TryLater):
                await connector.poll(page.cursor)
            await connector.close()
        assert [message.external_id for message in events(page)] == ["UgThread1", "UgThread1.reply1"]
        assert list(page.cursor["threads"]) == ["UgThread1"]

    async def test_a_lost_poll_is_tried_later(self) -> None:
        async with platform(LOST) as here:
            connector = opened(here.url)
            with pytest.raises(TryLater):
                await connector.poll(None)
            await connector.close()


class TestActing:
    """What we do on YouTube."""

    async def test_the_refresh_token_is_used_once_an_hour_and_connecting_says_who_we_are(self) -> None:
        async with platform(Answer(200, recorded("channels"))) as here:
            here.answers["token"] = Answer(200, recorded("token"))
            connector = YouTubeConnector(ChannelConfig(SETTINGS, SECRETS, here.url))
            account = await connector.connect()
            await connector.connect()
            await connector.close()
        assert (account.external_id, account.name) == (US, "Wasla")
        assert calls(here) == ["token", "channels", "channels"]
        assert here.calls[0].fields == {**SECRETS, "client_id": "client.apps.example", "grant_type": "refresh_token"}

    async def test_a_refresh_token_that_was_taken_back_signs_out(self) -> None:
        said = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
        async with platform(Answer(400, said)) as here:
            connector = YouTubeConnector(ChannelConfig(SETTINGS, SECRETS, here.url))
            with pytest.raises(AuthExpired, match="expired or revoked"):
                await connector.poll(None)
            await connector.close()
        with pytest.raises(AuthExpired, match="missing"):
            await YouTubeConnector(ChannelConfig(SETTINGS)).connect()

    async def test_hiding_and_deleting_are_asked_for(self) -> None:
        async with platform(Answer(204)) as here:
            connector = opened(here.url)
            await connector.hide("UgThread1")
            await connector.delete("UgThread1.reply1")
            await connector.close()
        hidden, deleted = here.calls
        assert (hidden.method, hidden.path) == ("POST", "/comments/setModerationStatus")
        assert hidden.fields == {"id": "UgThread1", "moderationStatus": "rejected"}
        assert (deleted.method, deleted.path, deleted.fields["id"]) == ("DELETE", "/comments", "UgThread1.reply1")

    async def test_an_account_without_a_channel_is_refused(self) -> None:
        async with platform(Answer(200, {"items": []})) as here:
            connector = opened(here.url)
            with pytest.raises(Refused, match="no YouTube channel"):
                await connector.connect()
            await connector.close()
