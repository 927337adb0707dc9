"""What every connector must do that sends to a platform of its own."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest

from connectors.base import ConnectorError, MaybeSent, Refused, TryLater
from tests.connectors.contract import ConnectorContract, refused
from tests.connectors.troubles import attempts, breakdowns, nonsense, told
from tests.servers.platform import LOST, SILENCE, Answer, Call, Platform, closed_port, deaf_port, platform


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
