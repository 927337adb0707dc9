"""The chat's routes: who may call them, what they keep, and what a visitor gets to see."""

import asyncio
import gzip
import io
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientTimeout, web
from aiohttp.test_utils import TestClient, TestServer
from sqlmodel import col, select

from connectors.webchat import make_token
from socialcrm.domain.ledger import Fate, RawEventRow
from socialcrm.domain.message import AuthorKind
from socialcrm.domain.rows import Agent, Channel, Conversation, Message
from socialcrm.engine import files, ledger
from socialcrm.engine.answer import Draft, note, reply, send
from socialcrm.engine.line import Line
from socialcrm.engine.resolve import resolve
from socialcrm.engine.schedule import drain
from socialcrm.web.buckets import Buckets
from socialcrm.web.page import STATIC
from socialcrm.web.server import build_app
from socialcrm.web.widget_calls import STATE, WidgetState
from tests.requirements import require

SITE = "https://www.wasla.example"
SECRET = "the-channels-secret"
KEY = "site-chat"


class Chat:
    """A visitor's widget, an agent, and the line between them."""

    def __init__(self, line: Line, client: TestClient[Any, Any], channel: Channel) -> None:
        self.line, self.client, self.channel = line, client, channel
        self.token = ""

    async def ask(self, method: str, path: str, *, origin: str | None = SITE, **options: Any) -> ClientResponse:
        headers = {"Origin": origin} if origin is not None else {}
        token = options.pop("token", self.token)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return await self.client.request(
            method, f"/widget/{KEY}/{path}", headers=headers | options.pop("headers", {}), **options
        )

    async def arrive(self) -> str:
        answer = await self.ask("POST", "visitor")
        assert answer.status == 200, await answer.text()
        self.token = (await answer.json())["token"]
        return self.token

    async def say(self, text: str, number: str = "", **fields: Any) -> ClientResponse:
        body = {"id": number or str(uuid.uuid4()), "text": text, "language": "fr", **fields}
        return await self.ask("POST", "messages", json=body)

    async def seen(self, query: str = "") -> list[dict[str, Any]]:
        answer = await self.ask("GET", f"messages{query}")
        assert answer.status == 200, await answer.text()
        return list((await answer.json())["messages"])

    async def texts(self) -> list[str]:
        return [each["text"] for each in await self.seen()]

    async def conversation(self) -> Conversation:
        query = select(Conversation).order_by(col(Conversation.id).desc()).limit(1)
        async with self.line.database.read() as session:
            return (await session.execute(query)).scalar_one()

    async def agent(self) -> Agent:
        async with self.line.database.write() as session:
            found = (await session.execute(select(Agent))).scalars().first()
            if found is None:
                found = Agent(email="amina@wasla.example", name="Amina Ferhat", created_at=self.line.now())
                session.add(found)
        return found

    async def answer(self, text: str, *, drains: bool = True, key: str = "") -> Message:
        agent = await self.agent()
        async with self.line.database.write() as session:
            conversation = await session.get_one(Conversation, (await self.conversation()).id)
            message = await reply(session, self.line, conversation, text, agent, key or uuid.uuid4().hex)
        if drains:
            await drain(self.line)
        return message

    async def stored(self) -> list[Any]:
        async with self.line.database.read() as session:
            return list((await session.execute(select(RawEventRow))).scalars())


@pytest.fixture
async def app(line: Line) -> web.Application:
    return build_app(line)


@pytest.fixture
async def chat(line: Line, app: web.Application) -> AsyncIterator[Chat]:
    now = line.now()
    channel = Channel(
        connector="webchat",
        key=KEY,
        name="Chat du site",
        settings={"title": "Wasla Télécom", "origins": SITE, "accent": "#0b6e62", "greeting_fr": "Bonjour !"},
        credentials=line.vault.encrypt({"visitor_secret": SECRET}),
        created_at=now,
        changed_at=now,
    )
    async with line.database.write() as session:
        session.add(channel)
    async with TestClient(TestServer(app)) as client:
        yield Chat(line, client, channel)


async def test_what_a_visitor_wrote_is_in_the_ledger_before_they_get_their_200(chat: Chat) -> None:
    await chat.arrive()
    number = str(uuid.uuid4())
    answer = await chat.say("La connexion est morte", number)
    assert (answer.status, await answer.json()) == (200, {"id": number})
    (row,) = await chat.stored()
    assert (row.external_id, row.fate) == (number, Fate.WAITING)
    await drain(chat.line)
    (message,) = [each for each in await chat.seen() if each["from"] == "visitor"]
    assert (message["key"], message["text"]) == (number, "La connexion est morte")


