"""Instagram: the contract, Meta's documented payloads, mentions with their text, and answers of each kind."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from aiohttp import web
from sqlmodel import col, select

from connectors.base import (
    BadPayload,
    Change,
    ChannelConfig,
    Connector,
    ConnectorError,
    Ignored,
    InboundMessage,
    MessageKind,
    OutboundMessage,
    Refused,
    WebhookRequest,
)
from connectors.instagram import InstagramConnector
from socialcrm.domain.rows import Conversation, Message
from socialcrm.engine.answer import reply
from socialcrm.engine.deliver import deliver
from socialcrm.engine.ingest import ingest
from socialcrm.engine.line import Line
from tests.connectors.meta import MetaContract, recorded
from tests.connectors.polling import PollContract
from tests.servers.graph import APP_ID, CREDENTIALS, INSTAGRAM, GraphServer, graph_server
from tests.servers.platform import Answer, Call, platform
from tests.web.desk import desk

CUSTOMER = "6003001000000001"
COMMENT = "17900000000000901"


def config(**settings: Any) -> ChannelConfig:
    return ChannelConfig({"account_id": INSTAGRAM, "app_id": APP_ID, **settings}, CREDENTIALS)


def read_one(name: str) -> InboundMessage:
    [message] = InstagramConnector(config()).read(recorded("instagram", name))
    return message


class TestInstagram(MetaContract, PollContract):
    """What every connector must do."""

    connector: ClassVar[type[Connector]] = InstagramConnector
    channel: ClassVar[str] = "instagram"
    account: ClassVar[str] = INSTAGRAM
    sample_names: ClassVar[str] = (
        "comment comment_reply comment_live comment_on_ad comment_of_us message message_picture story_reply"
        " story_mention shared_post quick_reply postback echo_elsewhere"
    )

    start: ClassVar[Any] = {"since": "2026-01-01T00:00:00+00:00"}

    def news(self) -> web.Application:
        """Media on several pages, one with more comments than come along, and one of these with many answers."""
        here = GraphServer()
        pictures = [here.picture(f"picture {number}") for number in range(30)]
        comments = [here.remark(pictures[0], f"comment {number}") for number in range(60)]
        for number in range(55):
            here.remark(comments[59], f"answer {number}")
        return here.app()

    def accepted(self) -> Answer:
        return Answer(200, {"recipient_id": "42", "message_id": "aWdf_9"})

    def text_of(self, call: Call) -> str:
        assert call.path.endswith("/me/messages")
        assert call.json["recipient"] == {"id": "42"}
        assert "metadata" not in call.json["message"]
        text: str = call.json["message"]["text"]
        return text

    def test_texts_are_counted_in_bytes(self) -> None:
        assert InstagramConnector.length("a" * 1000) == InstagramConnector.limits.text_length
        assert InstagramConnector.length("سلام") == 8
        assert InstagramConnector.length("😕") == 4


class TestReading:
    """Meta's documented payloads, in our words."""

    def test_a_comment_is_read_whole(self) -> None:
        message = read_one("comment")
        assert (message.external_id, message.thread_key, message.kind) == (COMMENT, COMMENT, MessageKind.COMMENT)
        assert (message.author.external_id, message.author.handle) == (CUSTOMER, "nadia.b")
        assert message.text == "C'est encore disponible ?"
        assert message.sent_at == datetime.fromtimestamp(1772366460, UTC)

    def test_an_answer_to_a_comment_stays_in_its_thread_also_when_it_is_ours(self) -> None:
        other, ours = read_one("comment_reply"), read_one("comment_of_us")
        assert (other.thread_key, other.reply_to, other.author.is_self) == (COMMENT, COMMENT, False)
        assert (ours.thread_key, ours.author.is_self) == (COMMENT, True)

    def test_a_private_message_is_read_whole(self) -> None:
        message = read_one("message")
        assert (message.external_id, message.thread_key) == ("aWdf_text", CUSTOMER)
        assert message.kind is MessageKind.DIRECT_MESSAGE
        assert [file.kind for file in read_one("message_picture").attachments] == ["image"]

    def test_a_reply_to_a_story_brings_the_story(self) -> None:
        message = read_one("story_reply")
        assert message.text == "J'adore ❤️"
        assert [file.name for file in message.attachments] == ["story"]
        assert [file.name for file in read_one("story_mention").attachments] == ["story mention"]

    def test_buttons_deletions_and_echoes_are_known(self) -> None:
        assert read_one("quick_reply").button == "csat:t:5"
        assert (read_one("postback").button, read_one("postback").text) == (None, "Suivre ma commande")
        deleted = read_one("message_deleted")
        assert (deleted.change, deleted.external_id) == (Change.DELETE, "aWdf_text")
        echo = read_one("echo_elsewhere")
        assert (echo.author.is_self, echo.thread_key) == (True, CUSTOMER)

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("comment_of_us_on_media", "own comment"),
            ("comment_empty", "without words"),
            ("story_insights", "story_insights"),
            ("other_account", "another account of the same app"),
            ("message_unsupported", "does not show"),
            ("echo_ours", "Our own answer"),
            ("seen", "read our messages"),
            ("reaction", "reaction"),
        ],
    )
    def test_what_is_not_for_us_is_ignored_with_a_reason(self, name: str, why: str) -> None:
        with pytest.raises(Ignored, match=why):
            read_one(name)


