"""Signing in on X's and Facebook's pages: there and back through the real pages, and every way to cheat on it."""

import logging
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from html import unescape
from typing import Any

import aiohttp
import pytest
from sqlalchemy import func, select, update
from sqlmodel import col
from yarl import URL

from connectors.registry import CONNECTORS
from socialcrm.domain.rows import Channel, SignInAttempt, WebSession
from socialcrm.engine import collect, probe
from socialcrm.engine.line import Line
from socialcrm.web.attempts import challenge_of
from tests.engine.scripted import on_one_database
from tests.servers.facebook_login import FacebookLogin
from tests.servers.graph import APP_ID, APP_SECRET, INSTAGRAM, PAGE, started
from tests.servers.x import CLIENT, SECRET, XServer, x_server
from tests.web.desk import CSRF, Desk, desk
from tests.web.local import LocalFacebook, LocalX

APP = {"client_id": CLIENT, "client_secret": SECRET, "messages": "read"}
META_APP = {"app_id": APP_ID, "app_secret": APP_SECRET}
BACK = "/channels/sign-in/back"
_THERE = re.compile(r'id="there" href="([^"]+)"')


@pytest.fixture
async def admin(line: Line, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    for name, local in (("x", "X"), ("facebook", "Facebook"), ("instagram", "Instagram"), ("whatsapp", "WhatsApp")):
        monkeypatch.setitem(CONNECTORS, name, f"tests.web.local:Local{local}")
    async with desk(line) as admin:
        await admin.sign_in()
        yield admin


@pytest.fixture
async def x(admin: Desk, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[XServer]:
    async with x_server() as here:
        here.dialog.redirects = {f"{admin.line.settings.public_url}{BACK}"}
        monkeypatch.setattr(LocalX, "server", here.url)
        yield here


@pytest.fixture
async def facebook(admin: Desk, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FacebookLogin]:
    async with started(FacebookLogin()) as here:
        here.dialog.redirects = {f"{admin.line.settings.public_url}{BACK}"}
        monkeypatch.setattr(LocalFacebook, "server", here.url)
        yield here


async def rows(admin: Desk) -> list[Channel]:
    async with admin.line.database.read() as session:
        return list((await session.execute(select(Channel).order_by(col(Channel.id)))).scalars())


async def attempts(admin: Desk) -> int:
    async with admin.line.database.read() as session:
        return await session.scalar(select(func.count()).select_from(SignInAttempt)) or 0


async def there(admin: Desk, path: str = "/channels/new/x/sign-in", form: dict[str, str] | None = None) -> str:
    """Press the button; the address that the browser is led to."""
    status, text = await admin.post(path, APP if form is None else form)
    found = _THERE.search(text)
    assert status == 200
    assert found, text
    return unescape(found[1])


async def agree(address: str) -> str:
    """Agree on the platform's page; the path on our site that the platform sends the browser back to."""
    async with aiohttp.ClientSession() as session, session.get(address, allow_redirects=False) as answer:
        assert answer.status == 302, await answer.text()
        return URL(answer.headers["Location"]).raw_path_qs


async def signed_in(admin: Desk, path: str = "/channels/new/x/sign-in", **form: str) -> tuple[int, str]:
    """The whole way, and where it ends: status and text of the page."""
    asked = {**(META_APP if "/x/" not in path else APP), **form}
    answer = await admin.ask("GET", await agree(await there(admin, path, asked)), allow_redirects=True)
    return answer.status, await answer.text()


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """What we log; the platforms of the tests, and the server around our pages, log addresses."""
    return "\n".join(record.getMessage() for record in caplog.records if record.name != "aiohttp.access")


async def test_an_account_on_x_is_connected_by_signing_in_and_no_secret_is_ever_seen(
    admin: Desk, x: XServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    _, form = await admin.get("/channels/new/x/sign-in")
    assert f"{admin.line.settings.public_url}{BACK}" in form
    address = await there(admin)
    query = URL(address).query
    assert query["scope"].split() == [*["tweet.read", "users.read", "offline.access"], *query["scope"].split()[3:]]
    assert {"tweet.write", "dm.read", "dm.write"} <= set(query["scope"].split())
    assert len(query["state"]) >= 32
    answer = await admin.ask("GET", await agree(address))
    [channel] = await rows(admin)
    assert (answer.status, answer.headers["Location"]) == (303, f"/channels/{channel.id}?new=yes")
    assert (channel.name, channel.status) == ("@XDevelopers", "active")
    who = {"account_id": x.me["id"], "account_name": "@XDevelopers"}
    assert channel.settings == {"client_id": CLIENT, "messages": "read", **who}
    kept = admin.line.vault.decrypt(channel.credentials)
    assert (kept["client_secret"], kept["refresh_token"] in x.refresh) == (SECRET, True)
    assert await attempts(admin) == 0
    assert await collect.collect(admin.line, channel.id or 0) == 3
    page = (await admin.get(f"/channels/{channel.id}"))[1]
    for secret in (SECRET, kept["access_token"], kept["refresh_token"]):
        assert all(secret not in seen for seen in (address, form, page, channel.credentials, logged(caplog)))
    again = (await admin.get(f"/channels/{channel.id}/sign-in"))[1]
    assert CLIENT in again
    assert SECRET not in again


async def test_a_state_counts_once_for_ten_minutes_and_only_for_the_session_that_began(admin: Desk, x: XServer) -> None:
    ours, path = admin.cookie, await agree(await there(admin))
    state, code = URL(path).query["state"], URL(path).query["code"]
    await admin.sign_in()  # another admin, to whom somebody sent the address
    assert (await admin.get(path))[0] == 400
    admin.cookie = ours
    for wrong in (f"{BACK}?code={code}", f"{BACK}?code={code}&state=", f"{BACK}?code={code}&state={state}x"):
        status, text = await admin.get(wrong)
        assert (status, "This sign-in is not yours" in text) == (400, True)
    async with admin.line.database.write() as session:
        late = admin.line.now() - timedelta(seconds=1)
        await session.execute(update(SignInAttempt).values(expires_at=late))
    assert (await admin.get(path))[0] == 400
    assert (await rows(admin), x.access) == ([], {})
    path = await agree(await there(admin))
    assert (await admin.ask("GET", path)).status == 303
    assert (await admin.get(path))[0] == 400
    assert len(await rows(admin)) == 1
    path = await agree(await there(admin))
    async with admin.line.database.write() as session:
        await session.execute(WebSession.__table__.delete())  # type: ignore[attr-defined]
    answer = await admin.ask("GET", path)
    assert answer.headers["Location"].startswith("/sign-in?next=/channels/sign-in/back")
    assert (await attempts(admin), len(await rows(admin))) == (0, 1)


@on_one_database
async def test_nobody_but_admins_signs_accounts_in_and_no_form_of_others_does(admin: Desk, x: XServer) -> None:
    path = await agree(await there(admin))
    answer = await admin.ask("POST", "/channels/new/x/sign-in", data={"csrf_token": "wrong", **APP})
    assert answer.status == 403
    await admin.sign_in("supervisor")
    for method, address in (("GET", path), ("GET", "/channels/new/x/sign-in"), ("POST", "/channels/new/x/sign-in")):
        assert (await admin.ask(method, address, data={"csrf_token": CSRF, **APP})).status == 403
    for name in ("telegram", "nothing", "echo"):
        await admin.sign_in()
        assert (await admin.get(f"/channels/new/{name}/sign-in"))[0] == 404
    assert (await admin.get("/channels/999/sign-in"))[0] == 404


@on_one_database
async def test_nobody_is_led_elsewhere(admin: Desk, x: XServer) -> None:
    evil = {"redirect_uri": "https://evil.example", "api_url": "https://evil.example", "next": "https://evil.example"}
    address = await there(admin, form={**APP, **evil})
    assert "evil" not in address
    answer = await admin.ask(
        "GET", f"{await agree(address)}&next=https://evil.example", headers={"Host": "evil.example"}
    )
    assert answer.headers["Location"].startswith("/channels/")
    status, text = await admin.post("/channels/new/facebook/sign-in", {**META_APP, "version": "../evil"})
    assert (status, "is not of the form" in text) == (400, True)


@pytest.mark.parametrize(
    ("says", "said"),
    [
        ({"error": "access_denied"}, "You did not give the permission"),
        ({"error": "access_denied", "error_reason": "user_denied"}, "You did not give the permission"),
        ({"error": "server_error", "error_description": "<img src=x onerror=alert(1)>"}, "X: &lt;img src=x"),
        ({"error": "<script>alert(1)</script>"}, "X: &lt;script&gt;"),
        ({}, "The platform sent no code back"),
        ({"code": "a code that X never gave"}, "X: Value passed for the authorization code was invalid."),
    ],
)
@on_one_database
async def test_what_went_wrong_there_is_said_in_words_and_nothing_is_kept(
    admin: Desk, x: XServer, says: dict[str, str], said: str
) -> None:
    x.dialog.says = says or {"nothing": "at all"}
    status, text = await signed_in(admin)
    main = text.split("<main")[1]
    assert (status, said in main) == (400, True), main
    assert "<img src=x" not in main
    assert "<script" not in main
    assert f'value="{CLIENT}"' in main
    assert await rows(admin) == []


@on_one_database
async def test_a_code_or_a_sign_in_of_somebody_else_is_worth_nothing(admin: Desk, x: XServer) -> None:
    """A code that was caught on its way: without the verifier, which never left the server, X gives nothing for it."""
    caught = URL(await agree(await there(admin))).query["code"]
    state = URL(await agree(await there(admin))).query["state"]
    status, text = await admin.get(f"{BACK}?state={state}&code={caught}")
    assert (status, "authorization code was invalid" in text) == (400, True)
    assert x.access == {}
    path = await agree(await there(admin))
    assert (await admin.ask("GET", path)).status == 303
    state = URL(await agree(await there(admin))).query["state"]
    status, text = await admin.get(f"{BACK}?state={state}&code={URL(path).query['code']}")
    assert (status, "authorization code was invalid" in text, len(await rows(admin))) == (400, True, 1)
    for asked in x.dialog.asked:
        assert "verifier" not in str(asked)
    assert challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@on_one_database
async def test_permissions_that_are_missing_are_named(admin: Desk, x: XServer) -> None:
    x.granted = "tweet.read users.read"
    status, text = await signed_in(admin)
    assert (status, "did not give these permissions: offline.access" in text) == (400, True)
    x.granted = "tweet.read users.read offline.access tweet.write"
    status, text = await signed_in(admin)
    assert status == 200
    assert "<code>dm.read</code>" in text
    assert await rows(admin) == []
    number = re.search(r'action="/channels/sign-in/(\d+)"', text)
    assert number
    status, text = await admin.post(f"/channels/sign-in/{number[1]}", {"account": x.me["id"]})
    assert (status, "The account answered" in text) == (200, True)
    assert [channel.name for channel in await rows(admin)] == ["@XDevelopers"]


async def test_a_lost_sign_in_is_renewed_by_signing_in_with_the_same_account_and_no_other(
    admin: Desk, x: XServer
) -> None:
    await signed_in(admin, name="Ours")
    [before] = await rows(admin)
    async with admin.line.database.write() as session:
        (await session.get_one(Channel, before.id)).status = "signed_out"
    path = f"/channels/{before.id}/sign-in"
    mine, x.me = x.me, {**x.me, "id": "1", "username": "somebody_else"}
    status, text = await signed_in(admin, path, **{**APP, "client_secret": ""})
    assert (status, "This is another account than before" in text) == (400, True)
    [after] = await rows(admin)
    assert (after.status, after.credentials) == ("signed_out", before.credentials)
    x.me = mine
    status, text = await signed_in(admin, path, **{**APP, "client_secret": "", "messages": "leave"})
    assert (status, "The account answered" in text) == (200, True)
    [after] = await rows(admin)
    assert (after.status, after.name, after.settings["messages"]) == ("active", "Ours", "leave")
    assert admin.line.vault.decrypt(after.credentials)["refresh_token"] in x.refresh
    assert "dm.read" not in x.dialog.asked[-1]["scope"]


async def test_disconnecting_gives_the_access_back_and_forgets_it_even_where_x_cannot_be_reached(
    admin: Desk, x: XServer
) -> None:
    await signed_in(admin)
    [channel] = await rows(admin)
    assert (x.access, x.refresh) != ({}, {})
    await admin.post(f"/channels/{channel.id}/disconnect", {})
    assert (x.access, x.refresh) == ({}, {}), "nobody can use the tokens any more"
    await signed_in(admin, f"/channels/{channel.id}/sign-in", **APP)
    x.down = 503
    await admin.post(f"/channels/{channel.id}/disconnect", {})
    [channel] = await rows(admin)
    assert (channel.status, channel.credentials) == ("signed_out", "")
    assert x.access, "X could not be told; our copy is gone all the same"


async def test_the_months_posts_are_shown_where_the_apps_token_was_given_and_warned_of_before_they_end(
    admin: Desk, x: XServer
) -> None:
    await signed_in(admin, **APP, bearer_token=x.bearer)
    [channel] = await rows(admin)
    assert await probe.probe_next(admin.line) == 1
    _, page = await admin.get(f"/channels/{channel.id}")
    assert "565 / 15,000" in page
    assert "14,435 of the 15,000 posts that may be read in a month are read." in page


@on_one_database
async def test_a_signed_in_channel_is_set_differently_without_signing_in_again(admin: Desk, x: XServer) -> None:
    await signed_in(admin)
    [before] = await rows(admin)
    _, text = await admin.get(f"/channels/{before.id}")
    assert 'name="client_id"' in text
    assert 'name="consumer_key"' not in text
    form = {"client_id": CLIENT, "client_secret": "", "messages": "leave"}
    status, text = await admin.post(f"/channels/{before.id}/reconnect", form)
    [after] = await rows(admin)
    assert (status, after.settings["messages"]) == (200, "leave")
    assert admin.line.vault.decrypt(after.credentials) == admin.line.vault.decrypt(before.credentials)


async def chosen(admin: Desk, text: str, *accounts: str) -> tuple[int, str]:
    """Choose accounts on the page that was shown."""
    number = re.search(r'action="/channels/sign-in/(\d+)"', text)
    assert number, text
    return await admin.post(f"/channels/sign-in/{number[1]}", {"account": list(accounts)})


def names(text: str) -> list[str]:
    """The accounts to choose from."""
    return re.findall(r'name="account" value="(\d+)"', text)


async def test_several_pages_on_facebook_are_chosen_from_and_connected_at_once(
    admin: Desk, facebook: FacebookLogin, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    status, text = await signed_in(admin, "/channels/new/facebook/sign-in", version="v25.0")
    assert status == 200
    assert names(text) == [PAGE, "100200"]
    assert facebook.asked.count("oauth/access_token") == 2
    assert await rows(admin) == []
    assert "EAAG" not in text
    assert (await chosen(admin, text))[0] == 400
    status, text = await signed_in(admin, "/channels/new/facebook/sign-in", version="v25.0")
    assert (await chosen(admin, text, PAGE, "100200", "100300"))[0] == 200
    first, second = await rows(admin)
    assert (first.name, second.name) == ("Atlas", "Atlas Boutique")
    who = {"account_id": PAGE, "account_name": "Atlas"}
    assert first.settings == {"app_id": APP_ID, "config_id": "", "version": "v25.0", **who}
    kept = admin.line.vault.decrypt(second.credentials)
    assert kept["access_token"] == "EAAG-token-of-the-second-page"
    assert len(kept["verify_token"]) >= 32
    assert facebook.subscribed == ["feed"]
    assert "EAAG" not in logged(caplog)
    assert APP_SECRET not in logged(caplog)
    _, text = await signed_in(admin, "/channels/new/facebook/sign-in", app_secret="")  # that of the other channels
    assert text.count("disabled") == 2
    status, text = await chosen(admin, text, PAGE)
    assert (status, "connected already" in text) == (400, True)
    assert len(await rows(admin)) == 2
    status, text = await admin.post("/channels/new/instagram/sign-in", {"app_id": "999", "app_secret": ""})
    assert (status, "This is needed." in text) == (400, True)


@on_one_database
async def test_what_facebook_was_not_allowed_is_named(admin: Desk, facebook: FacebookLogin) -> None:
    facebook.declined = {"pages_manage_engagement"}
    status, text = await signed_in(admin, "/channels/new/facebook/sign-in")
    assert (status, "lacks these permissions: pages_manage_engagement" in text) == (400, True)
    facebook.declined, facebook.pages = {"pages_messaging"}, facebook.pages[:1]
    _, text = await signed_in(admin, "/channels/new/facebook/sign-in")
    assert "<code>pages_messaging</code>" in text
    assert await rows(admin) == []
    facebook.declined, facebook.pages = set(), []
    status, text = await signed_in(admin, "/channels/new/facebook/sign-in")
    assert (status, "opened no account" in text) == (400, True)


@on_one_database
async def test_instagram_comes_by_its_page_and_whatsapp_by_its_numbers(admin: Desk, facebook: FacebookLogin) -> None:
    status, text = await signed_in(admin, "/channels/new/instagram/sign-in")
    assert (status, "The account answered" in text) == (200, True)
    status, text = await signed_in(admin, "/channels/new/whatsapp/sign-in", template_language="fr", app_secret="")
    assert names(text) == ["106540352242922", "106540352242923"]
    await chosen(admin, text, "106540352242923")
    instagram, whatsapp = await rows(admin)
    assert (instagram.name, instagram.settings["account_id"]) == ("@atlas.dz", INSTAGRAM)
    assert whatsapp.settings["phone_number_id"] == whatsapp.settings["account_id"] == "106540352242923"
    assert whatsapp.settings["business_account_id"] == "102290129340398"


@on_one_database
async def test_a_configuration_of_facebook_login_for_business_is_asked_for_by_its_number(
    admin: Desk, facebook: FacebookLogin
) -> None:
    query: Any = URL(await there(admin, "/channels/new/facebook/sign-in", {**META_APP, "config_id": "77"})).query
    assert (query["config_id"], query["override_default_response_type"]) == ("77", "true")
    assert "scope" not in query
