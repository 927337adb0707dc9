"""The pages of complaints: list, board, one case, incidents, the file, and the case in the inbox."""

import csv
import io
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from socialcrm.domain.rows import Agent, Case, Incident, NewsTelling
from socialcrm.engine.line import Line
from socialcrm.engine.schedule import drain
from tests.engine.casework import events
from tests.engine.scripted import on_one_database
from tests.engine.test_cases import quiet
from tests.story import Clock, Story
from tests.web.browser import Browser, Site, site

COMPLAINT = "Mon internet est en panne depuis trois jours, appelez-moi au 0550 12 34 56, c'est inadmissible !"


class Desk:
    """A site with one complaint, and people at it."""

    def __init__(self, here: Site, story: Story, amina: Agent) -> None:
        self.here, self.story, self.amina = here, story, amina

    async def browser(self, role: str = "agent", locale: str = "en") -> Browser:
        return await self.here.signed_in(await self.here.agent(f"{role}{locale}", role, locale))

    async def post(self, browser: Browser, deed: str, form: dict[str, str] | None = None, number: int = 1) -> int:
        answer = await browser.post(f"/cases/{number}/{deed}", form)
        await drain(self.story.line)
        return answer.status


@pytest.fixture
async def desk(line: Line) -> AsyncIterator[Desk]:
    line = quiet(line, Clock())
    story = await Story.begin(line)
    amina = await story.agent("Yacine", team="technique", presence="offline")
    await story.customer_writes(COMPLAINT)
    async with site(line) as here:
        yield Desk(here, story, amina)


@on_one_database
async def test_the_list_shows_the_case_and_finds_it_by_reference_name_and_filters(desk: Desk) -> None:
    browser, case = await desk.browser(), await desk.story.case()
    assert case.reference in await browser.text("/cases")
    for found in (
        f"q={case.reference.lower().replace('-', '')}",
        "q=lyes",
        "status=open",
        "severity=normal",
        f"reason={case.reason}",
        f"team={case.team_id}",
        "owner=0",
        "incident=0",
        "channel=1",
        "opened_from=2026-03-01&opened_to=2026-03-01&status=all",
    ):
        assert case.reference in await browser.text(f"/cases?{found}"), found
    for missed in (
        "q=nobody",
        "status=closed",
        "severity=critical",
        "team=0",
        "owner=me",
        "overdue=yes",
        "incident=7",
        "channel=99",
        "opened_from=2026-03-02&status=all",
        "closed_from=2026-01-01&status=all",
        "cause=product",
    ):
        assert case.reference not in await browser.text(f"/cases?{missed}"), missed
    for odd in ("status=x&severity=y&team=z&after=q", "opened_from=2026-99-99", "after=2026-03-01T00:00:00,9", "q=%00"):
        assert (await browser.get(f"/cases?{odd}")).status == 200, odd
    assert "No complaint fits" in await browser.text("/cases?q=nobody")


@on_one_database
async def test_a_late_case_is_called_so_in_words(desk: Desk) -> None:
    clock = desk.story.line.now
    assert isinstance(clock, Clock)
    async with desk.story.line.database.write() as session:
        case = await session.get_one(Case, 1)
        case.warn_at = case.notice_at = case.follow_at = None
    clock.at = case.due_at + timedelta(hours=3)
    browser = await desk.browser()
    text = await browser.text("/cases?overdue=yes")
    assert "overdue since" in text
    assert case.reference in text


@on_one_database
async def test_pages_follow_each_other_without_gaps(desk: Desk) -> None:
    for number in range(60):
        await desk.story.customer_writes(COMPLAINT, author=f"a{number}", drains=False)
    await drain(desk.story.line)
    browser = await desk.browser()
    async with desk.story.line.database.write() as session:
        for number in range(1, 62, 3):  # some were closed, at other times than they were due
            case = await session.get_one(Case, number)
            case.status, case.closed_at = "closed", case.opened_at + timedelta(minutes=number % 7)
    for view, expected in (("status=all", 61), ("status=active", 40), ("status=closed", 21), ("status=closed&q=a", 60)):
        seen: list[str] = []
        path = f"/cases?{view}"
        while path:
            text = await browser.text(path)
            seen += re.findall(r'case-ref" href="/cases/(\d+)"', text)
            more = re.search(r'rel="next" href="([^"]+)"', text)
            path = more[1].replace("&amp;", "&") if more else ""
        assert len(seen) == len(set(seen)) == expected, view
    assert "All 40" in await browser.text("/cases?view=board")


