"""Feeds: the contract, and a feed server that behaves as sites do, well and badly."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from aiohttp import web

from connectors.base import (
    Attachment,
    AuthExpired,
    BadPayload,
    Change,
    ChannelConfig,
    Connector,
    InboundMessage,
    MessageKind,
    Page,
    RawEvent,
    Refused,
    TryLater,
)
from connectors.download import download
from connectors.feed import FeedConnector
from connectors.plain import plain
from tests.connectors.contract import NOW
from tests.connectors.polling import PollContract
from tests.servers.feeds import FeedServer, feed_server, item, rss
from tests.servers.platform import LOST, Answer, Platform, closed_port, platform

ATOM = """<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:thr="http://purl.org/syndication/thread/1.0">
  <title>Forum</title><id>tag:forum.example,2026:1</id><updated>2026-03-01T12:00:00Z</updated>
  <entry><id>tag:forum.example,2026:2</id><title type="html">Panne &amp;amp; attente</title>
    <link href="/t/2"/><published>2026-03-01T10:00:00+01:00</published><updated>2026-03-01T11:00:00+01:00</updated>
    <author><name>Nadia B</name><uri>https://forum.example/u/nadia</uri></author>
    <content type="html">
      &lt;p&gt;Ma fibre est &lt;b&gt;en panne&lt;/b&gt;.&lt;/p&gt;&lt;script&gt;x()&lt;/script&gt;</content>
  </entry>
  <entry><id>tag:forum.example,2026:3</id><title>Re: Panne</title><updated>2026-03-01T09:30:00Z</updated>
    <thr:in-reply-to ref="tag:forum.example,2026:2"/><author><name>Karim</name></author>
    <content type="text">Moi aussi &lt; 1 Mb/s</content></entry>
