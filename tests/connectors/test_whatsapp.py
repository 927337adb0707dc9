"""WhatsApp Cloud: the contract, Meta's documented payloads, batches, templates, and deliveries that fail later."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from sqlmodel import col, select

from connectors.base import (
    Attachment,
    AuthExpired,
    BadPayload,
    Button,
    Change,
    ChannelConfig,
    Connector,
    Ignored,
    InboundMessage,
    MaybeSent,
    OutboundMessage,
    RawEvent,
    Refused,
    TryLater,
)
from connectors.whatsapp import WhatsAppConnector
from socialcrm.domain.rows import Contact, Conversation, Message, OutboxItem
from socialcrm.engine.answer import reply
from socialcrm.engine.deliver import deliver
from socialcrm.engine.ingest import ingest
from socialcrm.engine.line import Line
from tests.connectors.meta import RECORDINGS, MetaContract, error, recorded
from tests.connectors.sending import Failure
from tests.servers.graph import APP_ID, CREDENTIALS, PHONE, VERIFY, WABA, GraphServer, graph_server
from tests.servers.platform import Answer, Call
from tests.web.desk import desk

CUSTOMER = "213550000001"
SETTINGS = {"app_id": APP_ID, "phone_number_id": PHONE, "business_account_id": WABA}


def read_one(name: str) -> InboundMessage:
    [message] = WhatsAppConnector(ChannelConfig(SETTINGS, CREDENTIALS)).read(recorded("whatsapp", name))
    return message


class TestWhatsApp(MetaContract):
    """What every connector must do."""

    connector: ClassVar[type[Connector]] = WhatsAppConnector
    channel: ClassVar[str] = "whatsapp"
    account: ClassVar[str] = PHONE
    sample_names: ClassVar[str] = (
        "text reply image voice video document sticker location pin contacts button_reply list_reply"
        " list_reply_of_others template_button hidden_number echo_of_phone"
    )
    failures: ClassVar[tuple[Failure, ...]] = (
        *MetaContract.failures,
        Failure(error(400, 131047, "Re-engagement message"), Refused, says="Too long after"),
        Failure(error(400, 131026, "Message undeliverable"), Refused, says="undeliverable"),
        Failure(error(400, 132001, "Template does not exist"), Refused, says="Template"),
        Failure(
            error(400, 100, "Invalid parameter", error_data={"details": "The body is too long."}),
            Refused,
            says="The body is too long.",
        ),
        Failure(error(429, 130429, "Rate limit hit"), TryLater, retry_after=60.0),
        Failure(error(400, 131056, "Pair rate limit hit"), TryLater),
        Failure(error(500, 131000, "Something went wrong"), MaybeSent),
        Failure(error(401, 0, "AuthException"), AuthExpired, says="AuthException"),
    )

    def config(self) -> ChannelConfig:
        return ChannelConfig(SETTINGS, CREDENTIALS)

    def accepted(self) -> Answer:
        contacts = [{"input": "42", "wa_id": "42"}]
        return Answer(200, {"messaging_product": "whatsapp", "contacts": contacts, "messages": [{"id": "wamid.9"}]})

    def text_of(self, call: Call) -> str:
        assert call.path.endswith(f"/{PHONE}/messages")
        assert (call.json["to"], call.json["type"]) == ("42", "text")
        text: str = call.json["text"]["body"]
        return text


class TestReading:
    """Meta's documented payloads, in our words."""

    def test_a_text_is_read_whole(self) -> None:
        message = read_one("text")
        assert (message.external_id, message.thread_key) == ("wamid.text", CUSTOMER)
        assert (message.author.external_id, message.author.name) == (CUSTOMER, "Nadia B")
        assert message.text == "Salam, ma commande n'est pas arrivée"
        assert message.sent_at == datetime.fromtimestamp(1772366460, UTC)
        assert read_one("reply").reply_to == "wamid.earlier"

    @pytest.mark.parametrize(
        ("name", "kind", "file_name", "content_type"),
        [
            ("image", "image", "", "image/jpeg"),
            ("voice", "audio", "", "audio/ogg"),
            ("video", "video", "", "video/mp4"),
            ("document", "document", "facture.pdf", "application/pdf"),
            ("sticker", "image", "", "image/webp"),
        ],
    )
    def test_a_file_is_one_attachment(self, name: str, kind: str, file_name: str, content_type: str) -> None:
        [file] = read_one(name).attachments
        assert (file.kind, file.name, file.content_type) == (kind, file_name, content_type)
        assert file.external_id.isdigit()

    def test_captions_places_and_people_are_text(self) -> None:
        assert read_one("image").text == "Le colis est abîmé"
        assert read_one("location").text == "📍 Grande Poste, Alger (36.7528, 3.042)"
        assert read_one("pin").text == "📍 36.7528, 3.042"
        assert read_one("contacts").text == "👤 Karim, +213 550 00 00 02"

    def test_our_choices_bring_their_value_and_others_what_stands_on_them(self) -> None:
        assert read_one("button_reply").button == "case:1:yes"
        assert (read_one("list_reply").button, read_one("list_reply").reply_to) == ("nps:t:9", "wamid.ours")
        assert (read_one("list_reply_of_others").button, read_one("list_reply_of_others").text) == (
            None,
            "Nos horaires",
        )
        assert read_one("template_button").text == "Oui, rappelez-moi"

    def test_somebody_who_hides_the_number_is_known_by_the_id_that_whatsapp_gives(self) -> None:
        message = read_one("hidden_number")
        assert (message.thread_key, message.author.handle) == ("DZ.13491208655302741918", "nadia.b")

    def test_what_was_answered_with_the_phone_is_ours(self) -> None:
        echo = read_one("echo_of_phone")
        assert (echo.author.is_self, echo.thread_key, echo.text) == (True, CUSTOMER, "Je vous rappelle")

    def test_a_delivery_that_fails_later_changes_our_message_with_whatsapps_words(self) -> None:
        failed = read_one("failed")
        assert (failed.change, failed.external_id) == (Change.FAILED, "wamid.ours")
        assert failed.text.startswith("(#131047) Message failed to send because more than 24 hours")

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("sent", "sent"),
            ("delivered", "delivered"),
            ("read", "read"),
            ("errors", r"\(#130429\) Too many messages"),
            ("reaction", "'reaction'"),
            ("unsupported", "currently not supported"),
            ("system", "'system'"),
            ("group", "group"),
            ("template_status", "message_template_status_update"),
            ("other_number", "another account of the same app: 999"),
        ],
    )
    def test_what_is_no_message_is_ignored_with_a_reason(self, name: str, why: str) -> None:
        with pytest.raises(Ignored, match=why):
            read_one(name)

    def test_every_message_and_status_of_every_change_of_every_entry_is_an_event(self) -> None:
        def change(name: str) -> Any:
            return json.loads((RECORDINGS / "whatsapp" / f"{name}.json").read_text())["entry"][0]["changes"][0]

        first, second, third = change("text"), change("image"), change("failed")
        karim = {
            "from": "213550000002",
            "id": "wamid.k",
            "timestamp": "1772366461",
            "type": "text",
            "text": {"body": "Allô"},
        }
        first["value"]["messages"] += [karim, 7]
        first["value"]["contacts"].append({"profile": {"name": "Karim"}, "wa_id": "213550000002"})
        first["value"]["statuses"] = change("delivered")["value"]["statuses"]
        body = {
            "object": "whatsapp_business_account",
            "entry": [{"id": WABA, "changes": [first, second]}, {"id": WABA, "changes": [third]}],
        }
        connector = WhatsAppConnector(ChannelConfig(SETTINGS, CREDENTIALS))
        events = connector.read_webhook(TestWhatsApp()._signed(json.dumps(body).encode()))
        seen: list[str] = []
        for event in events:
            try:
                [message] = connector.read(event)
                seen.append(f"{message.author.name}:{message.external_id}")
            except (Ignored, BadPayload) as refusal:
                seen.append(type(refusal).__name__)
        assert seen == [
            "Nadia B:wamid.text",
            "Karim:wamid.k",
            "BadPayload",
            "Ignored",
            "Nadia B:wamid.image",
            ":wamid.ours",
        ]


