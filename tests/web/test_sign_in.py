"""Sign-in: who comes in, who does not, and what a link or a script cannot do."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlmodel import col, select, update

from socialcrm.domain.rows import Agent, WebSession
from socialcrm.engine.line import Line
from socialcrm.secrets import token_hash
from socialcrm.web.guard import COOKIE, local_path
from socialcrm.web.sign_in import LOCKED_FOR, WRONG_TRIES
from tests.engine.scripted import on_one_database
from tests.web.browser import PASSWORD, Site, site


@pytest.fixture
async def here(line: Line) -> AsyncIterator[Site]:
    async with site(line) as opened:
        yield opened


async def stored(here: Site, agent: Agent) -> Agent:
    async with here.line.database.read() as session:
        return await session.get_one(Agent, agent.id)


async def test_the_right_password_opens_a_session_of_which_only_the_hash_is_kept(here: Site) -> None:
    agent = await here.agent()
    browser = here.browser()
    answer = await browser.sign_in("  AMINA@example.com ", target="/inbox?tab=all")
    assert (answer.status, answer.headers["Location"]) == (303, "/inbox?tab=all")
    cookie = answer.cookies[COOKIE]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert not cookie["secure"]  # the test site is plain http
    async with here.line.database.read() as session:
        row = (await session.execute(select(WebSession))).scalar_one()
    assert row.token_hash == token_hash(cookie.value)
    assert (await stored(here, agent)).presence == "online"
    assert "Amina" in await browser.text("/inbox")


async def test_signing_out_ends_the_session_and_the_presence(here: Site) -> None:
    agent = await here.agent()
    browser = await here.signed_in(agent)
    assert (await browser.post("/sign-out")).headers["Location"] == "/sign-in"
    assert (await browser.get("/inbox")).status == 303
    assert (await stored(here, agent)).presence == "offline"


async def test_a_wrong_password_and_an_unknown_account_get_the_same_answer(here: Site) -> None:
    await here.agent()
    browser = here.browser()
    wrong = await browser.sign_in("amina@example.com", "wrong")
    unknown = await browser.sign_in("nobody@example.com", "wrong")
    assert wrong.status == unknown.status == 401
    pages = [(await answer.text()).replace("nobody@", "amina@") for answer in (wrong, unknown)]
    assert pages[0] == pages[1]
    assert "E-mail or password is wrong" in pages[0]


async def test_an_account_is_locked_after_five_wrong_tries_even_for_the_right_password(here: Site) -> None:
    agent = await here.agent()
    browser = here.browser()
    for _ in range(WRONG_TRIES):
        assert (await browser.sign_in(agent.email, "wrong")).status == 401
    assert (await browser.sign_in(agent.email)).status == 401
    async with here.line.database.write() as session:
        past = here.line.now() - LOCKED_FOR
        await session.execute(update(Agent).where(col(Agent.id) == agent.id).values(locked_until_at=past))
    assert (await browser.sign_in(agent.email)).status == 303
    assert (await stored(here, agent)).failed_count == 0


async def test_tries_made_at_once_count_like_tries_made_one_after_another(here: Site) -> None:
    agent = await here.agent()
    browser = here.browser()
    token = await browser.token("/sign-in")
    guesses = [browser.sign_in(agent.email, f"guess {n}", token=token) for n in range(WRONG_TRIES)]
    await asyncio.gather(*guesses)
    assert (await browser.sign_in(agent.email)).status == 401
    assert (await stored(here, agent)).locked_until_at is not None


@on_one_database
async def test_an_address_that_tries_too_often_has_to_wait(here: Site) -> None:
    browser = here.browser()
    token = await browser.token("/sign-in")
    answers = [await browser.sign_in("", "", token=token) for _ in range(31)]
    assert [answer.status for answer in answers] == [401] * 30 + [429]


async def test_the_form_is_refused_without_its_token_or_with_another_browsers(here: Site) -> None:
    agent = await here.agent()
    other = await here.browser().token("/sign-in")
    browser = here.browser()
    assert (await browser.sign_in(agent.email, token=other)).status == 403
    await browser.get("/sign-in")
    assert (await browser.sign_in(agent.email, token="made-up")).status == 403


async def test_signing_in_again_replaces_the_session(here: Site) -> None:
    agent = await here.agent()
    browser = here.browser()
    token = await browser.token("/sign-in")
    first = (await browser.sign_in(agent.email, token=token)).cookies[COOKIE].value
    browser.client.session.cookie_jar.update_cookies({"socialcrm_form": token}, browser.client.make_url("/sign-in"))
    second = (await browser.sign_in(agent.email, token=token)).cookies[COOKIE].value
    assert first != second
    async with here.line.database.read() as session:
        hashes = (await session.execute(select(WebSession.token_hash))).scalars().all()
    assert hashes == [token_hash(second)]


async def test_an_expired_session_and_a_dismissed_agent_are_out(here: Site) -> None:
    first, second = await here.agent("Amina"), await here.agent("Yacine")
    browsers = [await here.signed_in(first), await here.signed_in(second)]
    past = here.line.now() - timedelta(seconds=1)
    async with here.line.database.write() as session:
        await session.execute(update(WebSession).where(col(WebSession.agent_id) == first.id).values(expires_at=past))
        await session.execute(update(Agent).where(col(Agent.id) == second.id).values(is_active=False))
    assert [(await browser.get("/inbox")).status for browser in browsers] == [303, 303]


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/\r\nSet-Cookie: a=b",
        "inbox",
        "",
        None,
    ],
)
def test_a_link_cannot_send_people_elsewhere_after_sign_in(target: str | None) -> None:
    assert local_path(target) == "/inbox"


def test_a_link_within_the_site_is_followed() -> None:
    assert local_path("/inbox/7?tab=all") == "/inbox/7?tab=all"


async def test_next_is_kept_through_the_form_and_cannot_leave_the_site(here: Site) -> None:
    agent = await here.agent()
    browser = here.browser()
    assert (await browser.get("/inbox/7?tab=all")).headers["Location"] == "/sign-in?next=/inbox/7?tab%3Dall"
    assert 'name="next" value="/inbox/7?tab=all"' in await browser.text("/sign-in?next=/inbox/7%3Ftab%3Dall")
    assert (await browser.sign_in(agent.email, PASSWORD, "//evil.example")).headers["Location"] == "/inbox"