async def test_the_same_message_sent_twice_is_one_message(chat: Chat) -> None:
    await chat.arrive()
    number = str(uuid.uuid4())
    for _ in range(3):
        assert (await chat.say("Bonjour", number)).status == 200
    await drain(chat.line)
    assert (await chat.texts()).count("Bonjour") == 1
    async with chat.line.database.read() as session:
        found = await ledger.counts(session)
    assert (found.received, found.stored, found.duplicate, found.is_balanced) == (3, 1, 2, True)


async def test_a_visitor_sees_answers_but_no_notes_and_nothing_that_has_not_left(chat: Chat) -> None:
    await chat.arrive()
    await chat.say("Bonjour")
    await drain(chat.line)
    agent = await chat.agent()
    before = await chat.texts()
    async with chat.line.database.write() as session:
        await note(session, chat.line, await chat.conversation(), "un client difficile", agent, "note-1")
    await chat.answer("Je regarde tout de suite.", drains=False)
    assert await chat.texts() == before
    await drain(chat.line)
    seen = await chat.seen()
    assert [each["text"] for each in seen] == [*before, "Je regarde tout de suite."]
    assert (seen[-1]["from"], seen[-1]["name"]) == ("agent", "Amina")


PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 64


async def attach(chat: Chat, content: bytes, name: str) -> ClientResponse:
    return await chat.ask("POST", f"files?name={name}", data=content)


async def test_a_visitors_file_is_kept_shown_and_nobody_elses_to_send(chat: Chat) -> None:
    await chat.arrive()
    named = (await (await attach(chat, PNG, "panne.png")).json())["file"]
    assert (await chat.say("", files=[named])).status == 200
    await drain(chat.line)
    (mine,) = [each for each in await chat.seen() if each["from"] == "visitor"]
    (file,) = mine["files"]
    assert (file["kind"], file["name"], file["size"]) == ("image", "panne.png", len(PNG))
    answer = await chat.client.get(file["path"])
    assert (answer.status, await answer.read(), answer.content_type) == (200, PNG, "image/png")
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    await chat.arrive()
    answer = await chat.say("la mienne ?", files=[named])
    assert (answer.status, (await answer.json())["error"]["field"]) == (400, "files")


async def test_an_agents_file_is_there_for_the_visitor(chat: Chat) -> None:
    await chat.arrive()
    await chat.say("Ma facture ?")
    await drain(chat.line)
    folder = chat.line.settings.storage.folder
    kept = files.keep_upload(folder, "o", b"%PDF-1.7", "facture.pdf")
    upload = files.take_upload(folder, "o", kept.sha256, kept.name)
    agent, number = await chat.agent(), (await chat.conversation()).id
    async with chat.line.database.write() as session:
        conversation = await session.get_one(Conversation, number)
        await reply(session, chat.line, conversation, "", agent, "k", [upload])
    await drain(chat.line)
    [file] = (await chat.seen())[-1]["files"]
    assert (file["kind"], file["name"]) == ("document", "facture.pdf")
    assert (await chat.client.get(file["path"])).headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize("fresh_database", ["sqlite"], indirect=True)
async def test_files_that_run_or_are_too_large_are_refused(chat: Chat) -> None:
    await chat.arrive()
    for content, name, status in (
        (b"<script>", "a.png", 415),
        (b"MZ\x90", "a.jpg", 415),
        (b"a" * 10_000_001, "a.txt", 413),
        (PNG, "../../a.png", 200),
    ):
        answer = await chat.ask("POST", f"files?name={name}", data=io.BytesIO(content))
        assert answer.status == status
    assert (await answer.json())["file"].endswith(":a.png")
    assert (await attach(chat, PNG, "a.png")).headers["Access-Control-Allow-Origin"] == SITE
    assert (await chat.ask("POST", "files?name=a.png", data=PNG, token="x")).status == 401


async def test_each_side_sees_that_the_other_is_typing(chat: Chat) -> None:
    await chat.arrive()
    await chat.say("Bonjour")
    await drain(chat.line)
    number = (await chat.conversation()).id or 0
    stream = await chat.ask("GET", "events?after=0", timeout=ClientTimeout(total=20))
    assert b"Bonjour" in await stream.content.readuntil(b"\n\n")
    await chat.line.live.tell("agent_typing", number, chat.line.now())
    assert await stream.content.readuntil(b"\n\n") == b"event: typing\ndata: {}\n\n"
    stream.close()
    cursor = await chat.line.live.cursor()
    assert (await chat.ask("POST", "typing")).status == 200
    assert [(c.conversation_id, c.kind) for c in await chat.line.live.changes(cursor)] == [(number, "contact_typing")]


