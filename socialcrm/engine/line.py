"""What every step of the line works with, and running the steps until nothing waits."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from config.settings import Settings
from nlp.pipeline import Pipeline
from socialcrm.database import Database
from socialcrm.domain.engagement import Engagement
from socialcrm.engine.channels import Channels
from socialcrm.engine.ledger import Intake
from socialcrm.engine.live import Live
from socialcrm.engine.model import Model
from socialcrm.secrets import Vault

log = logging.getLogger(__name__)


def utc_now() -> datetime:
    """The time, aware UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Line:
    """The pieces a step needs; put together in `socialcrm.app`."""

    settings: Settings
    database: Database
    vault: Vault
    model: Model
    engagement: Engagement
    channels: Channels
    live: Live
    intake: Intake
    now: Callable[[], datetime] = utc_now
    work: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when rows were written that a step may take: the line starts at once instead of at its next look."""
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the timetable should end: loops end after what they are doing, and a poll that only waits is left."""

    @property
    def pipeline(self) -> Pipeline:
        """What texts are understood with now."""
        return self.model.pipeline


StepFunction = Callable[[Line], Awaitable[int]]
"""Takes one batch of the rows that wait for it; how many it took."""
