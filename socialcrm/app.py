"""Puts the pieces together; the only module that knows them all."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from config.settings import Settings
from nlp.pipeline import Pipeline
from socialcrm.database import Database
from socialcrm.domain.engagement import Engagement
from socialcrm.engine.channels import Channels
from socialcrm.engine.ledger import Intake
from socialcrm.engine.line import Line, utc_now
from socialcrm.engine.live import Live
from socialcrm.secrets import Vault

WARM_UP = ("la connexion ta3kom mayta", "الكونيكسيون تاعكم ميتة", "merci beaucoup")


@asynccontextmanager
async def open_line(
    settings: Settings, *, now: Callable[[], datetime] = utc_now, pipeline: Pipeline | None = None
) -> AsyncIterator[Line]:
    """The line of one installation, its models warmed; closes what it opened."""
    engagement = Engagement.load(settings.engagement.rules, settings.engagement.replies, settings.engagement.faq)
    if pipeline is None:
        pipeline = Pipeline.load(settings.understanding.models)
        pipeline.analyze(WARM_UP)
    database = Database(settings.database_url)
    vault = Vault.open(settings.storage.folder)
    channels = Channels(database, vault)
    line = Line(
        settings=settings,
        database=database,
        vault=vault,
        pipeline=pipeline,
        engagement=engagement,
        channels=channels,
        live=Live(database, settings.line.idle_seconds),
        intake=Intake(database),
        now=now,
    )
    try:
        yield line
    finally:
        await channels.close()
        await database.close()
