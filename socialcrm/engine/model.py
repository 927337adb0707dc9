"""The model in use: the shipped one or the live version that corrections made of it, changed while we run."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlmodel import col

from nlp.pipeline import Pipeline
from socialcrm.database import Database
from socialcrm.domain.teaching import ModelVersion, VersionStatus

log = logging.getLogger(__name__)
LOOK_SECONDS = 5.0
"""How often the live version is asked for: a version that another process trained is in use about so much later."""

Load: TypeAlias = Callable[[Path | None], Pipeline]
"""Loads the models, with the heads in a file or with the shipped ones."""


class Model:
    """Holds the pipeline that the line analyses with."""

    def __init__(self, database: Database, folder: Path, load: Load, pipeline: Pipeline | None = None) -> None:
        """`folder` holds the heads files. A given `pipeline` is what `load` would make of the shipped heads."""
        self._database, self.folder, self._load = database, folder, load
        self._pipeline = pipeline
        self._looked_at = float("-inf")
        self._turn = asyncio.Lock()
        self.version: int | None = None
        """The live version, also when its file cannot be used; None is the shipped model."""
        self.problem = ""
        """Why the live version is not in use although it should be."""

    @property
    def pipeline(self) -> Pipeline:
        """What texts are analysed with now; `refresh` comes first."""
        if self._pipeline is None:
            raise RuntimeError("the model was not loaded: refresh comes first")
        return self._pipeline

    async def refresh(self, *, now: bool = False) -> None:
        """Change to the live version when it is another one; looks every few seconds at most, unless `now`."""
        if not now and time.monotonic() - self._looked_at < LOOK_SECONDS:
            return
        async with self._turn:
            self._looked_at = time.monotonic()
            try:
                live = await self._live()
            except (DBAPIError, OSError):  # not migrated yet, or not there: whoever needs the rows will say so
                if self._pipeline is not None:
                    return
                live = None
            version, path = (live.id, self.folder / live.path) if live else (None, None)
            if self._pipeline is not None and version == self.version:
                return
            is_first = self._pipeline is None
            self._pipeline, self.problem = await asyncio.to_thread(self._open, path)
            self.version = version
            level = logging.DEBUG if is_first else logging.INFO
            log.log(level, "the model in use is %s", f"version {version}" if live else "the shipped one")

    def load(self, heads: Path | None) -> Pipeline:
        """The models with the heads in a file, or with the shipped ones; raises OSError or ValueError."""
        return self._load(heads)

    async def _live(self) -> ModelVersion | None:
        query = select(ModelVersion).where(col(ModelVersion.status) == VersionStatus.LIVE.value)
        async with self._database.read() as session:
            return (await session.execute(query)).scalar_one_or_none()

    def _open(self, heads: Path | None) -> tuple[Pipeline, str]:
        """The models with these heads; with the shipped ones, and why, when they cannot be used."""
        if heads is not None:
            try:
                return self._load(heads), ""
            except Exception as error:  # whatever a damaged file makes of itself: the line goes on
                log.warning("%s cannot be used (%s): the shipped model is at work", heads, error)
                return self._load(None), f"{heads.name}: {error}"
        return self._load(None), ""
