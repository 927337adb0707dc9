"""A Bluesky to test against, written by us after the lexicons: server (PDS) and AppView in one, on loopback.

The real ones are in bluesky_network.py. This one keeps records and private messages, and refuses what the lexicons
refuse: an unknown session, a text of over 300 graphemes or 3,000 bytes, a facet outside the text, a reference without
its cid, a picture that was not uploaded, a record that should be new and is not.

    async with bluesky_server() as server:
        nadia = server.person("nadia.test")
        post = server.post(nadia, "@atlas.test Bonjour", mentions=("atlas.test",))
"""

import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import regex
from aiohttp import web
from aiohttp.test_utils import TestServer

POST = "app.bsky.feed.post"
CONVO = "chat.bsky.convo.defs"
PASSWORD = "abcd-efgh-ijkl-mnop"


@dataclass
class BlueskyServer:
    """One server. `records` are (address, record) in order; `asked` the methods called so far."""

    url: str = ""
    people: dict[str, str] = field(default_factory=dict)
    """Handle -> DID."""
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    indexed: dict[str, str] = field(default_factory=dict)
    notifications: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    refusals: dict[str, web.Response] = field(default_factory=dict)
    """What a method answers instead, once."""
    lost: set[str] = field(default_factory=set)
    """Methods that do their work once, and then end the connection without an answer."""
    page_size: int = 100
    token_number: int = 0
    key_number: int = 0
    clock: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)
    log: list[dict[str, Any]] = field(default_factory=list)
    """Of the chat: lines of its log, oldest first."""
    may_chat: bool = True
    """Whether the app password may read direct messages."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    """What was uploaded, by its reference."""

    def person(self, handle: str) -> str:
        """The DID of somebody with this handle."""
        return self.people.setdefault(handle, f"did:plc:{hashlib.sha256(handle.encode()).hexdigest()[:24]}")

    def post(self, did: str, text: str, **record: Any) -> str:
        """Somebody posts; returns the address. `record` are more fields, as `reply` and `facets`."""
        made = {"$type": POST, "text": text, "createdAt": self.now(), **record}
        return self.keep(did, POST, self.new_key(), made)

    def answer(self, did: str, above: str, text: str) -> str:
        """Somebody answers below a post."""
        root = self.records[above].get("reply", {}).get("root") or self.ref(above)
        return self.post(did, text, reply={"root": root, "parent": self.ref(above)})

    def whisper(self, did: str, text: str, **message: Any) -> dict[str, Any]:
        """Somebody writes to us, or we to somebody, in private; the line of the log. `message` are more fields."""
        view = {"$type": f"{CONVO}#messageView", "id": self.new_key(), "rev": self.new_key(), "text": text}
        view |= {"sender": {"did": did}, "sentAt": self.now(), **message}
        return self._logged("logCreateMessage", view)

    def unsay(self, line: dict[str, Any]) -> None:
        """Its author takes a private message back."""
        gone = {k: line["message"][k] for k in ("id", "rev", "sender", "sentAt")}
        self._logged("logDeleteMessage", {"$type": f"{CONVO}#deletedMessageView", **gone})

    def _logged(self, kind: str, message: dict[str, Any]) -> dict[str, Any]:
        line = {"$type": f"{CONVO}#{kind}", "rev": self.new_key(), "convoId": "convo-1", "message": message}
        self.log.append(line)
        return line

    def delete(self, uri: str) -> None:
        """Its author deletes a post."""
        del self.records[uri]

    def ref(self, uri: str) -> dict[str, str]:
        """com.atproto.repo.strongRef."""
        return {"uri": uri, "cid": self.cid(uri)}

    def cid(self, uri: str) -> str:
        """The hash of a record, in a form like that of the real ones."""
        digest = hashlib.sha256(json.dumps(self.records[uri], sort_keys=True).encode()).digest()
        return "bafyrei" + base64.b32encode(digest).decode().lower().rstrip("=")

    def new_key(self) -> str:
        """A record key that no record has yet, in the form of a TID."""
        self.key_number += 1
        return "3l" + "".join("234567abcdefghijklmnopqrstuvwxyz"[self.key_number >> s & 31] for s in range(50, -1, -5))

    def now(self) -> str:
        """Each call a second later."""
        self.clock += timedelta(seconds=1)
        return self.clock.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def keep(self, did: str, collection: str, key: str, record: dict[str, Any]) -> str:
        """Store a record, and notify those whom it concerns as the AppView does."""
        uri = f"at://{did}/{collection}/{key}"
        self.records[uri], self.indexed[uri] = record, self.now()
        if collection == POST:
            above = record.get("reply", {}).get("parent", {}).get("uri", "")
            tagged = [
                x["did"] for f in record.get("facets", ()) for x in f["features"] if x["$type"].endswith("#mention")
            ]
            told = {above.removeprefix("at://").partition("/")[0]: "reply"} if above else {}
            for whom, reason in {**dict.fromkeys(tagged, "mention"), **told}.items():
                self.notify(whom, did, reason, uri, above or None)
        if collection == "app.bsky.feed.like":
            liked = record["subject"]["uri"]
            self.notify(liked.removeprefix("at://").partition("/")[0], did, "like", uri, liked)
        return uri

    def notify(self, whom: str, did: str, reason: str, uri: str, subject: str | None) -> None:
        """lexicon app.bsky.notification.listNotifications#notification."""
        if whom != did:
            told = {"uri": uri, "cid": self.cid(uri), "author": self.author(did), "reason": reason, "isRead": False}
            told |= {"record": self.records[uri], "indexedAt": self.indexed[uri], "labels": []}
            self.notifications.append({"to": whom, **told, **({"reasonSubject": subject} if subject else {})})

    def author(self, did: str) -> dict[str, Any]:
        """lexicon app.bsky.actor.defs#profileView, in its smallest form."""
        handle = next(handle for handle, each in self.people.items() if each == did)
        return {"did": did, "handle": handle, "displayName": handle.partition(".")[0].title(), "labels": []}

    def view(self, uri: str) -> dict[str, Any]:
        """lexicon app.bsky.feed.defs#postView."""
        did = uri.removeprefix("at://").partition("/")[0]
        shown = {**self.ref(uri), "author": self.author(did), "record": self.records[uri], "labels": []}
        images = self.records[uri].get("embed", {}).get("images", ())
        if images:
            views = [
                {"thumb": f"{self.url}/img/{n}", "fullsize": f"{self.url}/img/{n}", "alt": ""}
                for n, _ in enumerate(images)
            ]
            shown["embed"] = {"$type": "app.bsky.embed.images#view", "images": views}
        return {**shown, "indexedAt": self.indexed[uri], "likeCount": 0, "replyCount": 0}

    def app(self) -> web.Application:
        """As an application."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        return app

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One XRPC call."""
        if request.path.startswith("/img/"):
            return web.Response(body=b"\xff\xd8\xff", content_type="image/jpeg")
        method = request.path.removeprefix("/xrpc/")
        self.asked.append(method)
        if method.startswith("chat.") and (no := self._no_chat(request)):
            return no
        if method == "com.atproto.repo.uploadBlob":
            return web.json_response(self._uploaded(request, await request.read()))
        if refusal := self.refusals.pop(method, None):
            return refusal
        data = await request.json() if request.method == "POST" and request.can_read_body else {}
        answer = getattr(self, "_on_" + method.rpartition(".")[2])(request, data)
        if method in self.lost:
            self.lost.remove(method)
            assert request.transport
            request.transport.abort()
        return answer if isinstance(answer, web.Response) else web.json_response(answer)

    def _me(self, request: web.Request) -> str | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        except (IndexError, ValueError):
            return None
        return str(claims["sub"]) if claims["number"] == self.token_number else None

    def _on_createSession(self, request: web.Request, data: dict[str, Any]) -> Any:
        did = self.people.get(data["identifier"])
        if did is None or data["password"] != PASSWORD:
            return error(401, "AuthenticationRequired", "Invalid identifier or password")
        return self._session(did)

    def _session(self, did: str) -> dict[str, Any]:
        claims = {"sub": did, "iat": int(time.time()), "exp": int(time.time()) + 7200, "number": self.token_number}
        body = base64.urlsafe_b64encode(json.dumps({**claims, "scope": "com.atproto.appPass"}).encode()).decode()
        token = f"eyJhbGciOiJIUzI1NiJ9.{body.rstrip('=')}.c2ln"
        handle = self.author(did)["handle"]
        return {"did": did, "handle": handle, "accessJwt": token, "refreshJwt": token, "active": True}

    def _no_chat(self, request: web.Request) -> web.Response | None:
        """The chat is a service of its own: our server hands calls on to it when the header says so, and only those
        of app passwords that may read direct messages."""
        if request.headers.get("atproto-proxy") != "did:web:api.bsky.chat#bsky_chat":
            return error(501, "MethodNotImplemented", "Method Not Implemented")
        return None if self.may_chat else error(400, "InvalidToken", "Bad token method")

    def _convo(self) -> dict[str, Any]:
        """lexicon chat.bsky.convo.defs#convoView."""
        members = [{k: a[k] for k in ("did", "handle", "displayName")} for a in map(self.author, self.people.values())]
        rev = self.log[-1]["rev"] if self.log else "2222222222222"
        return {"id": "convo-1", "rev": rev, "members": members, "muted": False, "unreadCount": 0}

    def _on_listConvos(self, request: web.Request, _: Any) -> Any:
        return {"convos": [self._convo()]}

    def _on_getLog(self, request: web.Request, _: Any) -> Any:
        return {"logs": [line for line in self.log if line["rev"] > request.query.get("cursor", "")][:50]}

    def _on_getConvo(self, request: web.Request, _: Any) -> Any:
        return {"convo": self._convo()}

    def _on_getConvoForMembers(self, request: web.Request, _: Any) -> Any:
        if "did:plc:closed" in request.query.getall("members"):
            return error(400, "InvalidRequest", "recipient has disabled incoming messages")
        return {"convo": self._convo()}

    def _on_sendMessage(self, request: web.Request, data: dict[str, Any]) -> Any:
        if len(regex.findall(r"\X", data["message"]["text"])) > 1000:
            return error(400, "InvalidRequest", "Input/message/text must not be longer than 1000 graphemes")
        line = self.whisper(self._me(request) or "", data["message"]["text"])
        return line["message"]

    def _on_updateRead(self, request: web.Request, data: dict[str, Any]) -> Any:
        return {"convo": self._convo()}

    def _uploaded(self, request: web.Request, content: bytes) -> Any:
        ref = "bafkrei" + base64.b32encode(hashlib.sha256(content).digest()).decode().lower().rstrip("=")
        self.blobs[ref] = content
        kind = request.headers["Content-Type"]
        return {"blob": {"$type": "blob", "ref": {"$link": ref}, "mimeType": kind, "size": len(content)}}

    def _on_listNotifications(self, request: web.Request, _: Any) -> Any:
        if (did := self._me(request)) is None:
            return error(400, "ExpiredToken", "Token has expired")
        reasons = request.query.getall("reasons", [])
        ours = [n for n in self.notifications if n["to"] == did and (not reasons or n["reason"] in reasons)]
        return self._page("notifications", sorted(ours, key=lambda n: n["indexedAt"], reverse=True), request)

    def _on_searchPosts(self, request: web.Request, _: Any) -> Any:
        since = request.query.get("since", "")
        found = [
            u for u, r in self.records.items() if request.query["q"] in r.get("text", "") and self.indexed[u] >= since
        ]
        return self._page(
            "posts", [self.view(u) for u in sorted(found, key=self.indexed.__getitem__, reverse=True)], request
        )

    def _page(self, key: str, found: Sequence[Any], request: web.Request) -> dict[str, Any]:
        start, size = int(request.query.get("cursor", 0)), min(self.page_size, int(request.query["limit"]))
        more = {"cursor": str(start + size)} if start + size < len(found) else {}
        return {key: list(found[start : start + size]), **more}

    def _on_getPosts(self, request: web.Request, _: Any) -> Any:
        uris = request.query.getall("uris")
        if len(uris) > 25:
            return error(400, "InvalidRequest", "Error: uris must not have more than 25 elements")
        me = self._me(request) or ""
        return {"posts": [{**self.view(uri), "viewer": self._viewer(me, uri)} for uri in uris if uri in self.records]}

    def _viewer(self, me: str, uri: str) -> dict[str, str]:
        """lexicon app.bsky.feed.defs#viewerState: the addresses of our own like and repost."""
        found = {}
        for address, record in self.records.items():
            kind = address.split("/")[3].rpartition(".")[2]
            if address.startswith(f"at://{me}/") and record.get("subject", {}).get("uri") == uri:
                found[kind] = address
        return found

    def _on_resolveHandle(self, request: web.Request, _: Any) -> Any:
        did = self.people.get(request.query["handle"])
        return {"did": did} if did else error(400, "InvalidRequest", "Unable to resolve handle")

    def _on_getRecord(self, request: web.Request, _: Any) -> Any:
        uri = f"at://{request.query['repo']}/{request.query['collection']}/{request.query['rkey']}"
        if uri not in self.records:
            return error(400, "RecordNotFound", f"Could not locate record: {uri}")
        return {**self.ref(uri), "value": self.records[uri]}

    def _on_putRecord(self, request: web.Request, data: dict[str, Any]) -> Any:
        uri = f"at://{data['repo']}/{data['collection']}/{data['rkey']}"
        if "swapRecord" in data and data["swapRecord"] is None and uri in self.records:
            return error(400, "InvalidSwap", f"Record was at {self.cid(uri)}")
        return self._written(request, data, data["rkey"])

    def _on_createRecord(self, request: web.Request, data: dict[str, Any]) -> Any:
        return self._written(request, data, self.new_key())

    def _on_deleteRecord(self, request: web.Request, data: dict[str, Any]) -> Any:
        self.records.pop(f"at://{data['repo']}/{data['collection']}/{data['rkey']}", None)
        return {}

    def _written(self, request: web.Request, data: dict[str, Any], key: str) -> Any:
        if self._me(request) != data["repo"]:
            return error(401, "AuthMissing", "Authentication Required")
        if words := self._wrong(data["record"]):
            return error(400, "InvalidRequest", f"Invalid {data['collection']} record: {words}")
        return self.ref(self.keep(data["repo"], data["collection"], key, data["record"]))

    def _wrong(self, record: dict[str, Any]) -> str:
        text = record.get("text", "")
        if len(regex.findall(r"\X", text)) > 300:
            return "Record/text must not be longer than 300 graphemes"
        size = len(text.encode())
        if size > 3000:
            return "Record/text must not be longer than 3000 characters"
        if any(not 0 <= f["index"]["byteStart"] < f["index"]["byteEnd"] <= size for f in record.get("facets", ())):
            return "Record/facets out of range"
        images = record.get("embed", {}).get("images", ())
        if any(image["image"]["ref"]["$link"] not in self.blobs for image in images):
            return "Could not find blob"
        refs = [*record.get("reply", {}).values(), *([record["subject"]] if "subject" in record else [])]
        if any(ref.get("cid") != self.cid(ref["uri"]) for ref in refs):
            return "a reference is not what it names"
        return ""


def error(status: int, code: str, words: str, **headers: str) -> web.Response:
    """https://atproto.com/specs/xrpc#error-responses."""
    return web.json_response({"error": code, "message": words}, status=status, headers=headers)


@asynccontextmanager
async def bluesky_server() -> AsyncIterator[BlueskyServer]:
    """A server with our account, `atlas.test`."""
    here = BlueskyServer()
    here.person("atlas.test")
    server = TestServer(here.app(), host="127.0.0.1")
    await server.start_server(shutdown_timeout=0.1)
    here.url = str(server.make_url("/")).rstrip("/")
    try:
        yield here
    finally:
        await server.close()
