"""A lost sign-in: a banner for those who can help, and one mail to each administrator."""

import asyncio
from email.header import decode_header, make_header
from pathlib import Path

from connectors.base import AuthExpired
from socialcrm.domain.channel import Channel
from socialcrm.domain.rows import Agent
from socialcrm.engine.channels import lose_sign_in
from socialcrm.engine.line import Line
from socialcrm.web.losses import tell_admins
from tests.engine.scripted import on_one_database
from tests.servers.mail import HOST, PASSWORD, mail_devel, smtp_server
from tests.story import Clock, Story, line_with
from tests.web.desk import desk


async def lose(line: Line, channel: Channel) -> None:
    async with line.database.write() as session:
        await lose_sign_in(session, channel.id or 0, AuthExpired("Token is gone.").reason, line.now())


async def admin(line: Line, email: str, locale: str, role: str = "admin") -> None:
    async with line.database.write() as session:
        session.add(Agent(email=email, name=email, role=role, locale=locale, created_at=line.now()))


async def test_each_admin_gets_one_mail_per_loss_in_their_language(line: Line, tmp_path: Path) -> None:
    people = {"amina@shop.example": "ar", "yacine@shop.example": "fr"}
    for email, locale in people.items():
        await admin(line, email, locale)
    await admin(line, "agent@shop.example", "fr", "agent")
    with mail_devel(tmp_path) as server:
        settings = {"host": HOST, "port": server.smtp_port, "security": "none", "sender": "crm@shop.example"}
        login = {"username": "crm@shop.example", "password": PASSWORD}
        line = line_with(line, Clock(), mail={**settings, **login})
        channel = (await Story.begin(line)).channel
        await tell_admins(line)
        await lose(line, channel)
        await asyncio.gather(*(tell_admins(line) for _ in range(3)))
        await tell_admins(line)
        subjects = []
        for email in people:
            (mail,) = await server.mails(email)
            subjects.append(str(make_header(decode_header(mail["Subject"]))))
            text = (mail.get_payload(decode=True) or b"").decode()  # type: ignore[union-attr]
            assert f"{line.settings.public_url}/channels/{channel.id}#reconnect" in text
            assert "Token is gone." in text
        assert subjects == ["انتهى دخول قناة Echo", "Echo\u00a0: session perdue"]
        assert await server.mails("agent@shop.example") == []


@on_one_database
async def test_a_mail_server_that_refuses_hurts_nothing_and_is_asked_again(line: Line) -> None:
    await admin(line, "admin@shop.example", "en")
    channel = (await Story.begin(line)).channel
    await lose(line, channel)
    async with smtp_server(has_auth=False, RCPT="550 no such person") as here:
        mail = {"host": HOST, "port": here.port, "security": "none", "sender": "crm@shop.example"}
        line = line_with(line, mail=mail)
        await tell_admins(line)
        assert here.mails == []
        here.answers = {}
        await tell_admins(line)
        await tell_admins(line)
        assert len(here.mails) == 1
    line = line_with(line, mail={"port": 1})
    await lose(line, (await Story.begin(line, "second")).channel)
    await tell_admins(line)  # nobody listens there


@on_one_database
async def test_without_a_mail_server_nothing_is_mailed(line: Line) -> None:
    channel = (await Story.begin(line)).channel
    await lose(line, channel)
    await tell_admins(line)
    async with line.database.read() as session:
        assert (await session.get_one(Channel, channel.id)).told_at is None


async def test_a_banner_on_every_page_names_the_channel_to_those_who_can_help(line: Line) -> None:
    async with desk(line) as person:
        channel = await person.channel("api", name="<b>Brand</b>")
        await person.sign_in("admin")
        said = f'href="/channels/{channel.id}#reconnect"'
        assert said not in (await person.get("/inbox"))[1]
        await lose(line, channel)
        for path in ("/inbox", "/reports", "/ledger", "/understanding"):
            status, text = await person.get(path)
            assert (status, said in text, "&lt;b&gt;Brand&lt;/b&gt; is signed out" in text) == (200, True, True), path
        await person.sign_in("supervisor")
        assert "See the channel" in (await person.get("/inbox"))[1]
        await person.sign_in("agent")
        assert said not in (await person.get("/inbox"))[1]
        await person.sign_in("admin")
        await person.post(f"/channels/{channel.id}/disconnect")
        assert said not in (await person.get("/inbox"))[1], "an admin ended it on purpose"
