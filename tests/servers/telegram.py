"""A Telegram to test against: the npm package telegram-test-api, behind a shim that mends what it lacks.

    async with telegram_server() as server:
        connector = TelegramConnector(ChannelConfig({}, {"token": server.token}, server.api_url))
        await server.send_text(11, "Bonjour")
        ...
        message = await server.next_bot_message(11)
        await server.press(11, message, "csat:5")

The package keeps the messages and makes the updates. The shim stands before it and does what the real Bot API does
and the package does not: updates come again until they are confirmed by `offset`; a poll waits for `timeout`;
`is_bot`, `chat_instance` and times in seconds; `sendChatAction`; edits by users; a webhook with its secret, tried
again while it fails. It refuses a token that it does not know, as Telegram does.
"""

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.servers.npm import HERE, installed

TOKEN = "666:test-token"


@dataclass(frozen=True)
class BotMessage:
    """What a user sees of one message of the bot."""

    message_id: int
    text: str
    buttons: tuple[tuple[str, str], ...] = ()
    """(label, value) each."""
    reply_to: int | None = None


@dataclass
class TelegramServer:
    """One bot's Telegram. `user_id` is also the number of that user's private chat with the bot."""

    upstream: str
    session: aiohttp.ClientSession
    api_url: str = ""
    token: str = TOKEN
    answered_presses: list[str] = field(default_factory=list)
    """Ids of the pressed buttons whose spinner was stopped."""
    typing_in: list[str] = field(default_factory=list)
    webhook_statuses: list[int] = field(default_factory=list)
    """What the webhook answered, call by call."""
    webhook: dict[str, str] | None = None
    _updates: list[dict[str, Any]] = field(default_factory=list)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def send_text(self, user_id: int, text: str, **fields: Any) -> dict[str, Any]:
        """A user writes to the bot; returns the message. `fields` are more of a Message's fields, as `photo`."""
        update = await self._from_user("sendMessage", self._message(user_id, text=text, **fields))
        message: dict[str, Any] = update["message"]
        return message

    async def edit_text(self, user_id: int, message: dict[str, Any], text: str) -> dict[str, Any]:
        """A user changes a message that they sent."""
        was = {"edited_id": message["message_id"], "date": message["date"], "edit_date": int(time.time())}
        update = await self._from_user("sendMessage", self._message(user_id, text=text, **was))
        edited: dict[str, Any] = update["edited_message"]
        return edited

    async def press(self, user_id: int, message: BotMessage, value: str) -> str:
        """A user presses the button with `value` under a message of the bot; returns the press's id."""
        if value not in {value for _, value in message.buttons}:
            raise ValueError(f"the message has no button {value!r}, only {message.buttons}")
        shown = {**self._message(user_id, text=message.text), "message_id": message.message_id, "from": _BOT}
        shown.pop("botToken")
        press = {"botToken": self.token, "from": _user(user_id), "message": shown, "data": value}
        update = await self._from_user("sendCallback", press)
        return str(update["callback_query"]["id"])

    async def bot_messages(self, user_id: int) -> list[BotMessage]:
        """Every message that the bot sent to a user so far, oldest first."""
        history = await self._client("getUpdatesHistory", {"token": self.token})
        ours = [each for each in history if str(each.get("message", {}).get("chat_id")) == str(user_id)]
        return [_bot_message(each) for each in ours]

    async def wait_for_bot_messages(self, user_id: int, count: int, timeout: float = 10) -> list[BotMessage]:
        """The same, once there are at least `count`; raises TimeoutError where they do not come."""
        async with asyncio.timeout(timeout), self._changed:
            while len(messages := await self.bot_messages(user_id)) < count:
                await self._changed.wait()
            return messages

    async def waiting_updates(self) -> int:
        """How many updates were neither confirmed by a poll nor taken by the webhook."""
        return len(self._updates)

    def _message(self, user_id: int, **fields: Any) -> dict[str, Any]:
        chat = {"id": user_id, "type": "private", "first_name": f"User {user_id}"}
        return {"botToken": self.token, "date": int(time.time()), "from": _user(user_id), "chat": chat} | fields

    async def _client(self, method: str, body: dict[str, Any]) -> Any:
        async with self.session.post(f"{self.upstream}/{method}", json=body) as answer:
            answer.raise_for_status()
            return (await answer.json())["result"]

    async def _from_user(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self._changed:
            await self._client(method, body)
            async with self.session.post(f"{self.upstream}/bot{self.token}/getUpdates") as answer:
                updates = [_mended(update) for update in (await answer.json())["result"]]
            self._updates += updates
            self._changed.notify_all()
        await self._call_webhook()
        return updates[-1]

    async def _call_webhook(self) -> None:
        """Bot API, setWebhook: an update is sent again until the answer is 2xx; here, whenever another one comes."""
        while self.webhook and self._updates:
            headers = {"X-Telegram-Bot-Api-Secret-Token": self.webhook["secret_token"]}
            async with self.session.post(self.webhook["url"], json=self._updates[0], headers=headers) as answer:
                self.webhook_statuses.append(answer.status)
                if answer.status >= 300:
                    return
            self._updates.pop(0)

    async def handle(self, request: web.Request) -> web.Response:
        """One call of the bot."""
        method = request.match_info["method"].lower()
        body = {**request.query, **{key: str(value) for key, value in (await request.post()).items()}}
        if request.match_info["token"] != self.token:
            return web.json_response({"ok": False, "error_code": 401, "description": "Unauthorized"}, status=401)
        own = getattr(self, f"_on_{method}", None)
        if own:
            return _answer(await own(body))
        url = f"{self.upstream}/bot{self.token}/{request.match_info['method']}"
        async with self._changed:
            async with self.session.post(url, data=body) as answer:
                content = await answer.json()
            self._changed.notify_all()
        if answer.status != 200:
            content = {"ok": False, "error_code": 404, "description": "Not Found"}
        if not content["ok"]:
            return web.json_response(content, status=content["error_code"])
        return web.json_response({"ok": True, "result": _mended_result(content["result"])})

    async def _on_getupdates(self, body: dict[str, str]) -> Any:
        if self.webhook:
            raise web.HTTPConflict(
                text=json.dumps(
                    {
                        "ok": False,
                        "error_code": 409,
                        "description": "Conflict: can't use getUpdates method while webhook is active;"
                        " use deleteWebhook to delete the webhook first",
                    }
                ),
                content_type="application/json",
            )
        offset, limit = int(body.get("offset", 0)), int(body.get("limit", 100))
        allowed = set(json.loads(body.get("allowed_updates", "[]")))

        def ready() -> list[dict[str, Any]]:
            self._updates[:] = [each for each in self._updates if each["update_id"] >= offset]
            return [each for each in self._updates if not allowed or allowed & each.keys()][:limit]

        with suppress(TimeoutError):
            async with asyncio.timeout(float(body.get("timeout", 0))), self._changed:
                await self._changed.wait_for(ready)
        return ready()

    async def _on_setwebhook(self, body: dict[str, str]) -> Any:
        self.webhook = {"url": body["url"], "secret_token": body.get("secret_token", "")}
        await self._call_webhook()
        return True

    async def _on_deletewebhook(self, body: dict[str, str]) -> Any:
        self.webhook = None
        return True

    async def _on_sendchataction(self, body: dict[str, str]) -> Any:
        self.typing_in.append(body["chat_id"])
        return True

    async def _on_answercallbackquery(self, body: dict[str, str]) -> Any:
        async with self._changed:
            self.answered_presses.append(body["callback_query_id"])
            self._changed.notify_all()
        return True


_BOT = {"id": 666, "is_bot": True, "first_name": "Test First name", "username": "TestNameBot"}


def _user(user_id: int) -> dict[str, Any]:
    return {"id": user_id, "is_bot": False, "first_name": f"User {user_id}", "username": f"user{user_id}"}


def _answer(result: Any) -> web.Response:
    return web.json_response({"ok": True, "result": result})


def _bot_message(stored: dict[str, Any]) -> BotMessage:
    message = stored["message"]
    rows = (message.get("reply_markup") or {}).get("inline_keyboard", [])
    replied = json.loads(message.get("reply_parameters", "{}"))
    return BotMessage(
        message_id=stored["messageId"],
        text=message["text"],
        buttons=tuple((button["text"], button["callback_data"]) for row in rows for button in row),
        reply_to=replied.get("message_id"),
    )


def _mended(update: dict[str, Any]) -> dict[str, Any]:
    """An update as Telegram makes it."""
    if "callback_query" in update:
        return {**update, "callback_query": {**update["callback_query"], "chat_instance": "-1"}}
    message = {key: value for key, value in update["message"].items() if key != "botToken"}
    if "edited_id" in message:
        message["message_id"] = message.pop("edited_id")
        return {"update_id": update["update_id"], "edited_message": message}
    return {"update_id": update["update_id"], "message": message}


def _mended_result(result: Any) -> Any:
    """A method's result as Telegram gives it: true where the package says null, times in seconds, `is_bot`."""
    if result is None:
        return True
    if isinstance(result, dict) and "date" in result:
        return {**result, "date": result["date"] // 1000, "from": _BOT}
    if isinstance(result, dict) and "first_name" in result:
        return {**result, "is_bot": True}
    return result


@asynccontextmanager
async def telegram_server() -> AsyncIterator[TelegramServer]:
    """Start it; skips the test where the package cannot be had (SOCIALCRM_TEST_REQUIRE_ALL=1: fails it)."""
    async with _package() as upstream, aiohttp.ClientSession() as session:
        here = TelegramServer(upstream, session)
        app = web.Application()
        app.router.add_route("*", r"/bot{token:[^/]+}/{method}", here.handle)
        shim = TestServer(app, host="127.0.0.1")
        await shim.start_server(shutdown_timeout=0.1)
        here.api_url = str(shim.make_url("/")).rstrip("/")
        try:
            yield here
        finally:
            await shim.close()


@asynccontextmanager
async def _package() -> AsyncIterator[str]:
    """The package itself, on a free port."""
    node, cache = await asyncio.to_thread(installed, "telegram-test-api")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        node,
        str(HERE / "telegram.js"),
        str(port),
        env={**os.environ, "NODE_PATH": str(cache / "node_modules")},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin and process.stdout and process.stderr
    try:
        if (await process.stdout.readline()).strip() != b"ready":
            raise RuntimeError(f"telegram-test-api did not start: {(await process.stderr.read()).decode()}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stdin.close()
        await process.communicate()
