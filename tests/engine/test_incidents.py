"""Mass incidents: found by reason, place or words, linked in one go, and told to everybody once in their language."""

from datetime import timedelta

from socialcrm.domain.casework import CannotMove
from socialcrm.domain.incident import Incident
from socialcrm.domain.rows import Agent, Case, NewsTelling
from socialcrm.engine import case_file, cases, news
from socialcrm.engine.line import Line
from socialcrm.engine.schedule import drain
from socialcrm.reports.incidents import candidates, summary, suspicions
from tests.engine.casework import do, last_text, steps
from tests.engine.scripted import on_one_database
from tests.engine.test_cases import YES, everybody, newest, quiet
from tests.engine.test_triage import COMPLAINTS
from tests.story import Clock, Story

NEWS = {"fr": "Une panne touche Oran. Retour prévu à 18 h.", "ar": "عطل يمس وهران. العودة على 18:00."}
READ = {"fr": "fr", "ar": "ar", "en": "fr", "arq-Arab": "ar", "arq-Latn": "fr"}
"""Language of the customer -> the one in which they read the news above."""


async def incident(story: Story, agent: Agent, numbers: list[int]) -> Incident:
    async with story.line.database.write() as session:
        return await news.open_incident(session, story.line, "Panne à Oran", numbers, agent, reason="outage")


def told(story: Story) -> int:
    """How many texts of news were sent."""
    return sum(str(row["key"]).startswith("news:") for row in story.sent())


async def tell(story: Story, agent: Agent, number: int, texts: dict[str, str], *, resolves: bool = False) -> None:
    async with story.line.database.write() as session:
        found = await news.locked(session, number)
        assert found
        await news.publish(session, story.line, found, texts, agent, resolves=resolves)
    await drain(story.line)


@on_one_database
async def test_news_goes_to_everybody_once_in_the_language_they_read(line: Line) -> None:
    line = quiet(line)
    story, agent, opened = await everybody(line, "echo")
    found = await incident(story, agent, [case.id or 0 for case in opened])
    number = found.id or 0
    await tell(story, agent, number, NEWS)
    await drain(line)
    assert told(story) == len(opened)
    for language, case in zip(COMPLAINTS, opened, strict=True):
        assert (await newest(story, case)).text == NEWS[READ[language]]
        assert (await steps(story, case.id))[-2:] == ["incident", "news+"]

    await story.customer_writes("Mon internet est en panne depuis hier, c'est inadmissible !", author="late")
    late = await story.case()
    async with line.database.write() as session:
        assert await news.join(session, story.line, number, [late.id or 0], agent) == 1
        assert await news.join(session, story.line, number, [late.id or 0], agent) == 0
    await drain(line)
    assert last_text(story) == NEWS["fr"], "who joins later gets the newest news"
    tellings = await story.rows(NewsTelling)
    assert len(tellings) == len({row.contact_id for row in tellings}) == len(opened) + 1
    assert {row.status for row in tellings} == {"sent"}

    await do(story, lambda s, line, case: cases.close(s, line, case, agent, cases.Outcome.WITHDRAWN), late.id)
    await tell(story, agent, number, {"fr": "C'est réparé."}, resolves=True)
    asked = [row for row in story.sent() if str(row["text"]).startswith("C'est réparé.")]
    assert len(asked) == len(opened), "whose complaint is closed hears no more of it"
    assert {case.status for case in (await story.rows(Case))[:-1]} == {"resolved"}
    await story.customer_writes(YES["fr"], author="fr")
    mine = list(COMPLAINTS).index("fr")
    assert [case.status for case in await story.rows(Case)].count("closed") == 2
    assert (await story.rows(Case))[mine].outcome == "confirmed"


@on_one_database
async def test_many_who_complain_of_one_place_are_proposed_as_an_incident_and_newer_ones_to_join(line: Line) -> None:
    clock = Clock()
    line = quiet(line, clock, incident_cases=3, incident_hours=6)
    story = await Story.begin(line)
    agent = await story.agent("Amina")
    for number, place in enumerate(("Oran", "Oran", "Annaba", "Oran")):
        text = f"Mon internet est en panne à {place} depuis {number + 1} jours, c'est inadmissible, service nul !"
        await story.customer_writes(text, author=f"a{number}", drains=False)
    await drain(line)
    opened = list(await story.rows(Case))
    assert len({case.reason for case in opened}) == 1
    async with line.database.read() as session:
        [found] = await suspicions(session, line.settings.cases, line.now())
    assert (found.kind, found.place, found.people_count) == ("place", "Oran", 3)
    async with line.database.write() as session:
        made = await news.open_incident(
            session, line, "Oran", list(found.case_ids), agent, reason=found.reason, place=found.place
        )
    async with line.database.read() as session:
        assert await suspicions(session, line.settings.cases, line.now()) == []
    clock.forward(hours=1)
    await story.customer_writes("Encore une panne internet à Oran, c'est honteux, je n'ai plus rien !", author="new")
    newest_case = await story.case()
    async with line.database.read() as session:
        expected = [newest_case.id] if newest_case.reason == found.reason else []
        assert await candidates(session, made) == expected
        assert (await summary(session, made)).people_count == 3
    async with line.database.read() as session:
        clock.forward(hours=24)
        assert await suspicions(session, line.settings.cases, line.now()) == [], "what is old is no news"


async def test_an_incident_that_is_over_takes_nobody_until_it_comes_back(line: Line) -> None:
    line = quiet(line)
    story, agent, opened = await everybody(line, "echo")
    found = await incident(story, agent, [])
    async with line.database.write() as session:
        held = await news.locked(session, found.id or 0)
        assert held
        await news.end(session, line, held)
    for wrong in ("join", "empty"):
        try:
            async with line.database.write() as session:
                if wrong == "join":
                    await news.join(session, line, found.id or 0, [opened[0].id or 0], agent)
                else:
                    await news.publish(session, line, found, {"fr": "  "}, agent)
        except CannotMove:
            continue
        raise AssertionError(wrong)
    async with line.database.write() as session:
        held = await news.locked(session, found.id or 0)
        assert held
        await news.again(session, held)
        assert await news.join(session, line, found.id or 0, [opened[0].id or 0], agent) == 1
        case = await case_file.lock(session, opened[0].id or 0)
        assert case
        await news.leave(session, line, case, agent)
    assert (await story.rows(Case))[0].incident_id is None


async def test_a_delay_of_a_case_of_an_incident_says_so(line: Line) -> None:
    clock = Clock()
    line = quiet(line, clock)
    story = await Story.begin(line)
    agent = await story.agent("Amina")
    await story.customer_writes("Mon internet est en panne depuis hier, c'est inadmissible !")
    case = await story.case()
    await incident(story, agent, [case.id or 0])
    assert case.notice_at
    clock.at = case.notice_at + timedelta(minutes=1)
    await drain(line)
    assert "incident qui touche plusieurs clients" in last_text(story)
