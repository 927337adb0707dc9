"""Mastodon: the contract, documented payloads and answers, and round trips through a Mastodon server."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.parser import BytesParser
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs

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
    MessageKind,
    OutboundMessage,
    RawEvent,
    Refused,
    TryLater,
)
from connectors.mastodon import MastodonConnector
from tests.connectors.polling import PollContract
from tests.connectors.sending import Failure, PlatformContract
from tests.servers.mastodon import MastodonServer, mastodon_server
from tests.servers.platform import LOST, SILENCE, Answer, Call, Platform, platform

RECORDINGS = Path(__file__).parent / "recordings" / "mastodon"
TOKEN = "not-a-true-token"
US = "14715@social.example"


def recorded(name: str) -> RawEvent:
    """What `poll` keeps of a notification after Mastodon's documentation, kept under `name`."""
    return RawEvent(json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8")))


def read_one(name: str) -> InboundMessage:
    """The one message that a recording reads as."""
    [message] = MastodonConnector(ChannelConfig({"account_id": US})).read(recorded(name))
    return message


def form(call: Call) -> dict[str, str]:
    """The fields of a form, urlencoded or multipart."""
    kind = call.headers.get("content-type", "")
    if not kind.startswith("multipart/"):
        return {name: values[0] for name, values in parse_qs(call.body.decode()).items()}
    parts = BytesParser().parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + call.body).get_payload()
    assert isinstance(parts, list)
    return {str(part.get_param("name", header="content-disposition")): str(part.get_payload()) for part in parts}


def error(status: int, words: str, **headers: str) -> Answer:
    """API, Error: how Mastodon refuses."""
    return Answer(status, {"error": words}, headers)


class TestMastodon(PlatformContract, PollContract):
    """What every connector must do."""

    connector: ClassVar[type[Connector]] = MastodonConnector
    # The key of each post makes a second attempt harmless.
    when_the_answer_is_lost: ClassVar[type[ConnectorError]] = TryLater
    failures: ClassVar[tuple[Failure, ...]] = (
        Failure(error(401, "The access token is invalid"), AuthExpired, says="The access token is invalid"),
        Failure(error(401, "The access token was revoked"), AuthExpired, says="revoked"),
        Failure(error(403, "This action is outside the authorized scopes"), Refused, says="authorized scopes"),
        Failure(
            error(422, "Validation failed: Text character limit of 500 exceeded"), Refused, says="limit of 500 exceeded"
        ),
        Failure(Answer(429, {"error": "Too many requests"}, {"Retry-After": "35"}), TryLater, retry_after=35),
        Failure(error(500, "This page is not correct"), TryLater),
        Failure(Answer(502, b"<html>Bad Gateway</html>"), TryLater),
        Failure(Answer(503, b"", {"Retry-After": "60"}), TryLater, retry_after=60),
        Failure(Answer(504, b"<html>Gateway Time-out</html>"), TryLater),
        Failure(Answer(200, b"not JSON"), TryLater),
    )

    def config(self) -> ChannelConfig:
        return ChannelConfig({"server": "social.example", "account_id": US}, {"token": TOKEN})

    def samples(self) -> list[RawEvent]:
        names = ("mention", "reply", "direct", "media", "poll", "quote", "found", "own", "bot")
        return [recorded(name) for name in names]

    def outbound(self, text: str = "Bonjour") -> OutboundMessage:
        return OutboundMessage("key-1", "114000000000000003:nadia@remote.example", "nadia@remote.example", text)

    def news(self) -> web.Application:
        """More notifications than one page holds, the newest first; one of them answers another post."""
        kinds = [recorded("mention").payload, recorded("reply").payload]
        told = [{**kinds[n == 3], "id": str(100 + n)} for n in range(22)]
        told = [{**each, "status": {**each["status"], "id": f"9{each['id']}"}} for each in told]

        def notifications(call: Call) -> Answer:
            after = int(call.fields.get("min_id", 0))
            newer = [each for each in told if int(each["id"]) > after]
            return Answer(200, list(reversed(newer[:20])))

        here = Platform(Answer(200, {}))
        here.answers["notifications"] = notifications
        here.answers["context"] = Answer(200, {"ancestors": [{"id": "7"}], "descendants": []})
        here.answers["statuses"] = Answer(200, [each["status"] for each in told])
        return here.app()

    def accepted(self) -> Answer:
        return Answer(200, {**recorded("direct").payload["status"], "id": "114000000000000099"})

    def text_of(self, call: Call) -> str:
        assert call.path == "/api/v1/statuses"
        mention, _, text = form(call)["status"].partition(" ")
        assert mention == "@nadia@remote.example"
        return text


