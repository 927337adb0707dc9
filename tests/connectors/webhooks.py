"""What every connector must do that its platform calls."""

import json
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import BadPayload, BadWebhook, ChannelConfig, RawEvent, WebhookRequest
from tests.connectors.contract import FUZZ, NOW, ConnectorContract, any_json, read


class WebhookContract(ConnectorContract):
    """For connectors that the platform calls."""

    secret_key: ClassVar[str] = "secret"
    """Where the credentials hold the secret."""
    signs_body: ClassVar[bool] = True
    """False where the platform proves itself with a plain secret, so that a changed body cannot be seen."""
    signs_time: ClassVar[bool] = True
    """False where the platform's calls carry no time."""

    proofs: ClassVar[tuple[str, ...]] = ()
    """Headers, in lower case, that prove where a call comes from; empty: all that `sign` sets."""

    def sign(self, body: bytes, secret: str, at: datetime) -> WebhookRequest:
        """The call that the platform would make with this body, secret and time; it is received at once."""
        raise NotImplementedError

    def batch(self, samples: list[RawEvent]) -> bytes:
        """A body with all these events; where the platform sends one event a call, the first one's."""
        raise NotImplementedError

    def _signed(self, body: bytes) -> WebhookRequest:
        return self.sign(body, self.config().credentials[self.secret_key], NOW)

    def _one(self) -> bytes:
        return self.batch(self.samples()[:1])

    def test_a_true_call_gives_the_events_that_were_sent(self) -> None:
        connector = self.connector(self.config())
        events = connector.read_webhook(self._signed(self.batch(self.samples())))
        assert events
        got = [message for raw in events for message in connector.read(raw)]
        assert got == [message for raw in self.samples() for message in connector.read(raw)][: len(got)]

    def test_an_unsigned_call_is_refused(self) -> None:
        true = self._signed(self._one())
        with pytest.raises(BadWebhook):
            self.connector(self.config()).read_webhook(_with(true, headers={}))

    def test_a_call_signed_with_another_secret_is_refused(self) -> None:
        for secret in ("another-secret", " ", "é\ud800"):
            with pytest.raises(BadWebhook):
                self.connector(self.config()).read_webhook(
                    self.sign(self._one(), secret.encode(errors="replace").decode(), NOW)
                )

    def test_headers_of_any_text_are_refused_and_nothing_worse(self) -> None:
        true = self._signed(self._one())
        for odd in ("", "é", "\udcff", "9" * 400, "sha256=", "²"):
            for name in self.proofs or true.headers:
                with pytest.raises(BadWebhook):
                    self.connector(self.config()).read_webhook(_with(true, headers={**true.headers, name: odd}))

    def test_no_call_is_true_while_the_secret_is_empty(self) -> None:
        config = self.config()
        for credentials in ({}, {self.secret_key: ""}):
            without = ChannelConfig(config.settings, credentials, config.api_url)
            with pytest.raises(BadWebhook):
                self.connector(without).read_webhook(self.sign(self._one(), "", NOW))

    def test_a_changed_body_is_refused(self) -> None:
        if self.signs_body:
            true = self._signed(self._one())
            with pytest.raises(BadWebhook):
                self.connector(self.config()).read_webhook(_with(true, body=true.body + b" "))

    def test_a_call_from_another_time_is_refused(self) -> None:
        if self.signs_time:
            for later in (timedelta(minutes=11), timedelta(days=400), timedelta(minutes=-11)):
                replayed = _with(self._signed(self._one()), received_at=NOW + later)
                with pytest.raises(BadWebhook):
                    self.connector(self.config()).read_webhook(replayed)

    def test_one_bad_entry_of_a_batch_loses_none_of_the_others(self) -> None:
        connector = self.connector(self.config())
        samples = self.samples()
        whole = connector.read_webhook(self._signed(self.batch(samples)))
        if len(whole) > 1:
            events = connector.read_webhook(self._signed(self.batch([samples[0], RawEvent(7), *samples[1:]])))
            assert len(events) == len(whole) + 1
            with pytest.raises(BadPayload):
                connector.read(events[1])
            others = [event for number, event in enumerate(events) if number != 1]
            assert [connector.read(raw) for raw in others] == [connector.read(raw) for raw in samples]

    def test_a_true_call_that_is_no_json_is_kept_and_refused_with_a_reason(self) -> None:
        connector = self.connector(self.config())
        for body in (b"", b"{", b"\xff\xfe\xfd", b'{"a": NaN}', b'"\\ud800"', b"[" * 100_000, b'"\\u0000"'):
            events = connector.read_webhook(self._signed(body))
            assert events, f"{body[:20]!r} was lost"
            for raw in events:
                json.dumps(raw.payload, ensure_ascii=False, allow_nan=False).encode()
                with pytest.raises(BadPayload):
                    connector.read(raw)

    def test_a_true_call_in_another_encoding_or_as_large_as_may_be_is_kept_as_events(self) -> None:
        connector, one = self.connector(self.config()), self._one()
        others = [one.decode().encode(name, errors="replace") for name in ("utf-16", "utf-8-sig", "latin-1", "cp1256")]
        for body in (*others, one.ljust(connector.limits.body_bytes)):
            events = connector.read_webhook(self._signed(body))
            assert events, f"{body[:20]!r} was lost"
            for raw in events:
                assert "\\u0000" not in json.dumps(raw.payload)
                read(connector, raw)

    @FUZZ
    @given(body=st.binary(max_size=80) | any_json.map(lambda value: json.dumps(value).encode()))
    def test_a_true_call_with_any_body_is_kept_as_events(self, body: bytes) -> None:
        connector = self.connector(self.config())
        for raw in connector.read_webhook(self._signed(body)):
            read(connector, raw)


def _with(request: WebhookRequest, **changes: Any) -> WebhookRequest:
    kept = {name: getattr(request, name) for name in ("method", "headers", "query", "body", "received_at")}
    return WebhookRequest(**{**kept, **changes})
