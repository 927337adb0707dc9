"""The customer sees that an agent is writing."""

from socialcrm.domain.rows import Channel
from socialcrm.engine.line import Line
from tests.servers.telegram import telegram_server
from tests.story import Story
from tests.web.desk import CSRF, desk


async def test_typing_is_shown_where_the_channel_can_and_harms_nobody_where_it_cannot(line: Line) -> None:
    async with telegram_server() as server, desk(line) as browser:
        story = await Story.begin(line)
        await story.customer_writes("bonjour", author="11")
        number = (await story.conversation()).id
        await browser.sign_in("agent")
        headers = {"X-CSRF-Token": CSRF}
        assert (await browser.ask("POST", f"/inbox/{number}/typing", headers=headers)).status == 204
        assert server.typing_in == []

        async with line.database.write() as session:
            channel = await session.get_one(Channel, story.channel.id)
            channel.connector, channel.settings = "telegram", {"api_url": server.api_url}
            channel.credentials, channel.changed_at = line.vault.encrypt({"token": server.token}), line.now()
        assert (await browser.ask("POST", f"/inbox/{number}/typing", headers=headers)).status == 204
        assert server.typing_in == ["11"]
        assert (await browser.ask("POST", "/inbox/999/typing", headers=headers)).status == 404
