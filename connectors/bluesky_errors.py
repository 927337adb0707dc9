"""What Bluesky's refusals mean."""

from collections.abc import Mapping
from datetime import UTC, datetime

import httpx

from connectors.base import AuthExpired, ConnectorError, Refused, TryLater
from connectors.cause import cause
from connectors.download import retry_after

ENDED = ("ExpiredToken", "InvalidToken", "AuthMissing")
ELSEWHERE = ("MethodNotImplemented", "XRPCNotSupported")
"""The server does not know this method, nor where to hand it on."""
LOST = httpx.ReadError | httpx.ReadTimeout | httpx.WriteError | httpx.WriteTimeout | httpx.RemoteProtocolError


class Ended(TryLater):
    """The session ended before its time."""


class Lost(TryLater):
    """The request may have done its work: its answer was lost, or the server is in trouble."""


class Exists(Refused):
    """The record is there already."""


def translate(error: Exception, *, is_signing_in: bool = False) -> ConnectorError:
    """What an error of atproto means: all of them carry the response, where there was one."""
    response = getattr(error, "response", None)
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return Refused("The server's address cannot be asked.")
    if isinstance(error, LOST) or isinstance(error.__cause__, LOST):
        return Lost(f"Bluesky did not answer: {cause(error)}.")
    if isinstance(error, httpx.HTTPError) or (response is None and type(error).__module__.startswith("atproto")):
        return TryLater(f"Bluesky cannot be reached: {cause(error)}.")
    if response is None and isinstance(error, ValueError):  # a yes that atproto cannot read
        return Lost("Bluesky answered in an unknown form.")
    if response is None:
        raise error
    content, headers = response.content, response.headers
    code = str(getattr(content, "error", "") or "")
    words = f"{code}: {getattr(content, 'message', '') or ''}".strip(": ") or str(response.status_code)
    words = f"Bluesky answered: {' '.join(words.split())[:300]}"
    match response.status_code:
        case 429:
            return TryLater("Bluesky asks us to wait: too many requests.", _reset(headers))
        case 401 | 403 if is_signing_in:
            return AuthExpired(f"{words} Is it an app password of this account?")
        case 501 | 404 | 400 | 401 if code in ELSEWHERE or "bad token" in words.lower():
            return Refused(words)
        case 400 | 401 if code in ENDED:
            return Ended(words)
        case 401:
            return AuthExpired(words)
        case 400 if code == "InvalidSwap":
            return Exists(words)
        case status if status in (408, 409) or status >= 500:
            return Lost(f"Bluesky has trouble ({status}).", retry_after(headers.get("retry-after", "")))
    return Refused(words)


def _reset(headers: Mapping[str, str]) -> float | None:
    """https://docs.bsky.app/docs/advanced-guides/rate-limits: `ratelimit-reset`, in unix seconds."""
    until = headers.get("ratelimit-reset", "")
    if until.isascii() and until.isdigit() and len(until) <= 11:
        return max(0.0, float(until) - datetime.now(UTC).timestamp())
    return retry_after(headers.get("retry-after", ""))
