"""How many posts X lets the whole app read in a month, and how many it has read.

Written after https://docs.x.com/x-api/usage/introduction and …/fundamentals/authentication/oauth-2-0/application-only.
"""

import calendar
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, ValidationError

from connectors.base import ChannelConfig, Field, Quota

API = "https://api.x.com"
SECONDS = 10.0

BEARER_FIELD = Field(
    "bearer_token",
    "App's bearer token",
    "In the developer portal: your app, Keys and tokens, Bearer Token. With it this page shows how much of the month's"
    " posts is read; nothing else needs it.",
    help_url="https://developer.x.com/en/portal/dashboard",
    is_secret=True,
    is_required=False,
)


class _Bearer(BaseModel):
    access_token: str


class _Usage(BaseModel):
    project_cap: int
    project_usage: int
    cap_reset_day: int | None = None


class _Answer(BaseModel):
    data: _Usage


async def month(config: ChannelConfig, credentials: Mapping[str, str], now: datetime) -> Quota | None:
    """The posts of this month; None where X does not say, for nothing depends on it."""
    api = (config.api_url or API).rstrip("/")
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            token = credentials.get("bearer_token") or await _app_token(session, api, credentials)
            if not token:
                return None
            headers = {"Authorization": f"Bearer {token}"}
            async with session.get(f"{api}/2/usage/tweets", headers=headers, allow_redirects=False) as answer:
                usage = _Answer.model_validate_json(await answer.read()).data
    except (aiohttp.ClientError, TimeoutError, ValueError):  # a ValidationError is one too
        return None
    if usage.project_cap <= 0:
        return None
    return Quota(usage.project_usage, usage.project_cap, resets_at(usage.cap_reset_day, now), "posts")


def resets_at(day: int | None, now: datetime) -> datetime | None:
    """The next midnight with which the `day` of a month begins; the last day of months that are shorter."""
    if day is None or not 1 <= day <= 31:
        return None
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for first in (today.replace(day=1), (today.replace(day=1) + timedelta(days=32)).replace(day=1)):
        at = first.replace(day=min(day, calendar.monthrange(first.year, first.month)[1]))
        if at > now:
            return at
    return None


async def _app_token(session: aiohttp.ClientSession, api: str, credentials: Mapping[str, str]) -> str:
    """The token of the app itself, from the keys of OAuth 1.0a; empty where there are none."""
    key, secret = (credentials.get(name, "").strip() for name in ("consumer_key", "consumer_secret"))
    if not key or not secret:
        return ""
    headers = {"Authorization": aiohttp.encode_basic_auth(quote(key, safe=""), quote(secret, safe=""))}
    form = {"grant_type": "client_credentials"}
    async with session.post(f"{api}/oauth2/token", data=form, headers=headers, allow_redirects=False) as answer:
        try:
            return _Bearer.model_validate_json(await answer.read()).access_token
        except ValidationError:
            return ""
