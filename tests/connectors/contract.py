"""What every connector must do. A connector's tests inherit the classes that fit it:

    class TestTelegram(WebhookContract, PlatformContract, PollContract):
        connector = TelegramConnector
        ...

`ConnectorContract` is for all, `WebhookContract` for those that are called, `PlatformContract` for those that send to
somebody, and `PollContract` in `polling.py` for those that are polled over HTTP. A subclass gives the hooks; each says
in its docstring what it is for.
"""

import asyncio
import copy
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.base import (
    AuthExpired,
    BadPayload,
    BadWebhook,
    ChannelConfig,
    Connector,
    ConnectorError,
    Ignored,
    InboundMessage,
    MaybeSent,
    MessageKind,
    OutboundMessage,
    RawEvent,
    Refused,
    TryLater,
    WebhookRequest,
)
from connectors.registry import CONNECTORS, connector_class
from tests.connectors.troubles import Trouble, attempts, breakdowns, nonsense, refusals, told
from tests.servers.platform import LOST, SILENCE, Answer, Call, Platform, closed_port, deaf_port, platform

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

FUZZ = settings(
    max_examples=150,
    deadline=None,
    database=None,
    derandomize=True,
    # The same test runs in each connector's class, on purpose; it keeps no state between them.
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([10**20, "0", "\ud800"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def missing_pieces(name: str) -> list[str]:
    """What the registered connector `name` lacks of: module, docs page, test class that inherits the contract."""
    missing = []
    try:
        found = connector_class(name)
    except (ImportError, AttributeError) as error:
        return [f"{name}: {CONNECTORS[name]} cannot be imported ({error})"]
    if not (ROOT / f"docs/connectors/{name}.md").is_file():
        missing.append(f"{name}: there is no page docs/connectors/{name}.md")
    if not (ROOT / f"tests/connectors/test_{name}.py").is_file():
        return [*missing, f"{name}: there is no tests/connectors/test_{name}.py"]
    classes = inspect.getmembers(import_module(f"tests.connectors.test_{name}"), inspect.isclass)
    if not any(
        issubclass(each, ConnectorContract) and getattr(each, "connector", None) is found for _, each in classes
    ):
        missing.append(f"{name}: no class in tests/connectors/test_{name}.py inherits ConnectorContract for it")
    return missing


def read(connector: Connector, raw: RawEvent) -> list[InboundMessage] | None:
    """What an event reads as; None where it is refused or ignored with a reason, as the contract allows."""
    try:
        return connector.read(raw)
    except (BadPayload, Ignored) as error:
        if not error.reason.strip():
            raise AssertionError("a refusal needs a reason") from error
        return None


class ConnectorContract:
    """For every connector."""

    connector: ClassVar[type[Connector]]
    reads_retry_after: ClassVar[bool] = True
    """False where the platform says in another way of its own how long to wait."""
    signs_in_anew: ClassVar[bool] = False
    """True where a 401 ends a session, and we begin another one with the credentials that we keep."""

    def config(self) -> ChannelConfig:
        """A config that the connector can be opened with; nothing needs to listen behind it."""
        return ChannelConfig()

    def samples(self) -> list[RawEvent]:
        """Events that read as at least one message each, all with ids of their own."""
        raise NotImplementedError

    def outbound(self, text: str = "Bonjour") -> OutboundMessage:
        """A message that the connector can send."""
        return OutboundMessage(key="key-1", thread_key="42", recipient="42", text=text)

    def config_at(self, url: str) -> ChannelConfig:
        """The config for a platform at `url`."""
        config = self.config()
        return ChannelConfig(config.settings, config.credentials, url)

    def signing_in(self) -> dict[str, Answer]:
        """What calls get with which every other one begins, as a sign-in, by the last part of their path."""
        return {}

    def refusals(self) -> tuple[Trouble, ...]:
        """Answers that say no, and what they mean here."""
        return refusals(self.reads_retry_after, (AuthExpired, TryLater) if self.signs_in_anew else (AuthExpired,))

    def test_it_says_what_it_is_called_and_what_it_needs(self) -> None:
        found = self.connector
        assert connector_class(found.name) is found
        assert found.label.strip()
        assert found.limits.text_length > 0
        assert found.limits.buttons >= 0
        assert found.limits.body_bytes > 0
        keys = [field.key for field in found.fields]
        assert len(keys) == len(set(keys))
        for field in found.fields:
            assert field.key.isidentifier()
            assert field.label.strip()
            assert field.help.strip() or not field.is_secret, f"where does one find {field.label}?"
            assert not field.choices or field.default in field.choices

    def test_a_contract_class_is_inherited_for_each_thing_it_can_do(self) -> None:
        assert self.connector.can("read_webhook") == isinstance(self, WebhookContract)

    async def test_abilities_that_it_lacks_are_refused_with_its_name(self) -> None:
        connector = self.connector(self.config())
        assert await refused(connector, self.outbound()) > 0
        await connector.close()

    def test_every_sample_reads_as_whole_messages(self) -> None:
        for raw in self.samples():
            messages = self.connector(self.config()).read(raw)
            assert messages
            for message in messages:
                assert message.external_id
                assert message.thread_key
                assert message.author.external_id
                assert message.sent_at.utcoffset() == timedelta(0)
                assert isinstance(message.kind, MessageKind)
                assert message.text or message.attachments or message.button

    def test_reading_the_same_events_twice_gives_the_same_messages(self) -> None:
        first, second = self.connector(self.config()), self.connector(self.config())
        for raw in self.samples():
            kept = copy.deepcopy(raw)
            assert first.read(raw) == first.read(raw) == second.read(kept)
            assert raw == kept, "reading changed the event"

    def test_no_two_samples_share_an_id(self) -> None:
        connector = self.connector(self.config())
        ids = [(m.external_id, m.change) for raw in self.samples() for m in connector.read(raw)]
        assert len(ids) == len(set(ids))

    @FUZZ
    @given(payload=any_json)
    def test_any_json_is_read_or_refused_with_a_reason(self, payload: Any) -> None:
        read(self.connector(self.config()), RawEvent(payload))

    @FUZZ
    @given(data=st.data())
    def test_a_sample_with_anything_else_in_one_place_is_read_or_refused_with_a_reason(self, data: Any) -> None:
        raw = data.draw(st.sampled_from(self.samples()))
        payload = copy.deepcopy(raw.payload)
        places = list(_places(payload))
        if places:
            holder, key = data.draw(st.sampled_from(places))
            if data.draw(st.booleans()):
                holder[key] = data.draw(any_json)
            else:
                del holder[key]
        read(self.connector(self.config()), RawEvent(payload))

    def test_a_clock_that_lies_costs_no_message(self) -> None:
        for raw in self.samples():
            whole = self.connector(self.config()).read(raw)
            for lie in _lies(raw.payload):
                told = self.connector(self.config()).read(replace(raw, payload=lie))
                assert [message.text for message in told] == [message.text for message in whole]
                assert {message.sent_at.utcoffset() for message in told} == {timedelta(0)}

    async def test_closing_twice_is_fine(self) -> None:
        connector = self.connector(self.config())
        await connector.close()
        await connector.close()


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


@dataclass(frozen=True)
class Failure:
    """What the platform answers to a message that it does not take, and what the connector should then raise."""

    answer: Answer
    raises: type[ConnectorError]
    retry_after: float | None = None
    says: str = ""
    """A part of the reason."""


class PlatformContract(ConnectorContract):
    """For connectors that send to a platform of their own; the platform here listens on loopback."""

    failures: ClassVar[tuple[Failure, ...]]
    """One for each way in which the platform's documentation says that it refuses a message."""
    sends: ClassVar[str] = "direct_message"
    """The ability that is tried: reply for those that only answer in public."""
    when_the_answer_is_lost: ClassVar[type[ConnectorError]]
    """MaybeSent, or TryLater where the platform knows a message that it already has."""

    def target(self) -> str:
        """External id of an item on which the connector can act."""
        return self.connector(self.config()).read(self.samples()[0])[0].external_id

    def accepted(self) -> Answer:
        """What the platform answers to a message that it takes."""
        raise NotImplementedError

    def text_of(self, call: Call) -> str:
        """The text in a call that sends a message."""
        raise NotImplementedError

    async def test_a_text_as_long_as_the_limit_is_sent_whole(self) -> None:
        text = ("é✓" * self.connector.limits.text_length)[: self.connector.limits.text_length]
        async with platform(self.accepted()) as here:
            here.answers |= self.signing_in()
            connector = self.connector(self.config_at(here.url))
            sent = await getattr(connector, self.sends)(self.outbound(text))
            await connector.close()
        assert [self.text_of(call) for call in self._own(here)] == [text]
        assert sent.external_id

    async def test_a_refusal_sends_nothing(self) -> None:
        async with platform(self.accepted()) as here:
            connector = self.connector(self.config_at(here.url))
            await refused(connector, self.outbound())
            await connector.close()
        assert here.calls == []

    async def test_each_failure_of_the_platform_becomes_the_error_that_the_engine_knows(self) -> None:
        for failure in self.failures:
            async with platform(failure.answer) as here:
                here.answers |= self.signing_in()
                connector = self.connector(self.config_at(here.url))
                with pytest.raises(ConnectorError) as raised:
                    await getattr(connector, self.sends)(self.outbound())
                await connector.close()
            assert isinstance(raised.value, failure.raises), f"{failure.answer}: {raised.value!r}"
            assert failure.says in raised.value.reason
            assert len(raised.value.reason) < 500
            if isinstance(raised.value, TryLater):
                assert raised.value.retry_after == failure.retry_after
            assert len(self._own(here)) == 1, "a connector does not retry"

    async def test_every_platforms_troubles_become_the_errors_that_the_engine_knows(self) -> None:
        """Those that no documentation names: a proxy's pages, broken connections."""
        async with platform() as here:
            here.answers |= self.signing_in()
            for trouble in (*self.refusals(), *breakdowns()):
                here.answer = trouble.answer
                wrong = told(trouble, await self._fail(here.url, self.sends))
                assert not wrong

    async def test_every_ability_tells_of_trouble_and_none_is_silent(self) -> None:
        known, some = attempts(self.connector(self.config()), self.outbound()), self.refusals()
        abilities = {name for name in known if self.connector.can(name)} - {self.sends, "acknowledge"}
        async with platform() as here:
            here.answers |= self.signing_in()
            for ability in sorted(abilities):
                for trouble in (some[0], some[3], *breakdowns()):
                    here.answer = trouble.answer
                    before, before_all = len(self._own(here)), len(here.calls)
                    error = await self._try(here.url, ability)
                    if len(self._own(here)) > before:
                        assert error, f"{ability} says nothing of {trouble.answer.status}"
                        assert not told(trouble, error), f"{ability}: {told(trouble, error)}"
                    else:  # nothing was asked that got this answer
                        is_done = len(here.calls) > before_all or ability in ("typing", "mark_read")
                        assert isinstance(error, Refused) or (error is None and is_done), f"{ability}: {error!r}"

    async def test_a_yes_that_nobody_can_read_is_never_sent_again_blindly(self) -> None:
        async with platform() as here:
            here.answers |= self.signing_in()
            for answer in nonsense():
                here.answer = answer
                connector = self.connector(self.config_at(here.url))
                try:
                    await getattr(connector, self.sends)(self.outbound())
                except (self.when_the_answer_is_lost, MaybeSent):
                    continue
                finally:
                    await connector.close()

    async def test_a_message_that_never_left_can_be_sent_later(self) -> None:
        async with closed_port() as url:
            assert isinstance(await self._fail(url, self.sends), TryLater)

    async def test_a_lost_answer_is_told_apart_from_a_message_that_never_left(self) -> None:
        async with platform(LOST) as here:
            here.answers |= self.signing_in()
            assert isinstance(await self._fail(here.url, self.sends), self.when_the_answer_is_lost)
        assert len(self._own(here)) == 1

    async def test_a_platform_that_is_silent_is_not_waited_for(self) -> None:
        """Before the request was written nothing was done; afterwards nobody knows."""
        async with deaf_port() as url:
            assert isinstance(await self._fail(url, self.sends, request_timeout=0.4), TryLater)
        async with platform(SILENCE) as here:
            here.answers |= self.signing_in()
            error = await self._fail(here.url, self.sends, request_timeout=0.4)
            assert isinstance(error, self.when_the_answer_is_lost)

    def _own(self, here: Platform) -> list[Call]:
        """The calls that the platform got, but for those with which every other one begins."""
        begin = self.signing_in()
        return [call for call in here.calls if call.path.rpartition("/")[2] not in begin]

    async def _fail(self, url: str, ability: str, **settings: Any) -> ConnectorError:
        """The error with which a use of an ability ends."""
        error = await self._try(url, ability, **settings)
        assert error, f"{ability} says nothing"
        return error

    async def _try(self, url: str, ability: str, **settings: Any) -> ConnectorError | None:
        config = self.config_at(url)
        connector = self.connector(replace(config, settings={**config.settings, **settings}))
        try:
            await attempts(connector, self.outbound(), self.target())[ability]()
        except ConnectorError as error:
            return error
        finally:
            await connector.close()
        return None

    async def test_no_secret_is_in_any_reason(self) -> None:
        secrets = [secret for secret in self.config().credentials.values() if secret]
        for failure in (*self.failures, Failure(LOST, ConnectorError)):
            async with platform(failure.answer) as here:
                here.answers |= self.signing_in()
                connector = self.connector(self.config_at(here.url))
                with pytest.raises(ConnectorError) as raised:
                    await getattr(connector, self.sends)(self.outbound())
                await connector.close()
            assert not [secret for secret in secrets if secret in raised.value.reason]


async def refused(connector: Connector, message: OutboundMessage) -> int:
    """Use each ability that the connector lacks; how many there are. Fails where one is not refused by name."""
    lacking = [use for ability, use in attempts(connector, message).items() if not connector.can(ability)]
    for use in lacking:
        with pytest.raises(Refused) as raised:
            await asyncio.wait_for(use(), timeout=5)
        assert connector.label in raised.value.reason
    return len(lacking)


def _lies(payload: Any) -> Iterator[Any]:
    """A payload whose clock stands in 1970 or far in the future, at each of the places that hold a time."""
    for place in range(len(list(_places(payload)))):
        for year in (1970, 2100):
            lie = copy.deepcopy(payload)
            holder, key = list(_places(lie))[place]
            if (told := _lie(holder[key], datetime(year, 1, 2, tzinfo=UTC))) is not None:
                holder[key] = told
                yield lie


def _lie(value: Any, at: datetime) -> Any:
    """`at` in the form of a time; None for what is none."""
    if isinstance(value, int) and 10**9 < value < 2 * 10**9:
        return int(at.timestamp())
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d", value):
        return value.replace(value[:10], at.date().isoformat())
    return None


def _places(payload: Any) -> Any:
    """Every place in a JSON value, as (dict or list, key or index)."""
    if isinstance(payload, dict | list):
        for key, value in list(payload.items() if isinstance(payload, dict) else enumerate(payload)):
            yield payload, key
            yield from _places(value)


def _with(request: WebhookRequest, **changes: Any) -> WebhookRequest:
    kept = {name: getattr(request, name) for name in ("method", "headers", "query", "body", "received_at")}
    return WebhookRequest(**{**kept, **changes})