async def test_a_visitor_never_sees_another_visitors_conversation(chat: Chat) -> None:
    await chat.arrive()
    await chat.say("Mon numéro est le 0555")
    await drain(chat.line)
    assert await chat.seen()
    await chat.arrive()
    assert await chat.seen() == []
    assert await chat.seen("?after=0") == []


@pytest.mark.parametrize("secret", ["", "another secret"])
async def test_a_token_that_we_did_not_sign_is_refused(chat: Chat, secret: str) -> None:
    token = make_token(secret, "a" * 32, chat.line.now()) if secret else "x"
    for method, path in (("GET", "messages"), ("GET", "events"), ("POST", "messages")):
        answer = await chat.ask(method, path, token=token, json={"id": str(uuid.uuid4()), "text": "hi"})
        assert answer.status == 401
        assert (await answer.json())["error"]["code"] == "bad_visitor"
        assert answer.headers["Access-Control-Allow-Origin"] == SITE, "the widget has to be able to read it"
    assert await chat.stored() == []
    async with chat.line.database.read() as session:
        assert (await session.get_one(Channel, chat.channel.id)).rejected_count == 1


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"{SITE}.evil.example", "http://www.wasla.example"])
async def test_other_pages_are_refused_and_cannot_read_the_refusal(chat: Chat, origin: str) -> None:
    await chat.arrive()
    calls = ["GET config", "POST visitor", "GET messages", "POST messages", "GET events", "OPTIONS messages"]
    for method, path in (each.split() for each in calls):
        answer = await chat.ask(method, path, origin=origin)
        assert answer.status == 403, f"{method} {path}"
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert await chat.stored() == []


async def test_a_message_without_any_page_is_refused(chat: Chat) -> None:
    await chat.arrive()
    answer = await chat.ask("POST", "messages", origin=None, json={"id": str(uuid.uuid4()), "text": "hi"})
    assert answer.status == 403


async def test_a_listed_page_may_call_after_asking_first(chat: Chat) -> None:
    answer = await chat.ask("OPTIONS", "messages", headers={"Access-Control-Request-Method": "POST"})
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == SITE
    assert answer.headers["Vary"] == "Origin"
    assert "authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_a_page_of_our_own_server_is_always_allowed(chat: Chat) -> None:
    own = str(chat.client.make_url("/")).rstrip("/")
    assert (await chat.ask("GET", "config", origin=own)).status == 200
    assert (await chat.ask("GET", "config", origin=None)).status == 200, "browsers name no origin on such a GET"


async def test_the_configuration_says_how_it_looks_and_no_secret(chat: Chat) -> None:
    body = await (await chat.ask("GET", "config")).json()
    assert body == {
        "title": "Wasla Télécom",
        "accent": "#0b6e62",
        "greeting": {"fr": "Bonjour !", "ar": "", "en": ""},
        "text_length": 4000,
        "files": {"most": 5, "bytes": 10_000_000},
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        (b"", "body"),
        (b'["a"]', "body"),
        (b"\xff\xfe", "body"),
        (b"[" * 50_000, "body"),
        (b'{"id": 1}', "id"),
        (json.dumps({"id": str(uuid.UUID(int=1)), "text": 5}).encode(), "text"),
        (json.dumps({"id": str(uuid.UUID(int=1)), "text": "a" * 4001}).encode(), "text"),
        (json.dumps({"id": str(uuid.UUID(int=1)), "text": "  "}).encode(), "text"),
    ],
)
async def test_a_broken_body_is_refused_by_the_name_of_its_field(chat: Chat, body: bytes, field: str) -> None:
    await chat.arrive()
    answer = await chat.ask("POST", "messages", data=body)
    assert answer.status == 400
    assert (await answer.json())["error"]["field"] == field
    assert await chat.stored() == []


@pytest.mark.parametrize("is_announced", [True, False])
async def test_a_body_above_the_limit_is_refused_unread(chat: Chat, is_announced: bool) -> None:
    await chat.arrive()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield b"a" * 8192

    answer = await chat.ask("POST", "messages", data=b"a" * 70_000 if is_announced else pieces())
    assert answer.status == 413
    assert answer.headers["Access-Control-Allow-Origin"] == SITE


