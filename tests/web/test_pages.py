"""What every page has around it: sign-in, headers, errors, languages, catalogues."""

from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po

from socialcrm.domain.rows import Agent
from socialcrm.engine.line import Line
from socialcrm.web.guard import PUBLIC, is_public
from socialcrm.web.i18n import FOLDER, Formats, _best, translations
from socialcrm.web.page import HERE, environment
from socialcrm.web.reasons import deed, reason
from tests.web.browser import HTML, Site, site


@pytest.fixture
async def here(line: Line) -> AsyncIterator[Site]:
    async with site(line) as opened:
        yield opened


async def test_every_page_that_is_not_public_asks_for_sign_in(here: Site) -> None:
    browser = here.browser()
    for resource in here.server.app.router.resources():
        path = resource.canonical.replace("{id}", "1")
        if is_public(path) or path == "/":
            continue
        methods = {route.method for route in resource}
        if "GET" in methods:
            answer = await browser.get(path)
            assert (answer.status, answer.headers["Location"].split("?")[0]) == (303, "/sign-in"), path
        if "POST" in methods:
            assert (await browser.client.post(path, allow_redirects=False)).status == 401, path
    assert set(PUBLIC) == {"/sign-in", "/static/", "/hooks/", "/widget/", "/s/", "/files/", "/demo/", "/health"}


async def test_no_form_is_taken_without_its_token(here: Site) -> None:
    browser = await here.signed_in(await here.agent())
    conversation = await here.conversation("hello")
    for path in ("/me/presence", "/sign-out", f"/inbox/{conversation.id}/resolve", f"/inbox/{conversation.id}/answer"):
        assert (await browser.client.post(path, data={"csrf_token": "wrong"})).status == 403, path
        assert (await browser.client.post(path)).status == 403, path
    token = await browser.token()
    by_header = await browser.client.post(
        f"/inbox/{conversation.id}/resolve", headers={"X-CSRF-Token": token, "HX-Request": "true"}
    )
    assert by_header.status == 200


async def test_every_answer_carries_the_security_headers(here: Site) -> None:
    browser = await here.signed_in(await here.agent())
    for path in ("/sign-in", "/inbox", "/health", "/static/favicon.svg", "/nothing-here"):
        answer = await browser.get(path)
        assert "script-src 'self';" in answer.headers["Content-Security-Policy"], path
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"


async def test_errors_are_sentences_and_never_tracebacks(here: Site, caplog: pytest.LogCaptureFixture) -> None:
    browser = await here.signed_in(await here.agent())
    page = await browser.get("/nothing-here")
    assert page.status == 404
    assert "There is nothing at this address." in await page.text()
    plain = await browser.client.get("/nothing-here", headers={"Accept": "application/json"})
    assert await plain.json() == {"error": "There is nothing at this address."}
    toast = await browser.get("/inbox/999999", **{"HX-Request": "true"})
    assert (toast.status, await toast.text()) == (404, "There is no such conversation.")
    await here.line.database.close()
    async with here.line.database.engine.begin() as connection:
        await connection.exec_driver_sql("DROP TABLE change")
    broken = await browser.get("/health")
    assert broken.status == 500
    assert "Traceback" not in await broken.text()
    assert "change" not in await broken.text()
    assert any("failed" in record.message for record in caplog.records)


async def test_a_body_that_is_too_large_is_refused(here: Site) -> None:
    browser = await here.signed_in(await here.agent())
    form = {"Content-Type": "application/x-www-form-urlencoded", **HTML}
    answer = await browser.client.post("/me/presence", data=BytesIO(b"a=" + b"x" * 5 * 2**20), headers=form)
    assert answer.status == 413


async def test_static_files_are_kept_for_a_year_under_their_version_and_stay_in_their_folder(here: Site) -> None:
    browser = here.browser()
    page = await browser.text("/sign-in")
    address = page.split('rel="icon" href="')[1].split('"')[0]
    assert "immutable" in (await browser.get(address)).headers["Cache-Control"]
    assert (await browser.get(address.split("?")[0])).headers["Cache-Control"] == "no-cache"
    for path in ("/static/..%2Fserver.py", "/static//etc/passwd", "/static/"):
        assert (await browser.get(path)).status == 404, path


async def test_roles_see_their_pages_and_an_analyst_reads_without_acting(here: Site) -> None:
    conversation = await here.conversation("hello")
    analyst = await here.signed_in(await here.agent("Rayan", role="analyst"))
    page = await analyst.text(f"/inbox/{conversation.id}")
    assert "reply-composer" not in page
    for what in ("answer", "take", "assign", "resolve", "reopen", "seen"):
        answer = await analyst.post(f"/inbox/{conversation.id}/{what}", {"text": "x", "key": "k"})
        assert answer.status == 403, what
    agent = await here.signed_in(await here.agent("Amina"))
    assert 'href="/channels"' not in await agent.text("/inbox")
    admin = await here.signed_in(await here.agent("Root", role="admin"))
    assert 'href="/channels"' in await admin.text("/inbox")


