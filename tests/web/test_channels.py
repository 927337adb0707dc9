"""Channels: connected only after the platform agreed, never showing a secret, and never losing what they have."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select
from sqlmodel import col

from connectors.registry import CONNECTORS
from socialcrm.domain.channel import Channel, ChannelStatus
from socialcrm.engine.line import Line
from tests.web.desk import Desk, desk
from tests.web.shop import ShopConnector


@pytest.fixture
async def admin(line: Line, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setitem(CONNECTORS, "shop", "tests.web.shop:ShopConnector")
    monkeypatch.setattr(ShopConnector, "told", [])
    async with desk(line) as admin:
        await admin.sign_in()
        yield admin


async def rows(admin: Desk) -> list[Channel]:
    async with admin.line.database.read() as session:
        return list((await session.execute(select(Channel).order_by(col(Channel.id)))).scalars())


async def connected(admin: Desk, **form: str) -> Channel:
    status, text = await admin.post("/channels/new/shop", {"token": "good1", "mode": "polling", **form})
    assert status == 200, text
    return (await rows(admin))[-1]


async def test_a_channel_that_the_platform_accepts_is_kept_with_its_secrets_encrypted(admin: Desk) -> None:
    status, text = await admin.post(
        "/channels/new/shop", {"token": "good-token-of-us", "mode": "polling", "greeting": "Salam"}
    )
    assert (status, "The account answered" in text) == (200, True)
    (channel,) = await rows(admin)
    assert (channel.name, channel.status, channel.connector) == ("The <b>shop</b>", "active", "shop")
    who = {"account_id": "-token-of-us", "account_name": "The <b>shop</b>"}
    assert channel.settings == {"mode": "polling", "greeting": "Salam", **who}
    assert len(channel.key) >= 32
    assert "good-token-of-us" not in channel.credentials
    kept = admin.line.vault.decrypt(channel.credentials)
    assert (kept["token"], len(kept["webhook_secret"]) >= 32) == ("good-token-of-us", True)
    for path in ("/channels", f"/channels/{channel.id}"):
        _, text = await admin.get(path)
        assert "good-token-of-us" not in text
        assert kept["webhook_secret"] not in text
        assert "The &lt;b&gt;shop&lt;/b&gt;" in text


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"token": "bad-token", "mode": "polling"}, "The shop does not know this token: 100% &lt;wrong&gt;."),
        ({"token": "broken", "mode": "polling"}, "Internal error (ZeroDivisionError)"),
        ({"token": "", "mode": "polling"}, "This is needed."),
        ({"token": "good", "mode": "telepathy"}, "Choose one of the list."),
        ({"token": "g" * 5000, "mode": "polling"}, "This is too long."),
    ],
)
async def test_what_the_platform_says_stands_beside_the_form_and_nothing_is_kept(
    admin: Desk, form: dict[str, str], said: str
) -> None:
    status, text = await admin.post("/channels/new/shop", {**form, "greeting": "Salam <3", "name": "Ours"})
    assert status == 400
    assert said in text
    assert 'value="Salam &lt;3"' in text
    assert 'value="Ours"' in text
    assert "bad-token" not in text
    assert await rows(admin) == []


async def test_an_account_is_not_connected_twice(admin: Desk) -> None:
    await connected(admin)
    status, text = await admin.post("/channels/new/shop", {"token": "good1", "mode": "polling"})
    assert (status, "connected already" in text) == (400, True)
    assert len(await rows(admin)) == 1


async def test_the_platform_is_told_where_to_call_and_its_calls_arrive(admin: Desk) -> None:
    channel = await connected(admin, mode="webhook")
    ((url, secret),) = ShopConnector.told
    assert url == f"{admin.line.settings.public_url}/hooks/{channel.key}"
    assert secret == admin.line.vault.decrypt(channel.credentials)["webhook_secret"]
    path = f"/hooks/{channel.key}"
    assert (await admin.ask("POST", path, data=b"{}", headers={"X-Secret": secret})).status == 200
    assert (await admin.ask("POST", path, data=b"{}", headers={"X-Secret": "x"})).status == 403
    _, text = await admin.get("/channels")
    assert "Calls rejected" in text


async def test_a_polled_account_is_told_not_to_call(admin: Desk) -> None:
    await connected(admin)
    assert [url for url, _ in ShopConnector.told] == [None]


async def test_a_webhook_that_is_refused_leaves_the_platforms_words_on_the_channel(admin: Desk) -> None:
    channel = await connected(admin, mode="webhook", greeting="no webhook")
    assert channel.error == "An https address is needed."
    _, text = await admin.get(f"/channels/{channel.id}")
    assert "An https address is needed." in text


async def test_pausing_and_resuming_change_the_status_and_nothing_else(admin: Desk) -> None:
    channel = await connected(admin)
    await admin.post(f"/channels/{channel.id}/pause")
    assert (await rows(admin))[0].status == ChannelStatus.PAUSED
    await admin.post(f"/channels/{channel.id}/resume")
    (after,) = await rows(admin)
    assert after.status == ChannelStatus.ACTIVE
    assert after.credentials == channel.credentials


async def test_a_channel_that_is_signed_out_is_not_resumed_without_reconnecting(admin: Desk) -> None:
    channel = await admin.channel(
        "shop", status=ChannelStatus.SIGNED_OUT, credentials={"token": "old"}, error="Token gone."
    )
    for what in ("pause", "resume"):
        await admin.post(f"/channels/{channel.id}/{what}")
    assert (await rows(admin))[0].status == ChannelStatus.SIGNED_OUT
    _, text = await admin.get("/channels")
    assert "Token gone." in text
    assert "Reconnect" in text


async def test_disconnecting_forgets_the_credentials_and_keeps_the_rest_until_it_is_reconnected(admin: Desk) -> None:
    channel = await connected(admin, mode="webhook")
    secret = ShopConnector.told[0][1]
    _, text = await admin.post(f"/channels/{channel.id}/disconnect")
    assert "Its conversations and everything it received are kept" in text
    (after,) = await rows(admin)
    assert (after.credentials, after.status, after.key) == ("", ChannelStatus.SIGNED_OUT, channel.key)
    assert ShopConnector.told[-1][0] is None
    status, text = await admin.post(f"/channels/{channel.id}/reconnect", {"token": "", "mode": "webhook"})
    assert (status, "This is needed." in text) == (400, True)
    status, _ = await admin.post(f"/channels/{channel.id}/reconnect", {"token": "good1", "mode": "webhook"})
    (again,) = await rows(admin)
    assert (status, again.status, again.key) == (200, ChannelStatus.ACTIVE, channel.key)
    assert admin.line.vault.decrypt(again.credentials)["webhook_secret"] not in ("", secret)


async def test_reconnecting_keeps_a_secret_that_was_left_empty_and_clears_the_error(admin: Desk) -> None:
    channel = await connected(admin, mode="webhook", greeting="no webhook")
    form = {"token": "", "mode": "webhook", "greeting": "Salam", "name": "Renamed"}
    status, _ = await admin.post(f"/channels/{channel.id}/reconnect", form)
    (after,) = await rows(admin)
    assert (status, after.name, after.error, after.settings["greeting"]) == (200, "Renamed", "", "Salam")
    assert admin.line.vault.decrypt(after.credentials) == admin.line.vault.decrypt(channel.credentials)


async def test_another_account_is_not_slipped_under_a_channel(admin: Desk) -> None:
    channel = await connected(admin)
    status, text = await admin.post(f"/channels/{channel.id}/reconnect", {"token": "good2", "mode": "polling"})
    assert (status, "another account" in text) == (400, True)
    assert (await rows(admin))[0].credentials == channel.credentials


async def test_a_channel_whose_key_is_lost_is_still_shown_and_can_be_reconnected(admin: Desk) -> None:
    channel = await connected(admin)
    async with admin.line.database.write() as session:
        (await session.get_one(Channel, channel.id)).credentials = "encrypted with a key that is gone"
    await admin.line.channels.forget(channel.id or 0)
    assert (await admin.get(f"/channels/{channel.id}"))[0] == 200
    assert (await admin.post(f"/channels/{channel.id}/reconnect", {"token": "good1", "mode": "polling"}))[0] == 200


async def test_what_has_to_be_copied_comes_from_the_connector(admin: Desk) -> None:
    channel = await admin.channel("api")
    _, text = await admin.get(f"/channels/{channel.id}")
    assert f"{admin.line.settings.public_url}/hooks/{channel.key}" in text


async def test_a_web_chat_shows_the_tag_for_the_companys_pages(admin: Desk) -> None:
    channel = await admin.channel("webchat", credentials={"visitor_secret": "v"}, settings={"title": "Shop"})
    _, text = await admin.get(f"/channels/{channel.id}")
    assert f"data-channel=&#34;{channel.key}&#34; async&gt;&lt;/script&gt;" in text


async def test_every_connector_with_an_account_has_a_form(admin: Desk) -> None:
    _, kinds = await admin.get("/channels/new")
    for name in CONNECTORS:
        status, _ = await admin.get(f"/channels/new/{name}")
        assert status == (200 if f"/channels/new/{name}" in kinds else 404)
    assert "/channels/new/echo" not in kinds


@pytest.mark.parametrize("path", ["/channels/999999", "/channels/new/nothing", "/channels/x"])
async def test_what_is_not_there_is_not_found(admin: Desk, path: str) -> None:
    assert (await admin.get(path))[0] == 404


async def test_supervisors_look_and_only_admins_connect(admin: Desk) -> None:
    channel = await connected(admin)
    await admin.sign_in("supervisor")
    assert (await admin.get("/channels"))[0] == 200
    status, text = await admin.get(f"/channels/{channel.id}")
    assert (status, "<form method" in text.split("<main")[1]) == (200, False)
    assert (await admin.get("/channels/new"))[0] == 403
    for what in ("pause", "resume", "disconnect", "reconnect"):
        assert (await admin.post(f"/channels/{channel.id}/{what}"))[0] == 403
    assert (await admin.post("/channels/new/shop", {"token": "good2"}))[0] == 403
    await admin.sign_in("agent")
    assert (await admin.get("/channels"))[0] == 403
    assert len(await rows(admin)) == 1
