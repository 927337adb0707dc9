"""Hooks: signed calls to other systems. Stored first, tried until taken, on record; no personal data in them."""

import asyncio
import hashlib
import hmac
import ipaddress
import json
import logging
import socket
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import aiohttp
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.database import insert_rows
from socialcrm.domain.hook import CallStatus, Hook, HookCall
from socialcrm.engine.line import Line
from socialcrm.secrets import KeyLost, new_token

log = logging.getLogger(__name__)
WAITS = tuple(timedelta(seconds=seconds) for seconds in (30, 120, 600, 3600, 4 * 3600, 12 * 3600))
"""After each try that failed; after the last one nobody tries again."""
LEASE = timedelta(seconds=60)
SECONDS = 15
AT_ONCE = 20
KEPT = timedelta(days=30)
ANSWER = 200
"""Characters of an answer that are kept."""


class HookError(Exception):
    """An address that cannot be used; one sentence for the admin."""


async def add(session: AsyncSession, line: Line, name: str, url: str) -> Hook:
    """Keep an address under a name, with a new secret. Raises HookError."""
    name, url = name.strip(), url.strip()
    if not name:
        raise HookError("Give the webhook a name, by which rules call it.")
    if (await session.execute(select(Hook).where(col(Hook.name) == name))).first():
        raise HookError("There is a webhook of this name already.")
    check_url(url)
    hook = Hook(name=name, url=url, secret=line.vault.encrypt({"secret": new_token()}), made_at=line.now())
    session.add(hook)
    await session.flush()
    return hook


