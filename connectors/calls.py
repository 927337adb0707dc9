"""HTTP calls to a platform without a library of its own: one session, bounded answers, and whether a request left."""

import json
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from connectors.base import ChannelConfig, Connector, Json, MaybeSent, Refused, TryLater
from connectors.cause import cause
from connectors.download import retry_after
from connectors.plain import plain

ANSWER_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What a platform answered; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_ok(self) -> bool:
        """Whether it is a yes."""
        return 200 <= self.status < 300

    @property
    def json(self) -> Json:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def text(self) -> str:
        """The first words of the body, on one line, without the markup of an error page."""
        words = self.body[:4000].decode(errors="replace")
        return " ".join((plain(words) if "<" in words else words).split())[:300] or "(no words)"

    def retry_after(self) -> float | None:
        """Seconds to wait, from Retry-After: seconds or a date (RFC 9110, 10.2.3)."""
        return retry_after(self.headers.get("retry-after", ""))


class CallingConnector(Connector):
    """A connector that speaks HTTP through one session of aiohttp. Settings: `request_timeout` (30 seconds)."""

    def __init__(self, config: ChannelConfig) -> None:
        super().__init__(config)
        self._open_session: aiohttp.ClientSession | None = None

    async def call(self, method: str, url: str | URL, *, is_sending: bool = False, **options: Any) -> Answer:
        """One request, never repeated. Raises TryLater where nothing was done, and MaybeSent where nobody knows what
        became of a request that sends (`is_sending`)."""
        try:
            # A redirect would carry credentials and texts to an address that nobody configured.
            async with self._session.request(method, url, allow_redirects=False, **options) as answer:
                body = bytearray()
                async for piece in answer.content.iter_any():
                    body += piece
                    if len(body) > ANSWER_BYTES:
                        raise _lost(f"{self.label} answered with too much.", is_sending)
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return Answer(answer.status, headers, bytes(body))
        except aiohttp.InvalidURL as error:
            raise Refused(f"The address of {self.label} is not one that can be called.") from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise TryLater(f"{self.label} cannot be reached: {cause(error)}.") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _lost(f"{self.label} did not answer: {cause(error)}.", is_sending) from error

    async def close(self) -> None:
        """Close the connections; the next call would open them again."""
        session, self._open_session = self._open_session, None
        if session:
            await session.close()

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._open_session is None:
            try:
                seconds = float(self.config.settings.get("request_timeout", 30))
            except (TypeError, ValueError):
                raise Refused("The setting request_timeout is not a number of seconds.") from None
            # Shorter than the whole, so that "never connected" is told apart from "never answered".
            timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=min(seconds / 2, 10))
            self._open_session = aiohttp.ClientSession(timeout=timeout)
        return self._open_session


def _lost(reason: str, is_sending: bool) -> TryLater | MaybeSent:
    return MaybeSent(reason) if is_sending else TryLater(reason)
