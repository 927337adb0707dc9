"""A site on loopback that publishes feeds as sites do: with ETag, Last-Modified, redirects and wrong headers.

async with feed_server() as site:
    site.publish("/feed.xml", rss(item("1", "Bonjour")))
    connector = FeedConnector(ChannelConfig({"url": site.url + "/feed.xml"}))
"""

import asyncio
import gzip
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from html import escape

from aiohttp import web
from aiohttp.test_utils import TestServer


@dataclass
class Published:
    """What stands at one path."""

    body: bytes
    content_type: str = "application/rss+xml"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    changed_at: int = 1_772_366_400
    has_etag: bool = True
    is_gzipped: bool = False
    seconds: float = 0.0
    """How long the server thinks."""


@dataclass
class FeedServer:
    """One site; `asked` are the requests so far, (path, headers in lower case, status) each."""

    url: str = ""
    pages: dict[str, Published] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], int]] = field(default_factory=list)

    def publish(self, path: str, text: str | bytes, **how: object) -> None:
        """Put a page at a path, or another version of it."""
        body = text.encode() if isinstance(text, str) else text
        self.pages[path] = Published(body, **how)  # type: ignore[arg-type]

    def statuses(self) -> list[int]:
        """What was answered so far."""
        return [status for _, _, status in self.asked]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """RFC 9110, 13.2.2: If-None-Match wins over If-Modified-Since."""
        page = self.pages.get(request.path)
        answer = web.Response(status=404, text="Not found") if page is None else await self._answer(request, page)
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append((request.path, headers, answer.status))
        return answer

    async def _answer(self, request: web.Request, page: Published) -> web.Response:
        await asyncio.sleep(page.seconds)
        etag = f'"{hashlib.sha256(page.body).hexdigest()[:12]}"'
        headers = {"Last-Modified": formatdate(page.changed_at, usegmt=True), **page.headers}
        if page.has_etag:
            headers["ETag"] = etag
        since = request.headers.get("If-Modified-Since")
        if match := request.headers.get("If-None-Match"):
            is_known = page.has_etag and match == etag
        else:
            is_known = since is not None and parsedate_to_datetime(since).timestamp() >= page.changed_at
        if is_known and page.status == 200:
            return web.Response(status=304, headers=headers)
        body = page.body
        if page.is_gzipped:
            headers["Content-Encoding"], body = "gzip", gzip.compress(page.body)
        return web.Response(status=page.status, body=body, headers={**headers, "Content-Type": page.content_type})


def item(number: str, title: str, text: str = "", more: str = "", at: str = "Sun, 01 Mar 2026 12:00:00 GMT") -> str:
    """One item of RSS; empty parts are left out."""
    guid = f"<guid isPermaLink='false'>{escape(number)}</guid>" if number else ""
    date = f"<pubDate>{at}</pubDate>" if at else ""
    return f"<item>{guid}<title>{escape(title)}</title><description>{escape(text)}</description>{date}{more}</item>"


def rss(*items: str, title: str = "Tech Blog", encoding: str = "utf-8") -> str:
    """A feed of RSS 2.0, the newest item first as sites write it."""
    head = f'<?xml version="1.0" encoding="{encoding}"?>'
    names = 'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:media="http://search.yahoo.com/mrss/"'
    return f'{head}<rss version="2.0" {names}><channel><title>{title}</title>{"".join(items)}</channel></rss>'


@asynccontextmanager
async def feed_server() -> AsyncIterator[FeedServer]:
    """A site without pages yet."""
    site = FeedServer()
    app = web.Application()
    app.router.add_get("/{path:.*}", site.handle)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server(shutdown_timeout=0.1)
    site.url = str(server.make_url("/")).rstrip("/")
    try:
        yield site
    finally:
        await server.close()
