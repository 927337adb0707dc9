"""A comment under a post: an agent reads it below the post, hides it by keyboard and answers in private."""

import json
import uuid
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from connectors.base import RawEvent
from socialcrm.domain.rows import Channel, Message, OutboxItem
from socialcrm.engine import ledger
from tests.e2e.site import AXE, Site
from tests.e2e.test_together import signed_in

POST = {"id": "p-1", "text": "Notre nouvelle box. " * 30, "url": "https://platform.example/p/1", "author": "Wasla"}


async def commented(site: Site, text: str) -> None:
    """Somebody comments on our post."""
    async with site.line.database.write() as session:
        now = site.line.now()
        channel = Channel(connector="echo", key="page", name="Page", created_at=now, changed_at=now)
        session.add(channel)
        await session.flush()
        event: dict[str, Any] = {"id": uuid.uuid4().hex, "author": "nadia", "name": "Nadia", "text": text}
        event |= {"kind": "comment", "thread": "t-1", "post": POST}
        await ledger.append(session, channel.id or 0, [RawEvent(event)], now)
    site.line.work.set()


@pytest.mark.parametrize("size", [(1300, 900), (375, 740)])
async def test_a_comment_is_read_under_its_post_hidden_and_answered_in_private(
    browser: Browser, site: Site, size: tuple[int, int]
) -> None:
    agent = await signed_in(browser, site, viewport={"width": size[0], "height": size[1]}, bypass_csp=True)
    await commented(site, "Ma facture est fausse")
    await agent.goto(f"{site.url}/inbox?tab=all")
    await agent.locator("#rows").get_by_text("Ma facture est fausse").click()
    post = agent.get_by_role("region", name="La publication")
    await expect(post.get_by_role("link", name="Ouvrir la publication")).to_have_attribute("rel", "noopener noreferrer")
    await post.get_by_text("Tout afficher").click()
    await expect(post.get_by_text(POST["text"].strip(), exact=True)).to_be_visible()

    hide = agent.get_by_role("button", name="Masquer")
    await hide.focus()
    await agent.keyboard.press("Enter")
    await expect(hide).to_have_attribute("aria-pressed", "true")
    await expect(hide).to_be_focused()
    await expect(agent.get_by_text("a masqué un commentaire")).to_be_visible()

    await agent.locator("textarea").fill("une réponse publique, pas finie")
    await agent.locator("textarea").blur()
    await agent.keyboard.press("p")
    private = agent.locator(".composer-private textarea")
    await expect(private).to_be_focused()
    await expect(private).to_have_value("")
    await agent.evaluate(AXE.read_text(encoding="utf-8"))
    found = await agent.evaluate("axe.run(document, {resultTypes: ['violations']}).then(r => r.violations)")
    serious = [(v["id"], v["nodes"][0]["html"][:120]) for v in found if v["impact"] in ("serious", "critical")]
    assert not serious, json.dumps(serious, ensure_ascii=False)
    await private.fill("Bonjour, quel est votre numéro de client ?")
    await agent.keyboard.press("Control+Enter")
    await expect(agent.locator(".message.is-private")).to_contain_text("quel est votre numéro de client")
    await expect(agent.locator("textarea")).to_have_value("une réponse publique, pas finie")
    item = (await site.rows(OutboxItem))[-1]  # after our acknowledgement
    assert item.action == "private_reply"
    comment = (await site.rows(Message))[0]
    assert comment.hidden_at is not None
