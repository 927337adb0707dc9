"""Connecting a channel: what an admin filled in is tried with the platform before anything is kept."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlmodel import col

from connectors.base import Account, ChannelConfig, Connector, ConnectorError, Field, Keeper
from socialcrm.domain.channel import Channel, ChannelStatus, open_gap
from socialcrm.engine.line import Line
from socialcrm.secrets import KeyLost, new_token
from socialcrm.web.words import N_

log = logging.getLogger(__name__)

CHECK_SECONDS = 20.0
ACCOUNT = "account_id"
"""Setting that holds who we are on the platform, so that nobody connects an account twice or swaps it for another."""
NAME = "account_name"
"""Setting that holds what the platform calls us: in public people call us by it."""
HOOK_SECRET = "webhook_secret"  # noqa: S105 - the name of a credential
LENGTH = 4000
ANOTHER = N_("This is another account than before. Connect it as a new channel.")


@dataclass(frozen=True)
class Form:
    """What stands in the form, and what is wrong with it: sentences by field key, and "" for the whole."""

    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)


class NotConnected(Exception):
    """Nothing was kept; the form says why."""

    def __init__(self, form: Form) -> None:
        super().__init__("; ".join(form.errors.values()))
        self.form = form


def filled_in(fields: tuple[Field, ...], sent: Mapping[str, str], kept: Mapping[str, str]) -> dict[str, str]:
    """The values of a form; a secret that was left empty stays as it is kept. Raises NotConnected."""
    values, errors = {}, {}
    for asked in fields:
        value = sent.get(asked.key, "").strip()
        if asked.is_secret and not value:
            value = kept.get(asked.key, "")
        if not value and asked.is_required:
            errors[asked.key] = N_("This is needed.")
        elif value and asked.choices and value not in asked.choices:
            errors[asked.key] = N_("Choose one of the list.")
        elif len(value) > LENGTH:
            errors[asked.key] = N_("This is too long.")
        values[asked.key] = value
    if errors:
        raise NotConnected(Form(shown(fields, values), errors))
    return values


def shown(fields: tuple[Field, ...], values: Mapping[str, str]) -> dict[str, str]:
    """What may stand in a page again: never a secret."""
    return {asked.key: values.get(asked.key, "") for asked in fields if not asked.is_secret}


def split(fields: tuple[Field, ...], values: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Settings and credentials."""
    secrets = {asked.key: values[asked.key] for asked in fields if asked.is_secret}
    return shown(fields, values), secrets


async def connect(line: Line, name: str, known: type[Connector], sent: Mapping[str, str]) -> Channel:
    """Try the account and keep it as a new channel. Raises NotConnected."""
    settings, credentials = split(known.fields, filled_in(known.fields, sent, {}))
    return await keep(line, name, known, settings, credentials, sent.get("name", ""))


async def keep(
    line: Line,
    name: str,
    known: type[Connector],
    settings: Mapping[str, str],
    credentials: Mapping[str, str],
    called: str = "",
) -> Channel:
    """Try an account and keep it as a new channel. Raises NotConnected."""
    credentials = {**_made(known, {}), **credentials}
    account = await _try(known, settings, credentials)
    if known.is_one_account() and account.external_id in await connected(line, name):
        raise NotConnected(Form(settings, {"": N_("This account is connected already.")}))
    now = line.now()
    channel = Channel(
        connector=name,
        key=new_token(),
        name=(called.strip() or account.name)[:200],
        settings={**settings, ACCOUNT: account.external_id, NAME: account.name},
        credentials=line.vault.encrypt(credentials),
        created_at=now,
        changed_at=now,
        succeeded_at=now,
    )
    async with line.database.write() as session:
        session.add(channel)
    await _tell_platform(line, channel)
    return channel


async def reconnect(line: Line, channel: Channel, known: type[Connector], sent: Mapping[str, str]) -> None:
    """Try the account again with what was filled in, and go on with the same channel. Raises NotConnected."""
    kept = kept_credentials(line, channel)
    fields = known.asked([key for key, value in kept.items() if value])
    settings, credentials = split(fields, filled_in(fields, sent, kept))
    changed = {key: value for key, value in credentials.items() if value != kept.get(key)}
    await keep_again(line, channel, known, settings, changed, sent.get("name", ""))


async def keep_again(
    line: Line,
    channel: Channel,
    known: type[Connector],
    settings: Mapping[str, str],
    credentials: Mapping[str, str],
    called: str = "",
    *,
    is_whole: bool = False,
) -> None:
    """Try the account of a channel again and go on with it. `credentials` are those that changed, beside which the
    others stay; or, where they are the whole of a new sign-in, all there are. Raises NotConnected."""
    kept = kept_credentials(line, channel)
    made = _made(known, kept)
    before = made if is_whole else {**kept, **made}
    plain = {**channel.settings, **settings}
    account = await _try(
        known, plain, {**before, **credentials}, None if is_whole else line.channels.keeper(channel.id or 0)
    )
    if known.is_one_account() and channel.settings.get(ACCOUNT, account.external_id) != account.external_id:
        raise NotConnected(Form(settings, {"": ANOTHER}))
    now = line.now()
    async with line.database.write() as session:
        row = await session.get_one(Channel, channel.id, with_for_update=True)
        # Read anew: the platform may have renewed them while the account was tried.
        before = made if is_whole else {**kept_credentials(line, row), **made}
        row.settings = {**row.settings, **settings, ACCOUNT: account.external_id, NAME: account.name}
        row.credentials = line.vault.encrypt({**before, **credentials})
        row.name = (called.strip() or row.name)[:200]
        row.status, row.error, row.changed_at, row.succeeded_at = ChannelStatus.ACTIVE, "", now, now
        row.poll_after_at = row.send_after_at = None
    await line.channels.forget(row.id or 0)
    await _tell_platform(line, row)
    line.work.set()


