"""Eleven channels of different kinds, each with a platform on loopback that counts what it is told to send.

A shop knows how its platform tells of a message (a webhook's call, or what a poll finds), and who was answered.
"""

import hmac
import json
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from connectors.twilio import signature
from tests.connectors.test_bluesky import mention
from tests.servers.bluesky import PASSWORD, BlueskyServer
from tests.servers.feeds import item, rss
from tests.servers.graph import APP_ID, CREDENTIALS, PAGE, PHONE, GraphServer, moment
from tests.servers.mail import MailServer
from tests.servers.platform import Answer, Call, Platform

PEOPLE, EACH = 4, 3
MAILBOX = "help@mail.test"
QUESTION, MORE = "what are your opening hours please", "I wait for your answer"
PUBLIC_URL = "https://crm.example"
SECRET = "a-secret-of-the-flood"
US, TOKEN = "4242", "7000000001:AAE-of-tests"


@dataclass(frozen=True)
class Hook:
    """One call of a platform."""

    body: bytes
    headers: dict[str, str]
    query: dict[str, str] = field(default_factory=dict)


@dataclass
class Shop:
    """A channel under flood."""

    kind: str
    settings: dict[str, Any]
    credentials: dict[str, str]
    handle: Callable[[Any], Awaitable[Any]] | None
    """Takes the calls that we make; None where a server of its own does."""
    platform: Any
    hooks: list[Hook] = field(default_factory=list)
    odd: list[Hook] = field(default_factory=list)
    """True calls with something that cannot be read."""
    answered: Callable[[], Counter[str]] = Counter
    """How often the platform took something for each person or thread."""


def everybody() -> list[tuple[int, int, str]]:
    """Who writes what: number of the person, number of the message, text."""
    return [(p, p * EACH + n, QUESTION if n == 0 else f"{MORE} {n}") for p in range(PEOPLE) for n in range(EACH)]


def counting(answer: Callable[[Call], Answer], who: Callable[[Call], str | None]) -> tuple[Platform, Counter[str]]:
    """A platform, and how often it took a message for each person."""
    taken: Counter[str] = Counter()

    def note(call: Call) -> Answer:
        said, person = answer(call), who(call)
        if person is not None and said.status in (200, 201, 202):
            taken[person] += 1
        return said

    return Platform(note), taken


def api() -> Shop:
    """Signed JSON, several messages a call."""

    def call(messages: list[Any]) -> Hook:
        body, at = json.dumps({"messages": messages}).encode(), str(int(time.time()))
        code = hmac.new(SECRET.encode(), f"{at}.".encode() + body, sha256).hexdigest()
        return Hook(body, {"X-SocialCRM-Timestamp": at, "X-SocialCRM-Signature": f"sha256={code}"})

    platform, taken = counting(lambda call: Answer(200, {"id": call.json["key"]}), lambda call: call.json["recipient"])
    now = datetime.now().astimezone().isoformat()
    all_of = [{"id": f"m{n}", "author": {"id": f"p{p}"}, "sent_at": now, "text": text} for p, n, text in everybody()]
    hooks = [call(all_of[start : start + EACH]) for start in range(0, len(all_of), EACH)]
    odd = [call([7, {**all_of[0], "id": ""}])]
    return Shop("api", {}, {"secret": SECRET}, platform.handle, platform, hooks, odd, lambda: taken)


def kannel() -> Shop:
    """Texts with a password."""
    platform, taken = counting(
        lambda call: Answer(202, b"0: Accepted for delivery"), lambda call: call.headers["x-kannel-to"]
    )
    basic = "Basic " + b64encode(f"kannel:{SECRET}".encode()).decode()

    def call(person: str, number: int, text: str) -> Hook:
        headers = {"Authorization": basic, "Content-Type": "text/plain; charset=UTF-8", "X-Kannel-From": person}
        return Hook(text.encode(), headers, {"id": f"sms-{number}"})

    settings = {"username": "crm", "sender": "1234", "region": "DZ"}
    return Shop(
        "kannel",
        settings,
        {"password": SECRET, "webhook_secret": SECRET},
        platform.handle,
        platform,
        [call(f"21355000000{p}", n, text) for p, n, text in everybody()],
        [call("", 999, "who am I?")],
        lambda: taken,
    )