async def test_the_language_is_the_agents_else_the_browsers(here: Site) -> None:
    visitor = here.browser()
    assert '<html lang="fr" dir="ltr">' in await visitor.text(
        "/sign-in", **{"Accept-Language": "fr-DZ,fr;q=0.9,en;q=0.8"}
    )
    assert '<html lang="ar" dir="rtl">' in await visitor.text(
        "/sign-in", **{"Accept-Language": "de, ar-DZ;q=0.7, en;q=0.2"}
    )
    agent = await here.agent()
    browser = await here.signed_in(agent)
    answer = await browser.post("/me/language", {"lang": "ar"}, Referer="http://elsewhere.example/inbox?tab=all")
    assert answer.headers["Location"] == "/inbox?tab=all"
    assert '<html lang="ar" dir="rtl">' in await browser.text("/inbox", **{"Accept-Language": "fr"})
    assert (await browser.post("/me/language", {"lang": "de"})).status == 400


async def test_presence_is_set_by_its_switch(here: Site) -> None:
    agent = await here.agent()
    browser = await here.signed_in(agent)
    assert (await browser.post("/me/presence", {"presence": "away"})).status == 303
    async with here.line.database.read() as session:
        assert (await session.get_one(Agent, agent.id)).presence == "away"
    assert (await browser.post("/me/presence", {"presence": "dead"})).status == 400


@pytest.mark.parametrize(
    ("header", "lang"),
    [("", "en"), ("*", "en"), ("de", "en"), ("fr;q=0.2, ar", "ar"), ("en;q=x, fr", "fr"), ("fr" * 1000, "en")],
)
def test_any_accept_language_header_names_a_language(header: str, lang: str) -> None:
    assert _best(header) == lang


def messages() -> Iterator[tuple[str, ...]]:
    """Every msgid of the templates and of the modules beside them."""
    options = {"newstyle_gettext": "true", "trimmed": "true"}
    files: list[tuple[Path, str]] = [
        (path, "jinja2.ext:babel_extract") for path in (HERE / "templates").rglob("*.html")
    ]
    files += [(path, "python") for path in HERE.glob("*.py")]
    for path, method in files:
        keywords = {"_": None, "gettext": None, "ngettext": (1, 2), "N_": None, "say": (2,)}
        for _, found, _, _ in extract_from_file(method, path, keywords=keywords, options=options):
            yield found if isinstance(found, tuple) else (found,)


@pytest.mark.parametrize("lang", ["fr", "ar"])
def test_every_sentence_of_the_screens_is_translated(lang: str) -> None:
    known: set[str] = set()
    for file in (FOLDER / lang / "LC_MESSAGES").glob("*.po"):
        with file.open("rb") as source:
            for message in read_po(source, locale=lang):
                forms = message.string if isinstance(message.string, (tuple, list)) else [message.string]
                if message.id and all(forms):
                    known.add(message.id[0] if isinstance(message.id, (tuple, list)) else message.id)
    missing = sorted({found[0] for found in messages()} - known)
    assert not missing


@pytest.mark.parametrize("lang", ["fr", "ar"])
def test_a_translation_has_the_same_blanks_as_its_sentence(lang: str) -> None:
    catalogue = translations(lang)
    for found in messages():
        blanks = {part.split(")")[0] for part in found[0].split("%(")[1:]}
        if len(found) == 1 and blanks:
            said = catalogue.gettext(found[0])
            assert {part.split(")")[0] for part in said.split("%(")[1:]} == blanks, found[0]


@pytest.mark.parametrize("lang", ["en", "fr", "ar"])
def test_every_template_compiles_in_every_language(lang: str) -> None:
    made = environment(lang, "Africa/Algiers")
    assert [made.get_template(name) for name in made.list_templates(extensions=["html", "svg"])]


def test_no_template_has_inline_script_or_style() -> None:
    for path in (HERE / "templates").rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert " style=" not in text, path
        assert " onclick=" not in text, path
        assert "hx-on" not in text, path
        assert "<script>" not in text, path
        assert "|safe" not in text, path


def test_a_share_is_written_as_each_language_writes_it() -> None:
    assert [Formats(lang, "Africa/Algiers").percent(0.876) for lang in ("en", "fr")] == ["88%", "88\xa0%"]
    assert Formats("en", "Africa/Algiers").duration(59) == "59s"
    assert Formats("ar", "Africa/Algiers").number(1234.5, 1).startswith("1")


def test_a_trace_is_said_in_the_language_of_the_screen() -> None:
    french = translations("fr").gettext
    assert (
        reason("sentiment is negative, not neutral or positive", french)
        == "le sentiment est Négatif, pas Neutre / Positif"
    )
    assert deed("team technique, priority high, case", french) == "équipe technique, priorité Haute, dossier"
    assert reason("100% new %(words)s from the engine", french) == "100% new %(words)s from the engine"
