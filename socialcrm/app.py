"""Puts the pieces together; the only module that knows them all."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from config.settings import Backend, Settings, Understanding
from nlp.pipeline import FIELDS, Pipeline
from nlp.transformer import TransformerComponent
from socialcrm.database import Database
from socialcrm.domain.engagement import Engagement
from socialcrm.engine.channels import Channels
from socialcrm.engine.ledger import Intake
from socialcrm.engine.line import Line, utc_now
from socialcrm.engine.live import Live
from socialcrm.engine.model import Model
from socialcrm.secrets import Vault

WARM_UP = ("la connexion ta3kom mayta", "الكونيكسيون تاعكم ميتة", "merci beaucoup")


def load_pipeline(settings: Understanding, heads: Path | None = None) -> Pipeline:
    """The models that the settings name, ours with the heads in a file when one is given.

    A ValueError or OSError says which of them cannot be used, and why.
    """
    pipeline = Pipeline.load(settings.models, heads, encoder=settings.encoder)
    for field in FIELDS:
        chosen: Backend = getattr(settings, field)
        if chosen.backend == "transformer":
            how = settings.transformer.model_dump()
            try:
                component = TransformerComponent.load(field, chosen.model, chosen.labels, **how)
            except ValueError as error:
                raise ValueError(f"{error} See understanding.{field} in the settings.") from error
            pipeline = pipeline.with_component(component)
    return pipeline


@asynccontextmanager
async def open_line(
    settings: Settings, *, now: Callable[[], datetime] = utc_now, pipeline: Pipeline | None = None
) -> AsyncIterator[Line]:
    """The line of one installation, its models warmed; closes what it opened."""
    engagement = Engagement.load(settings.engagement.rules, settings.engagement.replies, settings.engagement.faq)

    def load(heads: Path | None) -> Pipeline:
        loaded = load_pipeline(settings.understanding, heads)
        loaded.analyze(WARM_UP)
        return loaded

    database = Database(settings.database_url)
    try:
        model = Model(database, settings.storage.folder / "models", load, pipeline)
        await model.refresh()
        vault = Vault.open(settings.storage.folder)
        channels = Channels(database, vault, settings.public_url)
        line = Line(
            settings=settings,
            database=database,
            vault=vault,
            model=model,
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
    finally:
        await database.close()