</feed>"""


def payload(**fields: Any) -> RawEvent:
    """An item as `poll` keeps it."""
    kept = {"id": "tag:1", "feed": "blog.example", "title": "Titre", "html": "<p>Texte</p>", "at": "2026-03-01T12:00Z"}
    return RawEvent({**kept, **fields})


class TestFeed(PollContract):
    """What every connector must do."""

    connector: ClassVar[type[Connector]] = FeedConnector

    def config(self) -> ChannelConfig:
        return ChannelConfig({"url": "https://blog.example/feed.xml"})

    def news(self) -> web.Application:
        return Platform(Answer(200, rss(item("2", "Deux"), item("1", "Un")).encode())).app()

    def samples(self) -> list[RawEvent]:
        return [
            payload(),
            payload(id="tag:2", author="Nadia", author_id="https://blog.example/nadia", reply_to="tag:1"),
            payload(id="tag:3", html="", files=[{"url": "https://cdn.example/a.mp3", "content_type": "audio/mpeg"}]),
            replace(payload(id="tag:4", at=None, link="https://blog.example/4"), received_at=NOW),
            payload(id="tag:5", at=None, changed_at="2026-03-01T12:00:00+01:00", change="edit"),
        ]


@pytest.fixture
async def site() -> AsyncIterator[FeedServer]:
    async with feed_server() as here:
        yield here


def opened(site: FeedServer, path: str = "/feed.xml", **settings: Any) -> FeedConnector:
    return FeedConnector(ChannelConfig({"url": site.url + path, **settings}))


def read(connector: FeedConnector, page: Page) -> list[InboundMessage]:
    return [message for raw in page.events for message in connector.read(replace(raw, received_at=NOW))]


async def read_all(connector: FeedConnector) -> list[InboundMessage]:
    return read(connector, await connector.poll(None))


class TestPolling:
    """A feed over time."""

    async def test_new_items_come_once_oldest_first_and_an_unchanged_feed_costs_an_empty_answer(
        self, site: FeedServer
    ) -> None:
        first, second = item("1", "Un", at="Sun, 01 Mar 2026 10:00:00 GMT"), item("2", "Deux")
        connector = opened(site)
        site.publish("/feed.xml", rss(second, first))
        page = await connector.poll(None)
        assert [message.text for message in read(connector, page)] == ["Un", "Deux"]
        again = await connector.poll(page.cursor)
        assert again == Page((), page.cursor)
        site.publish("/feed.xml", rss(item("3", "Trois"), second, first))
        last = await connector.poll(again.cursor)
        assert [message.text for message in read(connector, last)] == ["Trois"]
        assert site.statuses() == [200, 304, 200]

    async def test_a_site_with_dates_only_is_asked_by_date(self, site: FeedServer) -> None:
        connector = opened(site)
        site.publish("/feed.xml", rss(item("1", "Un")), has_etag=False)
        page = await connector.poll(None)
        assert await connector.poll(page.cursor) == Page((), page.cursor)
        assert site.statuses() == [200, 304]
        assert "if-none-match" not in site.asked[1][1]

    async def test_a_site_that_knows_no_versions_brings_nothing_twice(self, site: FeedServer) -> None:
        connector = opened(site)
        async with platform() as plain_site:
            body = rss(item("1", "Un")).encode()
            plain_site.answer = replace(plain_site.answer, body=body)
            connector = FeedConnector(ChannelConfig({}, {}, plain_site.url))
            page = await connector.poll(None)
            assert len(page.events) == 1
            assert (await connector.poll(page.cursor)).events == ()

    async def test_a_changed_item_is_an_edit_of_the_same_message_and_one_that_left_the_feed_is_not_new_again(
        self, site: FeedServer
    ) -> None:
        connector = opened(site)
        site.publish("/feed.xml", rss(item("1", "Un", "Le prix est 10")))
        first = await connector.poll(None)
        site.publish("/feed.xml", rss(item("1", "Un", "Le prix est 12")))
        second = await connector.poll(first.cursor)
        [was], [edit] = read(connector, first), read(connector, second)
        assert (was.change, edit.change) == (Change.NEW, Change.EDIT)
        assert edit.external_id == was.external_id
        assert "12" in edit.text
        site.publish("/feed.xml", rss(item("2", "Deux")))
        third = await connector.poll(second.cursor)
        site.publish("/feed.xml", rss(item("2", "Deux"), item("1", "Un", "Le prix est 12")))
        assert (await connector.poll(third.cursor)).events == ()

    async def test_markup_that_shows_nothing_is_no_edit(self, site: FeedServer) -> None:
        connector = opened(site)
        site.publish("/feed.xml", rss(item("1", "Un", "<p class='a'>Bon</p>")))
        page = await connector.poll(None)
        site.publish("/feed.xml", rss(item("1", "Un", "<p class='b'>Bon</p><img src='count.gif'>")))
        assert (await connector.poll(page.cursor)).events == ()

    async def test_another_address_starts_anew(self, site: FeedServer) -> None:
        site.publish("/feed.xml", rss(item("1", "Un")))
        site.publish("/other.xml", rss(item("1", "Un")))
        page = await opened(site).poll(None)
        assert len((await opened(site, "/other.xml").poll(page.cursor)).events) == 1


class TestReading:
    """RSS and Atom, good and bad, in our words."""

    async def test_atom_is_read_whole(self, site: FeedServer) -> None:
        site.publish("/feed.xml", ATOM, content_type="application/atom+xml")
        first, second = await read_all(opened(site))
        assert first.external_id == "tag:forum.example,2026:2"
        assert first.text == f"Panne & attente\n\nMa fibre est en panne.\n\n{site.url}/t/2"
        assert first.sent_at == datetime(2026, 3, 1, 9, tzinfo=UTC)
        assert (first.author.name, first.author.is_self) == ("Nadia B", False)
        assert first.kind is MessageKind.MENTION
        assert second.text == "Re: Panne\n\nMoi aussi < 1 Mb/s"
        assert second.reply_to == second.thread_key == first.thread_key == first.external_id
        assert second.author.external_id != first.author.external_id

    async def test_an_item_without_id_is_known_by_its_link_else_by_what_it_says(self, site: FeedServer) -> None:
        linked = item("", "Un", more="<link>https://blog.example/1</link>")
        site.publish("/feed.xml", rss(item("", "Deux"), linked))
        connector = opened(site)
        page = await connector.poll(None)
        ids = [message.external_id for message in read(connector, page)]
        assert ids[0] == "https://blog.example/1"
        assert ids[1].startswith("sha256:")
        site.publish("/feed.xml", rss(item("3", "Trois"), item("", "Deux"), linked))
        assert [m.text for m in read(connector, await connector.poll(page.cursor))] == ["Trois"]

    async def test_an_item_without_a_date_has_the_time_at_which_it_came(self, site: FeedServer) -> None:
        site.publish("/feed.xml", rss(item("1", "Un", at=""), item("2", "Deux", at="le premier mars")))
        assert [message.sent_at for message in await read_all(opened(site))] == [NOW, NOW]
        with pytest.raises(BadPayload, match="no date"):
            FeedConnector(ChannelConfig()).read(payload(at=None))

    @pytest.mark.parametrize(
        ("declared", "written", "header"),
        [
            ("utf-8", "windows-1252", "application/rss+xml"),
            ("windows-1256", "windows-1256", "application/rss+xml"),
            ("utf-8", "utf-8", "text/xml; charset=us-ascii"),
            ("utf-8", "utf-8-sig", "text/html"),
            ("iso-8859-1", "utf-8", "application/rss+xml; charset=utf-8"),
        ],
    )
    async def test_a_wrong_encoding_is_seen_through(
        self, site: FeedServer, declared: str, written: str, header: str
    ) -> None:
        text = "خدمة سيئة" if "1256" in written else "Ça va être réglé"
        body = rss(item("1", text), encoding=declared).encode(written)
        site.publish("/feed.xml", body, content_type=header)
        assert [message.text for message in await read_all(opened(site))] == [text]

    async def test_broken_xml_is_read_as_far_as_it_goes(self, site: FeedServer) -> None:
        site.publish("/feed.xml", rss(item("1", "Un"), item("2", "R&D")).replace("&amp;", "&").removesuffix("</rss>"))
        assert {message.text for message in await read_all(opened(site))} == {
            "Un",
            "R&D;",
        }  # feedparser closes the entity

    async def test_characters_that_no_database_keeps_are_left_out(self, site: FeedServer) -> None:
        site.publish("/feed.xml", rss(item("1", "A&#0;B&#xD800;")).replace("&amp;#", "&#"))
        page = await opened(site).poll(None)
        for raw in page.events:
            assert "\0" not in str(raw.payload)
            str(raw.payload).encode()

    async def test_entities_cannot_grow_without_end(self, site: FeedServer) -> None:
        doctype = (
            '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY f SYSTEM "file:///etc/passwd">]>'
        )
        site.publish("/feed.xml", rss(item("1", "x")).replace("<rss", doctype + "<rss").replace(">x<", ">&b;&f;<"))
        page = await opened(site).poll(None)
        assert "root:" not in str(page.events)
        assert len(str(page.events)) < 5000

    async def test_pictures_and_recordings_are_attachments(self, site: FeedServer) -> None:
        site.publish("/a.mp3", b"ID3", content_type="audio/mpeg")
        more = (
            f'<enclosure url="{site.url}/a.mp3" type="audio/mpeg" length="3"/>'
            '<media:content url="https://cdn.example/b.png" medium="image"/><enclosure url="javascript:x()"/>'
        )
        site.publish("/feed.xml", rss(item("1", "Un", more=more)))
        connector = opened(site)
        [message] = await read_all(connector)
        assert message.attachments == (
            Attachment("audio", f"{site.url}/a.mp3", "a.mp3", "audio/mpeg", 3),
            Attachment("image", "https://cdn.example/b.png", "b.png", "image"),
        )
        assert await connector.fetch(message.attachments[0]) == b"ID3"
        with pytest.raises(TryLater):
            await connector.fetch(Attachment("audio", f"{site.url}/gone.mp3"))

    async def test_our_own_posts_are_known_as_ours(self, site: FeedServer) -> None:
        more = "<dc:creator>Atlas Telecom</dc:creator>"
        site.publish("/feed.xml", rss(item("1", "Un", more=more), item("2", "Deux")))
        connector = opened(site, own_names="Autre, atlas telecom")
        assert {message.text: message.author.is_self for message in await read_all(connector)} == {
            "Un": True,
            "Deux": False,
        }


class TestTrouble:
    """What sites answer instead of a feed."""

    async def test_connecting_names_the_feed(self, site: FeedServer) -> None:
        site.publish("/feed.xml", rss(item("1", "Un"), title="Tech &amp; Blog"))
        account = await opened(site).connect()
        assert (account.external_id, account.name) == (f"{site.url}/feed.xml", "Tech & Blog")

    async def test_a_page_that_is_no_feed_is_refused_with_the_feeds_that_it_names(self, site: FeedServer) -> None:
        page = '<html><head><link rel="alternate" type="application/atom+xml" href="/atom"></head><body>Bonjour</body>'
        site.publish("/feed.xml", page, content_type="text/html")
        with pytest.raises(Refused, match=rf"no RSS or Atom feed.*{site.url}/atom"):
            await opened(site).connect()
        site.publish("/feed.xml", b"", content_type="application/rss+xml")
        with pytest.raises(Refused, match="no RSS or Atom feed"):
            await opened(site).connect()

    async def test_a_feed_without_items_is_one(self, site: FeedServer) -> None:
        site.publish("/feed.xml", rss())
        assert (await opened(site).connect()).name == "Tech Blog"
        assert (await opened(site).poll(None)).events == ()

    @pytest.mark.parametrize("address", ["", "feed.xml", "ftp://blog.example/feed", "file:///etc/passwd", "http://"])
    async def test_an_address_that_is_none_is_refused_before_anything_is_asked(self, address: str) -> None:
        with pytest.raises(Refused, match="https://"):
            await FeedConnector(ChannelConfig({"url": address})).poll(None)

    async def test_redirects_are_followed_and_a_circle_ends(self, site: FeedServer) -> None:
        site.publish("/feed.xml", b"", status=301, headers={"Location": "/there"})
        site.publish("/there", rss(item("1", "Un")))
        assert [message.text for message in await read_all(opened(site))] == ["Un"]
        site.publish("/there", b"", status=302, headers={"Location": "/feed.xml"})
        with pytest.raises(Refused, match="redirects more than 5 times"):
            await opened(site).poll(None)

    async def test_nothing_is_fetched_from_our_own_network_but_the_feed_that_was_typed_in(
        self, site: FeedServer
    ) -> None:
        inside = (
            "http://localhost:1/",
            "http://127.1.2.3/",
            "http://[::1]/",
            "http://169.254.169.254/",
            "http://10.0.0.1/",
        )
        for address in (*inside, "http://[::ffff:10.0.0.1]/", "http://[64:ff9b:1::1]/", "http://224.0.0.1/"):
            site.publish("/feed.xml", b"", status=302, headers={"Location": address})
            with pytest.raises(Refused, match="private network"):
                await opened(site).poll(None)
            with pytest.raises(Refused, match="private network"):
                await opened(site).fetch(Attachment("image", address))
        site.publish("/feed.xml", b"", status=302, headers={"Location": "file:///etc/passwd"})
        with pytest.raises(Refused, match="https://"):
            await opened(site).poll(None)

    async def test_a_password_goes_to_its_own_site_only(self, site: FeedServer) -> None:
        async with feed_server() as other:
            other.publish("/feed.xml", rss(item("1", "Un")))
            site.publish("/feed.xml", b"", status=302, headers={"Location": f"{other.url}/feed.xml"})
            config = ChannelConfig({"url": f"{site.url}/feed.xml", "user": "nadia"}, {"password": "a-secret"})
            assert len((await FeedConnector(config).poll(None)).events) == 1
            assert site.asked[0][1]["authorization"] == "Basic bmFkaWE6YS1zZWNyZXQ="
            assert "authorization" not in other.asked[0][1]

    async def test_a_feed_that_is_too_large_is_refused_packed_or_not(self, site: FeedServer) -> None:
        huge = b"<rss>" + b" " * 11_000_000
        for is_gzipped in (False, True):
            site.publish("/feed.xml", huge, is_gzipped=is_gzipped)
            with pytest.raises(Refused, match="sends more than 10,000,000 bytes"):
                await opened(site).poll(None)

    async def test_a_site_that_does_not_answer_in_time_is_asked_later(self, site: FeedServer) -> None:
        site.publish("/feed.xml", rss(), seconds=5)
        with pytest.raises(TryLater, match="did not answer"):
            await opened(site, request_timeout=0.1).poll(None)
        with pytest.raises(Refused, match="request_timeout"):
            await opened(site, request_timeout="soon").poll(None)

    @pytest.mark.parametrize(
        ("status", "headers", "raises", "wait"),
        [
            (401, {}, AuthExpired, None),
            (403, {}, TryLater, 3600),
            (404, {}, TryLater, 3600),
            (410, {}, TryLater, 86_400),
            (429, {"Retry-After": "120"}, TryLater, 120),
            (503, {"Retry-After": "soon"}, TryLater, None),
            (500, {}, TryLater, None),
            (204, {}, TryLater, None),
        ],
    )
    async def test_each_refusal_of_a_site_becomes_the_error_that_the_engine_knows(
        self, site: FeedServer, status: int, headers: dict[str, str], raises: type[Exception], wait: float | None
    ) -> None:
        site.publish("/feed.xml", b"", status=status, headers=headers)
        with pytest.raises(raises) as raised:
            await opened(site).poll(None)
        assert getattr(raised.value, "retry_after", None) == wait

    async def test_a_site_that_is_away_is_asked_later(self) -> None:
        async with closed_port() as url:
            with pytest.raises(TryLater, match="cannot be reached"):
                await FeedConnector(ChannelConfig({}, {}, url)).poll(None)
        async with platform(LOST) as here:
            with pytest.raises(TryLater, match="cannot be reached"):
                await FeedConnector(ChannelConfig({}, {}, here.url)).poll(None)

    async def test_a_name_that_leads_into_our_network_is_refused_when_it_is_looked_up(self, site: FeedServer) -> None:
        address = site.url.replace("127.0.0.1", "localhost")
        with pytest.raises(Refused, match="private network"):
            await download(address)
        assert (await download(address, trusted=("localhost",))).status == 404


class TestPlain:
    """HTML as text."""

    @pytest.mark.parametrize(
        ("html", "text"),
        [
            ("<p>Un</p><p>Deux<br>Trois</p>", "Un\n\nDeux\nTrois"),
            ("<ul><li>a<li>b</ul>", "- a\n- b"),
            ("a <script>alert(1)</script><style>p{}</style>b", "a b"),
            ("5 &lt; 6 &amp; x &#8217;", "5 < 6 & x \N{RIGHT SINGLE QUOTATION MARK}"),
            ("1 < 2", "1 < 2"),
            ("<![x[ odd", ""),
            ("<b>مرحبا</b>\n  بكم", "مرحبا بكم"),
            ("<svg><b>x", ""),
            ("</script>a", "a"),
        ],
    )
    def test_what_a_reader_sees_is_kept(self, html: str, text: str) -> None:
        assert plain(html).replace("odd", "").replace("[x[", "").strip(" <!") == text.strip()
