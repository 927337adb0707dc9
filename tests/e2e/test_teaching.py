"""Teaching in a real browser: correct and undo in the inbox, and the blind sample by keyboard."""

import json
from datetime import timedelta

import pytest
from playwright.async_api import Browser, Page, expect

from socialcrm.domain.rows import Agent, Correction, SampleItem
from socialcrm.engine.sample import draw_last_week
from tests.e2e.site import AXE, Site
from tests.e2e.test_together import signed_in
from tests.e2e.test_widget import opened, settled, write
from tests.requirements import require
from tests.teaching import Archive

TEXT = "la connexion ta3kom mayta men lbareh"


async def test_an_agent_corrects_a_message_and_takes_it_back(browser: Browser, site: Site, page: Page) -> None:
    await opened(page)
    await write(page, TEXT)
    await settled(page)
    await site.at_rest()
    agent = await signed_in(browser, site)
    await agent.goto(f"{site.url}/inbox/{(await site.conversation()).id}?tab=all")
    thread = agent.locator("#thread")
    await expect(thread.locator("[data-teach]")).to_be_visible()

    await agent.keyboard.press("c")
    popover = agent.locator("#teach")
    await expect(popover).to_be_visible()
    await expect(agent.locator("#teach input:focus")).to_be_checked()
    await agent.keyboard.press("e")
    assert (await site.conversation()).status == "open", "keys of the inbox rest while it is open"
    await agent.keyboard.press("Escape")
    await expect(popover).to_be_hidden()

    await thread.locator("[data-teach]").click()
    await popover.get_by_label("Positif", exact=True).check()
    await popover.get_by_label("Pas une réclamation").check()
    await expect(popover.locator(".teach-reason")).to_be_hidden()
    await popover.get_by_role("button", name="Enregistrer").click()
    await expect(popover).to_be_hidden()
    await expect(thread.locator(".guess.is-said").filter(has_text="Positif")).to_be_visible()
    await expect(thread.locator("[data-teach]")).to_be_focused()
    said = {row.field: row.label for row in await site.rows(Correction)}
    assert said["sentiment"] == "positive"

    await thread.get_by_role("button", name="Annuler").click()
    await expect(thread.locator(".guess.is-said")).to_have_count(0)
    assert await site.rows(Correction) == []

    await thread.get_by_role("button", name="C'est juste").click()
    await expect(thread.locator(".guess.is-said").first).to_be_visible()
    assert all(row.is_right for row in await site.rows(Correction))


async def fill(site: Site, count: int) -> None:
    """Messages of last week, drawn."""
    async with site.line.database.write() as session:
        await Archive(session, site.line.now() - timedelta(days=7)).messages(count, text="واش كاين جديد على الفيبر؟")
    await draw_last_week(site.line)


async def test_the_blind_sample_is_judged_by_keyboard(browser: Browser, site: Site) -> None:
    await fill(site, 3)
    agent = await signed_in(browser, site)
    await agent.goto(f"{site.url}/understanding/sample")
    question = agent.locator("#sample-question")
    for key, asked in (("3", "langue"), ("2", "ressent"), ("2", "plaint"), ("2", "veut")):
        await expect(question).to_contain_text(asked)
        if asked != "langue":  # an answer moves the focus on, and keys count again from then
            await expect(question).to_be_focused()
        await agent.keyboard.press(f"Digit{key}")
    await expect(agent.locator("#sample-bar")).to_have_attribute("value", "1")
    await expect(question).to_contain_text("langue")
    await expect(question).to_be_focused()
    await agent.keyboard.press("u")
    await expect(question).to_contain_text("veut")
    await expect(question).to_be_focused()
    await agent.keyboard.press("Digit2")
    await expect(question).to_contain_text("langue")
    for value in ("2", "3"):
        await expect(question).to_be_focused()
        await agent.keyboard.press("s")
        await expect(agent.locator("#sample-bar")).to_have_attribute("value", value)
    await expect(question).to_contain_text("Merci")
    said = {row.field: row.label for row in await site.rows(Correction)}
    assert said == {"language": "arq-Arab", "sentiment": "neutral", "complaint": "other", "intent": "question"}
    assert [bool(item.skipped_at) for item in await site.rows(SampleItem)] == [False, True, True]


@pytest.mark.parametrize("language", [pytest.param("fr", marks=pytest.mark.slow), "ar"])
@pytest.mark.parametrize("size", [(1280, 800), (375, 740)])
async def test_axe_finds_no_serious_fault_where_people_teach(
    browser: Browser, site: Site, page: Page, language: str, size: tuple[int, int]
) -> None:
    if not AXE.exists():
        require("axe-core (npm ci in socialcrm/web/frontend)")
    await opened(page)
    await write(page, TEXT)
    await settled(page)
    await site.at_rest()
    await fill(site, 3)
    async with site.line.database.write() as session:
        (await session.get_one(Agent, (await site.agent()).id)).locale = language
    agent = await signed_in(browser, site, viewport={"width": size[0], "height": size[1]}, bypass_csp=True)
    for path in ("/understanding", "/understanding/sample", f"/inbox/{(await site.conversation()).id}?tab=all"):
        await agent.goto(f"{site.url}{path}")
        if "inbox" in path:
            await agent.locator("[data-teach]").first.click()
            await expect(agent.locator("#teach")).to_be_visible()
        is_wide = await agent.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        assert not is_wide, f"{path} is wider than the screen"
        await agent.evaluate(AXE.read_text(encoding="utf-8"))
        found = await agent.evaluate("axe.run(document, {resultTypes: ['violations']}).then(r => r.violations)")
        serious = [
            (v["id"], [n["html"][:120] for n in v["nodes"][:3]])
            for v in found
            if v["impact"] in ("serious", "critical")
        ]
        assert not serious, f"{path}: {json.dumps(serious, ensure_ascii=False)}"