@pytest.fixture
async def graph() -> AsyncIterator[GraphServer]:
    async with graph_server() as started:
        yield started


class TestPolling:
    """What the webhooks missed is found by looking."""

    async def test_what_looking_finds_is_what_the_webhook_would_have_brought(self, graph: GraphServer) -> None:
        picture = graph.picture("Nouveau magasin")
        asked = graph.remark(picture, "C'est ouvert ?")
        ours = graph.remark(asked, "Oui !", INSTAGRAM, "atlas.dz")
        more = graph.remark(asked, "Merci", "6002", "sara_k")
        connector = InstagramConnector(graph.config(account_id=INSTAGRAM))
        page = await connector.poll({"since": "2026-01-01T00:00:00+00:00"})
        found = [message for raw in page.events for message in connector.read(raw)]
        assert [(m.external_id, m.thread_key, m.author.is_self) for m in found] == [
            (asked, asked, False),
            (ours, asked, True),
            (more, asked, False),
        ]
        at = int(found[0].sent_at.timestamp())
        value = {"id": asked, "from": graph.comments[asked]["from"], "media": {"id": picture}, "text": "C'est ouvert ?"}
        entry = {"id": INSTAGRAM, "time": at, "changes": [{"field": "comments", "value": value}]}
        body, headers = graph.call([entry], "instagram")
        headers = {name.lower(): text for name, text in headers.items()}
        [raw] = connector.read_webhook(WebhookRequest("POST", headers, {}, body, datetime.now(UTC)))
        [called] = connector.read(raw)
        assert replace(called, post=None) == replace(found[0], post=None)
        assert (called.post and called.post.external_id) == (found[0].post and found[0].post.external_id) == picture
        assert found[0].post and found[0].post.text == "Nouveau magasin"
        page = await connector.poll(page.cursor)
        assert page.events == ()
        late = graph.remark(asked, "Et demain ?")
        assert [raw.external_id for raw in (await connector.poll(page.cursor)).events] == [late], (
            "old comment, new answer"
        )
        await connector.close()

    async def test_the_past_is_read_back_as_far_as_asked(self, graph: GraphServer) -> None:
        pictures = [graph.picture(f"picture {number}") for number in range(30)]
        first, last = graph.remark(pictures[0], "ancien"), graph.remark(pictures[29], "nouveau")
        connector = InstagramConnector(graph.config(account_id=INSTAGRAM))
        pages = [page async for page in connector.backfill(datetime(2026, 1, 1, tzinfo=UTC))]
        assert len(pages) == 2
        assert {raw.external_id for page in pages for raw in page.events} == {first, last}
        since = connector.read(pages[1].events[0])[0].sent_at
        pages = [page async for page in connector.backfill(since)]
        assert [raw.external_id for page in pages for raw in page.events] == [last]
        await connector.close()


class TestMentions:
    """Instagram tells that we were mentioned, and has to be asked for what was said."""

    async def test_a_mention_is_completed_read_and_answered(self, graph: GraphServer) -> None:
        at = "2026-03-01T12:01:00+0000"
        said = {"text": "@atlas.dz le service est nul", "username": "sara_k", "timestamp": at}
        graph.mentions["17900000000000950"] = {"id": "17900000000000950", **said}
        graph.mentions["17900000000000061"] = {
            "id": "17900000000000061",
            "caption": "Chez @atlas.dz",
            **said,
            "text": "",
        }
        connector = InstagramConnector(graph.config(account_id=INSTAGRAM))
        raw = await connector.complete(recorded("instagram", "mention_comment"))
        [message] = connector.read(raw)
        assert (message.kind, message.text) == (MessageKind.MENTION, "@atlas.dz le service est nul")
        assert (message.author.external_id, message.author.name) == ("@sara_k", "sara_k")
        assert message.sent_at == datetime(2026, 3, 1, 12, 1, tzinfo=UTC)
        [caption] = connector.read(await connector.complete(recorded("instagram", "mention_caption")))
        assert caption.text == "Chez @atlas.dz"
        for found in (message, caption):
            answer = OutboundMessage("k", found.thread_key, "@sara_k", "Désolés", reply_to=found.external_id)
            assert (await connector.reply(answer)).external_id
        await connector.close()
        assert graph.sent == [
            (
                f"{INSTAGRAM}/mentions",
                {"message": "Désolés", "media_id": "17900000000000060", "comment_id": "17900000000000950"},
            ),
            (f"{INSTAGRAM}/mentions", {"message": "Désolés", "media_id": "17900000000000061"}),
        ]

    async def test_a_mention_that_cannot_be_asked_for_becomes_a_dead_letter(self, graph: GraphServer) -> None:
        connector = InstagramConnector(graph.config(account_id=INSTAGRAM))
        raw = recorded("instagram", "mention_comment")
        with pytest.raises(ConnectorError):
            await connector.complete(raw)
        with pytest.raises(BadPayload, match="look at it on Instagram"):
            connector.read(raw)
        await connector.close()


