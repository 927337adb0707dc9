"""A Graph API on loopback for the connectors of Meta's platforms: there is no server of Meta's to test against.

    async with graph_server() as graph:
        connector = FacebookConnector(graph.config())
        graph.comment("Où est ma commande ?")
        page = await connector.poll(None)

It keeps posts, comments and messages, pages through them with cursors, checks the token and its `appsecret_proof`, and
signs the calls that it makes to a webhook. What it says follows https://developers.facebook.com/docs; what it cannot
know, as how fast Meta is, it does not pretend.
"""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.test_utils import TestServer

from connectors.base import ChannelConfig

APP_ID, APP_SECRET, TOKEN, VERIFY = "4400", "an-app-secret", "EAAG-not-a-true-token", "a-verify-token"
PAGE, INSTAGRAM, PHONE, WABA = "100100", "17841400000000001", "106540352242922", "102290129340398"
CREDENTIALS = {"app_secret": APP_SECRET, "access_token": TOKEN, "verify_token": VERIFY}
FIRST = 1772366400
"""2026-03-01 12:00 UTC; everything that happens here happens a minute after what happened before."""


def proof(token: str) -> str:
    """Graph API, Securing calls: what stands beside a token."""
    return hmac.new(APP_SECRET.encode(), token.encode(), hashlib.sha256).hexdigest()


def signature(body: bytes, secret: str = APP_SECRET) -> str:
    """Webhooks, Getting started: X-Hub-Signature-256."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def moment(seconds: int) -> str:
    """A time as the Graph API writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")


