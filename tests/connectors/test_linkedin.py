"""LinkedIn: the contract, and its documented answers given by a fake that speaks HTTP."""

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

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
    OutboundMessage,
    Page,
    RawEvent,
    Refused,
    TryLater,
)
from connectors.linkedin import LinkedInConnector, until_midnight
from tests.connectors.polling import PollContract, Road
from tests.connectors.sending import Failure, PlatformContract
from tests.servers.platform import LOST, Answer, Call, platform, serving

RECORDINGS = Path(__file__).parent / "recordings" / "linkedin"
US = "urn:li:organization:2414183"
NADIA = "urn:li:person:yrZCpj2ZYQ"
TOP = "urn:li:comment:(urn:li:activity:6631349431612559360,6636062862760562688)"
SETTINGS = {"organization": "2414183", "version": "202604"}
SECRETS = {"access_token": "linkedin-token-of-tests"}


def recorded(name: str) -> Any:
    """An answer after LinkedIn's documentation."""
    return json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))


def opened(url: str | None = None, **settings: Any) -> LinkedInConnector:
    return LinkedInConnector(ChannelConfig({**SETTINGS, **settings}, SECRETS, url))


def error(status: int, code: int, message: str) -> Answer:
    return Answer(status, {"status": status, "serviceErrorCode": code, "message": message})


def read(page: Page) -> list[InboundMessage]:
    return [message for raw in page.events for message in opened().read(raw)]


class Fake:
    """LinkedIn's posts and comments, by their addresses as LinkedIn documents them."""

    def __init__(self) -> None:
        self.posts = recorded("posts")
        self.comments: dict[str, Any] = {
            "urn:li:share:6631349431612559361": recorded("comments"),
            TOP: recorded("answers"),
        }
        self.asked: list[str] = []
        self.headers: dict[str, str] = {}

    def app(self) -> web.Application:
        """As an application."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self.handle)
        return app

    async def handle(self, request: web.Request) -> web.Response:
        """One call."""
        self.headers = dict(request.headers)
        path = request.raw_path.partition("?")[0].removeprefix("/rest/")
        if path == "posts":
            assert request.raw_path.endswith(f"?q=author&author={quote(US, safe='')}&count=20&sortBy=CREATED")
            self.asked.append("posts")
            return web.json_response(self.posts)
        _, urn, _ = path.split("/")
        found = request.match_info["path"].removeprefix("rest/socialActions/").removesuffix("/comments")
        assert quote(found, safe="") == urn, "addresses are encoded whole"
        self.asked.append(found)
        return web.json_response(self.comments.get(found, {"elements": []}))


@pytest.fixture
async def fake() -> Any:
    here = Fake()
    server = TestServer(here.app(), host="127.0.0.1")
    await server.start_server(shutdown_timeout=0.1)
    connector = opened(str(server.make_url("/")))
    yield here, connector
    await connector.close()
    await server.close()


class TestLinkedIn(PlatformContract, PollContract):
    """What every connector must do."""

    connector: ClassVar[type[Connector]] = LinkedInConnector
    sends: ClassVar[str] = "reply"
    when_the_answer_is_lost: ClassVar[type[ConnectorError]] = MaybeSent
    failures: ClassVar[tuple[Failure, ...]] = (
        Failure(error(401, 65601, "The token used in the request has been revoked by the user"), AuthExpired),
        Failure(error(403, 100, "Not enough permissions to access: POST /socialActions"), Refused, says="permissions"),
        Failure(error(400, 0, "Comment text is too long"), Refused, says="too long"),
        Failure(error(404, 0, "Comment not found"), Refused, says="not found"),
        Failure(error(426, 0, "Requested version 202001 is not active"), Refused, says="newer API version"),
        Failure(Answer(429, b"slow down", {"Retry-After": "35"}), TryLater, retry_after=35.0),
        Failure(error(500, 0, "Internal Server Error"), MaybeSent),
        Failure(Answer(504, b"<html>Gateway Timeout</html>"), MaybeSent),
        Failure(Answer(201, b"not JSON"), MaybeSent),
    )

    def config(self) -> ChannelConfig:
        return ChannelConfig(SETTINGS, SECRETS)

    def samples(self) -> list[RawEvent]:
        comments = recorded("comments")["elements"] + recorded("answers")["elements"]
        return [RawEvent({"comment": each, "top": TOP, "asker": NADIA}) for each in comments]

    def outbound(self, text: str = "Bonjour") -> OutboundMessage:
        return OutboundMessage("key-1", f"{TOP}|{NADIA}", NADIA, text, reply_to=TOP)

    def news(self) -> web.Application:
        """Two posts with a comment each, and answers below the first."""
        here = Fake()
        second = json.loads(json.dumps(recorded("comments")).replace("6636062862760562688", "6636062862760562999"))
        second["elements"][0] |= {"commentsSummary": {}}
        here.posts["elements"].append({"id": "urn:li:share:2"})
        here.comments["urn:li:share:2"] = second
        return here.app()

    def accepted(self) -> Answer:
        return Answer(201, recorded("created"), {"x-restli-id": "6636062862760562700"})

    def text_of(self, call: Call) -> str:
        assert (call.method, call.json["parentComment"], call.json["actor"]) == ("POST", TOP, US)
        return str(call.json["message"]["text"])


class TestReading:
    """LinkedIn's documented payloads, in our words."""

    def test_a_comment_and_our_answer_are_one_thread(self) -> None:
        theirs, ours, later = (opened().read(raw)[0] for raw in TestLinkedIn().samples())
        assert (theirs.external_id, theirs.author.external_id) == (TOP, NADIA)
        assert theirs.text == "Bonjour, mon dossier attend depuis un mois"
        assert theirs.sent_at == datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
        assert theirs.reply_to == "urn:li:activity:6631349431612559360"
        assert (ours.author.is_self, later.author.is_self) == (True, False)
        assert ours.reply_to == TOP
        assert theirs.thread_key == ours.thread_key == later.thread_key

    def test_our_own_comments_under_posts_and_empty_ones_are_ignored(self) -> None:
        for changes in ({"actor": US}, {"message": {"text": " "}}):
            raw = copy.deepcopy(TestLinkedIn().samples()[0])
            raw.payload["comment"] |= changes
            with pytest.raises(Ignored):
                opened().read(raw)

    def test_a_wrong_field_is_named(self) -> None:
        raw = copy.deepcopy(TestLinkedIn().samples()[0])
        raw.payload["comment"]["created"] = {"time": "soon"}
        with pytest.raises(BadPayload, match=r"comment\.created\.time"):
            opened().read(raw)