@pytest.fixture
async def graph() -> AsyncIterator[GraphServer]:
    async with graph_server() as started:
        yield started


class TestActing:
    """What is asked of Meta."""

    def message(self, **more: Any) -> OutboundMessage:
        return replace(OutboundMessage("k1", CUSTOMER, CUSTOMER, "Votre problème est-il réglé ?"), **more)

    async def sent(self, graph: GraphServer, message: OutboundMessage, **settings: str) -> dict[str, Any]:
        connector = WhatsAppConnector(graph.config(**{**SETTINGS, **settings}))
        try:
            assert (await connector.direct_message(message)).external_id
        finally:
            await connector.close()
        path, body = graph.sent[-1]
        assert (path, body["messaging_product"]) == (f"{PHONE}/messages", "whatsapp")
        return body

    async def test_three_short_choices_are_buttons_and_more_or_longer_ones_a_list(self, graph: GraphServer) -> None:
        body = await self.sent(graph, self.message(buttons=(Button("Oui", "case:1:yes"), Button("Non", "case:1:no"))))
        assert body["interactive"]["action"]["buttons"][1] == {
            "type": "reply",
            "reply": {"id": "socialcrm:case:1:no", "title": "Non"},
        }
        many = tuple(Button(str(number), f"nps:t:{number}") for number in range(10))
        body = await self.sent(graph, self.message(buttons=many))
        rows = body["interactive"]["action"]["sections"][0]["rows"]
        assert [row["title"] for row in rows] == [str(number) for number in range(10)]
        long = "Non, toujours le même problème"
        body = await self.sent(graph, self.message(buttons=(Button(long, "case:1:no"),)))
        [row] = body["interactive"]["action"]["sections"][0]["rows"]
        assert row == {"id": "socialcrm:case:1:no", "title": "Non, toujours le même p…", "description": long}

    async def test_choices_have_limits_of_their_own_that_are_known_before_sending(self, graph: GraphServer) -> None:
        with pytest.raises(Refused, match="1,024"):
            await self.sent(graph, self.message(text="é" * 1025, buttons=(Button("Oui", "y"),)))
        with pytest.raises(Refused, match="10 choices"):
            await self.sent(graph, self.message(buttons=tuple(Button(str(n), str(n)) for n in range(11))))
        assert graph.sent == []

    async def test_after_24_hours_the_text_goes_out_in_the_template_or_not_at_all(self, graph: GraphServer) -> None:
        now = datetime.now(UTC)
        late = self.message(text="Bonjour,\n\nc'est   réglé.", last_inbound_at=now - timedelta(hours=25))
        body = await self.sent(graph, late, template="suite", template_language="ar")
        assert body["template"] == {
            "name": "suite",
            "language": {"code": "ar"},
            "components": [{"type": "body", "parameters": [{"type": "text", "text": "Bonjour, c'est réglé."}]}],
        }
        body = await self.sent(graph, replace(late, last_inbound_at=now - timedelta(hours=23)), template="suite")
        assert body["text"]["body"] == "Bonjour,\n\nc'est   réglé."
        count = len(graph.sent)
        with pytest.raises(Refused, match="has no template"):
            await self.sent(graph, late)
        with pytest.raises(Refused, match="no buttons"):
            await self.sent(graph, replace(late, buttons=(Button("Oui", "y"),)), template="suite")
        assert len(graph.sent) == count

    async def test_a_hidden_number_is_answered_by_its_id_and_a_message_is_quoted(self, graph: GraphServer) -> None:
        body = await self.sent(graph, self.message(recipient="DZ.1349", reply_to="wamid.text"))
        assert (body["recipient"], "to" in body) == ("DZ.1349", False)
        assert body["context"] == {"message_id": "wamid.text"}

    async def test_the_number_gets_an_address_of_its_own(self, graph: GraphServer) -> None:
        connector = WhatsAppConnector(graph.config(**SETTINGS))
        await connector.set_webhook("https://crm.example/hooks/k", "")
        await connector.set_webhook(None, "")
        await connector.close()
        assert f"{WABA}/subscribed_apps" in graph.asked
        assert graph.sent == [
            (
                PHONE,
                {
                    "webhook_configuration": {
                        "override_callback_uri": "https://crm.example/hooks/k",
                        "verify_token": VERIFY,
                    }
                },
            ),
            (PHONE, {"webhook_configuration": {"override_callback_uri": ""}}),
        ]

    async def test_a_file_is_fetched_in_two_steps(self, graph: GraphServer) -> None:
        graph.media["1003383421387256"] = b"\xff\xd8\xff\xe0"
        connector = WhatsAppConnector(graph.config(**SETTINGS))
        assert await connector.fetch(Attachment("image", "1003383421387256")) == b"\xff\xd8\xff\xe0"
        for gone in ("77", "../me"):
            with pytest.raises(Refused):
                await connector.fetch(Attachment("image", gone))
        await connector.close()


