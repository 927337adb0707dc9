"""What every connector must do. A connector's tests inherit the classes that fit it:

    class TestTelegram(WebhookContract, PlatformContract, PollContract):
        connector = TelegramConnector
        ...

`ConnectorContract` is for all; `WebhookContract` in `webhooks.py` for those that are called, `PlatformContract` in
`sending.py` for those that send to somebody, and `PollContract` in `polling.py` for those that are polled over HTTP. A
subclass gives the hooks; each says in its docstring what it is for.
"""

import asyncio
import copy
import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
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
    ChannelConfig,
    Connector,
    Ignored,
    InboundMessage,
    MessageKind,
    OutboundMessage,
    RawEvent,
    Refused,
    TryLater,
)
from connectors.registry import CONNECTORS, connector_class
from tests.connectors.troubles import Trouble, attempts, refusals
from tests.servers.platform import Answer

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
        assert self.connector.can("read_webhook") == hasattr(self, "sign")

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
