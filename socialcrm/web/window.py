"""Until when a private conversation can be answered, as its channel allows it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from connectors.base import Window
from socialcrm.engine import answer
from socialcrm.engine.channels import Channels
from socialcrm.secrets import KeyLost
from socialcrm.web.thread import Head


@dataclass(frozen=True)
class State:
    """Whether an agent's answer can go out now."""

    kind: str
    """open, late (agents only), template or closed."""
    until_at: datetime | None
    """When that changes by itself."""
    hours: float
    """How long the window is after the customer's last message."""


async def window_of(session: AsyncSession, channels: Channels, head: Head, now: datetime) -> State | None:
    """The state of a conversation's window; None where the channel has none, or nobody wrote yet."""
    hours = head.connector.limits.window_hours
    heard = await answer.heard_at(session, head.conversation) if hours else None
    if hours is None or heard is None:
        return None
    try:
        window = channels.open(head.channel).window(heard)
    except (KeyLost, KeyError):
        return None
    return state_of(window, hours, now) if window else None


def state_of(window: Window, hours: float, now: datetime) -> State:
    """What a window of so many hours means at a moment."""
    if now <= window.closes_at:
        return State("open", window.closes_at, hours)
    if window.late_until and now <= window.late_until:
        return State("late", window.late_until, hours)
    return State("template" if window.has_template else "closed", None, hours)