async def test_a_message_that_fails_after_it_was_taken_is_shown_as_failed(line: Line, graph: GraphServer) -> None:
    async with desk(line) as meta:
        channel = await meta.channel("whatsapp", credentials=CREDENTIALS, settings={**SETTINGS, "api_url": graph.url})

        async def call(raw: RawEvent) -> None:
            entry = {"id": WABA, "changes": [raw.payload["change"]]}
            body, headers = graph.call([entry], "whatsapp_business_account")
            assert (await meta.ask("POST", f"/hooks/{channel.key}", data=body, headers=headers)).status == 200
            await ingest(line)

        text = recorded("whatsapp", "text")
        text.payload["change"]["value"]["messages"][0]["timestamp"] = str(int(line.now().timestamp()))
        await call(text)
        agent = await meta.sign_in()
        async with line.database.write() as session:
            conversation = (await session.execute(select(Conversation))).scalar_one()
            await reply(session, line, conversation, "Salam Nadia", agent, "k1")
        await deliver(line, channel.id or 0)
        async with line.database.read() as session:
            ours = (await session.execute(select(Message).where(col(Message.direction) == "out"))).scalar_one()
            assert (await session.execute(select(Contact.name))).scalars().all() == ["Nadia B"]
        assert ours.delivery == "sent"
        failed = recorded("whatsapp", "failed")
        failed.payload["change"]["value"]["statuses"][0]["id"] = ours.external_id
        await call(failed)
        async with line.database.read() as session:
            ours = (await session.execute(select(Message).where(col(Message.direction) == "out"))).scalar_one()
            item = (await session.execute(select(OutboxItem))).scalar_one()
        assert (ours.delivery, item.status) == ("failed", "failed")
        assert "more than 24 hours" in ours.delivery_error
        assert ours.text == "Salam Nadia"
