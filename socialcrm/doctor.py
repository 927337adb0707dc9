"""Doctor: names whatever is wrong with an installation, one sentence each."""

import asyncio
import shutil
import stat
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from babel.support import NullTranslations
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlmodel import col

from config.settings import Settings
from connectors.base import AuthExpired, Connector, ConnectorError
from socialcrm.app import load_pipeline
from socialcrm.database import Database
from socialcrm.domain.channel import Channel, ChannelStatus
from socialcrm.domain.engagement import Engagement, EngagementError
from socialcrm.domain.outbox import OutboxItem, OutboxStatus
from socialcrm.domain.people import Agent, Role
from socialcrm.domain.teaching import ModelVersion, VersionStatus
from socialcrm.engine import ledger
from socialcrm.engine.channels import Channels
from socialcrm.engine.line import utc_now
from socialcrm.engine.probe import PROBE_SECONDS, learned
from socialcrm.migrate import is_current
from socialcrm.reports.accounts import Account, accounts
from socialcrm.reports.drift import Shift, alarms, drift
from socialcrm.secrets import KEY_FILE, Vault
from socialcrm.web.health import Health, opened
from socialcrm.web.i18n import Formats
from socialcrm.web.page import STATIC

LEAST_SPACE = 500_000_000


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    is_well: bool
    sentence: str


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Look at the files, the models, the database and each channel."""
    yield _folder(settings)
    yield _assets()
    yield _engagement(settings)
    yield _models(settings)
    database = Database(settings.database_url)
    try:
        is_ready = await is_current(database)
        sentence = "The rows are in the newest form." if is_ready else "Run `socialcrm migrate`: rows are missing."
        yield Finding("database", is_ready, sentence)
        if is_ready:
            async for finding in _contents(settings, database):
                yield finding
    except (DBAPIError, OSError) as error:
        yield Finding("database", False, f"It cannot be reached: {getattr(error, 'orig', error)}")
    finally:
        await database.close()


def _folder(settings: Settings) -> Finding:
    folder = settings.storage.folder
    key = folder / KEY_FILE
    if key.exists() and key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return Finding("folder", False, f"Others can read {key}: chmod 600 it.")
    free = shutil.disk_usage(folder if folder.exists() else folder.absolute().parent).free
    if free < LEAST_SPACE:
        return Finding("folder", False, f"Only {free // 1_000_000} MB are free where {folder} is.")
    return Finding("folder", True, f"{folder.absolute()}, {free // 1_000_000_000} GB free.")


def _assets() -> Finding:
    is_built = (STATIC / "app.js").exists()
    return Finding("assets", is_built, "Built." if is_built else "Not built: run `make assets`.")


def _engagement(settings: Settings) -> Finding:
    files = settings.engagement
    try:
        found = Engagement.load(files.rules, files.replies, files.faq)
    except EngagementError as error:
        return Finding("rules", False, str(error))
    return Finding("rules", True, f"{len(found.rules)} rules, {len(found.questions)} questions.")


def _models(settings: Settings) -> Finding:
    try:
        document = load_pipeline(settings.understanding).analyze(["merci beaucoup"])[0]
    except (OSError, ValueError) as error:
        return Finding("models", False, f"They cannot be loaded: {error}")
    return Finding("models", True, document.sentiment.model if document.sentiment else "no sentiment")


async def _contents(settings: Settings, database: Database) -> AsyncIterator[Finding]:
    async with database.read() as session:
        book = await ledger.counts(session)
        unknown = await session.scalar(
            select(func.count()).select_from(OutboxItem).where(col(OutboxItem.status) == OutboxStatus.UNKNOWN)
        )
        admins = await session.scalar(
            select(func.count()).select_from(Agent).where(col(Agent.role) == Role.ADMIN, col(Agent.is_active))
        )
        channels = await accounts(session, utc_now())
        versions = select(ModelVersion).where(col(ModelVersion.status) == VersionStatus.LIVE.value)
        live = (await session.execute(versions)).scalar_one_or_none()
        shifts = alarms(await drift(session, utc_now(), ZoneInfo(settings.engagement.time_zone)))
    if live is not None:
        yield _version(settings, live)
    yield _drift(shifts)
    if not book.is_balanced:
        yield Finding("ledger", False, "Received is not stored + duplicate + ignored + dead + waiting.")
    elif book.dead:
        yield Finding("ledger", False, f"{book.dead} dead letters: see the Ledger page.")
    else:
        yield Finding("ledger", True, f"{book.received:,} received, all accounted for.")
    sentence = (
        f"{unknown} messages may or may not have been sent: an agent should decide." if unknown else "All settled."
    )
    yield Finding("outbox", not unknown, sentence)
    yield Finding(
        "people", bool(admins), "There is an admin." if admins else "Nobody is admin: socialcrm create-agent."
    )
    health = Health(NullTranslations(), Formats("en", settings.engagement.time_zone), utc_now())
    opening = Channels(database, Vault.open(settings.storage.folder))
    try:
        for account in channels:
            async for finding in _channel(opening, account, health):
                yield finding
    finally:
        await opening.close()


def _version(settings: Settings, live: ModelVersion) -> Finding:
    """Whether the live version of the model can be used."""
    try:
        load_pipeline(settings.understanding, settings.storage.folder / "models" / live.path).analyze(
            ["merci beaucoup"]
        )
    except Exception as error:  # whatever a damaged file makes of itself
        sentence = f"Version {live.id} cannot be loaded, the shipped model is at work: {error}"
        return Finding("model version", False, f"{sentence} `socialcrm model rollback` ends this.")
    return Finding("model version", True, f"Version {live.id} is live.")


def _drift(shifts: Sequence[Shift]) -> Finding:
    """Whether the last seven days are unlike the four weeks before."""
    if not shifts:
        return Finding("understanding", True, "Nothing has shifted in the last seven days.")
    first = shifts[0]
    where = "all messages" if first.dimension == "all" else f"{first.dimension} {first.group}"
    return Finding(
        "understanding",
        False,
        f"{first.field} “{first.label}” went from {first.before:.0%} to {first.share:.0%} of {where} in the last seven "
        f"days (stability index {first.index:.2f}): a real event or the model? See the Understanding page.",
    )


async def _channel(channels: Channels, account: Account, health: Health) -> AsyncIterator[Finding]:
    """A sentence for each thing that is wrong with a channel, after asking the platform who we are."""
    channel = account.channel
    what, connector = f"channel {channel.name}", opened(channels, channel)
    if channel.status == ChannelStatus.ACTIVE and not isinstance(connector, str):
        await _ask(connector, channel)
    faults = health.faults(account, connector)
    for fault in faults:
        yield Finding(what, False, fault)
    if not faults:
        well = {
            ChannelStatus.PAUSED: "Paused by an admin.",
            ChannelStatus.SIGNED_OUT: "Disconnected by an admin.",
        }
        yield Finding(what, True, well.get(ChannelStatus(channel.status), f"Connected as {channel.account_name}."))


async def _ask(connector: Connector, channel: Channel) -> None:
    """What a probe would write down now, on the row that nobody saves."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            found = learned(await connector.connect())
    except AuthExpired as error:
        found = {"probe_error": f"{error.reason.rstrip('.')}. Connect it again on the Channels page."}
    except ConnectorError as error:
        found = {"probe_error": error.reason}
    except TimeoutError:
        found = {"probe_error": "The platform did not answer in time."}
    for column, value in {"probe_error": "", **found}.items():
        setattr(channel, column, value)