class TestReading:
    """Mastodon's documented payloads, in our words."""

    def test_a_mention_is_read_whole_without_the_name_that_begins_it(self) -> None:
        message = read_one("mention")
        assert message.text == "Ma commande n'est pas arrivée 😕\nVoir https://shop.example/commande/1234"
        assert message.external_id == "114000000000000001"
        assert message.thread_key == "114000000000000001:nadia@remote.example"
        assert message.kind is MessageKind.MENTION
        assert message.sent_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
        author = message.author
        assert (author.external_id, author.name, author.is_bot) == ("nadia@remote.example", "Nadia B", False)
        assert not author.is_self

    def test_a_reply_to_us_is_a_comment_in_the_thread_that_it_belongs_to(self) -> None:
        message = read_one("reply")
        assert message.kind is MessageKind.COMMENT
        assert message.reply_to == "114000000000000000"
        assert message.thread_key == "113999999999999990:nadia@remote.example"
        assert message.text == "merci, et le colis ?\n\nNadia"

    def test_a_private_mention_is_a_direct_message(self) -> None:
        assert read_one("direct").kind is MessageKind.DIRECT_MESSAGE

    def test_media_are_attachments_and_a_warning_is_text(self) -> None:
        message = read_one("media")
        assert message.text == "colis abîmé\n\n@atlas"
        assert [(file.kind, file.name) for file in message.attachments] == [
            ("image", "colis.jpg"),
            ("video", "a.mp4"),
            ("audio", "voix.ogg"),
            ("document", "facture.pdf"),
        ]

    def test_the_choices_of_a_poll_and_a_quote_are_text(self) -> None:
        assert read_one("poll").text == "Vous livrez où ?\n\n- Alger\n- Oran"
        assert read_one("quote").text == "Quel service !"

    def test_an_edit_and_a_deletion_change_the_message_with_the_same_id(self) -> None:
        edit, gone = read_one("edited"), read_one("deleted")
        assert edit.external_id == gone.external_id == read_one("mention").external_id
        assert (edit.change, gone.change) == (Change.EDIT, Change.DELETE)
        assert edit.text == "Ma commande 1234 n'est pas arrivée"
        assert edit.sent_at == datetime(2026, 3, 1, 12, 30, tzinfo=UTC)

    def test_our_own_posts_and_bots_are_known(self) -> None:
        assert read_one("own").author.is_self
        assert read_one("bot").author.is_bot

    @pytest.mark.parametrize(("name", "reason"), [("follow", "follow"), ("empty", "says nothing")])
    def test_what_is_not_for_us_is_ignored_with_a_reason(self, name: str, reason: str) -> None:
        with pytest.raises(Ignored, match=reason):
            read_one(name)

    def test_addresses_count_as_the_server_counts_them(self) -> None:
        assert MastodonConnector.length(f"Voir https://shop.example/{'x' * 300} !") == len("Voir  !") + 23


