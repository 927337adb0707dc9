"""The chat in a real browser, on the demo company's site, against the real server and the real line."""

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import BrowserContext, Locator, Page, expect

from socialcrm.domain.ledger import RawEventRow
from socialcrm.domain.rows import Conversation
from socialcrm.engine.answer import note
from socialcrm.engine.resolve import resolve
from tests.e2e.site import Site, faults

EVIL = '<img src=x onerror="document.title=1"><script>document.title=2</script> \u202egnp\u200b.exe'


def panel(page: Page) -> Locator:
    return page.get_by_role("dialog")


def bubble(page: Page, text: str) -> Locator:
    return panel(page).locator(".bubble").filter(has_text=re.compile(f"^{re.escape(text)}$"))


async def opened(page: Page) -> Locator:
    await page.locator(".launcher").click()
    await expect(panel(page)).to_be_visible()
    return panel(page).locator("textarea")


async def write(page: Page, text: str) -> None:
    field = panel(page).locator("textarea")
    await field.fill(text)
    await field.press("Enter")


async def shown(page: Page) -> list[str]:
    return await panel(page).locator(".message .bubble").all_inner_texts()


async def settled(page: Page) -> None:
    """Nothing is on its way any more: each own message shows its time."""
    own = panel(page).locator(".mine")
    await expect(own.locator(".meta time")).to_have_count(await own.count(), timeout=20_000)


async def test_an_answer_appears_without_a_reload(page: Page, site: Site) -> None:
    await opened(page)
    await write(page, "La connexion ta3kom mayta")
    await settled(page)
    await site.answer("Bonjour, je regarde tout de suite.")
    await expect(bubble(page, "Bonjour, je regarde tout de suite.")).to_be_visible()
    await expect(panel(page).get_by_text("Amina", exact=True)).to_be_visible()
    await page.reload()
    await opened(page)
    texts = await shown(page)
    await expect(bubble(page, "La connexion ta3kom mayta")).to_have_count(1)
    await expect(bubble(page, "Bonjour, je regarde tout de suite.")).to_have_count(1)
    assert texts


async def test_a_page_that_is_only_looked_at_gets_no_cookie(page: Page, context: BrowserContext) -> None:
    await opened(page)
    assert await context.cookies() == []
    await write(page, "Bonjour")
    await settled(page)
    (cookie,) = await context.cookies()
    assert (cookie.get("name"), cookie.get("sameSite"), cookie.get("path")) == ("socialcrm_visitor", "Lax", "/")


async def test_nothing_is_lost_or_repeated_while_the_browser_is_offline(
    page: Page, context: BrowserContext, site: Site
) -> None:
    await opened(page)
    await write(page, "avant")
    await settled(page)
    await context.set_offline(True)
    for number in range(3):
        await write(page, f"hors ligne {number}")
    await expect(panel(page).get_by_text("Partira dès le retour de la connexion").first).to_be_visible()
    await site.answer("réponse pendant la coupure")
    await context.set_offline(False)
    await settled(page)
    await expect(bubble(page, "réponse pendant la coupure")).to_have_count(1)
    assert await site.incoming() == ["avant", "hors ligne 0", "hors ligne 1", "hors ligne 2"]
    texts = await shown(page)
    assert len(texts) == len(set(texts))


async def test_nothing_is_lost_or_repeated_when_the_server_goes_away_in_the_middle(page: Page, site: Site) -> None:
    await opened(page)
    await write(page, "avant")
    await settled(page)
    await site.stop()
    for number in range(3):
        await write(page, f"pendant {number}")
    await site.answer("écrit pendant la panne")
    await expect(panel(page).get_by_text("Partira dès le retour de la connexion").first).to_be_visible()
    await page.evaluate("document.title")
    await site.start()
    await settled(page)
    await expect(bubble(page, "écrit pendant la panne")).to_have_count(1, timeout=40_000)
    assert await site.incoming() == ["avant", "pendant 0", "pendant 1", "pendant 2"]
    texts = await shown(page)
    assert len(texts) == len(set(texts))


