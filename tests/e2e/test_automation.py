"""The pages of the engagement engine in a real browser: the bar of the bot, the preview of a flow, axe on all."""

import pytest
from playwright.async_api import Browser, Page, expect

from socialcrm.domain.rows import Agent, Case
from tests.e2e.site import Site, faults, too_wide
from tests.e2e.test_together import signed_in
from tests.e2e.test_widget import opened, settled, write

PAGES = (
    *("/automation", "/automation/rules", "/automation/rules/3", "/automation/routing", "/automation/hours"),
    *("/automation/sla", "/automation/surveys", "/automation/surveys/new?kind=nps", "/automation/bot"),
    *("/automation/bot/flows/callback", "/automation/hooks", "/team", "/cases", "/cases?view=board"),
    *("/cases/incidents", "/notices", "/reports/barometer"),
)


async def chief(browser: Browser, site: Site, language: str = "fr", **look: object) -> Page:
    """A page of somebody who may change everything."""
    async with site.line.database.write() as session:
        amina = await session.get_one(Agent, (await site.agent()).id)
        amina.role, amina.locale = "admin", language
    return await signed_in(browser, site, **look)


async def test_the_bar_of_the_faq_says_what_holds_at_the_place_where_it_stands(browser: Browser, site: Site) -> None:
    admin = await chief(browser, site)
    await admin.goto(f"{site.url}/automation/bot")
    slider, right = admin.locator("#faq_bar"), admin.locator("[data-figure=right]")
    given = admin.locator("[data-figure=given]")
    await slider.fill("50")
    await expect(admin.locator(".bar-value")).to_contain_text("50")
    many = int(await given.inner_text())
    assert int(await right.inner_text()) * 2 >= many > 0
    await slider.fill("99")
    await expect(admin.locator(".bar-value")).to_contain_text("99")
    few = int(await given.inner_text())
    assert few < many, "who wants to be surer answers fewer"
    assert int(await right.inner_text()) >= 0.99 * few
    await slider.focus()
    await admin.keyboard.press("Home")
    await expect(given).to_have_text(str(many))


async def test_a_flow_is_played_before_anybody_gets_it_and_a_mistake_is_said_beside_it(
    browser: Browser, site: Site
) -> None:
    admin = await chief(browser, site)
    await admin.goto(f"{site.url}/automation/bot/flows/callback")
    talk, field = admin.locator("#flow-played"), admin.locator("#flow-preview input[name=text]")
    await admin.locator("[data-preview-say]").click()
    await expect(talk.locator(".preview-bot").first).to_be_visible()
    for text in ("12", "0550 12 34 56"):
        count = await talk.locator(".preview-bot").count()
        await field.fill(text)
        await field.press("Enter")
        await expect(talk.locator(".preview-bot")).to_have_count(count + 1)
        await expect(field).to_have_value("")
    source = admin.locator("#flow-form textarea")
    await source.fill((await source.input_value()).replace('kind = "phone"', 'kind = "telepathy"', 1))
    await source.blur()
    await expect(admin.locator("#flow-form [role=status]")).to_contain_text("'phone', 'email'")


@pytest.mark.parametrize(
    "language", [pytest.param("fr", marks=pytest.mark.slow), "ar", pytest.param("en", marks=pytest.mark.slow)]
)
async def test_axe_finds_no_serious_fault_and_nothing_is_wider_than_the_screen(
    browser: Browser, site: Site, page: Page, language: str
) -> None:
    await opened(page)
    await write(page, "ma facture est fausse depuis trois mois, c'est inadmissible, remboursez-moi !")
    await settled(page)
    await site.at_rest()
    [case] = await site.rows(Case)
    admin = await chief(browser, site, language, bypass_csp=True)
    for path in (*PAGES, f"/cases/{case.id}"):
        answer = await admin.goto(f"{site.url}{path}")
        assert answer is not None
        assert answer.status == 200, path
        assert await admin.evaluate("document.documentElement.dir") == ("rtl" if language == "ar" else "ltr")
        for width, height in ((1440, 900), (375, 740)):
            await admin.set_viewport_size({"width": width, "height": height})
            assert await too_wide(admin) == [], f"{path} is wider than {width} pixels"
            assert await faults(admin) == [], f"{path} at {width} pixels"
