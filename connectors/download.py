"""Fetching an address that others named: size, time and redirects bounded, and never into our own network.

A feed, a redirect or an attachment may name any address. Only what an admin typed may lie in a private network:
each other host must have public addresses only, looked up once and then connected to
(https://cheatsheetseries.owasp.org/cheatsheets/Server_Side_Request_Forgery_Prevention_Cheat_Sheet.html).
"""

import asyncio
import ipaddress
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from connectors.base import Refused, TryLater
from connectors.cause import cause

REDIRECTS = 5
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
"""RFC 8215; known as private only to newer Pythons."""
_MOVED = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Download:
    """An answer of any status; header names in lower case."""

    url: str
    """Where it came from in the end."""
    status: int
    headers: Mapping[str, str]
    body: bytes


class _PrivateAddress(OSError):
    """The host's address is not on the public internet."""


class _PublicResolver(AbstractResolver):
    def __init__(self, trusted: Collection[str]) -> None:
        self._trusted = trusted
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if host not in self._trusted and not all(_is_public(each["host"]) for each in found):
            raise _PrivateAddress(host)
        return found

    async def close(self) -> None:
        await self._resolver.close()


async def download(
    address: str,
    *,
    trusted: Collection[str] = (),
    headers: Mapping[str, str] | None = None,
    secret_headers: Mapping[str, str] | None = None,
    most: int = 20_000_000,
    seconds: float = 30.0,
) -> Download:
    """GET `address`, at most `most` bytes of it in `seconds`. `trusted`: hosts that may be in a private network;
    `secret_headers` go only to the origin of `address`.

    Raises Refused (private address, too large, no http, too many redirects) and TryLater (nobody answers).
    """
    url = first = _http(address)
    resolver = _PublicResolver(trusted)
    try:
        async with (
            asyncio.timeout(seconds),
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=resolver, ttl_dns_cache=0, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
            ) as session,
        ):
            for _ in range(REDIRECTS + 1):
                if url.host not in trusted and not _is_public(url.host or "", is_name_fine=True):
                    raise _PrivateAddress
                sent = {**(headers or {}), **((secret_headers or {}) if url.origin() == first.origin() else {})}
                async with session.get(url, headers=sent, allow_redirects=False) as answer:
                    if answer.status not in _MOVED or "Location" not in answer.headers:
                        body = await _read(answer, most)
                        known = {name.lower(): value for name, value in answer.headers.items()}
                        return Download(str(url), answer.status, known, body)
                    url = _http(answer.headers["Location"], url)
    except _PrivateAddress:
        raise Refused(f"{url.host} is in a private network; only the host that was typed in may be.") from None
    except aiohttp.ClientError as error:
        if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, _PrivateAddress):
            raise Refused(f"{url.host} is in a private network; only the host that was typed in may be.") from error
        raise TryLater(f"{url.host} cannot be reached: {cause(error)}.") from error
    except (TimeoutError, OSError) as error:
        raise TryLater(f"{url.host} did not answer in {seconds:.0f} seconds.") from error
    raise Refused(f"{first.host} redirects more than {REDIRECTS} times.")


def retry_after(header: str) -> float | None:
    """Seconds to wait after RFC 9110, 10.2.3: seconds, or a date; None where it says neither."""
    if header.isascii() and header.isdigit() and len(header) <= 9:
        return float(header)
    try:
        until = parsedate_to_datetime(header)
        return max(0.0, (until.astimezone(UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _http(address: str, base: URL | None = None) -> URL:
    try:
        url = base.join(URL(address)) if base else URL(address)
        is_http = url.scheme in ("http", "https") and bool(url.host) and url.port is not None
    except (TypeError, ValueError):
        is_http = False
    if not is_http:
        raise Refused("Only addresses that start with https:// or http:// can be fetched.")
    return url.with_user(None).with_fragment(None)


def _is_public(host: str, *, is_name_fine: bool = False) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return is_name_fine
    if isinstance(address, ipaddress.IPv6Address):
        # NAT64, 6to4 and mapped addresses carry an IPv4 one; what is meant is that.
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
        address = inner or address.ipv4_mapped or address.sixtofour or address
    return address.is_global and not address.is_multicast and address not in _LOCAL_NAT64


async def _read(answer: aiohttp.ClientResponse, most: int) -> bytes:
    """The body, unpacked; bounded while it is read, so that a packed one cannot fill the memory."""
    content = bytearray()
    async for chunk in answer.content.iter_chunked(65_536):
        content += chunk
        if len(content) > most:
            raise Refused(f"{answer.url.host} sends more than {most:,} bytes.")
    return bytes(content)