class TestActing:
    """What is asked of Meta."""

    async def test_comments_are_answered_hidden_and_deleted_and_nothing_odd_is_asked(self, graph: GraphServer) -> None:
        connector = InstagramConnector(graph.config(account_id=INSTAGRAM))
        nested = OutboundMessage("k", COMMENT, CUSTOMER, "Oui", reply_to="17900000000000902")
        assert (await connector.reply(nested)).external_id
        await connector.hide(COMMENT)
        await connector.unhide(COMMENT)
        await connector.delete("17900000000000904")
        for odd in ("mention:1:2", "../me", ""):
            with pytest.raises(Refused):
                await connector.hide(odd)
        await connector.close()
        assert graph.sent == [
            (f"{COMMENT}/replies", {"message": "Oui"}),
            (COMMENT, {"hide": True}),
            (COMMENT, {"hide": False}),
        ]
        assert graph.deleted == ["17900000000000904"]

    async def test_a_private_reply_names_the_comment_and_a_late_answer_is_tagged(self, graph: GraphServer) -> None:
        connector = InstagramConnector(graph.config(account_id=INSTAGRAM, late_answers="human agent"))
        message = OutboundMessage("k", CUSTOMER, CUSTOMER, "Oui", reply_to=COMMENT)
        await connector.private_reply(message)
        heard = datetime.now(UTC) - timedelta(hours=30)
        await connector.direct_message(replace(message, reply_to=None, is_human=True, last_inbound_at=heard))
        await connector.close()
        assert [body["recipient"] for _, body in graph.sent] == [{"comment_id": COMMENT}, {"id": CUSTOMER}]
        assert graph.sent[1][1]["tag"] == "HUMAN_AGENT"

    async def test_a_page_without_an_instagram_account_says_so(self) -> None:
        async with platform(Answer(200, {"id": "1", "name": "Atlas"})) as here:
            connector = InstagramConnector(replace(config(), api_url=here.url))
            with pytest.raises(Refused, match="No Instagram professional account"):
                await connector.who()
            await connector.close()

    async def test_the_page_is_subscribed_so_that_instagrams_own_fields_arrive(self, graph: GraphServer) -> None:
        connector = InstagramConnector(graph.config(account_id=INSTAGRAM))
        await connector.set_webhook("https://crm.example/hooks/k", "")
        await connector.close()
        assert graph.subscribed == ["feed"]


async def test_a_comment_and_a_message_are_two_conversations_each_answered_in_its_way(
    line: Line, graph: GraphServer
) -> None:
    graph.names[CUSTOMER] = {"name": "Nadia B", "username": "nadia.b"}
    async with desk(line) as meta:
        settings = {"app_id": APP_ID, "account_id": INSTAGRAM, "api_url": graph.url}
        channel = await meta.channel("instagram", credentials=CREDENTIALS, settings=settings)
        now = line.now()
        comment, message = recorded("instagram", "comment").payload, recorded("instagram", "message").payload
        comment["time"], message["messaging"]["timestamp"] = int(now.timestamp()), int(now.timestamp() * 1000)
        entries = [
            {"id": INSTAGRAM, "time": comment["time"], "changes": [comment["change"]]},
            {"id": INSTAGRAM, "time": comment["time"], "messaging": [message["messaging"]]},
        ]
        body, headers = graph.call(entries, "instagram")
        assert (await meta.ask("POST", f"/hooks/{channel.key}", data=body, headers=headers)).status == 200
        await ingest(line)
        agent = await meta.sign_in()
        async with line.database.write() as session:
            found = (await session.execute(select(Conversation).order_by(col(Conversation.id)))).scalars().all()
            for number, conversation in enumerate(found):
                await reply(session, line, conversation, "Oui", agent, f"k{number}")
        assert [conversation.kind for conversation in found] == ["comment", "direct_message"]
        assert await deliver(line, channel.id or 0) == 2
        assert sorted(path for path, _ in graph.sent) == [f"{COMMENT}/replies", "me/messages"]
        async with line.database.read() as session:
            sent = (await session.execute(select(Message.delivery).where(col(Message.direction) == "out"))).scalars()
            assert list(sent) == ["sent", "sent"]
