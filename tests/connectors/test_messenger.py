"""Messenger: the contract, Meta's documented payloads, the 24-hour window, and a whole conversation."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from sqlmodel import col, select

from connectors.base import (
    Attachment,
    BadPayload,
    Button,
    Change,
    ChannelConfig,
    Connector,
    Ignored,
    InboundMessage,
    OutboundMessage,
    RawEvent,
    Refused,
)
from connectors.messenger import MessengerConnector
from socialcrm.domain.rows import Contact, Conversation, Message, RawEventRow
from socialcrm.engine.answer import CannotAnswer, reply
from socialcrm.engine.deliver import deliver
from socialcrm.engine.ingest import ingest
from socialcrm.engine.line import Line
from tests.connectors.meta import MetaContract, recorded
from tests.servers.graph import APP_ID, CREDENTIALS, PAGE, GraphServer, graph_server
from tests.servers.platform import Answer, Call
from tests.web.desk import desk

CUSTOMER = "7001000000000001"


def config(**settings: Any) -> ChannelConfig:
    return ChannelConfig({"account_id": PAGE, "app_id": APP_ID, **settings}, CREDENTIALS)


def read_one(name: str) -> InboundMessage:
    [message] = MessengerConnector(config()).read(recorded("messenger", name))
    return message


class TestMessenger(MetaContract):
    """What every connector must do."""

    connector: ClassVar[type[Connector]] = MessengerConnector
    channel: ClassVar[str] = "messenger"
    account: ClassVar[str] = PAGE
    sample_names: ClassVar[str] = (
        "text reply image files location fallback quick_reply quick_reply_of_others postback postback_ours"
        " echo_elsewhere"
    )

    def accepted(self) -> Answer:
        return Answer(200, {"recipient_id": "42", "message_id": "m_9"})

    def text_of(self, call: Call) -> str:
        assert call.path.endswith("/me/messages")
        assert call.json["recipient"] == {"id": "42"}
        text: str = call.json["message"]["text"]
        return text


class TestReading:
    """Meta's documented payloads, in our words."""

    def test_a_text_is_read_whole(self) -> None:
        message = read_one("text")
        assert (message.external_id, message.thread_key) == ("m_text", CUSTOMER)
        assert (message.author.external_id, message.author.is_self) == (CUSTOMER, False)
        assert message.text == "Salam, ma connexion est coupée 😕"
        assert message.sent_at == datetime.fromtimestamp(1772366460.123, UTC)
        assert read_one("reply").reply_to == "m_earlier"

    def test_files_are_attachments_and_places_and_links_are_text(self) -> None:
        assert read_one("image").attachments == (Attachment("image", "https://scontent.xx.fbcdn.net/v/t1/a.jpg"),)
        assert [file.kind for file in read_one("files").attachments] == ["document", "audio"]
        assert read_one("location").text == "📍 36.75, 3.04"
        assert read_one("fallback").text == "regardez\n🔗 Votre offre https://www.example.com/offre"

    def test_our_buttons_bring_their_value_and_others_what_stands_on_them(self) -> None:
        assert (read_one("quick_reply").button, read_one("quick_reply").text) == ("csat:t:5", "")
        assert read_one("postback_ours").button == "csat:t:4"
        others = read_one("quick_reply_of_others")
        assert (others.button, others.text) == (None, "Nos horaires")
        assert (read_one("postback").button, read_one("postback").text) == (None, "Démarrer")

    def test_an_edit_changes_the_message_with_the_same_id(self) -> None:
        edit = read_one("edited")
        assert (edit.change, edit.external_id, edit.text) == (Change.EDIT, "m_text", "Salam, ma connexion est revenue")

    def test_what_was_answered_in_metas_own_inbox_is_ours_in_the_same_thread(self) -> None:
        echo = read_one("echo_elsewhere")
        assert (echo.author.is_self, echo.thread_key, echo.text) == (True, CUSTOMER, "Bonjour, je regarde.")

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("echo_ours", "Our own answer"),
            ("read", "read our messages"),
            ("delivery", "delivered"),
            ("reaction", "reaction"),
            ("unsupported", "does not show"),
            ("standby", "Another app"),
            ("other_page", "another account of the same app: 200200"),
        ],
    )
    def test_what_is_no_message_is_ignored_with_a_reason(self, name: str, why: str) -> None:
        with pytest.raises(Ignored, match=why):
            read_one(name)

    def test_a_missing_field_is_named(self) -> None:
        with pytest.raises(BadPayload, match=r"message\.mid"):
            read_one("no_mid")


@pytest.fixture
async def graph() -> AsyncIterator[GraphServer]:
    async with graph_server() as started:
        yield started