@dataclass
class GraphServer:
    """One app with one page, one Instagram account and one WhatsApp number."""

    url: str = ""
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    """Those that are good."""
    token: str = ""
    """With which the last call came."""
    scopes: list[str] = field(default_factory=list)
    token_is_valid: bool = True
    expires_at: int = 0
    posts: dict[str, dict[str, Any]] = field(default_factory=dict)
    comments: dict[str, dict[str, Any]] = field(default_factory=dict)
    names: dict[str, dict[str, str]] = field(default_factory=dict)
    """By user id, what their profile says."""
    pictures: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Instagram's media; their comments are beside those of the page's posts, with their answers."""
    mentions: dict[str, dict[str, Any]] = field(default_factory=dict)
    media: dict[str, bytes] = field(default_factory=dict)
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Every POST that was taken: path without version, and body."""
    deleted: list[str] = field(default_factory=list)
    subscribed: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """The path of every call."""
    refusals: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    """By the last part of a path: the status and error that calls get."""
    headers: dict[str, str] = field(default_factory=dict)
    _count: int = 0

    def config(self, **settings: Any) -> ChannelConfig:
        """What a connector of this app is opened with."""
        return ChannelConfig({"app_id": APP_ID, **settings}, CREDENTIALS, self.url)

    def next(self) -> int:
        """The next number; also the minutes since the first moment."""
        self._count += 1
        return self._count

    def post(self, text: str, sender: str = PAGE, name: str = "Atlas") -> str:
        """A post on the page; its id."""
        number = self.next()
        post = f"{PAGE}_{number}"
        at = moment(FIRST + 60 * number)
        self.posts[post] = {"id": post, "from": {"id": sender, "name": name}, "message": text, "created_time": at}
        return post

    def comment(self, post: str, text: str, sender: str = "7001", name: str = "Nadia B", parent: str = "") -> str:
        """A comment under a post, or under another comment; its id."""
        number = self.next()
        comment = f"{post.partition('_')[2]}_{number}"
        self.comments[comment] = {
            "id": comment,
            "from": {"id": sender, "name": name},
            "message": text,
            "created_time": moment(FIRST + 60 * number),
            **({"parent": {"id": parent}} if parent else {}),
            "post": post,
        }
        return comment

    def picture(self, caption: str) -> str:
        """A picture of the Instagram account; its id."""
        number = self.next()
        at = {"timestamp": moment(FIRST + 60 * number), "username": "atlas.dz"}
        facts = {
            "media_type": "IMAGE",
            "media_url": "https://scontent.cdninstagram.com/p.jpg",
            "permalink": "https://i",
        }
        self.pictures[str(9000 + number)] = {"id": str(9000 + number), "caption": caption, **facts, **at}
        return str(9000 + number)

    def remark(self, under: str, text: str, sender: str = "6001", username: str = "nadia.b") -> str:
        """A comment under a picture, or an answer to one; its id."""
        number = self.next()
        who = {"from": {"id": sender, "username": username}, "username": username}
        comment = {"id": str(17000 + number), "text": text, "timestamp": moment(FIRST + 60 * number), **who}
        self.comments[comment["id"]] = {**comment, "under": under}
        return str(comment["id"])

    def call(self, entries: Sequence[Any], kind: str = "page") -> tuple[bytes, dict[str, str]]:
        """Body and headers of a webhook's call."""
        body = json.dumps({"object": kind, "entry": list(entries)}).encode()
        return body, {"X-Hub-Signature-256": signature(body), "Content-Type": "application/json"}

    def comment_entry(self, comment: str, verb: str = "add") -> dict[str, Any]:
        """The entry that tells of a comment."""
        kept = self.comments[comment]
        parent = kept.get("parent", {}).get("id") or kept["post"]
        at = FIRST + 60 * int(comment.partition("_")[2])
        value = {
            "item": "comment",
            "verb": verb,
            "from": kept["from"],
            "post_id": kept["post"],
            "comment_id": comment,
            "parent_id": parent,
            "created_time": at,
            **({} if verb == "remove" else {"message": kept["message"]}),
        }
        return {"id": PAGE, "time": at, "changes": [{"field": "feed", "value": value}]}

    def app(self) -> web.Application:
        """As an application."""
        app = web.Application()
        app.router.add_route("*", r"/v{version:\d+\.\d+}/{path:.+}", self.handle)
        return app

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One call of ours."""
        path = request.match_info["path"]
        self.asked.append(path)
        if path.startswith("file/"):
            return web.Response(body=self.media[path.removeprefix("file/")])
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        is_known = token in self.tokens or token == f"{APP_ID}|{APP_SECRET}"
        if not is_known or request.query.get("appsecret_proof") != proof(token):
            return _error(401, {"message": "Invalid OAuth access token.", "type": "OAuthException", "code": 190})
        if refusal := self.refusals.get(path.rpartition("/")[2]):
            return web.json_response({"error": refusal[1]}, status=refusal[0], headers=self.headers)
        body = await request.json() if request.method == "POST" and request.can_read_body else {}
        self.token = token
        found = self._answer(request.method, path, request.query, body)
        if found is None:
            words = f"Unsupported request. Object with ID '{path}' does not exist."
            return _error(400, {"message": words, "type": "GraphMethodException", "code": 100, "error_subcode": 33})
        return web.json_response(found, headers=self.headers)

    def _answer(self, method: str, path: str, query: Mapping[str, str], body: dict[str, Any]) -> Any:
        last = path.rpartition("/")[2]
        if last == "subscribed_apps":
            return self._subscribe(method, body)
        if method == "DELETE":
            self.deleted.append(path)
            return {"success": True}
        if method == "POST":
            self.sent.append((path, body))
            number = self.next()
            if path == f"{PHONE}/messages":
                return {"messaging_product": "whatsapp", "messages": [{"id": f"wamid.{number}"}]}
            if last == "messages":
                return {"recipient_id": next(iter(body["recipient"].values())), "message_id": f"m_{number}"}
            if last in ("comments", "replies", "mentions"):
                return {"id": f"{path.partition('_')[0]}_{number}" if last == "comments" else str(number)}
            return {"success": True}
        return self._read(path, query)

    def _read(self, path: str, query: Mapping[str, str]) -> Any:
        fields = query.get("fields", "")
        if path == "debug_token":
            is_valid = self.token_is_valid and query.get("input_token") in self.tokens
            facts = {"app_id": APP_ID, "is_valid": is_valid, "expires_at": self.expires_at}
            return {"data": {**facts, "scopes": self.scopes}}
        if path == "me":
            linked = {"instagram_business_account": {"id": INSTAGRAM, "username": "atlas.dz"}}
            return {"id": PAGE, "name": "Atlas", **(linked if "instagram" in fields else {})}
        if path == "me/feed":
            posts = sorted(self.posts.values(), key=lambda post: post["created_time"], reverse=True)
            shown = [{**post, "comments": self._comments(post["id"], {"limit": "50"})} for post in posts]
            return _paged(shown, query)
        if path == f"{INSTAGRAM}/media":
            shown = sorted(self.pictures.values(), key=lambda each: each["timestamp"], reverse=True)
            return _paged([{**each, "comments": self._under(each["id"], {"limit": "50"})} for each in shown], query)
        number, _, edge = path.rpartition("/")
        if edge == "replies" or (edge == "comments" and number in self.pictures):
            return self._under(number, query)
        if path.endswith("/comments"):
            return self._comments(path.rpartition("/")[0], query)
        if path in self.posts:
            return self.posts[path]
        if path == PHONE:
            return {"id": PHONE, "display_phone_number": "+213 550 00 00 00", "verified_name": "Atlas"}
        if path == INSTAGRAM and fields.startswith("mentioned_"):
            number = fields.partition("(")[2].partition(")")[0]
            kept = self.mentions.get(number)
            return {fields.partition(".")[0]: kept, "id": INSTAGRAM} if kept else None
        if path in self.names:
            return {**self.names[path], "id": path}
        if path in self.media:
            return {"url": f"{self.url}/v25.0/file/{path}", "mime_type": "image/jpeg", "file_size": 4, "id": path}
        return None

    def _comments(self, post: str, query: Mapping[str, str]) -> Any:
        mine = [each for each in self.comments.values() if each.get("post") == post]
        mine.sort(key=lambda comment: comment["created_time"], reverse=True)
        return _paged([{k: v for k, v in each.items() if k != "post"} for each in mine], query)

    def _under(self, number: str, query: Mapping[str, str]) -> Any:
        """What stands under a picture, the newest first, or under a comment, with the first of its answers."""
        mine = [each for each in self.comments.values() if each.get("under") == number]
        mine.sort(key=lambda comment: comment["timestamp"], reverse=number in self.pictures)
        shown = [{key: value for key, value in each.items() if key != "under"} for each in mine]
        return _paged([{**each, "replies": self._under(each["id"], {"limit": "50"})} for each in shown], query)

    def _subscribe(self, method: str, body: dict[str, Any]) -> Any:
        if method == "GET":
            apps = [{"id": APP_ID, "name": "Our app", "subscribed_fields": self.subscribed}] if self.subscribed else []
            return {"data": [{"id": "9", "name": "Another app", "subscribed_fields": ["leadgen"]}, *apps]}
        self.subscribed = body.get("subscribed_fields", ["messages"]) if method == "POST" else []
        return {"success": True}


def _paged(items: list[Any], query: Mapping[str, str]) -> dict[str, Any]:
    """Graph API, Paged results: `after` is opaque to the caller; `next` is there while there is more."""
    start, limit = int(query.get("after", "0").removeprefix("c")), int(query.get("limit", "25"))
    page = items[start : start + limit]
    paging: dict[str, Any] = {"cursors": {"before": f"c{start}", "after": f"c{start + len(page)}"}}
    if start + limit < len(items):
        paging["next"] = "https://graph.facebook.com/next"
    return {"data": page, **({"paging": paging} if page else {})}


def _error(status: int, error: dict[str, Any]) -> web.Response:
    return web.json_response({"error": error}, status=status)


@asynccontextmanager
async def graph_server() -> AsyncIterator[GraphServer]:
    """Start one without a sign-in."""
    async with started(GraphServer()) as here:
        yield here


Server = TypeVar("Server", bound=GraphServer)


@asynccontextmanager
async def started(here: Server) -> AsyncIterator[Server]:
    """Start it."""
    server = TestServer(here.app(), host="127.0.0.1")
    await server.start_server(shutdown_timeout=0.1)
    here.url = str(server.make_url("/")).rstrip("/")
    try:
        yield here
    finally:
        await server.close()
