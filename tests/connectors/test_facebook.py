"""A Facebook page: the contract, Meta's documented payloads, polling with paging, and a whole conversation."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from aiohttp import web
from sqlmodel import col, select

from connectors.base import (
    Attachment,
    BadPayload,
    Change,
    ChannelConfig,
    Connector,
    Ignored,
    InboundMessage,
    MessageKind,
    OutboundMessage,
    RawEvent,
    Refused,
    TryLater,
)
from connectors.facebook import FacebookConnector
from socialcrm.domain.rows import Channel, Conversation, Message
from socialcrm.engine.answer import reply
from socialcrm.engine.deliver import deliver
from socialcrm.engine.ingest import ingest
from socialcrm.engine.line import Line
from tests.connectors.meta import MetaContract, recorded
from tests.connectors.polling import PollContract
from tests.servers.graph import APP_ID, CREDENTIALS, FIRST, PAGE, VERIFY, GraphServer, graph_server
from tests.servers.platform import Answer, Call, platform
from tests.web.desk import desk

LONG_AGO = {"since": "2026-01-01T00:00:00+00:00"}


def config(**settings: Any) -> ChannelConfig:
    return ChannelConfig({"account_id": PAGE, "app_id": APP_ID, **settings}, CREDENTIALS)


def read_one(name: str) -> InboundMessage:
    [message] = FacebookConnector(config()).read(recorded("facebook", name))
    return message


class TestFacebook(MetaContract, PollContract):
    """What every connector must do."""

    connector: ClassVar[type[Connector]] = FacebookConnector
    channel: ClassVar[str] = "facebook"
    sends: ClassVar[str] = "private_reply"
    account: ClassVar[str] = PAGE
    sample_names: ClassVar[str] = (
        "comment comment_nested comment_photo comment_video comment_unnamed comment_of_page visitor_post visitor_photo"
    )

    def outbound(self, text: str = "Bonjour") -> OutboundMessage:
        return OutboundMessage(key="key-1", thread_key="55_901", recipient="7001", text=text, reply_to="55_901")

    start: ClassVar[Any] = {"since": "2026-01-01T00:00:00+00:00"}

    def news(self) -> web.Application:
        """A feed of several pages, with a post that has more comments than fit beside it."""
        here = GraphServer()
        posts = [here.post(f"post {number}") for number in range(30)]
        for number in range(60):
            here.comment(posts[0], f"comment {number}")
        return here.app()

    def accepted(self) -> Answer:
        return Answer(200, {"recipient_id": "7001", "message_id": "m_9"})

    def text_of(self, call: Call) -> str:
        assert call.path.endswith("/me/messages")
        assert call.json["recipient"] == {"comment_id": "55_901"}
        text: str = call.json["message"]["text"]
        return text


class TestReading:
    """Meta's documented payloads, in our words."""

    def test_a_comment_is_read_whole(self) -> None:
        message = read_one("comment")
        assert (message.external_id, message.thread_key, message.reply_to) == ("55_901", "55_901", None)
        assert (message.author.external_id, message.author.name, message.author.is_self) == ("7001", "Nadia B", False)
        assert message.text == "Où est ma commande ?"
        assert message.sent_at == datetime.fromtimestamp(1772366460, UTC)
        assert message.kind is MessageKind.COMMENT

    def test_a_nested_comment_stays_in_the_thread_of_the_comment_above_it(self) -> None:
        message = read_one("comment_nested")
        assert (message.external_id, message.thread_key, message.reply_to) == ("55_902", "55_901", "55_901")

    def test_pictures_and_videos_are_attachments(self) -> None:
        assert read_one("comment_photo").attachments == (
            Attachment("image", "https://scontent.xx.fbcdn.net/v/t1/photo.jpg"),
        )
        assert [file.kind for file in read_one("comment_video").attachments] == ["video"]

    def test_somebody_whom_facebook_does_not_name_is_somebody_all_the_same(self) -> None:
        message = read_one("comment_unnamed")
        assert message.author.external_id == "unnamed:55_904"
        assert not message.author.is_self

    def test_edits_and_removals_change_the_comment_with_the_same_id(self) -> None:
        edit, removal = read_one("comment_edited"), read_one("comment_removed")
        assert (edit.change, edit.external_id, edit.text) == (Change.EDIT, "55_901", "Où est ma commande 1234 ?")
        assert edit.sent_at == datetime.fromtimestamp(1772366520, UTC)
        assert (removal.change, removal.external_id) == (Change.DELETE, "55_901")

    def test_what_was_hidden_or_shown_again_on_facebook_is_known(self) -> None:
        hidden, shown = read_one("comment_hidden"), read_one("comment_unhidden")
        assert (hidden.change, hidden.external_id) == (Change.HIDE, "55_901")
        assert (shown.change, shown.external_id) == (Change.UNHIDE, "55_901")

    def test_what_the_page_answered_elsewhere_is_ours(self) -> None:
        message = read_one("comment_of_page")
        assert (message.author.is_self, message.thread_key) == (True, "55_901")

    def test_a_visitors_post_is_its_own_thread(self) -> None:
        message = read_one("visitor_post")
        assert (message.external_id, message.thread_key) == (f"{PAGE}_77", f"{PAGE}_77")
        assert [file.kind for file in read_one("visitor_photo").attachments] == ["image"]

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("comment_of_page_on_post", "own post or comment"),
            ("comment_sticker", "sticker"),
            ("page_post", "own post or comment"),
            ("reaction", "reaction"),
            ("rating", "ratings"),
            ("other_page", "another account of the same app: 200200"),
            ("other_object", "instagram"),
        ],
    )
    def test_what_is_not_for_us_is_ignored_with_a_reason(self, name: str, why: str) -> None:
        with pytest.raises(Ignored, match=why):
            read_one(name)

    def test_a_missing_field_is_named(self) -> None:
        with pytest.raises(BadPayload, match="created_time"):
            read_one("no_time")

    def test_every_change_of_every_entry_is_an_event(self) -> None:
        one = recorded("facebook", "comment").payload
        value = one["change"]
        body = {
            "object": "page",
            "entry": [
                {"id": PAGE, "time": 1, "changes": [value, value], "messaging": [{"sender": {"id": "1"}}]},
                {"id": "200200", "time": 2, "changes": [value]},
                {"id": PAGE, "time": 3},
            ],
        }
        contract = TestFacebook()
        events = FacebookConnector(config()).read_webhook(contract._signed(json.dumps(body).encode()))
        assert len(events) == 5
        reasons: list[str] = []
        for event in events:
            try:
                FacebookConnector(config()).read(event)
            except (Ignored, BadPayload) as error:
                reasons.append(error.reason)
        assert ["Messenger" in reasons[0], "200200" in reasons[1], "neither" in reasons[2]] == [True] * 3