async def test_odd_signs_and_markup_come_back_as_the_text_they_are(chat: Chat) -> None:
    await chat.arrive()
    text = "<script>alert(1)</script> \u202egnp.exe\u200b سلام 👩‍👧"
    assert (await chat.say(f"{text}\0\ud800")).status == 200
    await drain(chat.line)
    assert text in await chat.texts()


@pytest.mark.parametrize("query", ["?after=x", "?after=-1", "?before=²", "?after=99999999999999999999"])
async def test_a_cursor_that_is_no_number_is_refused(chat: Chat, query: str) -> None:
    await chat.arrive()
    answer = await chat.ask("GET", f"messages{query}")
    assert (answer.status, (await answer.json())["error"]["field"]) == (400, query[1:].split("=")[0])


async def test_who_writes_too_fast_is_told_when_to_go_on_and_may_write_again(
    chat: Chat, app: web.Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    await chat.arrive()
    monkeypatch.setitem(app._state, STATE, WidgetState(writing=Buckets(burst=2, per_second=2)))
    statuses = [said.status for said in await asyncio.gather(*(chat.say("encore") for _ in range(6)))]
    assert statuses.count(200) >= 2
    assert 429 in statuses
    answer = await chat.say("encore")
    while answer.status == 429:
        assert int(answer.headers["Retry-After"]) >= 1
        assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
        await asyncio.sleep(0.02)
        answer = await chat.say("encore")
    assert answer.status == 200


def test_buckets_fill_again_and_forget_the_longest_unused() -> None:
    buckets = Buckets(burst=2, per_second=0.5, size=3)
    assert [buckets.take("a", 0.0) for _ in range(3)] == [0.0, 0.0, 2.0]
    assert buckets.take("a", 1.0) == 1.0
    assert buckets.take("a", 2.0) == 0.0
    for key in "bcde":
        buckets.take(key, 2.0)
    assert len(buckets) == 3


async def test_a_paused_channel_says_that_it_is_closed_for_now(chat: Chat) -> None:
    async with chat.line.database.write() as session:
        (await session.get_one(Channel, chat.channel.id)).status = "paused"
    answer = await chat.ask("GET", "config")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "11")


async def test_an_unknown_key_and_another_connectors_key_have_no_chat(chat: Chat) -> None:
    now = chat.line.now()
    async with chat.line.database.write() as session:
        session.add(Channel(connector="echo", key="an-echo", name="Echo", created_at=now, changed_at=now))
    for key in ("nobody", "an-echo", "%00", "é"):
        answer = await chat.client.get(f"/widget/{key}/config", headers={"Origin": SITE})
        assert answer.status == 404


async def test_a_channel_without_its_secret_lets_nobody_in(chat: Chat) -> None:
    async with chat.line.database.write() as session:
        row = await session.get_one(Channel, chat.channel.id)
        row.credentials, row.changed_at = "", chat.line.now()
    assert (await chat.ask("POST", "visitor")).status == 503
    assert (await chat.ask("GET", "messages", token=make_token(SECRET, "a" * 32, chat.line.now()))).status == 401


async def test_the_newest_messages_come_first_and_older_ones_when_asked_for(chat: Chat) -> None:
    await chat.arrive()
    await chat.say("0")
    await drain(chat.line)
    async with chat.line.database.write() as session:
        conversation = await session.get_one(Conversation, (await chat.conversation()).id)
        for number in range(1, 61):
            await send(session, Draft(conversation, str(number), f"k{number}", AuthorKind.BOT), chat.line.now())
    await drain(chat.line)
    page = await (await chat.ask("GET", "messages")).json()
    seen, pages = page["messages"], 1
    assert (len(seen), seen[-1]["text"], page["has_more"]) == (50, "60", True)
    while page["has_more"]:
        page = await (await chat.ask("GET", f"messages?before={seen[0]['id']}")).json()
        seen, pages = page["messages"] + seen, pages + 1
    assert [each["text"] for each in seen if each["text"].isdigit()] == [str(number) for number in range(61)]
    assert pages == 2