class TestActing:
    """What is asked of Meta."""

    def message(self, **more: Any) -> OutboundMessage:
        return replace(OutboundMessage("agent:k1", CUSTOMER, CUSTOMER, "Bonjour"), **more)

    async def test_a_text_goes_out_marked_as_ours_with_quick_replies(self, graph: GraphServer) -> None:
        connector = MessengerConnector(graph.config(account_id=PAGE))
        buttons = (Button("Oui", "case:1:yes"), Button("Non, toujours le même problème", "case:1:no"))
        sent = await connector.direct_message(self.message(buttons=buttons))
        await connector.close()
        [(path, body)] = graph.sent
        assert (path, sent.external_id) == ("me/messages", "m_1")
        assert body["messaging_type"] == "RESPONSE"
        assert body["message"]["metadata"] == "socialcrm:agent:k1"
        assert body["message"]["quick_replies"] == [
            {"content_type": "text", "title": "Oui", "payload": "socialcrm:case:1:yes"},
            {"content_type": "text", "title": "Non, toujours le mê…", "payload": "socialcrm:case:1:no"},
        ]

    async def test_dots_and_seen_marks_are_shown(self, graph: GraphServer) -> None:
        connector = MessengerConnector(graph.config(account_id=PAGE))
        await connector.typing(CUSTOMER)
        await connector.mark_read(CUSTOMER)
        await connector.close()
        assert [body["sender_action"] for _, body in graph.sent] == ["typing_on", "mark_seen"]

    @pytest.mark.parametrize(
        ("hours", "is_human", "late", "outcome"),
        [
            (23, False, "refuse", "RESPONSE"),
            (25, True, "refuse", "in the 24 hours"),
            (25, True, "human agent", "MESSAGE_TAG"),
            (25, False, "human agent", "not automatic"),
            (24 * 7 + 1, True, "human agent", "seven days"),
        ],
    )
    async def test_the_window_is_kept_before_anything_is_sent(
        self, graph: GraphServer, hours: int, is_human: bool, late: str, outcome: str
    ) -> None:
        connector = MessengerConnector(graph.config(account_id=PAGE, late_answers=late))
        heard = datetime.now(UTC) - timedelta(hours=hours)
        message = self.message(last_inbound_at=heard, is_human=is_human)
        if outcome.isupper():
            await connector.direct_message(message)
            assert graph.sent[0][1]["messaging_type"] == outcome
            assert graph.sent[0][1].get("tag") == ("HUMAN_AGENT" if outcome == "MESSAGE_TAG" else None)
        else:
            with pytest.raises(Refused, match=outcome):
                await connector.direct_message(message)
            assert graph.sent == []
        await connector.close()

    async def test_a_name_is_asked_for_once(self, graph: GraphServer) -> None:
        graph.names[CUSTOMER] = {"name": "Nadia B"}
        connector = MessengerConnector(graph.config(account_id=PAGE))
        for name in ("text", "image"):
            [message] = connector.read(await connector.complete(recorded("messenger", name)))
            assert message.author.name == "Nadia B"
        assert graph.asked == [CUSTOMER]
        for name in ("echo_elsewhere", "read", "other_page"):
            raw = recorded("messenger", name)
            assert await connector.complete(raw) == raw
        assert await connector.complete(RawEvent(7)) == RawEvent(7)
        assert graph.asked == [CUSTOMER]
        await connector.close()