async def test_an_answer_of_the_server_that_is_lost_makes_no_second_message(page: Page, site: Site) -> None:
    """The server keeps the message, but its 200 never arrives."""
    await opened(page)
    lost: list[int] = []

    async def lose(route: Any) -> None:
        if route.request.method == "POST" and not lost:
            lost.append(1)
            await route.fetch()
            await route.abort("connectionreset")
        else:
            await route.continue_()

    await page.route("**/widget/*/messages", lose)
    await write(page, "une seule fois")
    await settled(page)
    await expect(bubble(page, "une seule fois")).to_have_count(1)
    assert lost
    assert await site.incoming() == ["une seule fois"]


async def test_a_message_that_waits_outlives_a_reload_and_a_second_tab(
    page: Page, context: BrowserContext, site: Site
) -> None:
    await opened(page)
    await page.route("**/widget/*/messages", lambda route: route.abort())
    await page.route("**/widget/*/visitor", lambda route: route.abort())
    await write(page, "gardé un")
    await write(page, "gardé deux")
    await page.reload()
    await opened(page)
    await expect(bubble(page, "gardé deux")).to_be_visible()
    second = await context.new_page()
    await asyncio.gather(page.unroute_all(), second.goto(f"{site.url}/demo/en"))
    await opened(second)
    await page.reload()
    await opened(page)
    for each in (page, second):
        await settled(each)
        await expect(bubble(each, "gardé un")).to_have_count(1)
        await expect(bubble(each, "gardé deux")).to_have_count(1)
    assert await site.incoming() == ["gardé un", "gardé deux"]
    assert len(await site.rows(Conversation)) == 1
    await write(second, "depuis le second onglet")
    await expect(bubble(page, "depuis le second onglet")).to_have_count(1)


async def test_a_token_that_no_longer_counts_is_replaced_and_the_text_kept(
    page: Page, context: BrowserContext, site: Site
) -> None:
    await opened(page)
    await write(page, "avant")
    await settled(page)
    cookie = (await context.cookies())[0]
    forged = {"name": "socialcrm_visitor", "value": f"demo-chat:{'0' * 32}.1.x", "url": site.url}
    await context.add_cookies([forged])  # type: ignore[list-item]
    await write(page, "après")
    await settled(page)
    assert await site.incoming() == ["avant", "après"]
    assert (await context.cookies())[0].get("value") not in (cookie.get("value"), forged["value"])


@pytest.mark.slow
async def test_who_writes_too_fast_is_told_so_and_every_message_arrives(page: Page, site: Site) -> None:
    await opened(page)
    waits = panel(page).get_by_text(re.compile("Partira dans")).first
    written: list[str] = []
    while (
        not (written[11:] and await waits.is_visible()) and len(written) < 60
    ):  # how many it takes depends on the machine
        written.append(f"vite {len(written)}")
        await write(page, written[-1])
    await expect(waits).to_be_visible()
    await settled(page)
    assert await site.incoming() == written


async def test_a_survey_is_answered_with_one_press(page: Page, site: Site) -> None:
    await opened(page)
    await write(page, "Merci")
    await settled(page)
    async with site.line.database.write() as session:
        conversation = await session.get_one(Conversation, (await site.conversation()).id)
        await resolve(session, site.line, conversation, await site.agent())
    site.line.work.set()
    choices = panel(page).locator(".choices button")
    await expect(choices).to_have_count(5)
    await choices.nth(3).click()
    await expect(choices.nth(3)).to_have_attribute("aria-pressed", "true")
    await expect(choices.nth(0)).to_be_disabled()
    await expect(panel(page).get_by_text(site.line.engagement.reply("fr", "survey_comment"))).to_be_visible()
    await page.reload()
    await opened(page)
    await expect(choices.nth(3)).to_have_attribute("aria-pressed", "true")
    await expect(choices.nth(3)).to_be_disabled()


async def test_markup_is_shown_as_text_and_only_web_addresses_become_links(page: Page, site: Site) -> None:
    await opened(page)
    await write(page, EVIL)
    await settled(page)
    await site.answer(f"{EVIL} https://wasla.example/a?b=1, javascript:alert(1) http://x@evil.example")
    link = panel(page).locator(".bubble a")
    await expect(link).to_have_count(1)
    assert await link.get_attribute("href") == "https://wasla.example/a?b=1"
    assert "noopener" in (await link.get_attribute("rel") or "")
    assert await panel(page).locator("img, script").count() == 0
    assert "Wasla" in await page.title()


