"""Connecting a channel: what an admin filled in is tried with the platform before anything is kept."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlmodel import col

from connectors.base import Account, ChannelConfig, Connector, ConnectorError, Field
from socialcrm.domain.channel import Channel, ChannelStatus
from socialcrm.engine.line import Line
from socialcrm.secrets import KeyLost, new_token
from socialcrm.web.words import N_

log = logging.getLogger(__name__)

CHECK_SECONDS = 20.0
ACCOUNT = "account_id"
"""Setting that holds who we are on the platform, so that nobody connects an account twice or swaps it for another."""
HOOK_SECRET = "webhook_secret"  # noqa: S105 - the name of a credential
LENGTH = 4000


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


def filled_in(known: type[Connector], sent: Mapping[str, str], kept: Mapping[str, str]) -> dict[str, str]:
    """The values of a form; a secret that was left empty stays as it is kept. Raises NotConnected."""
    values, errors = {}, {}
    for asked in known.fields:
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
        raise NotConnected(Form(shown(known.fields, values), errors))
    return values


def shown(fields: tuple[Field, ...], values: Mapping[str, str]) -> dict[str, str]:
    """What may stand in a page again: never a secret."""
    return {asked.key: values.get(asked.key, "") for asked in fields if not asked.is_secret}


async def connect(line: Line, name: str, known: type[Connector], sent: Mapping[str, str]) -> Channel:
    """Try the account and keep it as a new channel. Raises NotConnected."""
    values = filled_in(known, sent, {})
    settings, credentials = _split(known, values, {})
    account = await _try(known, values, settings, credentials)
    if known.is_one_account() and await _is_connected(line, name, account):
        raise NotConnected(Form(shown(known.fields, values), {"": N_("This account is connected already.")}))
    now = line.now()
    channel = Channel(
        connector=name,
        key=new_token(),
        name=(sent.get("name", "").strip() or account.name)[:200],
        settings={**settings, ACCOUNT: account.external_id},
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
    try:
        kept = line.vault.decrypt(channel.credentials)
    except KeyLost:
        kept = {}
    values = filled_in(known, sent, kept)
    settings, credentials = _split(known, values, kept)
    settings = {**channel.settings, **settings}
    account = await _try(known, values, settings, credentials)
    if known.is_one_account() and channel.settings.get(ACCOUNT, account.external_id) != account.external_id:
        problem = N_("This is another account than before. Connect it as a new channel.")
        raise NotConnected(Form(shown(known.fields, values), {"": problem}))
    now = line.now()
    async with line.database.write() as session:
        row = await session.get_one(Channel, channel.id, with_for_update=True)
        row.settings = {**settings, ACCOUNT: account.external_id}
        row.credentials = line.vault.encrypt(credentials)
        row.name = (sent.get("name", "").strip() or row.name)[:200]
        row.status, row.error, row.changed_at, row.succeeded_at = ChannelStatus.ACTIVE, "", now, now
        row.poll_after_at = row.send_after_at = None
    await line.channels.forget(row.id or 0)
    await _tell_platform(line, row)
    line.work.set()


async def disconnect(line: Line, channel: Channel) -> None:
    """Forget the credentials and stop; everything that was received stays, and so does what waits to be sent."""
    await _tell_platform(line, channel, is_off=True)
    async with line.database.write() as session:
        row = await session.get_one(Channel, channel.id, with_for_update=True)
        row.status, row.credentials, row.changed_at = ChannelStatus.SIGNED_OUT, "", line.now()
        row.error, row.error_at = "", None
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
    known: type[Connector], values: Mapping[str, str], settings: Mapping[str, str], credentials: Mapping[str, str]
) -> Account:
    plain = {key: value for key, value in settings.items() if key != "api_url"}
    problem = ""
    try:
        connector = known(ChannelConfig(plain, credentials, settings.get("api_url")))
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                return await connector.connect()
        finally:
            await connector.close()
    except ConnectorError as error:
        problem = error.reason
    except TimeoutError:
        problem = N_("The platform did not answer in time.")
    except Exception as error:
        log.exception("a channel could not be tried")
        problem = f"Internal error ({type(error).__name__}): see the log."
    raise NotConnected(Form(shown(known.fields, values), {"": problem}))


def _split(
    known: type[Connector], values: Mapping[str, str], kept: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Settings and credentials; secrets that nobody types are made where they are not kept."""
    settings = {asked.key: values[asked.key] for asked in known.fields if not asked.is_secret}
    credentials = {asked.key: values[asked.key] for asked in known.fields if asked.is_secret}
    made = {key: kept.get(key) or new_token() for key in known.made_secrets}
    return settings, {**credentials, **made}


async def _is_connected(line: Line, name: str, account: Account) -> bool:
    async with line.database.read() as session:
        channels = (await session.execute(select(Channel).where(col(Channel.connector) == name))).scalars().all()
    return any(channel.settings.get(ACCOUNT) == account.external_id for channel in channels)


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
