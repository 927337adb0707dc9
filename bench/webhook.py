"""Webhook calls per second until durable, against a bare aiohttp route that answers 200, in the same run."""

import asyncio
import hashlib
import hmac
import json
import time
from typing import Any

import aiohttp
from aiohttp import web
from sqlalchemy import func, select

from bench.place import kinds, opened
from socialcrm.domain.rows import Channel, RawEventRow
from socialcrm.engine.line import utc_now
from socialcrm.web.server import build_app

CALLS, CLIENTS, SECRET = 1500, 16, "a-secret-for-the-bench"


async def measure() -> list[dict[str, Any]]:
    """One row per database, and one for the bare route."""
    bare = web.Application()
    bare.router.add_post("/hooks/{key}", _ok)
    base = await _calls(bare)
    rows = [{"route": "bare aiohttp", "calls/s": round(base), "of bare": 1.0}]
    for kind in await kinds():
        async with opened(kind) as line:
            now = utc_now()
            credentials = line.vault.encrypt({"secret": SECRET, "webhook_secret": SECRET})
            async with line.database.write() as session:
                session.add(
                    Channel(
                        connector="api", key="api", name="API", credentials=credentials, created_at=now, changed_at=now
                    )
                )
            rate = await _calls(build_app(line))
            async with line.database.read() as session:
                kept = await session.scalar(select(func.count()).select_from(RawEventRow))
            if kept != CALLS:
                raise RuntimeError(f"{kept} of {CALLS} calls were kept")
        rows.append({"route": f"ours on {kind}", "calls/s": round(rate), "of bare": round(rate / base, 2)})
    return rows


async def _ok(request: web.Request) -> web.Response:
    await request.read()
    return web.json_response({"status": "ok"})


async def _calls(app: web.Application) -> float:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hooks/api"
    numbers = iter(range(CALLS))

    async def client(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            body, headers = _signed(number)
            async with session.post(url, data=body, headers=headers) as response:
                if response.status != 200:
                    raise RuntimeError(f"{response.status}: {await response.text()}")

    async with aiohttp.ClientSession() as session:
        begin = time.perf_counter()
        await asyncio.gather(*(client(session) for _ in range(CLIENTS)))
        seconds = time.perf_counter() - begin
    await runner.cleanup()
    return CALLS / seconds


def _signed(number: int) -> tuple[bytes, dict[str, str]]:
    message = {"id": f"m{number}", "author": {"id": f"a{number}"}, "text": "Bonjour", "sent_at": time.time()}
    body, stamp = json.dumps(message).encode(), str(int(time.time()))
    signature = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return body, {
        "X-SocialCRM-Timestamp": stamp,
        "X-SocialCRM-Signature": f"sha256={signature}",
        "Content-Type": "application/json",
    }