async def test_an_answer_that_left_late_is_not_passed_over_by_the_cursor(chat: Chat) -> None:
    """Number 2 is written, number 3 arrives and is seen, then number 2 leaves: catching up still brings it."""
    await chat.arrive()
    await chat.say("un")
    await drain(chat.line)
    late = await chat.answer("deux, plus tard", drains=False)
    for number in range(30):
        async with chat.line.database.write() as session:
            own = {"direction": "in", "author_kind": "contact", "delivery": "none", "text": f"n{number}"}
            session.add(Message(**_like(late) | own))
    page = await (await chat.ask("GET", "messages")).json()
    assert "deux, plus tard" not in [each["text"] for each in page["messages"]]
    assert page["cursor"] < (late.id or 0) < page["messages"][-1]["id"]
    await drain(chat.line)
    assert "deux, plus tard" in [each["text"] for each in await chat.seen(f"?after={page['cursor']}")]


def _like(message: Message) -> dict[str, Any]:
    kept = ("conversation_id", "channel_id", "contact_id", "kind", "sent_at", "received_at")
    return {name: getattr(message, name) for name in kept}


class Stream:
    """The stream of news as the widget reads it."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response
        self.cursor = 0

    async def next(self) -> list[dict[str, Any]]:
        while True:
            line = (await asyncio.wait_for(self.response.content.readline(), 10)).decode()
            assert line, "the stream ended"
            if line.startswith("data: "):
                news = json.loads(line[6:])
                self.cursor = news["cursor"]
                return list(news["messages"])

    async def until(self, is_it: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while not any(is_it(each) for each in found):
            found += await self.next()
        return found


async def listen(chat: Chat, after: int = 0) -> Stream:
    response = await chat.ask("GET", f"events?after={after}", timeout=ClientTimeout(total=None))
    assert response.status == 200, await response.text()
    return Stream(response)


async def test_an_answer_reaches_the_open_widget_and_a_gap_is_caught_up_exactly(chat: Chat) -> None:
    await chat.arrive()
    await chat.say("Bonjour")
    await drain(chat.line)
    stream = await listen(chat)
    assert "Bonjour" in [each["text"] for each in await stream.next()]
    await chat.answer("Je vous écoute.")
    first = await stream.until(lambda each: each["text"] == "Je vous écoute.")
    assert len({each["id"] for each in first}) == len(first)
    stream.response.close()
    for number in range(5):
        await chat.answer(f"pendant l'absence {number}")
    again = await listen(chat, stream.cursor)
    missed = [each["text"] for each in await again.next()]
    assert [text for text in missed if "absence" in text] == [f"pendant l'absence {n}" for n in range(5)]
    again.response.close()


async def test_what_happens_to_others_does_not_reach_a_visitors_stream(chat: Chat) -> None:
    mine = await chat.arrive()
    await chat.say("moi")
    await drain(chat.line)
    stream = await listen(chat)
    await stream.next()
    await chat.arrive()
    await chat.say("quelqu'un d'autre")
    await drain(chat.line)
    await chat.answer("une réponse à quelqu'un d'autre")
    chat.token = mine
    await chat.say("encore moi")
    await drain(chat.line)
    news = await stream.until(lambda each: each["text"] == "encore moi")
    assert not [each for each in news if "autre" in each["text"]]
    stream.response.close()


async def test_a_survey_is_answered_by_its_buttons(chat: Chat) -> None:
    await chat.arrive()
    await chat.say("Merci !")
    await drain(chat.line)
    agent = await chat.agent()
    async with chat.line.database.write() as session:
        await resolve(session, chat.line, await session.get_one(Conversation, (await chat.conversation()).id), agent)
    await drain(chat.line)
    (question,) = [each for each in await chat.seen() if each["buttons"]]
    assert len(question["buttons"]) == 5
    choice = question["buttons"][3]
    assert (await chat.say(choice["label"], button=choice["value"])).status == 200
    await drain(chat.line)
    assert (await chat.seen())[-1]["text"] == chat.line.engagement.reply("fr", "survey_comment")
    assert choice["label"] not in await chat.texts(), "a pressed button is no message"


async def test_the_server_ends_open_streams_when_it_stops(chat: Chat) -> None:
    await chat.arrive()
    await chat.say("Bonjour")
    stream = await listen(chat)
    await stream.next()
    ended: Awaitable[bytes] = asyncio.ensure_future(stream.response.content.read())
    await asyncio.wait_for(chat.client.server.close(), 10)
    assert (await asyncio.wait_for(ended, 5)).strip() == b""


def test_the_widget_is_smaller_than_15_kb_on_the_wire() -> None:
    file = STATIC / "widget.js"
    if not file.exists():
        require("the built assets (python hatch_build.py)")
    assert len(gzip.compress(file.read_bytes())) < 12_000
