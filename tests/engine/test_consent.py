"""STOP and START, from the platform's call to what is not sent: Kannel's calls at the real web server."""

from base64 import b64encode

from socialcrm.domain.rows import Channel, Message, OutboxItem
from socialcrm.engine.deliver import STOPPED
from socialcrm.engine.line import Line
from socialcrm.engine.schedule import drain
from tests.servers.platform import Answer, platform
from tests.story import Story
from tests.web.desk import desk

SECRET = "kannel-webhook-secret"
HEADERS = {
    "Authorization": "Basic " + b64encode(f"kannel:{SECRET}".encode()).decode(),
    "Content-Type": "text/plain; charset=UTF-8",
    "X-Kannel-From": "213550000001",
    "X-Kannel-To": "1234",
}


async def test_who_writes_stop_is_not_written_to_until_they_write_start(line: Line) -> None:
    story = await Story.begin(line)
    amina = await story.agent("Amina")
    async with platform(Answer(202, b"0: Accepted for delivery")) as gateway, desk(line) as caller:
        story.channel = channel = await caller.channel(
            "kannel",
            settings={"api_url": gateway.url, "username": "crm", "sender": "1234", "region": "DZ"},
            credentials={"password": "kannel-password", "webhook_secret": SECRET},
        )

        async def customer(number: int, text: str) -> None:
            path = f"/hooks/{channel.key}?id=sms-{number}"
            answer = await caller.ask("POST", path, data=text.encode(), headers=HEADERS)
            assert answer.status == 200
            await drain(line)

        await customer(1, "salam, où est ma commande ?")
        await story.agent_answers(amina, "Elle arrive demain.")
        before = len(gateway.calls)
        assert gateway.calls[-1].headers["x-kannel-to"] == "+213550000001"
        assert f"/hooks/{channel.key}?message=" in gateway.calls[-1].headers["x-kannel-dlr-url"]

        await customer(2, "STOP")
        stopped = await story.agent_answers(amina, "Encore nous !")
        assert len(gateway.calls) == before
        items = {item.message_id: item for item in await story.rows(OutboxItem)}
        assert (items[stopped.id].status, items[stopped.id].reason) == ("failed", STOPPED)
        assert [row.error for row in await story.rows(Channel) if row.id == channel.id] == [""], "no trouble of it"

        await customer(3, "Start")
        after = await story.agent_answers(amina, "Bonjour de nouveau.")
        assert gateway.calls[-1].body.decode() == "Bonjour de nouveau."

        [sent] = [message for message in await story.rows(Message) if message.id == after.id]
        number = str(sent.external_id).removeprefix("kannel:")
        receipt = f"/hooks/{channel.key}?message={number}&receipt=2&answer="
        assert (await caller.ask("GET", receipt, headers={"Accept": "*/*"})).status == 403
        assert (await caller.ask("GET", receipt, headers=HEADERS)).status == 200
        await drain(line)
        [lost] = [message for message in await story.rows(Message) if message.id == after.id]
        assert (lost.delivery, lost.delivery_error) == ("failed", "SMS not delivered.")