def twilio() -> Shop:
    """Signed forms."""
    platform, taken = counting(
        lambda call: Answer(201, {"sid": f"SM{len(platform.calls)}"}),
        lambda call: call.fields["To"],
    )

    def call(person: str, number: int, text: str) -> Hook:
        form = {"MessageSid": f"SM{number:032}", "From": person, "To": "+15005550006", "Body": text, "NumMedia": "0"}
        form = {name: value for name, value in form.items() if value}
        headers = {"X-Twilio-Signature": signature(SECRET, f"{PUBLIC_URL}/hooks/twilio", list(form.items()))}
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return Hook(urlencode(form).encode(), headers)

    settings = {"account_sid": "AC" + "0" * 32, "sender": "+15005550006"}
    hooks = [call(f"+21355000000{p}", n, text) for p, n, text in everybody()]
    odd = [call("", 999, "who am I?")]
    return Shop("twilio", settings, {"auth_token": SECRET}, platform.handle, platform, hooks, odd, lambda: taken)


def facebook() -> Shop:
    """Comments by webhook and by looking again, the same ones."""
    graph = GraphServer()
    graph.post("Nouveau magasin")
    [post] = graph.posts
    for p, _, text in everybody():
        comment = graph.comment(post, text, sender=f"70{p}")
        graph.comments[comment]["created_time"] = moment(int(time.time()) - 60)
    calls = [graph.call([graph.comment_entry(comment)]) for comment in graph.comments]
    odd = graph.call([{"id": PAGE, "time": int(time.time()), "changes": [{"field": "feed", "value": 7}]}])
    return Shop(
        "facebook",
        {"app_id": APP_ID, "account_id": PAGE},
        CREDENTIALS,
        graph.handle,
        graph,
        [Hook(*call) for call in calls],
        [Hook(*odd)],
        lambda: Counter(path for path, _ in graph.sent),
    )


def whatsapp() -> Shop:
    """Messages in batches."""
    graph = GraphServer()
    about = {"messaging_product": "whatsapp", "metadata": {"display_phone_number": "1", "phone_number_id": PHONE}}

    def entry(messages: list[Any]) -> dict[str, Any]:
        return {"id": "102290129340398", "changes": [{"field": "messages", "value": {**about, "messages": messages}}]}

    def message(person: int, number: int, text: str) -> dict[str, Any]:
        at = str(int(time.time()))
        return {"from": f"2135500{person}", "id": f"w{number}", "timestamp": at, "type": "text", "text": {"body": text}}

    said = [message(*each) for each in everybody()]
    calls = [
        graph.call([entry([each]) for each in said[start : start + EACH]], "whatsapp_business_account")
        for start in range(0, len(said), EACH)
    ]
    odd = graph.call([entry([{"id": "w999", "type": "text"}])], "whatsapp_business_account")
    return Shop(
        "whatsapp",
        {"app_id": APP_ID, "phone_number_id": PHONE, "business_account_id": "102290129340398", "account_id": PHONE},
        CREDENTIALS,
        graph.handle,
        graph,
        [Hook(*call) for call in calls],
        [Hook(*odd)],
        lambda: Counter(str(body["to"]) for path, body in graph.sent if "text" in body),
    )


