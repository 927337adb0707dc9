"""Calls to Meta's Graph API: signed, within its rate limits, its errors in our words.

Written after https://developers.facebook.com/docs/graph-api (calls, errors, rate limits).
"""

import hashlib
import hmac
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from yarl import URL

from connectors.base import AuthExpired, ChannelConfig, ConnectorError, File, Json, MaybeSent, Refused, TryLater
from connectors.cause import cause
from connectors.payload import parse

GRAPH = "https://graph.facebook.com"
VERSION = "v25.0"
FILE_BYTES = 25_000_000
"""Messenger's largest attachment; WhatsApp's documents may be larger and are left there."""
FILE_HOSTS = ("fbcdn.net", "fbsbx.com", "facebook.com", "cdninstagram.com", "instagram.com")
UPLOAD_SECONDS = 180.0
READ_SHARE = 90
"""Per cent of a rate limit that reading may use; the rest is left for answers."""
READ_WAIT = 300.0
USAGE = ("X-App-Usage", "X-Page-Usage", "X-Business-Use-Case-Usage")
LIMIT_WAIT = 60.0
"""Seconds to wait at a limit whose answer names no time."""
SIGNED_OUT = {0, 102, 190}
AT_LIMIT = {4, 17, 32, 341, 613, 130429, 131048, 133016, *range(80000, 80015)}
BUSY = {2, 1200, 131016, 131056, 131057, 133004}
NOBODY_KNOWS = {1, 131000}
OUTSIDE_WINDOW = {2018278, 2018065, 2534022}
"""Subcodes of error 10."""


