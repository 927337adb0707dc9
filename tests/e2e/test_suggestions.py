"""Suggested answers and the words behind a tag, as an agent meets them: by mouse, by keyboard and by touch."""

import re

from playwright.async_api import Browser, Page, expect

from socialcrm.domain.rows import Message
from tests.e2e.site import Site
from tests.e2e.test_together import signed_in
from tests.e2e.test_widget import opened, settled, write

TOP_UP = "mon crédit est fini, je peux recharger avec ma carte bancaire ?"
"""Like an entry of the FAQ, but not in its words: it is suggested, and not answered by itself."""
MARKED = """
    [...CSS.highlights.values()].flatMap(marks => [...marks].map(
        range => range.startContainer.data.slice(range.startOffset, range.endOffset)))
"""


async def asked(browser: Browser, site: Site, page: Page, text: str, **look: object) -> Page:
    """An agent at the conversation in which a visitor wrote this, once all is done that comes by itself."""
    await opened(page)
    await write(page, text)
    await settled(page)
    await site.at_rest()
    agent = await signed_in(browser, site, **look)
    await agent.goto(f"{site.url}/inbox/{(await site.conversation()).id}?tab=all")
    return agent


async def test_a_suggestion_comes_after_the_thread_goes_into_the_text_and_is_never_sent_by_itself(
    browser: Browser, site: Site, page: Page
) -> None:
    agent = await asked(browser, site, page, TOP_UP)
    choices = agent.locator(".suggestion-use")
    await expect(choices.first).to_be_visible()
    text = await choices.first.locator(".suggestion-text").inner_text()
    field = agent.locator("reply-composer textarea")
    await field.fill("Bonjour !")
    await field.press("Alt+1")
    await expect(field).to_have_value(f"Bonjour !\n{text}")
    await field.press("Control+z")
    await expect(field).to_have_value("Bonjour !")
    await choices.first.click()
    await expect(field).to_have_value(f"Bonjour !\n{text}")
    await expect(field).to_be_focused()
    assert [m for m in await site.rows(Message) if m.author_kind == "agent"] == []

    await agent.get_by_role("button", name="Pas utile").first.click()
    await expect(agent.locator(".suggestion-text", has_text=text)).to_have_count(0)
    await field.press("Control+Enter")
    await expect(field).to_have_value("")
    await expect(choices).to_have_count(0)


async def test_the_words_behind_a_tag_are_marked_and_said_while_the_text_stays_as_it_is(
    browser: Browser, site: Site, page: Page
) -> None:
    words = "votre service est nul 😡, c'est vraiment une honte"
    agent = await asked(browser, site, page, words)
    tag = agent.locator('.message-in [data-why="sentiment"]').first
    note = agent.locator("#because")
    asked_for: list[str] = []
    agent.on("request", lambda request: asked_for.append(request.url) if "/why?" in request.url else None)
    await tag.hover()
    await expect(note).to_contain_text("à cause de")
    marked = await agent.evaluate(MARKED)
    assert marked
    assert all(word in words for word in marked)
    assert re.search("nul|honte", " ".join(marked))
    await agent.mouse.move(5, 5)
    await expect(note).to_be_hidden()
    assert await agent.evaluate(MARKED) == []

    await tag.focus()
    await expect(tag).to_have_attribute("aria-describedby", "because")
    await expect(agent.locator("#announcer")).to_contain_text("à cause de")
    await agent.keyboard.press("Escape")
    await expect(note).to_be_hidden()
    assert len(asked_for) == 1, "asked once for a message and a field"

    await agent.locator(".message-in .message-text").first.click(click_count=3)
    assert words in await agent.evaluate("getSelection().toString()")


async def test_on_a_phone_a_tap_says_why_and_suggestions_do_not_stretch_the_page(
    browser: Browser, site: Site, page: Page
) -> None:
    look = {"viewport": {"width": 375, "height": 740}, "has_touch": True, "is_mobile": True}
    agent = await asked(browser, site, page, f"{TOP_UP} votre service est nul", **look)
    await expect(agent.locator(".suggestion-use").first).to_be_visible()
    await agent.locator('.message-in [data-why="sentiment"]').first.tap()
    await expect(agent.locator("#because")).to_be_visible()
    box = await agent.locator("#because").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 375
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not await agent.evaluate(wide)