def check_url(url: str) -> None:
    """Raise HookError for what is no address on the web."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise HookError("This is no address: it should look like https://example.com/hook.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise HookError("This is no address: it should look like https://example.com/hook.")
    if parts.username or parts.password:
        raise HookError("An address with a user name or password in it would be shown in the log: leave them out.")


async def put(
    session: AsyncSession, line: Line, name: str, payload: dict[str, object], key: str, conversation_id: int | None
) -> str:
    """Have a webhook called; why not, if so. The same `key` twice is one call."""
    hook = (await session.execute(select(Hook).where(col(Hook.name) == name))).scalar_one_or_none()
    if hook is None:
        return f"there is no webhook called {name!r}"
    if not hook.is_on:
        return f"the webhook {name!r} is switched off"
    if (await session.execute(select(col(HookCall.id)).where(col(HookCall.key) == key))).first() is None:
        now = line.now()
        row = {
            "key": key,
            "hook_id": hook.id,
            "conversation_id": conversation_id,
            "payload": payload,
            "made_at": now,
            "due_at": now,
        }
        await insert_rows(session, HookCall, [row])
    return ""


async def call_due(line: Line) -> int:
    """Make the calls that are due; how many."""
    now = line.now()
    due = select(HookCall).where(col(HookCall.status) == CallStatus.WAITING.value, col(HookCall.due_at) <= now)
    if not await line.database.has(due):
        return 0
    query = due.order_by(col(HookCall.due_at), col(HookCall.id)).limit(AT_ONCE).with_for_update(skip_locked=True)
    async with line.database.write() as session:
        calls = (await session.execute(query)).scalars().all()
        hooks = {hook.id: hook for hook in (await session.execute(select(Hook))).scalars()} if calls else {}
        for call in calls:
            call.due_at, call.attempt_count = now + LEASE, call.attempt_count + 1
    if calls:
        connector = aiohttp.TCPConnector(resolver=Guarded(line.settings.rules.may_call_private))
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as client:
            await asyncio.gather(*(_call(line, client, hooks[call.hook_id], call) for call in calls))
    return len(calls)


async def prune(line: Line) -> None:
    """Forget calls of long ago."""
    async with line.database.write() as session:
        old = delete(HookCall).where(
            col(HookCall.status) != CallStatus.WAITING.value, col(HookCall.made_at) < line.now() - KEPT
        )
        await session.execute(old)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What stands in X-SocialCRM-Signature: HMAC-SHA256 of the timestamp, a dot, and the body as it was sent."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def secret_of(line: Line, hook: Hook) -> str:
    """The secret that signs. Raises KeyLost."""
    return line.vault.decrypt(hook.secret)["secret"]


async def _call(line: Line, client: aiohttp.ClientSession, hook: Hook, call: HookCall) -> None:
    status, reason = None, ""
    try:
        _check_host(hook.url, line.settings.rules.may_call_private)
        body = json.dumps({"id": call.key, **call.payload}, ensure_ascii=False).encode()
        timestamp = str(int(line.now().timestamp()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "SocialCRM",
            "X-SocialCRM-Delivery": hashlib.sha256(call.key.encode()).hexdigest()[:32],
            "X-SocialCRM-Timestamp": timestamp,
            "X-SocialCRM-Signature": signature(secret_of(line, hook), timestamp, body),
        }
        async with client.post(hook.url, data=body, headers=headers, allow_redirects=False) as response:
            status = response.status
            if not 200 <= status < 300:
                answer = (await response.content.read(ANSWER * 4)).decode("utf-8", "replace")
                reason = f"The other side answered {status}: {' '.join(answer.split())[:ANSWER]}".rstrip(": ")
    except HookError as error:
        reason = str(error)
    except KeyLost:
        reason = "The secret was encrypted with another key: make the webhook anew."
    except TimeoutError:
        reason = f"The other side did not answer within {SECONDS} seconds."
    except (aiohttp.ClientError, OSError) as error:
        reason = PRIVATE if _led_inside(error) else f"It could not be reached: {type(error).__name__}."
    except Exception as error:
        log.exception("call %s failed", call.id)
        reason = f"Internal error ({type(error).__name__}): see the log."
    await _record(line, call, line.now(), status, reason)


async def _record(line: Line, call: HookCall, now: datetime, status: int | None, reason: str) -> None:
    async with line.database.write() as session:
        row = (
            await session.execute(select(HookCall).where(col(HookCall.id) == call.id).with_for_update())
        ).scalar_one_or_none()
        if row is None or row.status != CallStatus.WAITING:
            return
        row.response_status, row.reason = status, reason
        if not reason:
            row.status, row.done_at = CallStatus.SENT, now
        elif row.attempt_count > len(WAITS):
            row.status, row.done_at = CallStatus.FAILED, now
        else:
            row.due_at = now + WAITS[row.attempt_count - 1]


PRIVATE = "The address leads into a private network: allow that with rules.may_call_private in the settings."


def is_private(address: str) -> bool:
    """Whether an IP address is none of the public internet."""
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return not (mapped or found).is_global or found.is_multicast


def _led_inside(error: BaseException | None) -> bool:
    """Whether a name was not called for where it leads."""
    while error is not None and not isinstance(error, HookError):
        error = error.__cause__ or error.__context__
    return error is not None


def _check_host(url: str, may_call_private: bool) -> None:
    """An address that is a number asks no resolver."""
    host = urlsplit(url).hostname or ""
    try:
        private = is_private(host)
    except ValueError:
        return
    if private and not may_call_private:
        raise HookError(PRIVATE)


class Guarded(aiohttp.abc.AbstractResolver):
    """Looks names up and leaves out what is private, at the moment of the call: a name that led elsewhere when it was
    entered cannot lead inside later."""

    def __init__(self, may_call_private: bool) -> None:
        self._inner = aiohttp.ThreadedResolver()
        self._may_call_private = may_call_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        """The addresses of a name. Raises OSError, from HookError when they are private."""
        found = await self._inner.resolve(host, port, family)
        allowed = [one for one in found if self._may_call_private or not is_private(one["host"])]
        if not allowed:
            raise OSError(PRIVATE) from HookError(PRIVATE)
        return allowed

    async def close(self) -> None:
        """Let go of the inner one."""
        await self._inner.close()
