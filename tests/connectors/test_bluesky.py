"""Bluesky: the contract, documented payloads and answers, and round trips through a server after the lexicons.

And through the real PDS and AppView where SOCIALCRM_TEST_BLUESKY names one: see docs/connectors/bluesky.md.
"""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import pytest
from aiohttp import web

from connectors.base import (
    Attachment,
    AuthExpired,
    BadPayload,
    Change,
    ChannelConfig,
    Connector,
    ConnectorError,
    File,
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
from connectors.bluesky import BlueskyConnector
from connectors.bluesky_posts import facets, rkey
from tests.connectors.polling import PollContract
from tests.connectors.sending import Failure, PlatformContract
from tests.servers.bluesky import PASSWORD, BlueskyServer, bluesky_server, error
from tests.servers.bluesky_network import WANTED, bluesky_network
from tests.servers.platform import Answer, Call, closed_port

RECORDINGS = Path(__file__).parent / "recordings" / "bluesky"
US = "did:plc:atlasatlasatlasatlasatla"
PUT = "com.atproto.repo.putRecord"
ABOVE = "at://did:plc:nadia/app.bsky.feed.post/3k"
LIST = "app.bsky.notification.listNotifications"


def recorded(name: str) -> RawEvent:
    """What `poll` keeps of a notification after the lexicon, kept under `name`."""
    return RawEvent(json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8")))


def read_one(name: str) -> InboundMessage:
    """The one message that a recording reads as."""
    [message] = BlueskyConnector(ChannelConfig({"account_id": US})).read(recorded(name))
    return message


class TestBluesky(PlatformContract, PollContract):
    """What every connector must do."""

    connector: ClassVar[type[Connector]] = BlueskyConnector

    def config(self) -> ChannelConfig:
        return ChannelConfig({"handle": "atlas.test", "account_id": US}, {"app_password": PASSWORD})

    sends: ClassVar[str] = "reply"
    signs_in_anew: ClassVar[bool] = True
    # The record's key is made from ours, so a second attempt never makes a second post.
    when_the_answer_is_lost: ClassVar[type[ConnectorError]] = TryLater
    failures: ClassVar[tuple[Failure, ...]] = (
        Failure(Answer(400, {"error": "InvalidRequest", "message": "must not be longer"}), Refused, says="longer"),
        Failure(Answer(401, {"error": "AuthMissing", "message": "Authentication Required"}), TryLater, retry_after=1),
        Failure(Answer(429, {"error": "RateLimitExceeded"}, {"Retry-After": "35"}), TryLater, retry_after=35),
        Failure(Answer(502, {"error": "UpstreamFailure"}), TryLater),
    )

    def signing_in(self) -> dict[str, Answer]:
        """A session, and the post that is answered."""
        here = BlueskyServer()
        did = here.person("atlas.test")
        post = here.post(did, "Bonjour")
        return {
            "com.atproto.server.createSession": Answer(200, here._session(did)),
            "app.bsky.feed.getPosts": Answer(200, {"posts": [{**here.view(post), "uri": ABOVE}]}),
        }

    def outbound(self, text: str = "Bonjour") -> OutboundMessage:
        return OutboundMessage("key-1", ABOVE, "did:plc:nadia", text, reply_to=ABOVE)

    def target(self) -> str:
        return ABOVE

    def accepted(self) -> Answer:
        return Answer(200, {"uri": f"at://{US}/app.bsky.feed.post/3l", "cid": "c"})

    def text_of(self, call: Call) -> str:
        return str(call.json["record"]["text"])

    def news(self) -> web.Application:
        """Pages of two, from the newest back."""
        here = BlueskyServer(page_size=2)
        here.person("atlas.test")
        for number in range(5):
            mention(here, "nadia.test", f"@atlas.test {number}")
        return here.app()

    def samples(self) -> list[RawEvent]:
        names = (
            "mention",
            "reply",
            "quote",
            "images",
            "video",
            "external",
            "quote_with_images",
            "found",
            "own",
            "chat",
        )
        return [recorded(name) for name in names]


class TestReading:
    """The lexicon's payloads, in our words."""

    def test_a_mention_is_read_whole_with_its_links_in_full(self) -> None:
        message = read_one("mention")
        assert message.text == "@atlas.example où est ma commande 😕 ? https://shop.example/commande/1234"
        assert message.external_id == "at://did:plc:nadianadianadianadianadi/app.bsky.feed.post/3lj6aaaaaaa2a"
        assert message.thread_key == f"{message.external_id}#did:plc:nadianadianadianadianadi"
        assert message.kind is MessageKind.MENTION
        assert message.sent_at == datetime(2026, 3, 1, 12, 0, 1, 512000, UTC)
        assert (message.author.name, message.author.handle) == ("Nadia B", "nadia.example")
        assert not message.author.is_self

    def test_a_reply_is_a_comment_in_its_thread(self) -> None:
        message = read_one("reply")
        assert message.kind is MessageKind.COMMENT
        assert message.reply_to == f"at://{US}/app.bsky.feed.post/3lj6ours"
        assert message.thread_key == f"at://{US}/app.bsky.feed.post/3lj6root#did:plc:nadianadianadianadianadi"

    def test_pictures_are_attachments_also_beside_a_quote(self) -> None:
        files = read_one("images").attachments
        assert [(file.kind, file.name) for file in files] == [("image", "Un carton ouvert"), ("image", "")]
        assert len({file.external_id for file in files}) == 2
        assert len(read_one("quote_with_images").attachments) == 1

    def test_cards_and_videos_are_links(self) -> None:
        assert read_one("external").text == "Lisez\n\nPanne à Oran\nhttps://blog.example/1"
        video = "https://bsky.app/profile/did:plc:nadianadianadianadianadi/post/3lj6aaaaaaa2e"
        assert read_one("video").text == f"Regardez\n\n🎬 {video}"

    def test_a_deletion_is_one_of_the_message_with_the_same_id(self) -> None:
        gone = read_one("deleted")
        assert gone.change is Change.DELETE
        assert gone.external_id == read_one("mention").external_id

    def test_our_own_posts_are_known(self) -> None:
        assert read_one("own").author.is_self

    @pytest.mark.parametrize(("name", "reason"), [("like", "like"), ("empty", "says nothing")])
    def test_what_is_not_for_us_is_ignored_with_a_reason(self, name: str, reason: str) -> None:
        with pytest.raises(Ignored, match=reason):
            read_one(name)

    def test_a_link_that_stands_outside_the_text_is_left_alone(self) -> None:
        payload = recorded("mention").payload
        payload["record"]["facets"][1]["index"] = {"byteStart": 10, "byteEnd": 9999}
        [message] = BlueskyConnector(ChannelConfig()).read(RawEvent(payload))
        assert message.text == payload["record"]["text"]


class TestWriting:
    """Our texts as Bluesky wants them."""

    def test_facets_count_bytes_of_utf_8(self) -> None:
        text = "é😀 @nadia.test مرحبا #خدمة voir https://shop.example/a?b=1#x."
        marks = facets(text, {"nadia.test": "did:plc:n"})
        raw = text.encode()
        shown = [raw[m["index"]["byteStart"] : m["index"]["byteEnd"]].decode() for m in marks]
        assert shown == ["@nadia.test", "#خدمة", "https://shop.example/a?b=1#x"]
        assert [m["features"][0]["$type"].partition("#")[2] for m in marks] == ["mention", "tag", "link"]
        assert marks[1]["features"][0]["tag"] == "خدمة"

    def test_what_only_looks_like_a_name_or_a_tag_is_text(self) -> None:
        assert facets("a@b.example, @personne.test, n#1, #1, rien//x", {}) == []

    def test_graphemes_are_counted_as_a_reader_counts_them(self) -> None:
        assert BlueskyConnector.length("👩‍👩‍👧‍👦é🇩🇿") == 3

    def test_a_messages_key_gives_one_record_key_in_the_form_that_posts_need(self) -> None:
        keys = [rkey(f"key-{number}") for number in range(200)]
        assert len(set(keys)) == 200
        assert rkey("key-1") == keys[1]
        assert all(len(key) == 13 and key[0] in "234567abcdefghij" for key in keys)


@pytest.fixture
async def server() -> AsyncIterator[BlueskyServer]:
    async with bluesky_server() as here:
        yield here


def opened(server: BlueskyServer, **settings: Any) -> BlueskyConnector:
    known = {"handle": "@atlas.test", "account_id": server.person("atlas.test"), **settings}
    return BlueskyConnector(ChannelConfig(known, {"app_password": PASSWORD}, server.url))


@pytest.fixture
async def connector(server: BlueskyServer) -> AsyncIterator[BlueskyConnector]:
    connector = opened(server)
    yield connector
    await connector.close()


def mention(server: BlueskyServer, name: str, text: str, **record: Any) -> str:
    """Somebody mentions us; the address of the post."""
    us = {"$type": "app.bsky.richtext.facet#mention", "did": server.person("atlas.test")}
    marks = [{"index": {"byteStart": 0, "byteEnd": 1}, "features": [us]}]
    return server.post(server.person(name), text, facets=marks, **record)


def read(connector: BlueskyConnector, page: Page) -> list[InboundMessage]:
    return [message for raw in page.events for message in connector.read(raw)]


def answer(message: InboundMessage, text: str, key: str = "key-1") -> OutboundMessage:
    return OutboundMessage(key, message.thread_key, message.author.external_id, text, reply_to=message.external_id)


class TestRoundTrip:
    """Through the server: other people write, we read and answer."""

    async def test_connecting_says_who_we_are(self, server: BlueskyServer, connector: BlueskyConnector) -> None:
        account = await connector.connect()
        assert (account.external_id, account.name) == (server.person("atlas.test"), "@atlas.test")

    async def test_a_wrong_password_is_refused_and_never_shown(self, server: BlueskyServer) -> None:
        config = ChannelConfig({"handle": "atlas.test"}, {"app_password": "wrong-word"}, server.url)
        with pytest.raises(AuthExpired, match="Invalid identifier") as raised:
            await BlueskyConnector(config).poll(None)
        assert "wrong-word" not in raised.value.reason
        with pytest.raises(AuthExpired, match="missing"):
            await BlueskyConnector(ChannelConfig({}, {}, server.url)).connect()

    async def test_a_mention_is_read_once_and_answered_in_its_thread(
        self, server: BlueskyServer, connector: BlueskyConnector
    ) -> None:
        root = mention(server, "nadia.test", "@atlas.test Où est mon colis ?")
        page = await connector.poll(None)
        [message] = read(connector, page)
        assert (message.external_id, message.kind) == (root, MessageKind.MENTION)
        assert (await connector.poll(page.cursor)).events == ()
        text = "@nadia.test Demain, voir https://shop.example/é #colis"
        sent = await connector.reply(answer(message, text))
        assert sent.external_id
        record = server.records[sent.external_id]
        assert record["reply"] == {"root": server.ref(root), "parent": server.ref(root)}
        assert [f["features"][0]["$type"].partition("#")[2] for f in record["facets"]] == ["mention", "link", "tag"]

        below = server.answer(server.person("nadia.test"), sent.external_id, "Merci")
        page = await connector.poll(page.cursor)
        [thanks] = read(connector, page)
        assert (thanks.kind, thanks.reply_to) == (MessageKind.COMMENT, sent.external_id)
        assert thanks.thread_key == message.thread_key
        again = await connector.reply(answer(thanks, "Avec plaisir", "key-2"))
        assert again.external_id
        assert server.records[again.external_id]["reply"] == {"root": server.ref(root), "parent": server.ref(below)}

    async def test_a_text_as_long_as_the_limit_is_sent_whole_and_a_longer_one_refused_in_the_servers_words(
        self, server: BlueskyServer, connector: BlueskyConnector
    ) -> None:
        mention(server, "nadia.test", "@atlas.test")
        [message] = read(connector, await connector.poll(None))
        text = "👍🏽" * BlueskyConnector.limits.text_length_of("comment")
        assert BlueskyConnector.length(text) == 300
        sent = await connector.reply(answer(message, text))
        assert sent.external_id
        assert server.records[sent.external_id]["text"] == text
        with pytest.raises(Refused, match="300 graphemes"):
            await connector.reply(answer(message, text + "é", "key-2"))

    async def test_a_lost_answer_is_asked_for_and_never_posted_twice(
        self, server: BlueskyServer, connector: BlueskyConnector
    ) -> None:
        mention(server, "nadia.test", "@atlas.test")
        [message] = read(connector, await connector.poll(None))
        ours = answer(message, "Bonjour")
        assert await connector.find_sent(ours) is None
        server.lost.add(PUT)
        with pytest.raises(TryLater, match="did not answer"):
            await connector.reply(ours)
        found = await connector.find_sent(ours)
        assert found
        assert await connector.reply(ours) == found
        assert [record["text"] for record in server.records.values()].count("Bonjour") == 1

    async def test_pictures_are_posted_with_an_answer(
        self, server: BlueskyServer, connector: BlueskyConnector, tmp_path: Path
    ) -> None:
        mention(server, "nadia.test", "@atlas.test")
        [message] = read(connector, await connector.poll(None))
        path = tmp_path / "a.png"
        path.write_bytes(b"\x89PNG")
        picture = File("0" * 64, "a.png", "image/png", 4, path)
        sent = await connector.reply(replace(answer(message, "Voici"), attachments=(picture, picture)))
        assert sent.external_id
        images = server.records[sent.external_id]["embed"]["images"]
        assert [image["image"]["mimeType"] for image in images] == ["image/png", "image/png"]
        assert set(server.blobs.values()) == {b"\x89PNG"}

    async def test_private_messages_are_read_answered_and_their_deletion_mirrored(
        self, server: BlueskyServer, connector: BlueskyConnector
    ) -> None:
        nadia = server.person("nadia.test")
        server.whisper(nadia, "avant la connexion")
        page = await connector.poll(None)
        assert page.events == ()
        asked = server.whisper(nadia, "Mon numéro est le 42")
        server.log.append({"$type": "chat.bsky.convo.defs#logReadMessage", "rev": server.new_key(), "convoId": "c"})
        page = await connector.poll(page.cursor)
        [message] = read(connector, page)
        assert (message.text, message.kind) == ("Mon numéro est le 42", MessageKind.DIRECT_MESSAGE)
        assert (message.author.name, message.author.handle) == ("Nadia", "nadia.test")
        ours = OutboundMessage("k", message.thread_key, nadia, "Merci, voir https://shop.example")
        sent = await connector.direct_message(ours)
        page = await connector.poll(page.cursor)
        [echo] = read(connector, page)
        assert (echo.external_id, echo.author.is_self) == (sent.external_id, True)
        server.unsay(asked)
        [gone] = read(connector, await connector.poll(page.cursor))
        assert (gone.external_id, gone.change) == (message.external_id, Change.DELETE)

    async def test_a_private_message_whose_answer_was_lost_is_for_a_person_to_decide(
        self, server: BlueskyServer, connector: BlueskyConnector
    ) -> None:
        ours = OutboundMessage("k", "chat:convo-1", server.person("nadia.test"), "Bonjour")
        server.lost.add("chat.bsky.convo.sendMessage")
        with pytest.raises(MaybeSent):
            await connector.direct_message(ours)
        with pytest.raises(Refused, match="cannot say"):
            await connector.find_sent(ours)

    async def test_a_public_post_is_answered_in_private_where_its_author_lets_us(
        self, server: BlueskyServer, connector: BlueskyConnector
    ) -> None:
        mention(server, "nadia.test", "@atlas.test")
        [message] = read(connector, await connector.poll(None))
        sent = await connector.private_reply(answer(message, "Votre numéro ?"))
        assert (sent.external_id or "").startswith("chat:convo-1:")
        with pytest.raises(Refused, match="disabled incoming messages"):
            await connector.private_reply(replace(answer(message, "?"), recipient="did:plc:closed"))

    async def test_an_app_password_without_the_right_reads_what_is_public_and_says_what_is_missing(
        self, server: BlueskyServer, connector: BlueskyConnector
    ) -> None:
        server.may_chat = False
        assert (await connector.connect()).missing_scopes == ("direct messages",)
        mention(server, "nadia.test", "Un")
        asked = len([method for method in server.asked if method.startswith("chat.")])
        assert [message.text for message in read(connector, await connector.poll(None))] == ["Un"]
        assert len([method for method in server.asked if method.startswith("chat.")]) == asked

    async def test_a_deletion_is_mirrored_once_it_is_sure(
        self, server: BlueskyServer, connector: BlueskyConnector
    ) -> None:
        kept, gone = mention(server, "nadia.test", "Un"), mention(server, "karim.test", "Deux")
        page = await connector.poll(None)
        server.delete(gone)
        page = await connector.poll(page.cursor)
        assert page.events == ()
        page = await connector.poll(page.cursor)
        [message] = read(connector, page)
        assert (message.external_id, message.change) == (gone, Change.DELETE)
        assert (await connector.poll(page.cursor)).events == ()
        assert [post[0] for post in page.cursor["watched"]] == [kept]

    async def test_several_pages_come_in_order_and_a_post_that_is_late_is_not_lost(
        self, server: BlueskyServer, connector: BlueskyConnector
    ) -> None:
        server.page_size = 10
        mention(server, "nadia.test", "0")
        page = await connector.poll(None)
        for number in range(1, 36):
            mention(server, "nadia.test", str(number))
        page = await connector.poll(page.cursor)
        assert [message.text for message in read(connector, page)] == [str(number) for number in range(1, 36)]
        late = mention(server, "karim.test", "en retard")
        server.notifications[-1]["indexedAt"] = server.indexed[late] = "2026-03-01T12:00:10.000Z"
        page = await connector.poll(page.cursor)
        assert [message.text for message in read(connector, page)] == ["en retard"]
        assert (await connector.poll(page.cursor)).events == ()

    async def test_likes_of_others_fill_no_ledger(self, server: BlueskyServer, connector: BlueskyConnector) -> None:
        ours = server.post(server.person("atlas.test"), "Nouveau !")
        record = {"$type": "app.bsky.feed.like", "subject": server.ref(ours), "createdAt": server.now()}
        server.keep(server.person("nadia.test"), "app.bsky.feed.like", "3laaaaaaaaaaa", record)
        assert (await connector.poll(None)).events == ()

    async def test_one_odd_notification_does_not_hold_up_the_others(
        self, server: BlueskyServer, connector: BlueskyConnector
    ) -> None:
        mention(server, "nadia.test", "Un\0")
        server.notifications[-1]["author"] = 5
        mention(server, "nadia.test", "Deux")
        page = await connector.poll(None)
        assert len(page.events) == 2
        with pytest.raises(BadPayload):
            connector.read(page.events[0])
        assert connector.read(page.events[1])[0].text == "Deux"

    async def test_posts_are_searched_and_our_own_known(
        self, server: BlueskyServer, connector: BlueskyConnector
    ) -> None:
        server.post(server.person("nadia.test"), "la fibre est lente")
        server.post(server.person("atlas.test"), "notre fibre arrive")
        page = await connector.search("fibre", None)
        assert [message.author.is_self for message in read(connector, page)] == [False, True]
        assert (await connector.search("fibre", page.cursor)).events == ()

    async def test_posts_are_liked_and_only_ours_deleted(
        self, server: BlueskyServer, connector: BlueskyConnector
    ) -> None:
        theirs = mention(server, "nadia.test", "Bravo")
        [message] = read(connector, await connector.poll(None))
        await connector.like(theirs)
        assert [n["reason"] for n in server.notifications if n["to"] == server.person("nadia.test")] == ["like"]
        sent = await connector.reply(answer(message, "Merci"))
        assert sent.external_id
        await connector.delete(sent.external_id)
        assert sent.external_id not in server.records
        with pytest.raises(Refused, match="our own"):
            await connector.delete(theirs)
        server.delete(theirs)
        with pytest.raises(Refused, match="no longer there"):
            await connector.like(theirs)
        with pytest.raises(Refused, match="no longer there"):
            await connector.reply(answer(message, "Encore", "key-2"))

    async def test_pictures_are_fetched(self, server: BlueskyServer, connector: BlueskyConnector) -> None:
        image = {"alt": "", "image": {"$type": "blob", "mimeType": "image/jpeg", "size": 3}}
        mention(server, "nadia.test", "Voyez", embed={"$type": "app.bsky.embed.images", "images": [image]})
        [message] = read(connector, await connector.poll(None))
        [file] = message.attachments
        assert await connector.fetch(file) == b"\xff\xd8\xff"
        with pytest.raises(Refused, match="no longer"):
            await connector.fetch(Attachment("image", f"{message.external_id}#7"))

    async def test_a_session_that_ends_early_is_opened_anew(
        self, server: BlueskyServer, connector: BlueskyConnector
    ) -> None:
        mention(server, "nadia.test", "Un")
        await connector.poll(None)
        server.token_number += 1
        with pytest.raises(TryLater, match="sign in anew"):
            await connector.poll(None)
        assert len((await connector.poll(None)).events) == 1
        assert server.asked.count("com.atproto.server.createSession") == 2

    @pytest.mark.parametrize(
        ("refusal", "raises", "wait", "says"),
        [
            (lambda: error(400, "InvalidRequest", "Invalid record"), Refused, None, "Invalid record"),
            (lambda: error(403, "AccountTakedown", "Account has been taken down"), Refused, None, "taken down"),
            (lambda: error(429, "RateLimitExceeded", "", **{"retry-after": "35"}), TryLater, 35, "to wait"),
            (lambda: error(500, "InternalServerError", "Internal Server Error"), TryLater, None, "500"),
            (lambda: error(502, "UpstreamFailure", "Upstream Failure"), TryLater, None, "502"),
            (lambda: web.Response(status=503, text="<html>", headers={"Retry-After": "60"}), TryLater, 60, "503"),
        ],
    )
    async def test_each_failure_of_the_platform_becomes_the_error_that_the_engine_knows(
        self,
        server: BlueskyServer,
        connector: BlueskyConnector,
        refusal: Any,
        raises: type[ConnectorError],
        wait: float | None,
        says: str,
    ) -> None:
        mention(server, "nadia.test", "Un")
        [message] = read(connector, await connector.poll(None))
        server.refusals[PUT] = refusal()
        with pytest.raises(ConnectorError, match=says) as raised:
            await connector.reply(answer(message, "Bonjour"))
        assert isinstance(raised.value, raises)
        assert getattr(raised.value, "retry_after", None) == wait
        assert server.asked.count(PUT) == 1, "a connector does not retry"
        assert PASSWORD not in raised.value.reason

    async def test_a_rate_limit_in_the_middle_of_paging_loses_nothing(
        self, server: BlueskyServer, connector: BlueskyConnector
    ) -> None:
        mention(server, "nadia.test", "Un")
        page = await connector.poll(None)
        mention(server, "nadia.test", "Deux")
        reset = str(int(datetime.now(UTC).timestamp()) + 90)
        server.refusals["app.bsky.feed.getPosts"] = error(429, "RateLimitExceeded", "", **{"ratelimit-reset": reset})
        with pytest.raises(TryLater) as raised:
            await connector.poll(page.cursor)
        assert raised.value.retry_after == pytest.approx(90, abs=5)
        assert [message.text for message in read(connector, await connector.poll(page.cursor))] == ["Deux"]

    async def test_a_server_that_is_away_is_asked_later(self) -> None:
        async with closed_port() as url:
            connector = BlueskyConnector(ChannelConfig({"handle": "a.test"}, {"app_password": PASSWORD}, url))
            with pytest.raises(TryLater, match="cannot be reached"):
                await connector.poll(None)
        for service in ("ftp://bsky.social", "https://"):
            config = ChannelConfig({"handle": "a.test", "service": service}, {"app_password": PASSWORD})
            with pytest.raises(Refused, match="must look like"):
                await BlueskyConnector(config).connect()


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Someone:
    """An account on the real server, and its own calls."""

    def __init__(self, session: aiohttp.ClientSession, url: str, account: dict[str, Any]) -> None:
        self.session, self.url = session, url
        self.did, self.handle, self.token = account["did"], account["handle"], account["accessJwt"]

    @classmethod
    async def new(cls, session: aiohttp.ClientSession, url: str, name: str) -> "Someone":
        """Sign up."""
        handle = f"{name}-{os.urandom(4).hex()}.test"
        data = {"handle": handle, "email": f"{handle}@mail.test", "password": PASSWORD}
        async with session.post(f"{url}/xrpc/com.atproto.server.createAccount", json=data) as answer:
            return cls(session, url, await answer.json())

    async def does(self, method: str, **data: Any) -> dict[str, Any]:
        """One call with the account's own session."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.session.post(f"{self.url}/xrpc/{method}", json=data, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            done: dict[str, Any] = await answer.json()
            return done

    async def posts(self, text: str, **record: Any) -> dict[str, str]:
        """Post; returns the reference to it."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        made = {"$type": "app.bsky.feed.post", "text": text, "createdAt": now, **record}
        done = await self.does("com.atproto.repo.createRecord", repo=self.did, collection=made["$type"], record=made)
        return {"uri": done["uri"], "cid": done["cid"]}


@pytest.mark.skipif(not WANTED, reason="SOCIALCRM_TEST_BLUESKY is neither `start` nor the address of a real server")
class TestRealServer:
    """Through the real PDS and AppView."""

    async def test_a_mention_is_read_answered_liked_found_and_its_deletion_mirrored(self, tmp_path: Path) -> None:
        async with bluesky_network() as url, asyncio.timeout(120), aiohttp.ClientSession() as session:
            atlas, nadia = await Someone.new(session, url, "atlas"), await Someone.new(session, url, "nadia")
            password = (await atlas.does("com.atproto.server.createAppPassword", name="crm"))["password"]
            settings = {"handle": atlas.handle, "account_id": atlas.did}
            connector = BlueskyConnector(ChannelConfig(settings, {"app_password": password}, url))
            assert (await connector.connect()).external_id == atlas.did

            us = {"$type": "app.bsky.richtext.facet#mention", "did": atlas.did}
            mark = {"index": {"byteStart": 0, "byteEnd": len(atlas.handle) + 1}, "features": [us]}
            asked = await nadia.posts(f"@{atlas.handle} Où est mon colis ? 😕", facets=[mark])
            page, [message] = await self.until(connector, None)
            assert (message.external_id, message.kind) == (asked["uri"], MessageKind.MENTION)

            ours = answer(message, f"@{nadia.handle} Demain é😀 https://shop.example/é #colis")
            assert await connector.find_sent(ours) is None
            (tmp_path / "a.png").write_bytes(PNG)
            picture = File("0" * 64, "a.png", "image/png", len(PNG), tmp_path / "a.png")
            ours = replace(ours, attachments=(picture,))
            sent = await connector.reply(ours)
            assert sent.external_id
            for found in (await connector.find_sent(ours), await connector.reply(ours)):
                assert found
                assert found.external_id == sent.external_id
            post = await connector._post(sent.external_id)
            assert post["record"]["reply"]["parent"] == asked
            assert len(post["record"]["facets"]) == 3
            assert post["record"]["embed"]["images"][0]["image"]["mimeType"] == "image/png"

            below = {"uri": post["uri"], "cid": post["cid"]}
            thanked = await nadia.posts("Merci", reply={"root": asked, "parent": below})
            page, [thanks] = await self.until(connector, page.cursor)
            assert (thanks.kind, thanks.reply_to) == (MessageKind.COMMENT, sent.external_id)
            assert thanks.thread_key == message.thread_key
            await connector.like(thanked["uri"])
            with pytest.raises(Refused, match="300"):
                await connector.reply(answer(message, "x" * 301, "long"))
            assert (await connector.reply(answer(message, "👍🏽" * 300, "whole"))).external_id
            hits = read(connector, await connector.search("colis", None))
            assert {(each.external_id, each.author.is_self) for each in hits} >= {
                (asked["uri"], False),
                (sent.external_id, True),
            }

            key = thanked["uri"].rpartition("/")[2]
            await nadia.does("com.atproto.repo.deleteRecord", repo=nadia.did, collection="app.bsky.feed.post", rkey=key)
            _, [gone] = await self.until(connector, page.cursor)
            assert (gone.external_id, gone.change) == (thanked["uri"], Change.DELETE)
            await connector.delete(sent.external_id)
            assert await connector.find_sent(ours) is None
            await connector.close()

    async def until(self, connector: BlueskyConnector, cursor: Any) -> tuple[Page, list[InboundMessage]]:
        """Poll until the AppView has indexed something."""
        while True:
            page = await connector.poll(cursor)
            if messages := read(connector, page):
                return page, messages
            cursor = page.cursor