class TestPolling:
    """Old posts are looked at again, page by page."""

    async def test_comments_on_old_posts_and_visitors_posts_are_found_once_oldest_first(self) -> None:
        async with graph_server() as graph:
            old = graph.post("Nouveau magasin")
            for number in range(40):
                graph.post(f"post {number}")
            first = graph.comment(old, "Quelles heures ?")
            visitor = graph.post("Bravo", sender="7005", name="Sara")
            nested = graph.comment(old, "Je veux savoir aussi", sender="7006", parent=first)
            connector = FacebookConnector(graph.config(account_id=PAGE))
            page = await connector.poll(LONG_AGO)
            events = list(page.events)
            assert page.more
            while page.more:
                page = await connector.poll(page.cursor)
                events += page.events
            seen = [m.external_id for event in events for m in _read(connector, event)]
            assert seen == [visitor, first, nested]
            [message] = _read(connector, events[-1])
            assert message.thread_key == first
            assert message.post
            assert (message.post.external_id, message.post.text, message.post.is_self) == (old, "Nouveau magasin", True)
            again = await connector.poll(page.cursor)
            assert again.events == ()
            later = graph.comment(old, "Toujours fermé ?")
            found: list[str | None] = []
            page = again
            while True:
                page = await connector.poll(page.cursor)
                found += [event.external_id for event in page.events]
                if not page.more:
                    break
            assert found == [later]
            await connector.close()

    async def test_more_comments_than_fit_beside_their_post_are_all_found(self) -> None:
        async with graph_server() as graph:
            post = graph.post("Concours")
            made = [graph.comment(post, f"moi {number}", sender=str(number)) for number in range(270)]
            connector = FacebookConnector(graph.config(account_id=PAGE))
            page = await connector.poll(LONG_AGO)
            found = [event.external_id for event in page.events if event.external_id != post]
            assert found == made
            assert len([path for path in graph.asked if path.endswith("/comments")]) == 3
            await connector.close()

    async def test_a_limit_in_the_middle_of_paging_keeps_the_cursor_and_loses_nothing(self) -> None:
        async with graph_server() as graph:
            post = graph.post("Concours")
            made = [graph.comment(post, f"moi {number}") for number in range(120)]
            graph.refusals["comments"] = (400, {"message": "(#32) Page request limit reached", "code": 32})
            graph.headers = {"X-App-Usage": '{"call_count":10,"total_time":5,"total_cputime":7}'}
            connector = FacebookConnector(graph.config(account_id=PAGE))
            with pytest.raises(TryLater, match="limit reached"):
                await connector.poll(LONG_AGO)
            graph.refusals.clear()
            page = await connector.poll(LONG_AGO)
            assert [event.external_id for event in page.events][-120:] == made
            await connector.close()

    async def test_reading_leaves_the_last_tenth_of_the_limit_to_answers(self) -> None:
        async with graph_server() as graph:
            graph.post("Bonjour")
            graph.headers = {"X-App-Usage": '{"call_count":91,"total_time":5,"total_cputime":7}'}
            connector = FacebookConnector(graph.config(account_id=PAGE))
            await connector.poll(LONG_AGO)
            asked = len(graph.asked)
            with pytest.raises(TryLater, match="nearly used up") as refused:
                await connector.poll(LONG_AGO)
            assert 200 < (refused.value.retry_after or 0) <= 300
            assert len(graph.asked) == asked, "nothing was asked"
            await connector.reply(TestFacebook().outbound())
            graph.headers = {
                "X-Business-Use-Case-Usage": json.dumps(
                    {"1": [{"estimated_time_to_regain_access": 5, "call_count": 1}]}
                )
            }
            await connector.reply(TestFacebook().outbound())
            with pytest.raises(TryLater):
                await connector.reply(TestFacebook().outbound())
            await connector.close()

    async def test_reading_back_gives_everything_since_a_time(self) -> None:
        async with graph_server() as graph:
            posts = [graph.post(f"Visite {number}", sender="7005") for number in range(60)]
            connector = FacebookConnector(graph.config(account_id=PAGE))
            since = datetime.fromtimestamp(FIRST, UTC) + timedelta(minutes=10, seconds=30)
            found = [event.external_id async for page in connector.backfill(since) for event in page.events]
            assert sorted(str(each) for each in found) == sorted(posts[10:])
            await connector.close()


