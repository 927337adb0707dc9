"""What an agent does with public messages: hide, like, delete, answer in private; and what the composer says."""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import ClassVar

import pytest
from markupsafe import escape
from sqlmodel import col, select

from connectors.base import Attachment, AuthExpired, Connector, Limits, OutboundMessage, Refused, Sent, TryLater
from connectors.echo import EchoConnector
from connectors.registry import CONNECTORS
from socialcrm.domain.rows import Channel, Contact, Conversation, Identity, Message, OutboxItem, Post
from socialcrm.engine.act import LEASE
from socialcrm.engine.line import Line
from tests.engine.scripted import on_one_database
from tests.web.browser import Browser, Site, incoming, site
from tests.web.test_inbox import HTMX, outgoing

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 20


class PublicConnector(EchoConnector):
    """A platform with comments that answers as a test says, and remembers what it was asked."""

    name: ClassVar[str] = "public"
    label: ClassVar[str] = "Public"
    limits: ClassVar[Limits] = Limits(text_length=100, public_length=20, private_reply_hours=168)
    asked: ClassVar[list[tuple[str, str]]] = []
    answers: ClassVar[deque[Exception | asyncio.Event]] = deque()

    async def _do(self, deed: str, external_id: str) -> None:
        self.asked.append((deed, external_id))
        answer = self.answers.popleft() if self.answers else None
        if isinstance(answer, asyncio.Event):
            await answer.wait()
        elif answer:
            raise answer

    async def hide(self, external_id: str) -> None:
        await self._do("hide", external_id)

    async def unhide(self, external_id: str) -> None:
        await self._do("unhide", external_id)

    async def delete(self, external_id: str) -> None:
        await self._do("delete", external_id)

    async def fetch(self, attachment: Attachment) -> bytes:
        await self._do("fetch", attachment.external_id)
        return PNG


class PlainConnector(Connector):
    """One that can only be answered on."""

    name: ClassVar[str] = "plain"
    label: ClassVar[str] = "Plain"
    limits: ClassVar[Limits] = Limits(text_length=100)

    async def reply(self, message: OutboundMessage) -> Sent:
        return Sent()