class TestCalls:
    """What is asked of Mastodon, and what is made of its answers."""

    def opened(self, url: str, **settings: Any) -> MastodonConnector:
        return MastodonConnector(ChannelConfig({"account_id": US, **settings}, {"token": TOKEN}, url))

    async def test_a_rate_limit_is_obeyed_to_the_second_that_the_server_says(self) -> None:
        reset = (datetime.now(UTC) + timedelta(seconds=120)).isoformat()
        async with platform(error(429, "Too many requests", **{"X-RateLimit-Reset": reset})) as here:
            connector = self.opened(here.url)
            with pytest.raises(TryLater) as raised:
                await connector.poll(None)
            await connector.close()
        assert raised.value.retry_after == pytest.approx(120, abs=5)
        assert len(here.calls) == 1

    async def test_a_rate_limit_in_the_middle_of_a_page_loses_nothing_of_it(self) -> None:
        async with platform(Answer(200, [recorded("mention").payload, recorded("reply").payload])) as here:
            here.answers["context"] = error(429, "Too many requests")
            connector = self.opened(here.url)
            with pytest.raises(TryLater):
                await connector.poll(None)
            here.answers["context"] = Answer(200, {"ancestors": [{"id": "7"}], "descendants": []})
            page = await connector.poll(None)
            await connector.close()
        assert [connector.read(raw)[0].thread_key for raw in page.events] == [
            "114000000000000001:nadia@remote.example",
            "7:nadia@remote.example",
        ]

    async def test_one_odd_notification_does_not_hold_up_the_others(self) -> None:
        odd = {"id": "1", "type": "mention", "created_at": 7, "account": [], "status": "?"}
        async with platform(Answer(200, [recorded("mention").payload, odd, 5])) as here:
            connector = self.opened(here.url)
            page = await connector.poll(None)
            await connector.close()
        assert [event.external_id for event in page.events] == ["1", "34975861"]
        assert page.cursor["min_id"] == "34975861"
        with pytest.raises(ConnectorError):
            connector.read(page.events[0])

    async def test_few_requests_left_are_kept_for_answers(self) -> None:
        async with platform(Answer(200, [], {"X-RateLimit-Remaining": "5"})) as here:
            connector = self.opened(here.url)
            page = await connector.poll({"min_id": "1", "watched": [["9", None, "nadia", "9"]]})
            await connector.close()
        assert [call.path for call in here.calls] == ["/api/v1/notifications"]
        assert page.cursor == {"min_id": "1", "watched": [["9", None, "nadia", "9"]]}

    async def test_a_server_that_cannot_tell_of_edits_is_polled_all_the_same(self) -> None:
        async with platform(Answer(200, [recorded("mention").payload])) as here:
            here.answers["statuses"] = error(404, "Record not found")
            connector = self.opened(here.url)
            page = await connector.poll({"min_id": "1", "watched": [["9", None, "nadia", "9"]]})
            await connector.close()
        assert [event.external_id for event in page.events] == ["34975861"]

    async def test_an_answer_below_a_deleted_message_begins_a_new_thread(self) -> None:
        async with platform(error(404, "The post you are trying to reply to does not appear to exist.")) as here:
            connector = self.opened(here.url)
            with pytest.raises(Refused, match="does not appear to exist"):
                await connector.direct_message(TestMastodon().outbound())
            await connector.close()
        first, second = here.calls
        assert form(first)["in_reply_to_id"] == "114000000000000003"
        assert "in_reply_to_id" not in form(second)

    async def test_a_post_carries_its_key_and_a_lost_one_is_not_tried_again_once_the_server_forgot_the_key(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with platform(LOST) as here:
            connector = self.opened(here.url)
            for _ in range(2):
                with pytest.raises(TryLater):
                    await connector.direct_message(TestMastodon().outbound())
            assert {call.headers["idempotency-key"] for call in here.calls} == {"key-1"}
            monkeypatch.setattr("connectors.mastodon.KEY_SECONDS", -1)
            with pytest.raises(ConnectorError) as raised:
                await connector.direct_message(TestMastodon().outbound())
            await connector.close()
        assert type(raised.value).__name__ == "MaybeSent"
        assert len(here.calls) == 2

    async def test_a_server_that_does_not_answer_in_time_is_asked_later(self) -> None:
        async with platform(SILENCE) as here:
            connector = self.opened(here.url, request_timeout=0.2)
            with pytest.raises(TryLater, match="cannot be reached"):
                await connector.poll(None)
            await connector.close()

    async def test_missing_scopes_are_named(self) -> None:
        me = {"id": "14715", "acct": "atlas", "username": "atlas"}
        async with platform(Answer(200, me)) as here:
            connector = self.opened(here.url)
            account = await connector.connect()
            assert (account.external_id, account.name) == ("14715@127.0.0.1", "@atlas@127.0.0.1")
            assert account.missing_scopes == ()
            here.answer = Answer(200, {**me, "scopes": ["read", "profile"]})
            assert (await connector.connect()).missing_scopes == ("write",)
            await connector.close()

    async def test_connecting_asks_for_what_is_missing(self) -> None:
        with pytest.raises(AuthExpired, match="token is missing"):
            await MastodonConnector(ChannelConfig({"server": "social.example"})).connect()
        for server in ("", "ftp://social.example", "https://"):
            with pytest.raises(Refused, match="must look like"):
                await MastodonConnector(ChannelConfig({"server": server}, {"token": TOKEN})).connect()

    async def test_a_file_is_fetched_and_one_in_our_own_network_is_not(self) -> None:
        async with platform(Answer(200, b"\xff\xd8\xff")) as here:
            connector = self.opened(here.url)
            assert await connector.fetch(Attachment("image", f"{here.url}/a.jpg")) == b"\xff\xd8\xff"
            assert "authorization" not in here.calls[0].headers
            here.answer = Answer(404)
            with pytest.raises(Refused, match="404"):
                await connector.fetch(Attachment("image", f"{here.url}/a.jpg"))
            with pytest.raises(Refused, match="private network"):
                await connector.fetch(Attachment("image", "http://10.0.0.1/a.jpg"))


@pytest.fixture
def server() -> Iterator[MastodonServer]:
    with mastodon_server() as here:
        yield here


@pytest.fixture
async def connector(server: MastodonServer) -> AsyncIterator[MastodonConnector]:
    credentials = {"token": server.token("atlas")}
    connector = MastodonConnector(ChannelConfig({"server": server.url}, credentials))
    account = await connector.connect()
    await connector.close()
    connector = MastodonConnector(ChannelConfig({"server": server.url, "account_id": account.external_id}, credentials))
    yield connector
    await connector.close()


async def acts(act: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """Somebody does something with their own client, which blocks."""
    return await asyncio.to_thread(act, *given, **named)


class TestRoundTrip:
    """Through mastodon-mock: other people write, we read and answer, they read."""

    async def test_connecting_says_who_we_are_and_a_wrong_token_is_refused(self, server: MastodonServer) -> None:
        here = MastodonConnector(ChannelConfig({"server": server.url}, {"token": server.token("atlas")}))
        assert (await here.connect()).name == "@atlas@127.0.0.1"
        await here.close()
        wrong = MastodonConnector(ChannelConfig({"server": server.url}, {"token": "wrong"}))
        with pytest.raises(AuthExpired):
            await wrong.connect()
        await wrong.close()

    async def test_a_mention_is_read_once_and_answered_in_its_thread(
        self, server: MastodonServer, connector: MastodonConnector
    ) -> None:
        nadia = server.person("nadia")
        asked = await acts(nadia.status_post, "@atlas Où est mon colis ? https://shop.example/1", visibility="unlisted")
        page = await connector.poll(None)
        [[message]] = [connector.read(raw) for raw in page.events]
        assert message.text == "Où est mon colis ? https://shop.example/1"
        assert (message.kind, message.author.external_id) == (MessageKind.MENTION, "nadia")
        assert (await connector.poll(page.cursor)).events == ()
        answer = OutboundMessage("k1", message.thread_key, "nadia", "Demain <b>matin</b>", reply_to=message.external_id)
        sent = await connector.reply(answer)
        assert await connector.reply(answer) == sent, "the same key is the same post"
        seen = await acts(nadia.status, sent.external_id)
        assert seen.visibility == "unlisted"
        assert str(seen.in_reply_to_id) == str(asked.id)
        assert [each["type"] for each in await acts(nadia.notifications)] == ["mention"]

        await acts(nadia.status_post, "@atlas Merci !", in_reply_to_id=sent.external_id)
        page = await connector.poll(page.cursor)
        [[thanks]] = [connector.read(raw) for raw in page.events]
        assert thanks.kind is MessageKind.COMMENT
        assert thanks.thread_key == message.thread_key
        assert thanks.reply_to == sent.external_id

    async def test_private_mentions_are_private_conversations_both_ways(
        self, server: MastodonServer, connector: MastodonConnector
    ) -> None:
        nadia, karim = server.person("nadia"), server.person("karim")
        await acts(nadia.status_post, "@atlas mon numéro est 0555", visibility="direct")
        await acts(karim.status_post, "@atlas salut", visibility="direct")
        messages = [connector.read(raw)[0] for raw in (await connector.poll(None)).events]
        assert [message.kind for message in messages] == [MessageKind.DIRECT_MESSAGE] * 2
        assert len({message.thread_key for message in messages}) == 2
        sent = await connector.direct_message(OutboundMessage("k", messages[0].thread_key, "nadia", "Bien noté"))
        [conversation] = await acts(nadia.conversations)
        assert str(conversation.last_status.id) == sent.external_id
        assert conversation.last_status.visibility == "direct"
        assert str(conversation.last_status.in_reply_to_id) == messages[0].external_id
        assert len(await acts(karim.conversations)) == 1

    async def test_an_edit_and_a_deletion_are_mirrored(
        self, server: MastodonServer, connector: MastodonConnector
    ) -> None:
        nadia = server.person("nadia")
        post = await acts(nadia.status_post, "@atlas Un")
        other = await acts(nadia.status_post, "@atlas Deux")
        first = await connector.poll(None)
        await acts(nadia.status_update, post.id, "@atlas Trois")
        await acts(nadia.status_delete, other.id)
        second = await connector.poll(first.cursor)
        changes = [connector.read(raw)[0] for raw in second.events]
        assert [(m.external_id, m.change, m.text) for m in changes] == [
            (str(post.id), Change.EDIT, "Trois"),
            (str(other.id), Change.DELETE, ""),
        ]
        assert (await connector.poll(second.cursor)).events == ()

    async def test_more_than_a_page_comes_in_order_and_nothing_is_lost(
        self, server: MastodonServer, connector: MastodonConnector
    ) -> None:
        nadia = server.person("nadia")
        await acts(nadia.status_post, "@atlas 0")
        page = await connector.poll(None)
        for number in range(1, 46):
            await acts(nadia.status_post, f"@atlas {number}")
        texts, is_more = [], True
        while is_more:
            page = await connector.poll(page.cursor)
            texts += [message.text for raw in page.events for message in connector.read(raw)]
            is_more = page.more
        assert texts == [str(number) for number in range(1, 46)]
        past = [each async for each in connector.backfill(datetime.now(UTC) - timedelta(hours=1))]
        assert sum(len(each.events) for each in past) == 46

    async def test_hashtags_and_words_are_searched_and_our_own_posts_known(
        self, server: MastodonServer, connector: MastodonConnector
    ) -> None:
        await acts(server.person("nadia").status_post, "Panne de #fibre à Oran")
        await acts(server.person("atlas").status_post, "Notre #fibre arrive")
        page = await connector.search("#fibre", None)
        found = [connector.read(raw)[0] for raw in page.events]
        assert [(message.author.is_self, "#fibre" in message.text) for message in found] == [
            (False, True),
            (True, True),
        ]
        assert (await connector.search("#fibre", page.cursor)).events == ()
        words = await connector.search("Panne", None)
        assert [connector.read(raw)[0].text for raw in words.events] == ["Panne de #fibre à Oran"]

    async def test_posts_are_liked_and_ours_deleted(self, server: MastodonServer, connector: MastodonConnector) -> None:
        nadia = server.person("nadia")
        post = await acts(nadia.status_post, "@atlas Bravo")
        await connector.like(str(post.id))
        assert (await acts(nadia.status, post.id)).favourites_count == 1
        key = f"{post.id}:nadia"
        sent = await connector.reply(OutboundMessage("k", key, "nadia", "Merci", reply_to=str(post.id)))
        assert sent.external_id
        await connector.delete(sent.external_id)
        with pytest.raises(Refused):
            await connector.delete(sent.external_id)
        with pytest.raises(Refused):
            await connector.delete(str(post.id))

    async def test_media_come_through(self, server: MastodonServer, connector: MastodonConnector) -> None:
        nadia = server.person("nadia")
        picture = bytes.fromhex("89504e470d0a1a0a") + b"x" * 50
        media = await acts(nadia.media_post, picture, mime_type="image/png", description="Un carton", synchronous=False)
        await acts(nadia.status_post, "@atlas Regardez", media_ids=[media])
        [raw] = (await connector.poll(None)).events
        [message] = connector.read(raw)
        assert [file.kind for file in message.attachments] == ["image"]

    async def test_a_text_that_is_too_long_is_refused_in_the_servers_words(
        self, server: MastodonServer, connector: MastodonConnector
    ) -> None:
        post = await acts(server.person("nadia").status_post, "@atlas Bonjour", visibility="direct")
        key = f"{post.id}:nadia"
        with pytest.raises(Refused, match="haracter"):
            await connector.direct_message(OutboundMessage("k", key, "nadia", "x" * 501))
        limit = MastodonConnector.limits.text_length
        assert (await connector.direct_message(OutboundMessage("k2", key, "nadia", "x" * limit))).external_id

    async def test_the_servers_own_rate_limit_is_obeyed(self) -> None:
        with mastodon_server(ratelimit={"enabled": True, "limit": 3, "window_seconds": 60}) as strict:
            connector = MastodonConnector(ChannelConfig({"server": strict.url}, {"token": strict.token("atlas")}))
            with pytest.raises(TryLater) as raised:
                for _ in range(5):
                    await connector.poll(None)
            await connector.close()
        assert raised.value.retry_after is not None
        assert 0 < raised.value.retry_after <= 61