class TestActing:
    """What is asked of Meta."""

    async def test_a_comment_is_answered_hidden_liked_and_deleted(self) -> None:
        async with graph_server() as graph:
            connector = FacebookConnector(graph.config(account_id=PAGE))
            sent = await connector.reply(TestFacebook().outbound("Bonjour Nadia"))
            await connector.hide("55_901")
            await connector.unhide("55_901")
            await connector.like("55_901")
            await connector.unlike("55_901")
            await connector.delete("55_905")
            await connector.close()
        assert sent.external_id
        assert graph.sent == [
            ("55_901/comments", {"message": "Bonjour Nadia"}),
            ("55_901", {"is_hidden": True}),
            ("55_901", {"is_hidden": False}),
            ("55_901/likes", {}),
        ]
        assert graph.deleted == ["55_901/likes", "55_905"]

    async def test_a_private_reply_names_the_comment_or_the_visitors_post(self) -> None:
        async with graph_server() as graph:
            connector = FacebookConnector(graph.config(account_id=PAGE))
            await connector.private_reply(replace(TestFacebook().outbound(), reply_to=f"{PAGE}_77"))
            await connector.private_reply(TestFacebook().outbound())
            with pytest.raises(Refused, match="needs the comment"):
                await connector.private_reply(replace(TestFacebook().outbound(), reply_to=None))
            await connector.close()
        assert [body["recipient"] for _, body in graph.sent] == [{"post_id": f"{PAGE}_77"}, {"comment_id": "55_901"}]

    async def test_an_odd_number_asks_nothing_of_meta(self) -> None:
        async with platform(Answer(200, {})) as here:
            connector = FacebookConnector(replace(config(), api_url=here.url))
            for odd in ("../me", "unnamed:1", "", "1?x=1"):
                with pytest.raises(Refused):
                    await connector.hide(odd)
            await connector.close()
        assert here.calls == []

    async def test_each_call_carries_the_token_in_a_header_and_its_proof(self) -> None:
        async with platform(Answer(200, {"id": "1"})) as here:
            connector = FacebookConnector(replace(config(version="v24.0"), api_url=here.url))
            await connector.reply(TestFacebook().outbound())
            await connector.close()
            with pytest.raises(Refused, match="of the form"):
                await FacebookConnector(replace(config(version="25"), api_url=here.url)).hide("1")
        [call] = here.calls
        assert call.path == "/v24.0/55_901/comments"
        assert call.headers["authorization"] == f"Bearer {CREDENTIALS['access_token']}"
        assert "access_token" not in call.fields
        assert len(call.fields["appsecret_proof"]) == 64

    async def test_the_page_is_subscribed_without_losing_what_another_channel_subscribed(self) -> None:
        async with graph_server() as graph:
            graph.subscribed = ["messages"]
            connector = FacebookConnector(graph.config(account_id=PAGE))
            await connector.set_webhook("https://crm.example/hooks/k", "")
            assert graph.subscribed == ["feed", "messages"]
            await connector.set_webhook(None, "")
            assert graph.subscribed == ["messages"]
            graph.subscribed = ["feed"]
            await connector.set_webhook(None, "")
            assert graph.subscribed == []
            await connector.close()

    async def test_files_are_fetched_from_meta_and_from_nobody_else(self) -> None:
        async with graph_server() as graph:
            graph.media["9"] = b"\xff\xd8\xff"
            connector = FacebookConnector(graph.config(account_id=PAGE))
            assert await connector.fetch(Attachment("image", f"{graph.url}/v25.0/file/9")) == b"\xff\xd8\xff"
            for url in (
                "http://127.0.0.1:1/x",
                "https://fbcdn.net.example/x",
                "http://x.fbcdn.net/x",
                "file:///etc",
                "x",
            ):
                with pytest.raises(Refused, match="not on a server of Meta"):
                    await connector.fetch(Attachment("image", url))
            await connector.close()