@pytest.fixture
async def here(line: Line, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    for kind in (PublicConnector, PlainConnector):
        monkeypatch.setitem(CONNECTORS, kind.name, f"{kind.__module__}:{kind.__name__}")
    PublicConnector.asked.clear()
    PublicConnector.answers.clear()
    async with site(line) as opened:
        yield opened


async def commented(here: Site, *texts: str, connector: str = "public") -> tuple[Conversation, list[Message]]:
    """A public conversation with these comments, and their rows."""
    conversation = await here.conversation(*texts, connector=connector)
    query = select(Message).where(col(Message.conversation_id) == conversation.id).order_by(col(Message.id))
    async with here.line.database.write() as session:
        (await session.get_one(Conversation, conversation.id)).kind = "comment"
        messages = list((await session.execute(query)).scalars())
        for message in messages:
            message.kind = "comment"
    return conversation, messages


async def message_now(here: Site, message: Message) -> Message:
    async with here.line.database.read() as session:
        return await session.get_one(Message, message.id)


async def act(browser: Browser, message: Message, deed: str) -> tuple[int, str]:
    path = f"/inbox/{message.conversation_id}/messages/{message.id}/act/{deed}"
    answer = await browser.post(path, **HTMX)
    return answer.status, await answer.text()


async def test_a_comment_is_hidden_and_shown_again_and_the_thread_says_who_did_it(here: Site) -> None:
    _, [comment] = await commented(here, "Nul !")
    browser = await here.signed_in(await here.agent("Amina"))
    status, page = await act(browser, comment, "hide")
    assert (status, PublicConnector.asked) == (200, [("hide", comment.external_id)])
    assert (await message_now(here, comment)).hidden_at is not None
    assert "\u2068Amina\u2069 hid a comment" in page
    assert f'id="hide-{comment.id}" title="Show again" aria-pressed="true"' in page
    assert (await act(browser, comment, "hide"))[0] == 200, "the second click finds it done"
    assert len(PublicConnector.asked) == 1
    status, page = await act(browser, comment, "unhide")
    assert (status, (await message_now(here, comment)).hidden_at) == (200, None)
    assert f'id="hide-{comment.id}" title="Hide" aria-pressed="false"' in page
    assert "showed a comment again" in page


async def test_only_what_the_channel_can_do_is_offered_and_only_to_those_who_may(here: Site) -> None:
    conversation, [comment] = await commented(here, "Nul !")
    amina = await here.signed_in(await here.agent("Amina"))
    page = await amina.text(f"/inbox/{conversation.id}")
    every = ("reply", "hide", "like", "boost", "private", "delete")
    assert {name for name in every if f'id="{name}-{comment.id}"' in page} == {"reply", "hide", "like", "private"}
    plain, [other] = await commented(here, "Nul !", connector="plain")
    page = await amina.text(f"/inbox/{plain.id}")
    assert {name for name in every if f'id="{name}-{other.id}"' in page} == {"reply"}
    assert (await act(amina, other, "hide"))[0] == 409
    private = await here.conversation("hello", connector="public")
    assert 'class="deeds"' not in await amina.text(f"/inbox/{private.id}")
    analyst = await here.signed_in(await here.agent("Rayan", role="analyst"))
    assert 'class="deeds"' not in await analyst.text(f"/inbox/{conversation.id}")
    assert (await act(analyst, comment, "hide"))[0] == 403
    elsewhere = await amina.post(f"/inbox/{private.id}/messages/{comment.id}/act/hide", **HTMX)
    assert (elsewhere.status, PublicConnector.asked) == (404, [])


async def test_what_the_platform_says_against_it_is_told_in_its_words_and_stays_in_the_thread(here: Site) -> None:
    conversation, [comment] = await commented(here, "Nul !")
    browser = await here.signed_in(await here.agent("Amina"))
    PublicConnector.answers.extend([Refused("(#200) <b>Not</b> yours"), TryLater("The limit is reached.", 60)])
    assert await act(browser, comment, "hide") == (409, "(#200) <b>Not</b> yours")
    assert await act(browser, comment, "hide") == (409, "The limit is reached.")
    assert (await message_now(here, comment)).hidden_at is None
    page = await browser.text(f"/inbox/{conversation.id}")
    assert "“Hide” was not done. \u2068(#200) &lt;b&gt;Not&lt;/b&gt; yours\u2069" in page
    assert "The limit is reached." in page
    assert (await act(browser, comment, "hide"))[0] == 200, "it can be tried again"


async def test_a_lost_sign_in_stops_the_channel_and_is_said(here: Site) -> None:
    conversation, [comment] = await commented(here, "Nul !")
    browser = await here.signed_in(await here.agent())
    PublicConnector.answers.append(AuthExpired("The token has ended."))
    assert await act(browser, comment, "hide") == (409, "The token has ended.")
    async with here.line.database.read() as session:
        assert (await session.get_one(Channel, conversation.channel_id)).status == "signed_out"
    status, text = await act(browser, comment, "hide")
    assert (status, "stopped" in text, len(PublicConnector.asked)) == (409, True, 1)


async def test_two_who_click_at_once_ask_the_platform_once_and_a_crash_locks_nothing_for_ever(here: Site) -> None:
    _, [comment] = await commented(here, "Nul !")
    browser = await here.signed_in(await here.agent())
    gate = asyncio.Event()
    PublicConnector.answers.append(gate)
    first = asyncio.ensure_future(act(browser, comment, "hide"))
    while not PublicConnector.asked:
        await asyncio.sleep(0)
    status, text = await act(browser, comment, "hide")
    assert (status, "busy" in text) == (409, True)
    gate.set()
    assert (await first)[0] == 200
    assert len(PublicConnector.asked) == 1
    async with here.line.database.write() as session:
        row = await session.get_one(Message, comment.id)
        row.acting_until_at = here.line.now() - LEASE
    assert (await act(browser, comment, "unhide"))[0] == 200


async def test_our_answer_is_deleted_after_a_question_and_folded_away(here: Site) -> None:
    conversation, [comment] = await commented(here, "Nul !")
    browser = await here.signed_in(await here.agent("Amina"))
    await browser.post(f"/inbox/{conversation.id}/answer", {"text": "Pardon", "key": "k"})
    [ours] = await outgoing(here, conversation)
    assert (await act(browser, ours, "delete"))[0] == 409, "it is not out yet"
    async with here.line.database.write() as session:
        row = await session.get_one(Message, ours.id)
        row.delivery, row.external_id = "sent", "theirs-7"
    page = await browser.text(f"/inbox/{conversation.id}")
    assert re.search(rf'<details class="menu deed-ask" id="delete-{ours.id}">\s*<summary title="Delete">', page)
    status, page = await act(browser, ours, "delete")
    assert (status, PublicConnector.asked) == (200, [("delete", "theirs-7")])
    assert f'<details class="deleted" id="deleted-{ours.id}">' in page
    assert "deleted an answer" in page
    assert f'id="delete-{ours.id}"' not in page
    assert (await act(browser, comment, "delete"))[0] == 409, "a comment of theirs is not ours to delete"


async def test_a_comment_is_answered_in_private_once_by_who_wrote_it(here: Site) -> None:
    conversation, [first] = await commented(here, "Ma facture est fausse")
    async with here.line.database.write() as session:  # somebody else, under the same comment
        other = Contact(name="Nadia", created_at=here.line.now())
        session.add(other)
        await session.flush()
        session.add(
            Identity(contact_id=other.id or 0, channel_id=conversation.channel_id, external_id="nadia-on-platform")
        )
        theirs = incoming(conversation, "La mienne aussi", here.line.now())
        theirs.kind, theirs.contact_id = "comment", other.id or 0
        session.add(theirs)
    browser = await here.signed_in(await here.agent("Amina"))
    page = await browser.text(f"/inbox/{conversation.id}")
    assert re.search(r'<span dir="auto">Nadia</span>', page), "each comment has its own author"
    composer = await browser.text(f"/inbox/{conversation.id}/composer?private={theirs.id}", **HTMX)
    assert "only \u2068Nadia\u2069 reads it" in composer
    assert f'name="to" value="{theirs.id}"' in composer
    form = {"text": "Votre numéro de client ? +213550112233", "key": "k", "to": str(theirs.id)}
    path = f"/inbox/{conversation.id}/answer"
    assert [(await browser.post(path, form)).status for _ in range(2)] == [303, 303]
    [ours] = await outgoing(here, conversation)
    assert (ours.kind, ours.answers_id, ours.contact_id) == ("direct_message", theirs.id, other.id)
    async with here.line.database.read() as session:
        item = (await session.execute(select(OutboxItem))).scalar_one()
    assert (item.action, item.payload["recipient"], item.payload["reply_to"]) == (
        "private_reply",
        "nadia-on-platform",
        theirs.external_id,
    )
    page = await browser.text(f"/inbox/{conversation.id}")
    assert "in private to \u2068Nadia\u2069" in page
    assert (f'id="private-{theirs.id}"' in page, f'id="private-{first.id}"' in page) == (False, True)
    again = await browser.post(path, {**form, "key": "k2"}, **HTMX)
    assert (again.status, "already" in await again.text()) == (422, True)
    async with here.line.database.write() as session:
        (await session.get_one(Message, ours.id)).delivery = "failed"
        (await session.get_one(Message, first.id)).sent_at = here.line.now() - timedelta(days=8)
    assert (await browser.post(path, {**form, "key": "k3"}, **HTMX)).status == 200, "what failed was no answer"
    late = await browser.post(path, {**form, "key": "k4", "to": str(first.id)}, **HTMX)
    assert (late.status, "too late" in await late.text()) == (422, True)
    assert f'id="private-{first.id}"' not in await browser.text(f"/inbox/{conversation.id}")


async def test_one_comment_is_chosen_and_answered_in_public_under_itself(here: Site) -> None:
    conversation, [first, second] = await commented(here, "Ma facture est fausse", "Et toujours rien")
    browser = await here.signed_in(await here.agent("Amina"))
    page = await browser.text(f"/inbox/{conversation.id}")
    assert f'id="reply-{first.id}"' in page
    composer = await browser.text(f"/inbox/{conversation.id}/composer?reply={first.id}", **HTMX)
    assert f'name="under" value="{first.id}"' in composer
    assert "Ma facture est fausse" in composer
    path = f"/inbox/{conversation.id}/answer"
    form = {"text": "C'est corrigé.", "key": "k", "under": str(first.id)}
    assert (await browser.post(path, form)).status == 303
    [ours] = await outgoing(here, conversation)
    assert (ours.kind, ours.answers_id) == ("comment", first.id)
    async with here.line.database.read() as session:
        item = (await session.execute(select(OutboxItem))).scalar_one()
    assert (item.action, item.payload["reply_to"]) == ("reply", first.external_id)
    page = await browser.text(f"/inbox/{conversation.id}")
    assert f'class="answered" href="#message-{first.id}"' in page, "the thread shows what was answered"
    assert (await browser.post(path, {"text": "Bonjour", "key": "k2"})).status == 303
    assert [message.answers_id for message in await outgoing(here, conversation)] == [first.id, second.id]
    for wrong, words in ((str(ours.id), "no longer be answered"), ("999999", "no such comment")):
        refused = await browser.post(path, {**form, "key": f"k-{wrong}", "under": wrong}, **HTMX)
        assert (refused.status, words in await refused.text()) == (422, True)
    async with here.line.database.write() as session:
        (await session.get_one(Message, first.id)).deleted_at = here.line.now()
    assert f'id="reply-{first.id}"' not in await browser.text(f"/inbox/{conversation.id}")
    refused = await browser.post(path, {**form, "key": "k9"}, **HTMX)
    assert (refused.status, "no longer be answered" in await refused.text()) == (422, True)


async def test_a_private_answer_has_the_private_limit_and_a_public_one_the_public(here: Site) -> None:
    conversation, [comment] = await commented(here, "Ma facture est fausse")
    browser = await here.signed_in(await here.agent())
    path = f"/inbox/{conversation.id}"
    for form, says in (
        ({"text": "x" * 15}, ("", "")),
        ({"text": "x" * 17}, ("17 / 20", "near")),
        ({"text": "x" * 23}, ("23 / 20 · 3 too many", "over")),
        ({"text": "x" * 23, "to": str(comment.id)}, ("", "")),
    ):
        measured = await (await browser.post(f"{path}/measure", form)).json()
        assert (measured["says"], measured["level"]) == says
    refused = await browser.post(f"{path}/answer", {"text": "x" * 23, "key": "k"}, **HTMX)
    sentence = "This channel takes 20 characters; the text has 23. Shorten it by 3."
    assert (refused.status, await refused.text()) == (422, sentence)


@on_one_database
@pytest.mark.parametrize(
    ("connector", "kind", "text", "says"),
    [
        ("x", "comment", "é" * 250 + " https://wasla.example/une/adresse/bien/plus/longue/que/cela", "274 / 280"),
        ("bluesky", "comment", "👨‍👩‍👧‍👦" * 299, "299 / 300"),
        ("mastodon", "comment", "x" * 460 + " https://wasla.example/" + "x" * 300, "484 / 468 · 16 too many"),
        ("kannel", "direct_message", "Bonjour", "1 SMS · 7 / 670"),
        ("kannel", "direct_message", "م" * 71, "2 SMS · 71 / 670"),
        ("twilio", "direct_message", "x" * 161, "2 SMS · 161 / 670"),
    ],
)
async def test_a_text_is_as_long_as_its_platform_counts(
    here: Site, connector: str, kind: str, text: str, says: str
) -> None:
    conversation = await here.conversation("hello", connector=connector)
    async with here.line.database.write() as session:
        (await session.get_one(Conversation, conversation.id)).kind = kind
    browser = await here.signed_in(await here.agent())
    answer = await browser.post(f"/inbox/{conversation.id}/measure", {"text": text})
    assert (await answer.json())["says"] == says


@on_one_database
@pytest.mark.parametrize(
    ("connector", "chosen", "hours", "kind", "says"),
    [
        ("messenger", {}, 2, "open", "Answers possible until"),
        ("messenger", {}, 25, "closed", "The window is closed"),
        ("messenger", {"late_answers": "human agent"}, 25, "late", "Agents may still answer until"),
        ("messenger", {"late_answers": "human agent"}, 24 * 8, "closed", "The window is closed"),
        ("whatsapp", {"template": "answer"}, 25, "template", "approved template"),
        ("whatsapp", {}, 25, "closed", "The window is closed"),
        ("echo", {}, 999, "", ""),
    ],
)
async def test_the_composer_says_until_when_an_answer_is_possible(
    here: Site, connector: str, chosen: dict[str, str], hours: int, kind: str, says: str
) -> None:
    at = here.line.now() - timedelta(hours=hours)
    conversation = await here.conversation("hello", connector=connector, at=at)
    async with here.line.database.write() as session:
        (await session.get_one(Channel, conversation.channel_id)).settings = chosen
    browser = await here.signed_in(await here.agent())
    page = await browser.text(f"/inbox/{conversation.id}")
    assert re.findall(r'class="window window-(\w+)"', page) == ([kind] if kind else [])
    assert says in page
    assert ("data-closed" in page) == (kind == "closed")
    path = f"/inbox/{conversation.id}/answer"
    answer = await browser.post(path, {"text": "Bonjour", "key": "k"}, **HTMX)
    assert answer.status == (422 if kind == "closed" else 200), await answer.text()
    note = await browser.post(path, {"text": "trop tard", "key": "n", "mode": "note"}, **HTMX)
    assert note.status == 200


async def test_a_post_stands_once_above_its_comments_and_links_nowhere_but_the_web(here: Site) -> None:
    conversation, _ = await commented(here, "Combien ?", "Et la livraison ?")
    text = "Notre nouvelle box <b>4G</b>. " + "Elle se branche et c'est tout. " * 12
    async with here.line.database.write() as session:
        post = Post(
            channel_id=conversation.channel_id,
            external_id="p-1",
            text=text,
            url="https://platform.example/p/1",
            is_self=True,
            picture={"kind": "image", "external_id": "box", "name": "", "content_type": "", "size": None},
            asked_at=here.line.now(),
        )
        session.add(post)
        await session.flush()
        (await session.get_one(Conversation, conversation.id)).post_id = post.id
    browser = await here.signed_in(await here.agent())
    for page in (
        await browser.text(f"/inbox/{conversation.id}"),
        await browser.text(f"/inbox/{conversation.id}/live", **HTMX),
    ):
        assert page.count(f'<p class="post-text" dir="auto">{escape(text)}') == 1
        assert "Our post" in page
        assert 'href="https://platform.example/p/1" target="_blank" rel="noopener noreferrer"' in page
    for _ in range(2):
        picture = await browser.get(f"/posts/{post.id}/picture")
        assert (picture.status, await picture.read(), picture.headers["Content-Type"]) == (200, PNG, "image/png")
        assert "sandbox" in picture.headers["Content-Security-Policy"]
    assert PublicConnector.asked == [("fetch", "box")], "our own copy afterwards"
    assert (await browser.get(f"/posts/{(post.id or 0) + 1}/picture")).status == 404
    assert (await here.browser().get(f"/posts/{post.id}/picture")).status == 303, "for those who are signed in"


async def test_earlier_texts_of_an_edited_comment_can_be_read_and_a_deleted_one_is_folded(here: Site) -> None:
    conversation, [edited, deleted] = await commented(here, "second", "gone")
    async with here.line.database.write() as session:
        row = await session.get_one(Message, edited.id)
        row.versions = [{"text": "<i>first</i>", "at": here.line.now().isoformat()}]
        (await session.get_one(Message, deleted.id)).deleted_at = here.line.now()
    browser = await here.signed_in(await here.agent())
    page = await browser.text(f"/inbox/{conversation.id}")
    assert re.search(r'<details class="versions".*?&lt;i&gt;first&lt;/i&gt;', page, re.DOTALL)
    assert re.search(r'<details class="deleted".*?Deleted by its author.*?gone.*?</details>', page, re.DOTALL)
    assert (f'id="hide-{edited.id}"' in page, f'id="hide-{deleted.id}"' in page) == (True, False)
