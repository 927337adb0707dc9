"""The post that comments stand under, as each platform tells it; and likes, boosts and hiding taken back."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from connectors.base import Attachment, ChannelConfig, OutboundMessage, Post, Refused
from connectors.facebook import FacebookConnector
from connectors.instagram import InstagramConnector
from connectors.linkedin import LinkedInConnector
from connectors.mastodon import MastodonConnector
from connectors.x import XConnector
from connectors.youtube import YouTubeConnector
from socialcrm.domain.rows import Channel, Message
from socialcrm.engine import ledger
from socialcrm.engine.ingest import ingest
from socialcrm.engine.line import Line
from tests.connectors import test_bluesky, test_linkedin, test_mastodon, test_x, test_youtube
from tests.connectors.meta import recorded as meta_recorded
from tests.servers.bluesky import bluesky_server
from tests.servers.graph import INSTAGRAM, PAGE, graph_server
from tests.servers.platform import Answer, platform

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def test_facebook_tells_a_posts_number_with_a_comment_and_the_rest_when_asked() -> None:
    connector = FacebookConnector(ChannelConfig({"account_id": PAGE}))
    [comment] = connector.read(meta_recorded("facebook", "comment"))
    page = "https://www.facebook.com/permalink.php?story_fbid=55&id=100100"
    assert comment.post == Post(f"{PAGE}_55", url=page)
    [visitor] = connector.read(meta_recorded("facebook", "visitor_post"))
    assert visitor.post is None, "it stands under nothing"
    async with graph_server() as graph:
        number = graph.post("Nouvelle boutique")
        page = f"https://www.facebook.com/{number}"
        graph.posts[number] |= {"full_picture": "https://scontent.xx.fbcdn.net/p.jpg", "permalink_url": page}
        connector = FacebookConnector(graph.config(account_id=PAGE))
        found = await connector.post(number)
        await connector.close()
    picture = Attachment("image", "https://scontent.xx.fbcdn.net/p.jpg")
    assert found == Post(number, "Nouvelle boutique", page, "Atlas", True, picture, found.sent_at)
    assert found.sent_at is not None


async def test_instagram_says_what_is_above_a_comment_and_shows_the_still_of_a_video() -> None:
    connector = InstagramConnector(ChannelConfig({"account_id": INSTAGRAM}))
    [comment] = connector.read(meta_recorded("instagram", "comment"))
    assert comment.post == Post("17900000000000055", is_self=True)
    told = {
        "caption": "Nouveau !",
        "media_type": "VIDEO",
        "media_url": "https://video.cdninstagram.com/v.mp4",
        "thumbnail_url": "https://scontent.cdninstagram.com/t.jpg",
        "permalink": "https://www.instagram.com/p/abc/",
        "timestamp": "2026-03-01T12:00:00+0000",
        "username": "atlas.dz",
    }
    async with platform(Answer(200, {"id": "17900000000000055", **told})) as here:
        connector = InstagramConnector(ChannelConfig({"account_id": INSTAGRAM}, {"access_token": "t"}, here.url))
        found = await connector.post("17900000000000055")
        await connector.close()
    picture = Attachment("image", told["thumbnail_url"])
    assert found == Post("17900000000000055", "Nouveau !", told["permalink"], "atlas.dz", True, picture, NOON)


async def test_youtube_says_what_a_video_is_called() -> None:
    [comment, _] = (
        YouTubeConnector.read(test_youtube.opened(), raw)[0] for raw in test_youtube.TestYouTube().samples()
    )
    assert comment.post == Post("v1", url="https://www.youtube.com/watch?v=v1")
    snippet = {
        "title": "La fibre expliquée",
        "description": "En trois minutes.\n",
        "channelTitle": "Wasla",
        "channelId": test_youtube.US,
        "publishedAt": "2026-03-01T12:00:00Z",
        "thumbnails": {name: {"url": f"https://i.ytimg.com/vi/v1/{name}.jpg"} for name in ("default", "high")},
    }
    async with platform(Answer(200, {"items": [{"id": "v1", "snippet": snippet}]})) as here:
        connector = test_youtube.opened(here.url)
        found = await connector.post("v1")
        here.answer = Answer(200, {"items": []})
        with pytest.raises(Refused, match="no longer has"):
            await connector.post("v2")
        here.answer = Answer(204)
        await connector.unhide("UgThread1")
        await connector.close()
    assert found == Post(
        "v1",
        "La fibre expliquée\n\nEn trois minutes.",
        "https://www.youtube.com/watch?v=v1",
        "Wasla",
        True,
        Attachment("image", "https://i.ytimg.com/vi/v1/high.jpg"),
        NOON,
    )
    assert here.calls[0].fields == {"part": "snippet", "id": "v1"}
    assert here.calls[-1].fields["moderationStatus"] == "published"
    with pytest.raises(Refused, match="lie with YouTube"):
        await connector.fetch(Attachment("image", "https://elsewhere.example/p.jpg"))


async def test_linkedin_says_a_post_in_plain_words() -> None:
    urn = "urn:li:share:6631349431612559361"
    text = "Bravo @[Nadia B](urn:li:person:1) \\(enfin\\) {hashtag|\\#|fibre}"
    told = {"author": test_linkedin.US, "commentary": text, "publishedAt": int(NOON.timestamp() * 1000)}
    async with platform(Answer(200, told)) as here:
        connector = test_linkedin.opened(here.url)
        found = await connector.post(urn)
        await connector.close()
    assert found == Post(
        urn, "Bravo Nadia B (enfin) #fibre", f"https://www.linkedin.com/feed/update/{urn}", "", True, None, NOON
    )
    raw = test_linkedin.TestLinkedIn().samples()[0]
    raw.payload["post"] = urn
    [comment] = LinkedInConnector.read(test_linkedin.opened(), raw)
    assert comment.post is not None
    assert comment.post.external_id == urn


async def test_the_picture_of_a_post_on_linkedin_is_fetched_from_linkedin_and_nowhere_else() -> None:
    urn, image = "urn:li:share:7012345678901234567", "urn:li:image:C4E10AQFoyyAjHPMQuQ"
    post = {"author": test_linkedin.US, "commentary": "Bravo", "publishedAt": int(NOON.timestamp() * 1000)}
    shapes = [{"media": {"id": image}}, {"multiImage": {"images": [{"id": image}]}}, {"article": {"thumbnail": image}}]
    async with platform(Answer(200, b"a picture")) as here:
        connector = test_linkedin.opened(here.url)
        for content in shapes:
            here.answers["urn%3Ali%3Ashare%3A7012345678901234567"] = Answer(200, {**post, "content": content})
            here.answers[urn] = here.answers["urn%3Ali%3Ashare%3A7012345678901234567"]
            picture = (await connector.post(urn)).picture
            assert picture == Attachment("image", image), content
        here.answers[urn] = Answer(200, {**post, "content": {"media": {"id": "urn:li:video:C4E10AQFoyyAjHPMQuQ"}}})
        assert (await connector.post(urn)).picture is None
        here.answers[image] = Answer(200, {"id": image, "downloadUrl": f"{here.url}/picture.jpg"})
        assert await connector.fetch(Attachment("image", image)) == b"a picture"
        for elsewhere in ("http://10.0.0.1/picture.jpg", "https://licdn.com.evil.example/p.jpg", "", "http://["):
            here.answers[image] = Answer(200, {"id": image, "downloadUrl": elsewhere})
            with pytest.raises(Refused, match="no address of this picture"):
                await connector.fetch(Attachment("image", image))
        await connector.close()


async def test_x_is_asked_for_the_post_that_began_a_conversation() -> None:
    posts = {each.payload["post"]["id"]: each for each in test_x.TestX().samples() if "post" in each.payload}
    connector = test_x.opened()
    [answer] = connector.read(posts["1301573587187331080"])
    [mention] = connector.read(posts["1301573587187331074"])
    assert (answer.post, mention.post) == (Post("1301573587187331074"), None)
    mentions = test_x.recorded("mentions")
    async with platform(Answer(200, {"data": mentions["data"][-1], "includes": mentions["includes"]})) as here:
        connector = test_x.opened(here.url)
        found = await connector.post("1301573587187331074")
        here.answer = Answer(200, {"errors": [{"title": "Not Found Error"}]})
        with pytest.raises(Refused, match="does not show"):
            await connector.post("1")
        here.answer = Answer(200, {"data": {"retweeted": True}})
        await connector.boost("13")
        await connector.unboost("13")
        await connector.unlike("13")
        await connector.unhide("13")
        await connector.close()
    assert (found.text, found.author, found.is_self, found.sent_at) == (
        "@wasla la fibre est coupée depuis hier https://t.co/abc",
        "Nadia B",
        False,
        NOON,
    )
    assert found.url == "https://x.com/nadia_b/status/1301573587187331074"
    assert found.picture == Attachment("image", "https://pbs.twimg.com/media/EhA.jpg")
    assert [(call.method, call.path) for call in here.calls[2:]] == [
        ("POST", f"/2/users/{test_x.US}/retweets"),
        ("DELETE", f"/2/users/{test_x.US}/retweets/13"),
        ("DELETE", f"/2/users/{test_x.US}/likes/13"),
        ("PUT", "/2/tweets/13/hidden"),
    ]


def test_mastodon_tells_the_first_post_of_a_thread_with_an_answer_to_it() -> None:
    connector = MastodonConnector(ChannelConfig({"account_id": test_mastodon.US}))
    raw = test_mastodon.recorded("reply")
    [alone] = connector.read(raw)
    assert alone.post == Post("113999999999999990")
    first: dict[str, Any] = {
        **test_mastodon.recorded("media").payload["status"],
        "id": "113999999999999990",
        "url": "https://social.example/@atlas/1",
        "account": {"id": test_mastodon.US.partition("@")[0], "acct": "atlas", "display_name": "Atlas"},
    }
    [below] = connector.read(type(raw)({**raw.payload, "above": first}))
    assert below.post is not None
    assert (below.post.author, below.post.is_self, below.post.url) == ("Atlas", True, first["url"])
    assert below.post.picture is not None
    [odd] = connector.read(type(raw)({**raw.payload, "above": {"id": 5}}))
    assert odd.post == Post("113999999999999990"), "a server with other ways loses no answer"
    [mention] = connector.read(test_mastodon.recorded("mention"))
    assert mention.post is None


async def test_bluesky_says_what_is_answered_or_quoted_and_takes_marks_back() -> None:
    assert test_bluesky.read_one("reply").post == Post(
        "at://did:plc:atlasatlasatlasatlasatla/app.bsky.feed.post/3lj6root"
    )
    assert test_bluesky.read_one("quote").post == Post(
        "at://did:plc:atlasatlasatlasatlasatla/app.bsky.feed.post/3lj6ours"
    )
    assert test_bluesky.read_one("mention").post is None
    async with bluesky_server() as server:
        nadia = server.person("nadia.test")
        uri = server.post(nadia, "Qui connaît cette boutique ?")
        connector = test_bluesky.opened(server)
        found = await connector.post(uri)
        kept = set(server.records)
        for do, undo in ((connector.like, connector.unlike), (connector.boost, connector.unboost)):
            await do(uri)
            await do(uri)
            assert len(server.records) == len(kept) + 1, "one mark, however often"
            await undo(uri)
            await undo(uri)
            assert set(server.records) == kept
        await connector.close()
    assert (found.text, found.author, found.is_self) == ("Qui connaît cette boutique ?", "Nadia", False)
    assert found.url == f"https://bsky.app/profile/{nadia}/post/{uri.rpartition('/')[2]}"


async def test_a_private_answer_on_mastodon_is_a_mention_under_the_post_that_only_its_author_reads() -> None:
    made = Path(test_mastodon.RECORDINGS / "direct.json").read_text(encoding="utf-8")
    async with platform(Answer(200, json.loads(made)["status"])) as here:
        connector = MastodonConnector(ChannelConfig({"account_id": test_mastodon.US}, {"token": "t"}, here.url))
        message = OutboundMessage("k", "7:nadia@remote.example", "nadia@remote.example", "Bonjour", reply_to="9")
        await connector.private_reply(message)
        await connector.close()
    form = test_mastodon.form(here.calls[0])
    assert (form["visibility"], form["in_reply_to_id"], form["status"]) == (
        "direct",
        "9",
        "@nadia@remote.example Bonjour",
    )


async def test_a_private_answer_on_x_is_a_message_to_who_wrote_the_post() -> None:
    async with platform(Answer(201, test_x.recorded("dm_sent"))) as here:
        connector = test_x.opened(here.url)
        await connector.private_reply(OutboundMessage("k", "1:42", "42", "Bonjour", reply_to="13"))
        await connector.close()
    assert here.calls[0].path == "/2/dm_conversations/with/42/messages"
    assert XConnector.can("private_reply")


async def test_a_post_that_was_edited_before_x_showed_it_to_us_is_no_less_a_message(line: Line) -> None:
    now = line.now()
    channel = Channel(connector="x", key="x", name="X", created_at=now, changed_at=now)
    channel.credentials = line.vault.encrypt(test_x.KEYS)
    posts = {each.payload["post"]["id"]: each for each in test_x.TestX().samples() if "post" in each.payload}
    edited = posts["1301573587187331090"]
    async with line.database.write() as session:
        session.add(channel)
        await session.flush()
        await ledger.append(session, channel.id or 0, [edited], now)
    await ingest(line)
    later = {**edited.payload["post"], "id": "1301573587187331095", "text": "@wasla c'est réglé"}
    later |= {"created_at": "2026-03-01T12:30:00.000Z"}
    async with line.database.write() as session:
        await ledger.append(session, channel.id or 0, [type(edited)({**edited.payload, "post": later})], now)
    await ingest(line)
    async with line.database.read() as session:
        [message] = (await session.execute(select(Message))).scalars()
    assert (message.external_id, message.text) == ("1301573587187331081", "@wasla c'est réglé")
    assert [version["text"] for version in message.versions] == ["@wasla la box aussi (corrigé)"]