@on_one_database
@pytest.mark.parametrize("locale", ["en", "fr", "ar"])
async def test_a_case_is_worked_through_on_its_page(desk: Desk, locale: str) -> None:
    browser = await desk.browser("supervisor", locale)
    assert await desk.post(browser, "begin", {"tells": "yes", "text": "On s'en occupe."}) == 303
    assert desk.story.sent()[-1]["text"] == "On s'en occupe."
    assert await desk.post(browser, "wait", {"for": "outside", "tells": "yes"}) == 303
    assert await desk.post(browser, "begin", {}) == 303
    assert (
        await desk.post(browser, "delay", {"due": "2026-03-20T10:00", "text": "pièce commandée", "tells": "yes"}) == 303
    )
    assert "pièce commandée" in desk.story.sent()[-1]["text"]
    assert await desk.post(browser, "note", {"text": "<b>rappeler</b>"}) == 303
    assert await desk.post(browser, "edit", {"severity": "high", "reason": "billing"}) == 303
    assert await desk.post(browser, "give", {"team": "1", "agent": str(desk.amina.id)}) == 303
    assert await desk.post(browser, "resolve", {"cause": "product", "redress": "repair", "redress_note": "box"}) == 303
    assert desk.story.sent()[-1]["buttons"]
    assert await desk.post(browser, "reopen", {"tells": "yes"}) == 303
    assert await desk.post(browser, "close", {"outcome": "withdrawn", "closure_note": "réglé par téléphone"}) == 303
    case = await desk.story.case()
    assert (case.status, case.outcome, case.cause, case.redress) == ("closed", "withdrawn", "product", "repair")
    assert (case.reason, case.agent_id, case.closure_note) == ("billing", desk.amina.id, "réglé par téléphone")
    text = await browser.text("/cases/1")
    assert "&lt;b&gt;rappeler&lt;/b&gt;" in text
    assert "pièce commandée" in text
    assert {e.kind for e in await events(desk.story)} >= {"moved", "delayed", "note", "edited", "asked", "reopened"}
    for path in ("/cases", "/cases?status=closed", "/cases?view=board", "/cases/incidents", "/inbox/1"):
        assert (await browser.get(path)).status == 200, path


@on_one_database
async def test_what_cannot_be_done_is_said_on_the_page_and_changes_nothing(desk: Desk) -> None:
    browser = await desk.browser("supervisor")
    before = len(desk.story.sent())
    for deed, form, sentence in (
        ("close", {"outcome": "x"}, "Choose how it ended."),
        ("close", {"outcome": "duplicate"}, "Choose how it ended."),
        ("delay", {"due": "tomorrow", "text": "x"}, "Choose the day and time"),
        ("delay", {"due": "2026-01-01T10:00", "text": "x"}, "The new date lies in the past."),
        ("delay", {"due": "2026-04-01T10:00", "text": " "}, "Write why it takes longer"),
        ("reopen", {}, "the complaint is open already"),
        ("note", {"text": " "}, "Write the note first."),
        ("edit", {"severity": "deadly"}, "There is no such severity."),
        ("edit", {"cause": "magic"}, "This is none of the choices"),
        ("merge", {"reference": "222-222-3"}, "This is no reference"),
        ("merge", {"reference": (await desk.story.case()).reference}, "no duplicate of itself"),
        ("link", {"conversation": "x"}, "Give the number of a conversation"),
        ("link", {"conversation": "999"}, "There is no such conversation."),
        ("unlink", {"conversation": "1"}, "it stays with it"),
        ("join", {"incident": "9"}, "The incident is over"),
        ("begin", {"text": "x" * 3000, "tells": "yes"}, "The text has at most 2000 characters."),
    ):
        answer = await browser.post(f"/cases/1/{deed}", form)
        assert answer.status == 409, (deed, form)
        assert sentence in await answer.text(), (deed, form)
    assert (await desk.story.case()).status == "open"
    assert len(desk.story.sent()) == before
    assert (await browser.post("/cases/1/explode")).status == 404
    assert (await browser.post("/cases/99/begin")).status == 404
    assert (await browser.get("/cases/99")).status == 404


@on_one_database
async def test_an_analyst_reads_and_does_nothing(desk: Desk) -> None:
    browser = await desk.browser("analyst")
    text = await browser.text("/cases/1")
    assert "What happens next?" not in text
    for path in ("/cases/1/begin", "/inbox/1/case", "/cases/incidents", "/cases/incidents/1/news"):
        assert (await browser.post(path)).status == 403, path