class Graph:
    """Calls of one account. `permissions` are named where Meta says that one is missing."""

    def __init__(self, config: ChannelConfig, permissions: tuple[str, ...] = ()) -> None:
        self.config = config
        self.permissions = permissions
        self.token = config.credentials.get("access_token", "").strip()
        self.app_secret = config.credentials.get("app_secret", "").strip()
        self._session: aiohttp.ClientSession | None = None
        self._reads_after = 0.0
        self._calls_after = 0.0
        self.used: float | None = None
        """Per cent of the fullest rate limit; None where Meta has not said."""

    async def get(self, path: str, fields: Mapping[str, str], token: str | None = None) -> dict[str, Json]:
        """Read an object or an edge."""
        return await self._call("GET", path, fields, None, token=token)

    async def post(self, path: str, body: Json, *, is_sending: bool = False) -> dict[str, Json]:
        """Change something; `is_sending` where doing it twice would be seen."""
        return await self._call("POST", path, {}, body, is_sending=is_sending)

    async def upload(
        self, path: str, fields: Mapping[str, str], part: str, file: File, *, is_sending: bool = False
    ) -> dict[str, Json]:
        """A form of `fields` with a file as its `part`."""
        form = aiohttp.FormData(dict(fields))
        form.add_field(part, await file.read(), filename=file.name or "file", content_type=file.content_type)
        return await self._call("POST", path, {}, None, is_sending=is_sending, form=form)

    async def delete(self, path: str) -> dict[str, Json]:
        """Delete something."""
        return await self._call("DELETE", path, {}, None)

    async def token_for(self, fields: Mapping[str, str]) -> dict[str, Json]:
        """A token in place of a code or of another token, which no call of ours carries yet."""
        app = {"client_id": str(self.config.settings.get("app_id") or ""), "client_secret": self.app_secret}
        return await self._answer("GET", "oauth/access_token", {**app, **fields}, is_sending=False)

    async def pages(self, path: str, fields: Mapping[str, str], most: int) -> AsyncIterator[dict[str, Json]]:
        """At most `most` pages of an edge, one after the other."""
        after: str | None = None
        for _ in range(most):
            answer = await self.get(path, {**fields, "after": after} if after else fields)
            yield answer
            after = next_page(answer)
            if after is None:
                return

    async def download(self, url: str, *, is_signed: bool = False) -> bytes:
        """The bytes of a file on Meta's servers; an address in a message must not make us call other machines."""
        here = URL(self.config.api_url) if self.config.api_url else None
        for _ in range(4):
            try:
                asked = URL(url)
            except ValueError:
                asked = URL()
            host = asked.host or ""
            is_metas = asked.scheme == "https" and any(host == h or host.endswith(f".{h}") for h in FILE_HOSTS)
            if not is_metas and not (here and asked.absolute and asked.origin() == here.origin()):
                raise Refused("The file is not on a server of Meta's.")
            headers = {"Authorization": f"Bearer {self.token}"} if is_signed else {}
            async with self._asked("GET", asked, is_sending=False, headers=headers, allow_redirects=False) as answer:
                if answer.status in (301, 302, 303, 307, 308):
                    url = str(asked.join(URL(answer.headers.get("Location", ""))))
                    continue
                if answer.status in (403, 404, 410):
                    raise Refused("Meta no longer has this file: its address has ended.")
                if answer.status != 200:
                    raise TryLater(f"Meta answered {answer.status} when asked for a file.")
                content = await answer.content.read(FILE_BYTES + 1)
                while len(content) <= FILE_BYTES and (more := await answer.content.read(FILE_BYTES + 1 - len(content))):
                    content += more
            if len(content) > FILE_BYTES:
                raise Refused("The file is larger than 25 MB.")
            return content
        raise Refused("The file's address leads in circles.")

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session:
            await session.close()

    async def _call(
        self,
        method: str,
        path: str,
        fields: Mapping[str, str],
        body: Json,
        *,
        is_sending: bool = False,
        token: str | None = None,
        form: aiohttp.FormData | None = None,
    ) -> dict[str, Json]:
        token = token or self.token
        if not token:
            raise AuthExpired("The access token is missing.")
        self._wait_our_turn(is_read=method == "GET")
        query = dict(fields)
        if self.app_secret:
            query["appsecret_proof"] = hmac.new(self.app_secret.encode(), token.encode(), hashlib.sha256).hexdigest()
        headers = {"Authorization": f"Bearer {token}"}
        sent = {"data": form, "timeout": aiohttp.ClientTimeout(total=UPLOAD_SECONDS)} if form else {"json": body}
        return await self._answer(method, path, query, is_sending, headers=headers, **sent)

    async def _answer(
        self, method: str, path: str, query: Mapping[str, str], is_sending: bool, **sent: Any
    ) -> dict[str, Json]:
        url = URL(f"{self.config.api_url or GRAPH}".rstrip("/") + f"/{self.version}/{path}").update_query(query)
        async with self._asked(method, url, is_sending=is_sending, **sent) as answer:
            content = parse(await answer.read())
            self._note_usage(answer.headers)
            error = content.get("error") if isinstance(content, dict) else None
            if answer.status < 400 and error is None and isinstance(content, dict):
                return content
            raise self._translate(answer.status, error, is_sending)

    @asynccontextmanager
    async def _asked(
        self, method: str, url: URL, *, is_sending: bool, **more: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            try:
                wait = float(self.config.settings.get("request_timeout", 30))
            except (TypeError, ValueError):
                raise Refused("The setting request_timeout is not a number of seconds.") from None
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=wait, sock_connect=min(wait / 2, 10))
            )
        try:
            async with self._session.request(method, url, **more) as answer:
                yield answer
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            raise TryLater(f"Meta cannot be reached: {cause(error)}.") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            words = f"{cause(error)}."
            if is_sending:
                raise MaybeSent(f"Meta did not say whether it took the message: {words}") from error
            raise TryLater(f"Meta did not answer: {words}") from error

    @property
    def version(self) -> str:
        """Of the Graph API. Raises Refused."""
        version = str(self.config.settings.get("version") or VERSION).strip()
        if not re.fullmatch(r"v\d{1,3}\.\d{1,2}", version):
            raise Refused("The Graph API version is not of the form v25.0.")
        return version

    def _wait_our_turn(self, *, is_read: bool) -> None:
        """Raise TryLater, without a call, while Meta said that calls would be refused."""
        until = max(self._calls_after, self._reads_after if is_read else 0.0)
        if (left := until - time.monotonic()) > 0:
            raise TryLater("The rate limit of the Meta app is nearly used up.", left)

    def _note_usage(self, headers: Mapping[str, str]) -> None:
        """Graph API, Rate limits: per cent used in the last hour, and minutes until calls are taken again."""
        used, minutes = usage(headers)
        now = time.monotonic()
        if any(name in headers for name in USAGE):
            self.used = used
        if minutes > 0:
            self._calls_after = now + 60 * minutes
        if used >= READ_SHARE:
            self._reads_after = now + READ_WAIT

    def _translate(self, status: int, error: Json, is_sending: bool) -> ConnectorError:
        """Meta's error in ours; https://developers.facebook.com/docs/graph-api/guides/error-handling."""
        facts: dict[str, Json] = error if isinstance(error, dict) else {}
        code, subcode = _number(facts.get("code")), _number(facts.get("error_subcode"))
        words = self._words(facts) or f"Meta answered {status} without words."
        if code in SIGNED_OUT or (code is None and status == 401):
            return AuthExpired(f"Meta no longer accepts the access token: {words}")
        if code in AT_LIMIT or (code is None and status == 429):
            left = self._calls_after - time.monotonic()
            return TryLater(words, float(round(left)) if left > 0 else LIMIT_WAIT)
        if subcode in OUTSIDE_WINDOW or code == 131047:
            return Refused(f"Too long after the customer's last message: {words}")
        if code == 10 or code == 3 or (code is not None and 200 <= code < 300):
            return Refused(f"{words} Permissions that this channel needs: {', '.join(self.permissions)}.")
        if code in BUSY:
            return TryLater(words)
        if code in NOBODY_KNOWS or (code is None and (status >= 500 or status < 400)):
            return MaybeSent(words) if is_sending else TryLater(words)
        return Refused(words)

    def _words(self, facts: Mapping[str, Json]) -> str:
        data = facts.get("error_data")
        details = data.get("details") if isinstance(data, dict) else None
        said = [facts.get("message"), facts.get("error_user_msg") or details]
        words = " ".join(str(each) for each in said if isinstance(each, str) and each)
        # "Malformed access token …" quotes the token.
        for secret in filter(None, (value.strip() for value in self.config.credentials.values())):
            words = words.replace(secret, "…")
        return " ".join(words.split())[:300]