async def test_a_note_between_colleagues_never_reaches_the_visitor(page: Page, site: Site) -> None:
    await opened(page)
    await write(page, "Bonjour")
    await settled(page)
    async with site.line.database.write() as session:
        await note(session, site.line, await site.conversation(), "attention, client fâché", await site.agent(), "n")
    await site.answer("Bonjour à vous")
    await expect(bubble(page, "Bonjour à vous")).to_be_visible()
    assert not await panel(page).get_by_text("client fâché").count()


async def test_a_text_that_is_too_long_stays_in_the_field_uncut(page: Page, site: Site) -> None:
    field = await opened(page)
    await field.fill("a" * 4001)
    await field.press("Enter")
    await expect(panel(page).get_by_role("status")).to_contain_text("4001")
    assert len(await field.input_value()) == 4001
    assert await site.rows(RawEventRow) == []


async def test_everything_works_by_keyboard_alone(page: Page, site: Site) -> None:
    for _ in range(40):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.shadowRoot?.activeElement?.className ?? ''") == "launcher":
            break
    await page.keyboard.press("Enter")
    await expect(panel(page).locator("textarea")).to_be_focused()
    await page.keyboard.type("première ligne")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("seconde ligne")
    await page.keyboard.press("Enter")
    await settled(page)
    assert await site.incoming() == ["première ligne\nseconde ligne"]
    await page.keyboard.press("Escape")
    await expect(panel(page)).to_be_hidden()
    await expect(page.locator(".launcher")).to_be_focused()
    await site.answer("Vous avez une réponse")
    await expect(page.locator(".launcher")).to_have_accessible_name(re.compile(r"\d+ non lu"))
    await page.keyboard.press("Enter")
    await expect(bubble(page, "Vous avez une réponse")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator(".launcher")).to_have_accessible_name("Ouvrir la discussion")


@pytest.mark.parametrize(("path", "lang", "direction"), [("", "fr", "ltr"), ("ar", "ar", "rtl"), ("en", "en", "ltr")])
@pytest.mark.parametrize("look", [{"bypass_csp": True}])
async def test_no_serious_fault_of_accessibility_is_found(
    page: Page, site: Site, path: str, lang: str, direction: str
) -> None:
    await page.goto(f"{site.url}/demo/{path}")
    assert await page.evaluate("[document.documentElement.lang, document.documentElement.dir]") == [lang, direction]
    await opened(page)
    assert await panel(page).evaluate("node => getComputedStyle(node).direction") == direction
    await write(page, "سلام")
    await settled(page)
    await site.answer("Bonjour https://wasla.example")
    await expect(panel(page).locator(".bubble a")).to_be_visible()
    for colours in ("light", "dark"):
        await page.emulate_media(color_scheme=colours)  # type: ignore[arg-type]
        assert await faults(page) == [], colours


@pytest.mark.parametrize("look", [{"viewport": {"width": 375, "height": 667}}])
async def test_on_a_phone_the_panel_fills_the_screen_and_nothing_is_cut_off(page: Page, site: Site) -> None:
    await page.goto(f"{site.url}/demo/ar")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 375
    await opened(page)
    assert await panel(page).bounding_box() == {"x": 0, "y": 0, "width": 375, "height": 667}
    await write(page, "https://" + "a" * 300 + ".example")
    await settled(page)
    assert await panel(page).locator(".log").evaluate("log => log.scrollWidth <= log.clientWidth")


async def test_the_sites_strict_policy_is_not_broken_by_the_chat(page: Page, site: Site) -> None:
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    response = await page.reload()
    assert response is not None
    policy = await response.header_value("content-security-policy") or ""
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    await opened(page)
    await write(page, "Bonjour")
    await settled(page)
    launcher = page.locator(".launcher")
    assert await launcher.evaluate("node => getComputedStyle(node).borderRadius") == "50%"
    assert errors == []
