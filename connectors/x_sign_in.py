"""Signing in on X's page: OAuth 2.0 with PKCE, and new tokens in place of those that end after two hours.

Written after https://docs.x.com/fundamentals/authentication/oauth-2-0/authorization-code and …/user-access-token.
"""

import time
from collections.abc import Mapping
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, ValidationError
from tweepy.asynchronous import AsyncClient
from yarl import URL

from connectors.base import AuthExpired, ChannelConfig, Field, Json, Refused, SignIn, TryLater
from connectors.cause import cause
from connectors.x_usage import BEARER_FIELD

PAGE = "https://x.com"
API = "https://api.x.com"
NEEDED = ("tweet.read", "users.read", "offline.access")
"""Without these nothing works, or only for two hours."""
POSTS = ("tweet.write", "tweet.moderate.write", "like.write")
MESSAGES = ("dm.read", "dm.write")
EARLY = 300.0
"""Seconds before its end from which a token is renewed."""
SECONDS = 30.0

MESSAGES_FIELD = Field(
    "messages",
    "Direct messages",
    "Whether they are read as well; some plans of X's API leave them out.",
    default="read",
    choices=("read", "leave"),
)
SIGN_IN = SignIn(
    at="X",
    fields=(
        Field(
            "client_id",
            "Client ID",
            "In the developer portal: your app, Keys and tokens, OAuth 2.0 Client ID and Client Secret.",
            help_url="https://developer.x.com/en/portal/dashboard",
        ),
        Field("client_secret", "Client secret", "Beside the client ID; X shows it only once.", is_secret=True),
        MESSAGES_FIELD,
        BEARER_FIELD,
    ),
    redirect_help="In the developer portal: your app, User authentication settings, type Web App, Callback URI."
    " Choose there to read, write and send direct messages.",
    redirect_help_url="https://developer.x.com/en/portal/dashboard",
)


class _Token(BaseModel):
    """X's answer to a code or a refresh token."""

    access_token: str
    refresh_token: str = ""
    expires_in: float = 7200
    scope: str = ""


class SignedInClient(AsyncClient):  # type: ignore[misc]  # tweepy says nothing of its types
    """tweepy's client with the token of a sign-in, whether or not a call asks to be signed as OAuth 1.0a is."""

    def __init__(self, account_id: str, token: str) -> None:
        super().__init__(token, return_type=dict, wait_on_rate_limit=False)
        self._account_id = account_id

    async def request(
        self, method: str, route: str, params: Json = None, json: Json = None, user_auth: bool = False
    ) -> Json:
        """One call with the token."""
        return await super().request(method, route, params=params, json=json, user_auth=False)

    async def _get_authenticating_user_id(self, *, oauth_1: bool = False) -> str:
        # tweepy reads our number out of a token of OAuth 1.0a, and asks X for it otherwise.
        return self._account_id


def authorize_url(config: ChannelConfig, redirect_url: str, state: str, challenge: str) -> str:
    """X's page that asks whether our app may act for the account."""
    query = {
        "response_type": "code",
        "client_id": _client_id(config),
        "redirect_uri": redirect_url,
        "scope": " ".join((*NEEDED, *_wished(config))),
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return str(URL(f"{config.api_url or PAGE}/i/oauth2/authorize").with_query(query))


async def exchange(config: ChannelConfig, code: str, verifier: str, redirect_url: str) -> dict[str, str]:
    """Credentials from a code, which X takes for 30 seconds. Raises Refused where a needed permission is missing."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_url,
        "code_verifier": verifier,
    }
    found = await _ask(config, form)
    granted = found["scope"].split()
    if lacking := [name for name in NEEDED if name not in granted]:
        raise Refused(f"X did not give these permissions: {', '.join(lacking)}.")
    if not found["refresh_token"]:
        raise Refused("X gave no refresh token, so the sign-in would last two hours only.")
    return found


async def renew(config: ChannelConfig, spent: Mapping[str, str]) -> dict[str, str]:
    """New credentials; the refresh token is worth nothing afterwards. Raises AuthExpired where X takes it no more."""
    try:
        found = await _ask(config, {"grant_type": "refresh_token", "refresh_token": spent.get("refresh_token", "")})
    except Refused as error:
        raise AuthExpired(error.reason) from error
    kept = {key: spent[key] for key in ("refresh_token", "scope") if key in spent}
    return {**kept, **{key: value for key, value in found.items() if value}}


async def revoke(config: ChannelConfig, credentials: Mapping[str, str]) -> None:
    """Give both tokens back (…/user-access-token, "revoking"): that of a call ends with the one that renews it."""
    for name in ("refresh_token", "access_token"):
        if token := credentials.get(name):
            await _post(config, "revoke", {"token": token, "token_type_hint": name})


def is_signed_in(credentials: Mapping[str, str]) -> bool:
    """Whether these are the credentials of a sign-in, and not four pasted keys."""
    return bool(credentials.get("refresh_token"))


def seconds_left(credentials: Mapping[str, str]) -> float:
    """How long the access token lasts."""
    return float(credentials.get("expires_at") or 0) - time.time()


def missing(config: ChannelConfig, credentials: Mapping[str, str]) -> tuple[str, ...]:
    """Permissions that were asked for and not given."""
    granted = credentials.get("scope", "").split()
    return tuple(name for name in _wished(config) if name not in granted)


def _wished(config: ChannelConfig) -> tuple[str, ...]:
    return POSTS if config.settings.get("messages") == "leave" else (*POSTS, *MESSAGES)


def _client_id(config: ChannelConfig) -> str:
    return str(config.settings.get("client_id") or "")


async def _ask(config: ChannelConfig, form: Mapping[str, str]) -> dict[str, str]:
    """Ask for tokens."""
    body = await _post(config, "token", form)
    try:
        token = _Token.model_validate_json(body)
    except ValidationError:
        raise TryLater("X gave no token in a form that we know.") from None
    ends = time.time() + token.expires_in
    plain = {"access_token": token.access_token, "refresh_token": token.refresh_token, "scope": token.scope}
    return {**plain, "expires_at": f"{ends:.0f}"}


async def _post(config: ChannelConfig, what: str, form: Mapping[str, str]) -> bytes:
    """X's yes, asked as a confidential client does (RFC 6749, 2.3.1). Raises TryLater or Refused."""
    url = f"{config.api_url or API}/2/oauth2/{what}"
    app = (quote(each, safe="") for each in (_client_id(config), config.credentials.get("client_secret", "")))
    headers = {"Authorization": aiohttp.encode_basic_auth(*app)}
    try:
        timeout = aiohttp.ClientTimeout(total=SECONDS, sock_connect=10)
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.post(url, data=form, allow_redirects=False) as answer,
        ):
            status, body = answer.status, await answer.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise TryLater(f"X cannot be reached: {cause(error)}.") from None
    if status == 200:
        return body
    if status == 429 or status >= 500:
        raise TryLater(f"X answered {status} when asked for a token.")
    raise Refused(f"X: {_words(body) or f'it answered {status} when asked for a token.'}")


class _Error(BaseModel):
    """RFC 6749, 5.2."""

    error: str = ""
    error_description: str = ""


def _words(body: bytes) -> str:
    try:
        error = _Error.model_validate_json(body)
    except ValidationError:
        return ""
    return " ".join((error.error_description or error.error).split())[:300]