class Bot:
    """Telegram's server for one bot."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        at = int(time.time())
        people = [{"id": 100 + p, "is_bot": False, "first_name": f"P{p}"} for p in range(PEOPLE)]
        self.updates: list[Any] = [
            {
                "update_id": n,
                "message": {
                    "message_id": n,
                    "from": people[p],
                    "chat": {**people[p], "type": "private"},
                    "date": at,
                    "text": text,
                },
            }
            for p, n, text in everybody()
        ]
        self.updates += [{**self.updates[0], "update_id": 997}, {"update_id": 998, "message": {"message_id": "odd"}}]

    def answer(self, call: Call) -> Answer:
        """Bot API, "Making requests"."""
        token, _, method = call.path.removeprefix("/bot").partition("/")
        if token != TOKEN:
            return Answer(401, {"ok": False, "error_code": 401, "description": "Unauthorized"})
        result: Any = True
        if method.lower() == "getupdates":
            offset = int(call.fields.get("offset", 0))
            result = [update for update in self.updates if update["update_id"] >= offset][:7]
        elif method.lower() == "getme":
            result = {"id": 7000000001, "is_bot": True, "first_name": "Atlas", "username": "atlas_bot"}
        elif method.lower() == "sendmessage":
            self.taken[call.fields["chat_id"]] += 1
            result = {"message_id": 9, "date": 1, "chat": {"id": int(call.fields["chat_id"]), "type": "private"}}
        return Answer(200, {"ok": True, "result": result})


def telegram() -> Shop:
    """Updates, seven at a time; one of them twice, and one that cannot be read."""
    bot = Bot()
    platform = Platform(bot.answer)
    settings = {"poll_timeout": 0, "account_id": "7000000001"}
    credentials = {"token": TOKEN, "webhook_secret": SECRET}
    return Shop("telegram", settings, credentials, platform.handle, platform, answered=lambda: bot.taken)


def x() -> Shop:
    """Direct messages."""
    now = datetime.now().astimezone().isoformat()
    events = [
        {
            "id": str(1000 + n),
            "event_type": "MessageCreate",
            "text": text,
            "sender_id": f"50{p}",
            "dm_conversation_id": f"50{p}-{US}",
            "created_at": now,
        }
        for p, n, text in everybody()
    ]

    def answer(call: Call) -> Answer:
        if call.method == "POST":
            return Answer(201, {"data": {"dm_conversation_id": "1", "dm_event_id": f"{len(platform.calls)}"}})
        found = list(reversed(events)) if call.path.endswith("/dm_events") else []
        return Answer(200, {"data": found, "meta": {"result_count": len(found)}})

    platform, taken = counting(answer, lambda call: call.path.split("/")[-2] if call.method == "POST" else None)
    keys = dict.fromkeys(("consumer_key", "consumer_secret", "access_token_secret"), "k")
    credentials = {**keys, "access_token": f"{US}-k"}
    return Shop("x", {"account_id": US}, credentials, platform.handle, platform, answered=lambda: taken)


def youtube() -> Shop:
    """Comments under a video."""
    at = datetime.now().astimezone().isoformat()

    def thread(person: int, number: int, text: str) -> dict[str, Any]:
        who = {"authorDisplayName": f"@p{person}", "authorChannelId": {"value": f"UC{person}"}}
        snippet = {"textOriginal": text, **who}
        comment = {"id": f"Ug{number}", "snippet": {**snippet, "publishedAt": at, "updatedAt": at}}
        return {"id": f"Ug{number}", "snippet": {"videoId": "v1", "topLevelComment": comment, "totalReplyCount": 0}}

    threads = [thread(*each) for each in everybody()]

    def answer(call: Call) -> Answer:
        if call.method == "POST":
            return Answer(200, {"id": f"{call.json['snippet']['parentId']}.{len(platform.calls)}"})
        return Answer(200, {"items": threads if call.path.endswith("/commentThreads") else []})

    platform, taken = counting(answer, lambda call: call.json["snippet"]["parentId"] if call.method == "POST" else None)
    settings = {"client_id": "c", "account_id": "UCus", "daily_units": "10000"}
    secrets = {"client_secret": SECRET, "refresh_token": SECRET, "access_token": SECRET}
    return Shop("youtube", settings, secrets, platform.handle, platform, answered=lambda: taken)


def bluesky() -> Shop:
    """Mentions."""
    here = BlueskyServer(clock=datetime.now().astimezone())
    us = here.person("atlas.test")
    for p, _, text in everybody():
        mention(here, f"p{p}.test", f"@atlas.test {text}")
    settings = {"handle": "atlas.test", "account_id": us}

    def answered() -> Counter[str]:
        ours = [record for uri, record in here.records.items() if uri.startswith(f"at://{us}/app.bsky.feed.post/")]
        return Counter(record["reply"]["parent"]["uri"] for record in ours)

    return Shop("bluesky", settings, {"app_password": PASSWORD}, here.handle, here, answered=answered)


def email(server: MailServer) -> Shop:
    """A mailbox on a real server; `delivered` puts the mails into it, one thread for each person."""
    config = server.config(MAILBOX, poll_timeout=1)

    def answered() -> Counter[str]:
        return Counter({f"p{p}": len(server._all(f"p{p}@mail.test", "INBOX")) for p in range(PEOPLE)})

    return Shop("email", dict(config.settings), dict(config.credentials), None, server, answered=answered)


async def delivered(server: MailServer) -> None:
    """Everybody's mails, and one of them twice."""
    mails = []
    for p, n, text in everybody():
        head = [f"From: P{p} <p{p}@mail.test>", f"To: {MAILBOX}", "Subject: Horaires", f"Message-ID: <{n}@mail.test>"]
        head += [f"In-Reply-To: <{p * EACH}@mail.test>", f"References: <{p * EACH}@mail.test>"] if n % EACH else []
        mails.append("\r\n".join([*head, "Content-Type: text/plain; charset=utf-8", "", text, ""]).encode())
    await server.deliver(MAILBOX, *mails, mails[0])


def feed() -> Shop:
    """A blog, which nobody answers."""
    items = [item(f"f{n}", f"{text} {n}", f"Article {n} de P{p}") for p, n, text in everybody()]
    platform = Platform(Answer(200, rss(*items).encode(), {"Content-Type": "application/rss+xml", "ETag": '"1"'}))
    return Shop("feed", {}, {}, platform.handle, platform)