class TestPolling:
    """What is asked, and what counts as new."""

    async def test_comments_and_their_answers_come_once_and_changes_again(self, fake: Any) -> None:
        here, connector = fake
        post = "urn:li:share:6631349431612559361"
        first = await connector.poll(None)
        assert here.asked == ["posts", post, TOP]
        assert here.headers["LinkedIn-Version"] == "202604"
        assert here.headers["X-Restli-Protocol-Version"] == "2.0.0"
        assert here.headers["Authorization"] == "Bearer linkedin-token-of-tests"
        assert [message.change for message in read(first)] == [Change.NEW] * 3
        assert [message.author.is_self for message in read(first)] == [False, True, False]

        here.asked.clear()
        same = await connector.poll(json.loads(json.dumps(first.cursor)))
        assert (same.events, here.asked) == ((), [post]), "nothing below a comment whose number of answers is the same"

        top = here.comments[post]["elements"][0]
        top["message"]["text"] = "Bonjour, réglé, merci"
        top["lastModified"]["time"] += 3_600_000
        top["commentsSummary"]["aggregatedTotalComments"] = 3
        new = copy.deepcopy(here.comments[TOP]["elements"][1])
        new["commentUrn"] = new["commentUrn"].replace("690", "695")
        new["created"]["time"] = new["lastModified"]["time"] = new["created"]["time"] + 4_000_000
        here.comments[TOP]["elements"].append(new)
        edited, answer = read(await connector.poll(same.cursor))
        assert (edited.external_id, edited.change, edited.text) == (TOP, Change.EDIT, "Bonjour, réglé, merci")
        assert (answer.external_id, answer.change) == (new["commentUrn"], Change.NEW)

    async def test_older_posts_take_turns(self, fake: Any) -> None:
        here, connector = fake
        here.posts = {"elements": [{"id": f"urn:li:share:{number}"} for number in range(1, 7)]}
        cursor = None
        for _ in range(3):
            cursor = (await connector.poll(cursor)).cursor
        looked = [urn.rpartition(":")[2] for urn in here.asked if urn != "posts"]
        assert looked == ["1", "2", "3", "4", "1", "2", "3", "5", "1", "2", "3", "6"]
        assert here.asked.count("posts") == 1

    async def test_a_limit_in_the_middle_of_a_poll_waits_for_midnight_and_loses_nothing(self) -> None:
        async with platform(error(429, 101, "Resource level throttle APPLICATION DAY limit is reached")) as here:
            here.answers["posts"] = Answer(200, recorded("posts"))
            connector = opened(here.url)
            with pytest.raises(TryLater, match="DAY limit") as raised:
                await connector.poll(None)
            await connector.close()
        assert raised.value.retry_after == pytest.approx(until_midnight(), abs=60)

    async def test_what_came_before_a_limit_does_not_wait_for_midnight(self) -> None:
        async with serving(Road(429, 3).open(TestLinkedIn().news())) as url:
            connector = opened(url)
            page = await connector.poll(None)
            assert [message.reply_to for message in read(page)] == ["urn:li:activity:6631349431612559360", TOP, TOP]
            rest = await connector.poll(page.cursor)
            await connector.close()
        assert len(read(rest)) == 1

    async def test_a_lost_poll_is_tried_later(self) -> None:
        async with platform(LOST) as here:
            connector = opened(here.url)
            with pytest.raises(TryLater):
                await connector.poll(None)
            await connector.close()


class TestActing:
    """What we do on LinkedIn."""

    async def test_connecting_says_which_organisation_it_is(self) -> None:
        async with platform(Answer(200, recorded("organization"))) as here:
            connector = opened(here.url)
            account = await connector.connect()
            await connector.close()
        assert (account.external_id, account.name) == (US, "Wasla")
        assert here.calls[0].path == "/rest/organizations/2414183"

    async def test_an_answer_is_numbered_by_its_urn(self) -> None:
        for answer in (TestLinkedIn().accepted(), Answer(201, b"{}", {"x-restli-id": "6636062862760562700"})):
            async with platform(answer) as here:
                connector = opened(here.url)
                sent = await connector.reply(TestLinkedIn().outbound())
                with pytest.raises(Refused, match="needs the comment"):
                    await connector.reply(OutboundMessage("k", "elsewhere", NADIA, "x"))
                await connector.close()
            assert sent.external_id == "urn:li:comment:(urn:li:activity:6631349431612559360,6636062862760562700)"
            assert len(here.calls) == 1

    async def test_wrong_settings_are_named(self) -> None:
        for settings, secrets, expected in (
            ({"organization": "wasla"}, SECRETS, Refused),
            ({"version": "latest"}, SECRETS, Refused),
            ({}, {}, AuthExpired),
        ):
            with pytest.raises(expected):
                await LinkedInConnector(ChannelConfig({**SETTINGS, **settings}, secrets)).connect()
