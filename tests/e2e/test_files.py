"""Files both ways in a real browser: a visitor attaches a picture, an agent answers with a file."""

import base64

from playwright.async_api import BrowserContext, Page, expect

from tests.e2e.site import PASSWORD, Site

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


async def test_a_visitor_and_an_agent_send_each_other_files(page: Page, context: BrowserContext, site: Site) -> None:
    chat = page.locator("[data-socialcrm-chat]")
    await page.locator(".launcher").click()
    files = [{"name": f"{n}.png", "mimeType": "image/png", "buffer": PNG + n.encode()} for n in ("avant", "après")]
    await chat.locator('input[type="file"]').set_input_files(files)  # type: ignore[arg-type]
    await expect(chat.locator(".tray li")).to_have_count(2)
    await chat.get_by_role("button", name="Retirer après.png").click()
    await expect(chat.locator(".tray li")).to_have_text("avant.png")
    await chat.locator("textarea").press("Enter")
    await expect(chat.locator(".bubble img")).to_be_visible()

    inbox = await context.new_page()
    await inbox.goto(f"{site.url}/sign-in")
    await inbox.fill("input[name=email]", "amina@wasla.example")
    await inbox.fill("input[name=password]", PASSWORD)
    await inbox.keyboard.press("Enter")
    await inbox.wait_for_url("**/inbox**")
    await inbox.goto(f"{site.url}/inbox/{(await site.conversation()).id}")
    await expect(inbox.locator(".attachment-image")).to_be_visible()
    await chat.locator("textarea").press_sequentially("m")
    await expect(inbox.locator("#contact-typing")).to_contain_text("écrit")

    picker = inbox.locator("file-picker")
    refused = {"name": "page.html", "mimeType": "text/html", "buffer": b"<script>"}
    await picker.locator('input[type="file"]').set_input_files([refused])  # type: ignore[list-item]
    await expect(picker.locator(".is-refused")).to_contain_text("page.html")
    await picker.get_by_role("button", name="Retirer page.html").click()
    paste = """async (field) => {
      const data = new DataTransfer();
      data.items.add(new File(["%PDF-1.7"], "facture.pdf"));
      field.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
    }"""
    await inbox.locator("#text").evaluate(paste)
    await expect(picker.locator('input[name="file"]')).to_have_count(1)
    await inbox.locator(".composer-send").click()
    await expect(inbox.locator(".message-out .attachment")).to_contain_text("facture.pdf")
    await expect(picker.locator("li")).to_have_count(0)
    await expect(chat.locator(".bubble a.file", has_text="facture.pdf")).to_be_visible()
