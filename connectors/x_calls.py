"""Calls to X through tweepy: where they go, what X says of its limits, and what its refusals mean."""

import logging
import time
from collections.abc import Collection, Coroutine, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import aiohttp
from tweepy.asynchronous import AsyncClient
from tweepy.errors import HTTPException, TooManyRequests, TweepyException
from yarl import URL

from connectors import x_sign_in
from connectors.base import AuthExpired, ChannelConfig, ConnectorError, Json, MaybeSent, Quota, Refused, TryLater
from connectors.cause import cause
from connectors.download import retry_after
from connectors.x_posts import whole

logging.getLogger("tweepy").setLevel(logging.CRITICAL)  # at DEBUG it logs texts and headers with tokens

KEYS = ("consumer_key", "consumer_secret", "access_token", "access_token_secret")
NEVER = 10**11
"""Seconds since 1970 that no calendar holds."""
NO_TIME_WAIT = 900.0
"""Most of X's limits are for 15 minutes; where an answer names no time."""


class Session:
    """What tweepy needs of a session; asks `server` instead of X's own address where one is given."""

    def __init__(self, seconds: float, server: str | None) -> None:
        self._server = server
        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(self._note_window)
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=min(seconds / 2, 10))
        self._session = aiohttp.ClientSession(timeout=timeout, trace_configs=[trace])
        self.windows: dict[str, Quota] = {}
        """By path, what X last said of how many more calls of it are read."""

    def request(self, method: str, url: str | URL, **options: Any) -> Any:
        """A request of tweepy's, whose signature covers the address as it was."""
        if self._server:
            own = URL(self._server)
            url = URL(url).with_scheme(own.scheme).with_host(own.host or "").with_port(own.port)
        return self._session.request(method, url, allow_redirects=False, **options)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def _note_window(self, session: object, context: object, done: aiohttp.TraceRequestEndParams) -> None:
        """tweepy keeps the headers of answers to itself (https://docs.x.com/x-api/fundamentals/rate-limits)."""
        headers = done.response.headers
        limit, left, reset = (whole(headers.get(f"x-rate-limit-{part}")) for part in ("limit", "remaining", "reset"))
        if done.method == "GET" and limit and 0 < reset < NEVER:
            self.windows[done.url.path] = Quota(max(limit - left, 0), limit, datetime.fromtimestamp(reset, UTC))


