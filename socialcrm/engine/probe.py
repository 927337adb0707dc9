"""Probe: once a day each channel is asked who we are, so that a dying token is known before it is dead."""

import asyncio
import logging
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, or_, select, update
from sqlmodel import col

from connectors.base import Account, AuthExpired, ConnectorError, Quota
from socialcrm.domain.channel import Channel, ChannelStatus
from socialcrm.engine.channels import lose_sign_in
from socialcrm.engine.line import Line
from socialcrm.secrets import KeyLost

log = logging.getLogger(__name__)
EVERY = timedelta(days=1)
AFTER_TROUBLE = timedelta(hours=1)
PROBE_SECONDS = 30.0


async def probe_next(line: Line) -> int:
    """Probe the channel that waits longest, if one is due; how many were probed. One at a time spreads them over the
    day: each is due again a day after its own turn."""
    channel = await _claim(line)
    if channel is None:
        return 0
    values: dict[str, Any] = {"probe_error": ""}
    try:
        account, quota = await _ask(line, channel)
    except AuthExpired as error:
        async with line.database.write() as session:
            await lose_sign_in(session, channel.id or 0, error.reason, line.now(), channel.changed_at)
    except ConnectorError as error:
        values = _trouble(line, error.reason)
    except TimeoutError:
        values = _trouble(line, "The platform did not answer in time.")
    except (KeyLost, KeyError) as error:
        values = _trouble(line, str(error.args[0]))
    except Exception as error:
        log.exception("channel %s could not be probed", channel.id)
        values = _trouble(line, f"Internal error ({type(error).__name__}): see the log.")
    else:
        values |= learned(account)
        values |= {"quota": kept(quota, {"cap": _plain(account.cap)})} if quota or account.cap else {}
    async with line.database.write() as session:
        await session.execute(update(Channel).where(col(Channel.id) == channel.id).values(**values))
    return 1


async def note_quotas(line: Line) -> None:
    """Write down what platforms said of their quotas, so that pages and other processes know."""
    quotas = line.channels.quotas()
    if not quotas:
        return
    query = select(col(Channel.id), col(Channel.quota)).where(col(Channel.id).in_(quotas))
    async with line.database.read() as session:
        known = {number: quota for number, quota in (await session.execute(query)).all()}
    changed = {n: after for n, quota in quotas.items() if n in known and (after := kept(quota, known[n])) != known[n]}
    if changed:
        async with line.database.write() as session:
            for number, after in sorted(changed.items()):
                await session.execute(update(Channel).where(col(Channel.id) == number).values(quota=after))


def learned(account: Account) -> dict[str, Any]:
    """The columns that an account fills."""
    return {
        "account_name": account.name,
        "token_ends_at": account.token_ends_at,
        "missing_scopes": list(account.missing_scopes),
    }


def kept(quota: Quota | None, before: dict[str, Any] | None = None) -> dict[str, Any]:
    """A quota as JSON, beside the "cap" of a longer time that is kept already; of two counts until the same reset, as
    of two processes, the higher one is nearer the truth."""
    cap = {"cap": before["cap"]} if before and before.get("cap") else {}
    after = _plain(quota)
    if before and after and after["resets_at"] and before.get("resets_at") == after["resets_at"]:
        after["used"] = max(after["used"], before["used"])
    return {**(after or {}), **cap}


def _plain(quota: Quota | None) -> dict[str, Any] | None:
    if quota is None:
        return None
    resets_at = quota.resets_at.isoformat() if quota.resets_at else None
    return {"used": quota.used, "limit": quota.limit, "resets_at": resets_at, "unit": quota.unit}


async def _claim(line: Line) -> Channel | None:
    """The next channel to probe, with its next probe put off, so that no other process makes this one too."""
    now = line.now()
    is_due: ColumnElement[bool] = or_(
        col(Channel.probe_after_at).is_(None),
        col(Channel.probe_after_at) <= now,
        col(Channel.probed_at) < col(Channel.changed_at),  # connected anew
    )
    where = (col(Channel.status) == ChannelStatus.ACTIVE, is_due)
    oldest = select(col(Channel.id)).where(*where).order_by(col(Channel.probed_at).asc().nulls_first()).limit(1)
    claim = (
        update(Channel)
        .where(col(Channel.id).in_(oldest.with_for_update(skip_locked=True)), *where)
        .values(probed_at=now, probe_after_at=now + EVERY)
        .returning(Channel)
        .execution_options(synchronize_session=False)
    )
    async with line.database.write() as session:
        return (await session.execute(claim)).scalar_one_or_none()


async def _ask(line: Line, channel: Channel) -> tuple[Account, Quota | None]:
    """With a connector of its own, for `connect` may sign in anew, and that must not disturb a poll."""
    connector = line.channels.another(channel)
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return await connector.connect(), connector.quota
    finally:
        await connector.close()


def _trouble(line: Line, reason: str) -> dict[str, Any]:
    return {"probe_error": reason, "probe_after_at": line.now() + AFTER_TROUBLE}
