"""What the tests of Meta's four connectors share: how its calls are signed, batched and refused."""

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from connectors.base import (
    AuthExpired,
    BadWebhook,
    ChannelConfig,
    ConnectorError,
    MaybeSent,
    RawEvent,
    Refused,
    TryLater,
    WebhookRequest,
)
from connectors.meta import MetaConnector
from connectors.registry import connector_class
from tests.connectors.contract import NOW
from tests.connectors.sending import Failure, PlatformContract
from tests.connectors.webhooks import WebhookContract
from tests.servers.graph import APP_ID, CREDENTIALS, VERIFY, graph_server, signature
from tests.servers.platform import Answer

RECORDINGS = Path(__file__).parent / "recordings"
BUSY_HOUR = {
    "X-Business-Use-Case-Usage": '{"1":[{"type":"pages","call_count":100,"estimated_time_to_regain_access":19}]}'
}


def recorded(channel: str, name: str) -> RawEvent:
    """The one event of a webhook's call after Meta's documentation, kept under `name`."""
    body = json.loads((RECORDINGS / channel / f"{name}.json").read_text(encoding="utf-8"))
    known = connector_class(channel)
    assert issubclass(known, MetaConnector)
    [piece] = known(ChannelConfig()).pieces(body)
    return RawEvent(piece)


def error(
    status: int, code: int, message: str = "What Meta says", headers: dict[str, str] | None = None, **more: Any
) -> Answer:
    """Graph API, Handling errors."""
    facts = {"message": f"(#{code}) {message}", "type": "OAuthException", "code": code, "fbtrace_id": "x", **more}
    return Answer(status, {"error": facts}, headers or {})


class MetaContract(WebhookContract, PlatformContract):
    """The contract, as far as it is the same for all four."""

    channel: ClassVar[str]
    account: ClassVar[str]
    secret_key: ClassVar[str] = "app_secret"
    signs_time: ClassVar[bool] = False
    reads_retry_after: ClassVar[bool] = False
    sample_names: ClassVar[str]
    when_the_answer_is_lost: ClassVar[type[ConnectorError]] = MaybeSent
    failures: ClassVar[tuple[Failure, ...]] = (
        Failure(error(400, 190, "Error validating access token", error_subcode=463), AuthExpired, says="validating"),
        Failure(error(401, 190, "Malformed access token EAAG-not-a-true-token"), AuthExpired, says="Malformed"),
        Failure(error(400, 4, "Application request limit reached"), TryLater, retry_after=60.0, says="limit reached"),
        Failure(error(400, 32, "Page request limit", headers=BUSY_HOUR), TryLater, retry_after=19 * 60.0),
        Failure(error(400, 17), TryLater, retry_after=60.0),
        Failure(error(400, 613, "Calls to this api have exceeded the rate limit."), TryLater, retry_after=60.0),
        Failure(error(400, 80006), TryLater, retry_after=60.0),
        Failure(Answer(429, b"slow down"), TryLater, retry_after=60.0),
        Failure(error(500, 2, "Service temporarily unavailable"), TryLater),
        Failure(error(403, 10, "No permission"), Refused, says="Permissions that this channel needs: "),
        Failure(error(403, 200, "Requires permission"), Refused, says="Requires permission"),
        Failure(error(400, 100, "Invalid parameter"), Refused, says="Invalid parameter"),
        Failure(error(400, 368, "Temporarily blocked"), Refused, says="Temporarily blocked"),
        Failure(error(400, 551, "This person isn't available right now."), Refused, says="isn't available"),
        Failure(
            error(400, 10, "Sent outside of allowed window.", error_subcode=2018278), Refused, says="Too long after"
        ),
        Failure(error(500, 1, "An unknown error occurred"), MaybeSent),
        Failure(Answer(502, b"<html>Bad Gateway</html>"), MaybeSent),
        Failure(Answer(200, b"not JSON"), MaybeSent),
    )

    def config(self) -> ChannelConfig:
        return ChannelConfig({"account_id": self.account, "app_id": APP_ID}, CREDENTIALS)

    def opened(self) -> MetaConnector:
        """A connector that asks nobody."""
        found = self.connector(self.config())
        assert isinstance(found, MetaConnector)
        return found

    def samples(self) -> list[RawEvent]:
        return [recorded(self.channel, name) for name in self.sample_names.split()]

    def sign(self, body: bytes, secret: str, at: Any) -> WebhookRequest:
        return WebhookRequest("POST", {"x-hub-signature-256": signature(body, secret)}, {}, body, at)

    def batch(self, samples: list[RawEvent]) -> bytes:
        entries = []
        for raw in samples:
            payload = raw.payload
            if not isinstance(payload, dict):
                entries.append(payload)
                continue
            entry = {key: payload[key] for key in ("id", "time") if key in payload}
            for one, many in (("change", "changes"), ("messaging", "messaging")):
                if one in payload:
                    entry[many] = [payload[one]]
            entries.append(entry)
        return json.dumps({"object": self.opened().webhook_object, "entry": entries}).encode()

    def test_the_address_is_proved_to_meta_by_its_challenge_and_to_nobody_else(self) -> None:
        connector = self.opened()
        query = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": VERIFY}
        assert connector.challenge(WebhookRequest("GET", {}, query, b"", NOW)) == "1158201444"
        for wrong in (
            {"hub.verify_token": "x"},
            {"hub.verify_token": ""},
            {"hub.verify_token": "é\udcff"},
            {"hub.mode": "x"},
        ):
            with pytest.raises(BadWebhook):
                connector.challenge(WebhookRequest("GET", {}, {**query, **wrong}, b"", NOW))
        without = self.connector(ChannelConfig({}, {}))
        with pytest.raises(BadWebhook):
            without.challenge(WebhookRequest("GET", {}, {**query, "hub.verify_token": ""}, b"", NOW))

    def test_what_to_copy_to_meta_is_said(self) -> None:
        copies = dict(self.opened().instructions("https://crm.example", "k1"))
        assert copies["Webhook address"] == "https://crm.example/hooks/k1"
        assert copies["Verify token"] == VERIFY
        assert copies["Webhook fields"]

    async def test_connecting_checks_the_token_and_names_what_it_may_not(self) -> None:
        async with graph_server() as graph:
            connector = self.connector(graph.config(**self.config().settings))
            assert isinstance(connector, MetaConnector)
            with pytest.raises(Refused, match=connector.permissions[0]):
                await connector.connect()
            graph.scopes, graph.expires_at = list(connector.permissions), 1780000000
            account = await connector.connect()
            assert account.external_id == self.account
            assert "Atlas" in account.name or "atlas" in account.name
            assert account.token_ends_at is not None
            assert account.missing_scopes == connector.wishes
            graph.token_is_valid = False
            with pytest.raises(AuthExpired, match="not valid"):
                await connector.connect()
            await connector.close()

    async def test_connecting_with_another_token_or_secret_is_refused(self) -> None:
        async with graph_server() as graph:
            for wrong in ({"access_token": "x"}, {"app_secret": "x"}, {"access_token": ""}):
                config = graph.config(**self.config().settings)
                connector = self.connector(ChannelConfig(config.settings, {**config.credentials, **wrong}, graph.url))
                with pytest.raises(AuthExpired):
                    await connector.connect()
                await connector.close()