def usage(headers: Mapping[str, str]) -> tuple[float, float]:
    """The highest share used, in per cent, and the minutes until calls are taken again, of all usage headers."""
    used, minutes = 0.0, 0.0
    for name in USAGE:
        for facts in _facts(parse(headers.get(name, "").encode())):
            used = max([used, *(_amount(facts.get(k)) for k in ("call_count", "total_cputime", "total_time"))])
            minutes = max(minutes, _amount(facts.get("estimated_time_to_regain_access")))
    return used, minutes


def _facts(value: Json) -> list[dict[str, Json]]:
    """The innermost objects: X-App-Usage is one, the business header is a list of them for each account."""
    if not isinstance(value, dict):
        return []
    inner = [each for group in value.values() if isinstance(group, list) for each in group if isinstance(each, dict)]
    return inner or [value]


def _amount(value: Json) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _number(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def listed(answer: Mapping[str, Json]) -> list[Json]:
    """The items of an edge's answer."""
    data = answer.get("data")
    return data if isinstance(data, list) else []


def next_page(answer: Mapping[str, Json]) -> str | None:
    """The cursor after an edge's answer, where there is more."""
    paging = answer.get("paging")
    if not isinstance(paging, dict) or not paging.get("next"):
        return None
    cursors = paging.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    return after if isinstance(after, str) else None


def number_of(answer: Mapping[str, Json], key: str) -> str | None:
    """The id of what was made."""
    found = answer.get(key)
    return found if isinstance(found, str) and found else None


def json_field(value: Json) -> str:
    """A value as Meta takes it inside a query."""
    return json.dumps(value, separators=(",", ":"))