@on_one_database
async def test_the_file_is_masked_unless_a_supervisor_asks_otherwise(desk: Desk) -> None:
    agent, supervisor = await desk.browser(), await desk.browser("supervisor")
    masked = await agent.text("/cases.csv")
    [row] = list(csv.DictReader(io.StringIO(masked.removeprefix("\ufeff"))))
    case = await desk.story.case()
    assert (row["Reference"], row["Status"], row["Customer"]) == (case.reference, "Not begun", str(case.contact_id))
    assert "[phone]" in row["Message"]
    assert "0550" not in masked
    assert (await agent.get("/cases.csv?raw=yes")).status == 403
    raw = await supervisor.text("/cases.csv?raw=yes")
    assert "0550 12 34 56" in raw
    assert "Lyes" in raw
    assert (await supervisor.text("/cases.csv?status=closed")).count("\n") == 1


@on_one_database
async def test_the_inbox_shows_the_case_and_opens_one_by_hand(desk: Desk) -> None:
    browser, case = await desk.browser(), await desk.story.case()
    text = await browser.text("/inbox/1")
    assert f'href="/cases/{case.id}"' in text
    assert "Not begun" in text
    await desk.story.customer_writes("bonjour, quels sont vos horaires svp", author="nadia")
    assert "Open a case" in await browser.text("/inbox/2")
    assert (await browser.post("/inbox/2/case")).status == 303
    await drain(desk.story.line)
    opened = await desk.story.case()
    assert (opened.conversation_id, opened.origin) == (2, "agent")
    assert "Open a case" not in await browser.text("/inbox/2")


@on_one_database
async def test_the_first_answer_of_an_agent_begins_the_work(desk: Desk) -> None:
    browser = await desk.browser()
    answer = await browser.post("/inbox/1/answer", {"text": "Bonjour, je regarde.", "key": "k1"})
    assert answer.status in (200, 303)
    assert (await desk.story.case()).status == "working"


@on_one_database
async def test_a_supervisor_links_an_incident_and_tells_everybody(desk: Desk) -> None:
    for number in range(5):
        await desk.story.customer_writes(COMPLAINT, author=f"a{number}", drains=False)
    await drain(desk.story.line)
    browser = await desk.browser("supervisor")
    text = await browser.text("/cases")
    assert "This looks like one incident." in text
    form = text.split('action="/cases/incidents"')[1].split("</form>")[0]
    numbers = re.findall(r'name="case" value="(\d+)"', form)
    assert len(numbers) == 6
    body = [("csrf_token", browser.csrf), ("title", "Panne"), *(("case", number) for number in numbers)]
    answer = await browser.client.post("/cases/incidents", data=body, allow_redirects=False)
    assert answer.headers["Location"] == "/cases/incidents/1"
    assert "This looks like one incident." not in await browser.text("/cases")
    assert (await browser.post("/cases/incidents/1/news", {"fr": " "})).status == 422
    assert (await browser.post("/cases/incidents/1/news", {"fr": "Une panne générale."})).status == 303
    await drain(desk.story.line)
    assert {row.status for row in await desk.story.rows(NewsTelling)} == {"sent"}
    assert "told to 6" in await browser.text("/cases/incidents/1")
    agent = await desk.browser()
    assert (await agent.post("/cases/incidents/1/news", {"fr": "x"})).status == 403
    assert (await browser.post("/cases/incidents/1/close")).status == 303
    assert [row.status for row in await desk.story.rows(Incident)] == ["closed"]
    assert (await browser.post("/cases/incidents", {"title": " "})).status == 422
    assert (await browser.get("/cases/incidents/9")).status == 404


@on_one_database
async def test_reports_count_cases_and_open_exactly_those(desk: Desk) -> None:
    browser = await desk.browser("supervisor")
    for number in range(2):
        await desk.story.customer_writes(COMPLAINT, author=f"a{number}", drains=False)
    await drain(desk.story.line)
    await desk.post(browser, "close", {"outcome": "confirmed", "cause": "product"}, 1)
    await desk.post(browser, "close", {"outcome": "confirmed"}, 2)
    await desk.post(browser, "reopen", {}, 2)
    text = await browser.text("/reports?days=7")
    table = text.split('id="title-cases"')[1].split("</section>")[0]
    links = dict(re.findall(r'href="(/cases\?[^"]+)">\s*(\d+)', table))
    assert sorted(links.values()) == ["1", "1", "3"]
    for address, count in links.items():
        shown = await browser.text(address.replace("&amp;", "&"))
        assert len(re.findall(r'case-ref" href="/cases/(\d+)"', shown)) == int(count), address
    causes = text.split('id="title-case_causes"')[1].split("</section>")[0]
    assert "Product or network" in causes
