"""A visitor in the chat and an agent in the inbox, in two browsers, at the same time."""

import re
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from socialcrm.domain.rows import Agent, Conversation, Survey
from socialcrm.web.guard import COOKIE
from tests.e2e.site import PASSWORD, Site, faults
from tests.e2e.test_widget import bubble, opened, settled, shown, write
from tests.sessions import open_session


async def signed_in(browser: Browser, site: Site, **look: Any) -> Page:
    """A page, not yet opened anywhere, of an agent who has signed in, in a browser of its own."""
    context = await browser.new_context(reduced_motion="reduce", **look)
    context.set_default_timeout(10_000)
    token = await open_session(site.line, await site.agent())
    await context.add_cookies([{"name": COOKIE, "value": token, "url": site.url}])
    return await context.new_page()


async def signs_in(page: Page, site: Site) -> None:
    await page.context.clear_cookies()
    await page.goto(f"{site.url}/sign-in")
    await page.fill("input[name=email]", "amina@wasla.example")
    await page.fill("input[name=password]", PASSWORD)
    await page.press("input[name=password]", "Enter")
    await page.wait_for_url("**/inbox*")


def said(page: Page, text: str) -> Any:
    """A message in the agent's thread."""
    return page.get_by_role("region", name="Conversation").get_by_text(re.compile(f"^{re.escape(text)}$"))


async def answer(page: Page, text: str) -> None:
    field = page.locator("textarea:visible").first
    await field.fill(text)
    await field.press("Control+Enter")


async def test_a_visitor_and_an_agent_talk_without_reloading_and_over_a_cut(
    browser: Browser, site: Site, page: Page
) -> None:
    agent = await signed_in(browser, site)
    await signs_in(agent, site)
    await agent.goto(f"{site.url}/inbox?tab=all")
    await agent.evaluate("window.isTheSamePage = true")

    await opened(page)
    await write(page, "salam, la connexion ta3kom mayta men lbareh")
    row = agent.get_by_role("main").get_by_text("la connexion ta3kom mayta").first
    await expect(row).to_be_visible()
    await row.click()
    await expect(said(agent, "salam, la connexion ta3kom mayta men lbareh")).to_be_visible()
    assert await agent.evaluate("window.isTheSamePage"), "the agent saw it without reloading"

    await answer(agent, "Bonjour, je regarde votre ligne.")
    await expect(bubble(page, "Bonjour, je regarde votre ligne.")).to_be_visible()

    await site.stop()
    await write(page, "écrit pendant la coupure")
    await agent.locator("textarea:visible").first.fill("un brouillon que rien ne doit effacer")
    await site.start()
    await settled(page)
    await expect(said(agent, "écrit pendant la coupure")).to_have_count(1, timeout=30_000)
    await expect(agent.locator("textarea:visible").first).to_have_value("un brouillon que rien ne doit effacer")
    assert await agent.evaluate("window.isTheSamePage")

    await answer(agent, "C'est réparé.")
    await expect(bubble(page, "C'est réparé.")).to_have_count(1, timeout=30_000)
    await agent.get_by_role("button", name=re.compile("^Résoudre")).first.click()
    choices = page.get_by_role("dialog").locator(".choices button")
    await expect(choices).to_have_count(5)
    await choices.nth(4).click()
    await expect(choices.nth(4)).to_have_attribute("aria-pressed", "true")

    texts = await shown(page)
    assert len(texts) == len(set(texts)), "nothing is shown twice"
    assert await site.incoming() == ["salam, la connexion ta3kom mayta men lbareh", "écrit pendant la coupure"]
    await expect(agent.get_by_text(re.compile("5 ?/ ?5|5 sur 5")).first).to_be_visible()
    (survey,) = await site.rows(Survey)
    assert survey.score == 5
    assert (await site.conversation()).status == "resolved"


async def test_what_a_visitor_writes_to_break_the_inbox_is_shown_as_text(
    browser: Browser, site: Site, page: Page
) -> None:
    evil = '<img src=x onerror="window.broken=1"><script>window.broken=2</script> \u202egnp\u200b.exe'
    agent = await signed_in(browser, site)
    await agent.goto(f"{site.url}/inbox?tab=all")
    await opened(page)
    await write(page, evil)
    await write(page, "x" * 3_900)
    await settled(page)
    conversation: Conversation = await site.conversation()
    await agent.goto(f"{site.url}/inbox/{conversation.id}?tab=all")
    await expect(agent.get_by_text("window.broken=2", exact=False).first).to_be_visible()
    assert await agent.evaluate("window.broken") is None
    assert (await site.incoming())[0] == evil
    is_wide = await agent.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    assert not is_wide, "a long word must not stretch the page"


@pytest.mark.parametrize(
    "language", [pytest.param("fr", marks=pytest.mark.slow), "ar", pytest.param("en", marks=pytest.mark.slow)]
)
async def test_axe_finds_no_serious_fault_on_any_page(browser: Browser, site: Site, page: Page, language: str) -> None:
    await opened(page)
    await write(page, "الكونيكسيون تاعكم ميتة")
    await settled(page)
    async with site.line.database.write() as session:
        amina = await session.get_one(Agent, (await site.agent()).id)
        amina.locale = language
    agent = await signed_in(browser, site, bypass_csp=True)
    number = (await site.conversation()).id
    for path in ("/inbox?tab=all", f"/inbox/{number}?tab=all", "/reports", "/channels", "/ledger"):
        await agent.goto(f"{site.url}{path}")
        direction = await agent.evaluate("document.documentElement.dir")
        assert direction == ("rtl" if language == "ar" else "ltr")
        for width, height in ((1440, 900), (375, 740)):
            await agent.set_viewport_size({"width": width, "height": height})
            assert await faults(agent) == [], f"{path} at {width} pixels"