class Calls:
    """Calls of one account, with a token that lasts."""

    def __init__(self, config: ChannelConfig) -> None:
        self._config = config
        self.credentials: Mapping[str, str] = config.credentials
        self._opened: tuple[AsyncClient, Session] | None = None

    @property
    def windows(self) -> Collection[Quota]:
        """What X said of how many more calls it reads, where that still holds."""
        windows = self._opened[1].windows.values() if self._opened else ()
        return [each for each in windows if each.resets_at and each.resets_at.timestamp() > time.time()]

    async def close(self) -> None:
        """Close the connections; the next call would open them again."""
        opened, self._opened = self._opened, None
        if opened:
            await opened[1].close()

    async def ask(self, asked: Coroutine[Any, Any, Any], *, is_sending: bool = False) -> dict[str, Json]:
        """What X answers with a token that lasts, or the error that it means."""
        try:
            await self._renew()
        except BaseException:
            asked.close()
            raise
        try:
            return await self._answer(asked, is_sending=is_sending)
        except AuthExpired as error:
            await self._take_newer(error)
            raise TryLater("The sign-in on X was renewed just now.", 1.0) from error

    async def _renew(self) -> None:
        """Renew the token of a sign-in before it ends; while X cannot be asked, go on with what is left of it."""
        keeper, left = self._config.keeper, x_sign_in.seconds_left(self.credentials)
        if not self.is_signed_in or keeper is None or left > x_sign_in.EARLY:
            return
        try:
            self._use(await keeper.renewed(self.credentials, partial(x_sign_in.renew, self._config)))
        except TryLater:
            if left <= 0:
                raise

    async def _take_newer(self, error: AuthExpired) -> None:
        """Use what another process renewed, since X took our token no more; raises `error` where nobody has."""

        async def refuse(spent: Mapping[str, str]) -> Mapping[str, str]:
            raise error

        if not self.is_signed_in or self._config.keeper is None:
            raise error
        self._use(await self._config.keeper.renewed(self.credentials, refuse))

    def _use(self, credentials: Mapping[str, str]) -> None:
        self.credentials = credentials
        self.client.bearer_token = credentials.get("access_token", "")

    async def _answer(self, asked: Coroutine[Any, Any, Any], *, is_sending: bool) -> dict[str, Json]:
        try:
            found = await asked
        except HTTPException as error:
            raise await _translated(error, is_sending) from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise TryLater(f"X cannot be reached: {cause(error)}.") from error
        except aiohttp.ContentTypeError as error:
            wait = retry_after(error.headers.get("Retry-After", "") if error.headers else "") or NO_TIME_WAIT
            raise _meant(error.status, f"X answered {error.status} in an unknown form.", is_sending, wait) from error
        except (aiohttp.ClientError, TimeoutError, TweepyException, ValueError) as error:
            words = f"X did not answer as it should: {cause(error)}."
            raise MaybeSent(words) if is_sending else TryLater(words) from error
        if not isinstance(found, dict):
            raise MaybeSent("X answered in an unknown form.") if is_sending else TryLater("X answered nothing.")
        return found

    @property
    def is_signed_in(self) -> bool:
        """Whether an admin signed in on X's page; else four keys were pasted."""
        return x_sign_in.is_signed_in(self.credentials)

    @property
    def me(self) -> str:
        """Our number: kept since the account was connected, and what every access token of OAuth 1.0a begins with."""
        if self.is_signed_in:
            return str(self._config.settings.get("account_id") or "")
        return self._config.credentials.get("access_token", "").partition("-")[0].strip()

    @property
    def client(self) -> AsyncClient:
        """tweepy's client. Raises AuthExpired where keys are missing."""
        if self._opened is None:
            client = self._new_client()
            try:
                seconds = float(self._config.settings.get("request_timeout", 30))
            except (TypeError, ValueError):
                raise Refused("The setting request_timeout is not a number of seconds.") from None
            client.session = session = Session(seconds, self._config.api_url)
            self._opened = client, session
        return self._opened[0]

    def _new_client(self) -> AsyncClient:
        if self.is_signed_in:
            return x_sign_in.SignedInClient(self.me, self.credentials.get("access_token", ""))
        keys = {key: self.credentials.get(key, "").strip() for key in KEYS}
        if not all(keys.values()):
            raise AuthExpired("One of the four keys of X is missing.")
        return AsyncClient(**keys, return_type=dict, wait_on_rate_limit=False)


async def _translated(error: HTTPException, is_sending: bool) -> ConnectorError:
    response = error.response
    try:
        body = await response.json(content_type=None)
    except (ValueError, aiohttp.ClientError):
        body = {}
    body = body if isinstance(body, dict) else {}
    errors = body.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    words = first.get("message") or first.get("detail") or body.get("detail") or body.get("title") or response.reason
    wait = None
    if isinstance(error, TooManyRequests):
        reset = response.headers.get("x-rate-limit-reset", "")
        wait = max(0.0, int(reset) - time.time()) if reset.isascii() and reset.isdigit() else NO_TIME_WAIT
    return _meant(response.status, f"X: {' '.join(str(words).split())[:300]}", is_sending, wait)


def _meant(status: int, words: str, is_sending: bool, wait: float | None) -> ConnectorError:
    if status == 401:
        return AuthExpired(words)
    if status == 429:
        return TryLater(words, wait)
    if status < 500 and status >= 300:
        return Refused(words)
    return MaybeSent(words) if is_sending else TryLater(words)