def kept_credentials(line: Line, channel: Channel) -> dict[str, str]:
    """The credentials of a channel; none where their key is lost."""
    try:
        return line.vault.decrypt(channel.credentials)
    except KeyLost:
        return {}


async def connected(line: Line, name: str) -> set[str]:
    """The accounts of a kind that are connected."""
    async with line.database.read() as session:
        settings = await session.scalars(select(col(Channel.settings)).where(col(Channel.connector) == name))
        return {str(each[ACCOUNT]) for each in settings if ACCOUNT in each}


async def disconnect(line: Line, channel: Channel) -> None:
    """Forget the credentials and stop; everything that was received stays, and so does what waits to be sent."""
    await _tell_platform(line, channel, is_off=True)
    await _give_back(line, channel)
    async with line.database.write() as session:
        row = await session.get_one(Channel, channel.id, with_for_update=True)
        row.status, row.credentials, row.changed_at = ChannelStatus.SIGNED_OUT, "", line.now()
        row.error, row.error_at = "", None
        open_gap(row, line.now())
    await line.channels.forget(row.id or 0)


async def set_paused(line: Line, channel_id: int, *, is_paused: bool) -> None:
    """Stop polling and sending, or go on; a channel that is signed out stays so."""
    before, after = ChannelStatus.ACTIVE, ChannelStatus.PAUSED
    if not is_paused:
        before, after = after, before
    async with line.database.write() as session:
        row = await session.get_one(Channel, channel_id, with_for_update=True)
        if row.status == before:
            row.status, row.poll_after_at = after, None
    line.work.set()


async def _try(
    known: type[Connector],
    settings: Mapping[str, Any],
    credentials: Mapping[str, str],
    keeper: Keeper | None = None,
) -> Account:
    plain = {key: value for key, value in settings.items() if key != "api_url"}
    async with asked(known, ChannelConfig(plain, credentials, settings.get("api_url"), keeper=keeper)) as connector:
        return await connector.connect()


@asynccontextmanager
async def asked(known: type[Connector], config: ChannelConfig) -> AsyncIterator[Connector]:
    """A connector to ask the platform something with; what goes wrong is raised as NotConnected."""
    problem = ""
    try:
        connector = known(config)
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                yield connector
        finally:
            await connector.close()
    except NotConnected:
        raise
    except ConnectorError as error:
        problem = error.reason
    except TimeoutError:
        problem = N_("The platform did not answer in time.")
    except Exception as error:
        log.exception("a channel could not be tried")
        problem = f"Internal error ({type(error).__name__}): see the log."
    if problem:
        raise NotConnected(Form({key: str(value) for key, value in config.settings.items()}, {"": problem}))


def _made(known: type[Connector], kept: Mapping[str, str]) -> dict[str, str]:
    """Secrets that nobody types; made where they are not kept."""
    return {key: kept.get(key) or new_token() for key in known.made_secrets}


async def _give_back(line: Line, channel: Channel) -> None:
    """Have the platform forget our access, where it can; our credentials are forgotten in any case."""
    try:
        connector = line.channels.open(channel)
        if connector.can("revoke"):
            async with asyncio.timeout(CHECK_SECONDS):
                await connector.revoke()
    except (ConnectorError, KeyLost, KeyError, TimeoutError) as error:
        log.info("channel %s: its access could not be given back: %s", channel.id, type(error).__name__)
    except Exception:
        log.exception("channel %s: its access could not be given back", channel.id)


async def _tell_platform(line: Line, channel: Channel, *, is_off: bool = False) -> None:
    """Have the platform call us, or stop that where we poll; what it answers stands on the channel."""
    problem = ""
    try:
        connector = line.channels.open(channel)
        if not connector.can("set_webhook"):
            return
        is_called = connector.is_called and not is_off
        url = f"{line.settings.public_url}/hooks/{channel.key}" if is_called else None
        async with asyncio.timeout(CHECK_SECONDS):
            await connector.set_webhook(url, connector.config.credentials.get(HOOK_SECRET, ""))
    except ConnectorError as error:
        problem = error.reason
    except TimeoutError:
        problem = N_("The platform did not answer in time.")
    except (KeyLost, KeyError):
        return
    except Exception as error:
        log.exception("channel %s: its webhook could not be set", channel.id)
        problem = f"Internal error ({type(error).__name__}): see the log."
    if problem and not is_off:
        async with line.database.write() as session:
            row = await session.get_one(Channel, channel.id)
            row.error, row.error_at = problem, line.now()