async def test_a_conversation_from_call_to_answer_with_its_name_and_its_window(line: Line, graph: GraphServer) -> None:
    graph.names[CUSTOMER] = {"name": "Nadia B"}
    async with desk(line) as meta:
        settings = {"app_id": APP_ID, "account_id": PAGE, "api_url": graph.url}
        channel = await meta.channel("messenger", credentials=CREDENTIALS, settings=settings)
        hook = f"/hooks/{channel.key}"
        now = int(line.now().timestamp() * 1000)

        async def call(**message: Any) -> None:
            sender, recipient = (PAGE, CUSTOMER) if message.get("is_echo") else (CUSTOMER, PAGE)
            one = {"sender": {"id": sender}, "recipient": {"id": recipient}, "timestamp": now, "message": message}
            body, headers = graph.call([{"id": PAGE, "time": now, "messaging": [one]}])
            assert (await meta.ask("POST", hook, data=body, headers=headers)).status == 200
            await ingest(line)

        await call(mid="m_in", text="Salam")
        agent = await meta.sign_in()
        async with line.database.write() as session:
            contact = (await session.execute(select(Contact))).scalar_one()
            conversation = (await session.execute(select(Conversation))).scalar_one()
            await reply(session, line, conversation, "Salam Nadia", agent, "k1")
        assert contact.name == "Nadia B"
        assert await deliver(line, channel.id or 0) == 1
        mark = graph.sent[0][1]["message"]["metadata"]
        await call(mid="m_1", is_echo=True, app_id=int(APP_ID), metadata=mark, text="Salam Nadia")
        async with line.database.read() as session:
            messages = (await session.execute(select(Message).order_by(col(Message.id)))).scalars().all()
            fates = (await session.execute(select(RawEventRow.fate).order_by(col(RawEventRow.id)))).scalars().all()
        assert [(m.direction, m.text, m.delivery) for m in messages] == [
            ("in", "Salam", "none"),
            ("out", "Salam Nadia", "sent"),
        ]
        assert fates == ["stored", "ignored"]

        async with line.database.write() as session:
            conversation = await session.get_one(Conversation, conversation.id)
            await reply(session, line, conversation, "Toujours là ?", agent, "k2")
            kept = await session.get_one(Message, messages[0].id)
            kept.sent_at = datetime.now(UTC) - timedelta(hours=30)
            with pytest.raises(CannotAnswer, match="until the customer writes again"):
                await reply(session, line, conversation, "Et maintenant ?", agent, "k3")
        await deliver(line, channel.id or 0)
        async with line.database.read() as session:
            last = (await session.execute(select(Message).order_by(col(Message.id).desc()).limit(1))).scalar_one()
        assert (last.delivery, "24 hours" in last.delivery_error) == ("failed", True)
        assert len(graph.sent) == 1


async def test_a_name_that_meta_does_not_tell_keeps_no_message_back(line: Line, graph: GraphServer) -> None:
    graph.refusals[CUSTOMER] = (500, {"code": 2, "message": "Service temporarily unavailable"})
    async with desk(line) as meta:
        settings = {"app_id": APP_ID, "account_id": PAGE, "api_url": graph.url}
        channel = await meta.channel("messenger", credentials=CREDENTIALS, settings=settings)
        one = {"sender": {"id": CUSTOMER}, "recipient": {"id": PAGE}, "timestamp": 1772366460123}
        entry = {"id": PAGE, "time": 1772366460123, "messaging": [{**one, "message": {"mid": "m_1", "text": "Salam"}}]}
        body, headers = graph.call([entry])
        assert (await meta.ask("POST", f"/hooks/{channel.key}", data=body, headers=headers)).status == 200
        await ingest(line)
        async with line.database.read() as session:
            assert (await session.execute(select(Message.text))).scalars().all() == ["Salam"]
            assert (await session.execute(select(Contact.name))).scalars().all() == [CUSTOMER]


async def test_one_address_serves_all_channels_of_an_app_and_each_keeps_its_own(line: Line, graph: GraphServer) -> None:
    async with desk(line) as meta:
        settings = {"app_id": APP_ID, "api_url": graph.url}
        page = await meta.channel("facebook", credentials=CREDENTIALS, settings={**settings, "account_id": PAGE})
        inbox = await meta.channel("messenger", credentials=CREDENTIALS, settings={**settings, "account_id": PAGE})
        second = await meta.channel("messenger", credentials=CREDENTIALS, settings={**settings, "account_id": "200200"})
        other_app = {**CREDENTIALS, "app_secret": "of-another-app"}
        await meta.channel("messenger", credentials=other_app, settings={**settings, "account_id": PAGE})
        await meta.channel("api")
        names = ("text", "other_page", "no_mid", "read")
        comment = graph.comment(graph.post("Soldes"), "Combien ?")
        entries: list[Any] = [graph.comment_entry(comment), 7]
        for name in names:
            payload = recorded("messenger", name).payload
            entries.append({"id": payload["id"], "time": payload["time"], "messaging": [payload["messaging"]]})
        entries.append({**graph.comment_entry(comment), "id": "300300"})
        body, headers = graph.call(entries)
        assert (await meta.ask("POST", f"/hooks/{page.key}", data=body, headers=headers)).status == 200
        while await ingest(line):
            pass
        async with line.database.read() as session:
            rows = (await session.execute(select(RawEventRow).order_by(col(RawEventRow.id)))).scalars().all()
        fates = {each.id: [row.fate for row in rows if row.channel_id == each.id] for each in (page, inbox, second)}
        assert fates[page.id] == ["stored", "dead", "ignored", "ignored", "ignored", "ignored", "ignored"]
        assert fates[inbox.id] == ["stored", "dead"]
        assert fates[second.id] == ["stored"]
        assert len(rows) == 10
        assert "300300" in rows[6].reason
