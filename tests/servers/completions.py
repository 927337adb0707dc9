"""A server that answers chat completions as documented (platform.openai.com/docs/api-reference/chat/create)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer


@dataclass
class Completions:
    """What it was asked, and what it answers next."""

    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    says: Callable[[dict[str, Any]], str] = lambda body: "Bonjour, un collègue vérifie."
    status: int = 200
    body: Any = None
    """Instead of a completion."""
    waits: float = 0.0

    async def complete(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.asked.append(asked)
        self.keys.append(request.headers.get("Authorization", ""))
        await asyncio.sleep(self.waits)
        if self.body is not None:
            return web.json_response(self.body, status=self.status)
        message = {"role": "assistant", "content": self.says(asked), "refusal": None}
        return web.json_response(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1741569952,
                "model": asked["model"],
                "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29},
            },
            status=self.status,
        )


@asynccontextmanager
async def completions() -> AsyncIterator[Completions]:
    """One that runs on this machine."""
    made = Completions()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", made.complete)
    server = TestServer(app)
    await server.start_server()
    made.url = str(server.make_url("/v1"))
    try:
        yield made
    finally:
        await server.close()
