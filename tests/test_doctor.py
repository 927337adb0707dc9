"""The doctor says in one sentence each what is wrong with a channel, and what to do about it."""

from datetime import timedelta

from connectors.registry import connector_class
from socialcrm.doctor import examine
from socialcrm.domain.rows import Channel
from socialcrm.engine.line import Line
from tests.engine.scripted import on_one_database
from tests.servers.graph import APP_ID, CREDENTIALS, PAGE, graph_server
from tests.servers.platform import Answer, closed_port, platform

FACEBOOK = {"app_id": APP_ID, "account_id": PAGE}
KEYS = {"consumer_key": "k", "consumer_secret": "k", "access_token": "1-k", "access_token_secret": "k"}


@on_one_database
async def test_each_trouble_of_a_channel_is_one_sentence_that_says_what_to_do(line: Line) -> None:
    now = line.now()
    busy = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 35}}
    refused = {"title": "Unauthorized", "detail": "Unauthorized", "status": 401}
    async with platform(Answer(401, refused)) as no, platform(Answer(429, busy)) as later, graph_server() as graph:
        graph.scopes = list(getattr(connector_class("facebook"), "permissions", ()))
        async with closed_port() as closed:
            channels = {
                "token": ("telegram", {"api_url": no.url}, {"token": "1:a"}),
                "closed": ("telegram", {"api_url": closed}, {"token": "1:a"}),
                "busy": ("telegram", {"api_url": later.url}, {"token": "1:a"}),
                "empty": ("telegram", {"api_url": closed}, {}),
                "keys": ("x", {"api_url": no.url}, KEYS),
                "name": ("email", {"address": "a@x.example", "imap_host": "nowhere.invalid"}, {"password": "p"}),
                "wishes": ("facebook", {**FACEBOOK, "api_url": graph.url}, CREDENTIALS),
                "invalid": ("facebook", {**FACEBOOK, "api_url": graph.url}, {**CREDENTIALS, "access_token": "no"}),
                "kind": ("pigeon", {}, {}),
            }
            async with line.database.write() as session:
                for name, (connector, settings, credentials) in channels.items():
                    row = Channel(connector=connector, key=name, name=name, settings=settings, created_at=now)
                    row.credentials, row.changed_at = line.vault.encrypt(credentials), now - timedelta(days=1)
                    row.succeeded_at = row.received_at = row.poll_after_at = now
                    session.add(row)
            found = [finding async for finding in examine(line.settings)]
    said = {
        finding.what.removeprefix("channel "): finding.sentence
        for finding in found
        if finding.what.startswith("channel ") and not finding.is_well
    }
    assert said.pop("kind").startswith("no connector is called 'pigeon'")
    assert said == {
        "token": "Telegram does not know this bot token. Ask @BotFather for a new one. Connect it again on the Channels"
        " page.",
        "closed": "Telegram cannot be reached: nobody listens at that address and port.",
        "busy": "Telegram asks us to wait for 35 seconds: that was a lot at once.",
        "empty": "The bot token is missing. Connect it again on the Channels page.",
        "keys": "X: Unauthorized. Connect it again on the Channels page.",
        "name": "There is no server of that name: nowhere.invalid. Check the IMAP server.",
        "wishes": "These permissions are missing: pages_messaging.",
        "invalid": "Meta says that this access token is not valid. Make a new one. Connect it again on the Channels"
        " page.",
    }