async def test_a_comment_is_called_in_answered_and_its_echo_is_no_second_answer(line: Line) -> None:
    async with graph_server() as graph, desk(line) as meta:
        channel = await meta.channel(
            "facebook",
            credentials=CREDENTIALS,
            settings={"app_id": APP_ID, "account_id": PAGE, "api_url": graph.url},
        )
        hook = f"/hooks/{channel.key}"
        asked = {"hub.mode": "subscribe", "hub.challenge": "4711", "hub.verify_token": VERIFY}
        answer = await meta.ask("GET", hook, params=asked)
        assert (answer.status, await answer.text()) == (200, "4711")
        answer = await meta.ask("GET", hook, params={**asked, "hub.verify_token": "guess"})
        assert answer.status == 403

        comment = graph.comment(graph.post("Soldes"), "Où est ma commande ?")
        body, headers = graph.call([graph.comment_entry(comment)])
        for _ in range(2):  # Meta calls again where it is not sure
            assert (await meta.ask("POST", hook, data=body, headers=headers)).status == 200
        await ingest(line)
        agent = await meta.sign_in()
        async with line.database.write() as session:
            conversation = (await session.execute(select(Conversation))).scalar_one()
            await reply(session, line, conversation, "Bonjour, elle part demain.", agent, "k1")
        assert await deliver(line, channel.id or 0) == 1
        assert graph.sent == [(f"{comment}/comments", {"message": "Bonjour, elle part demain."})]

        async with line.database.read() as session:
            ours = (await session.execute(select(Message).where(col(Message.direction) == "out"))).scalar_one()
        echo = graph.comment_entry(comment)
        value = echo["changes"][0]["value"]
        value |= {"comment_id": ours.external_id, "parent_id": comment, "from": {"id": PAGE, "name": "Atlas"}}
        removal = graph.comment_entry(comment, "remove")
        body, headers = graph.call([echo, removal])
        assert (await meta.ask("POST", hook, data=body, headers=headers)).status == 200
        await ingest(line)
        async with line.database.read() as session:
            messages = (await session.execute(select(Message).order_by(col(Message.id)))).scalars().all()
        assert [(m.direction, m.delivery) for m in messages] == [("in", "none"), ("out", "sent")]
        assert messages[0].deleted_at is not None


async def test_a_page_is_connected_from_the_channels_page_subscribed_and_not_connected_twice(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with graph_server() as graph, desk(line) as admin:
        monkeypatch.setattr("connectors.meta_graph.GRAPH", graph.url)
        await admin.sign_in()
        form = {"app_id": APP_ID, "app_secret": CREDENTIALS["app_secret"], "access_token": CREDENTIALS["access_token"]}
        status, text = await admin.post("/channels/new/facebook", form)
        assert (status, "pages_manage_engagement" in text) == (400, True)
        graph.scopes = list(FacebookConnector.permissions)
        status, text = await admin.post("/channels/new/facebook", {**form, "version": "v25.0"})
        assert (status, "Webhook address" in text, "Verify token" in text) == (200, True, True)
        assert CREDENTIALS["app_secret"] not in text
        assert graph.subscribed == ["feed"]
        async with line.database.read() as session:
            channel = (await session.execute(select(Channel))).scalar_one()
        assert (channel.name, channel.error) == ("Atlas", "")
        token = line.vault.decrypt(channel.credentials)["verify_token"]
        asked = {"hub.mode": "subscribe", "hub.challenge": "4711", "hub.verify_token": token}
        answer = await admin.ask("GET", f"/hooks/{channel.key}", params=asked)
        assert (answer.status, await answer.text()) == (200, "4711")
        status, text = await admin.post("/channels/new/facebook", form)
        assert (status, "connected already" in text) == (400, True)
        await admin.post(f"/channels/{channel.id}/disconnect")
        assert graph.subscribed == []


def _read(connector: FacebookConnector, event: RawEvent) -> list[InboundMessage]:
    try:
        return connector.read(event)
    except Ignored:
        return []
