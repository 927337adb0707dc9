"""The demo's bot: what it does by itself, and talks that it had a little while ago."""

import tomllib
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from socialcrm.domain.bot import Plan
from socialcrm.domain.channel import Channel
from socialcrm.engine.line import Line
from socialcrm.engine.playbook import save_plan, switch

Write = Callable[[dict[str, Any], str, str, datetime], Awaitable[None]]
"""Lets a message come in and goes on: (talk, text, number, at)."""


async def set_up(line: Line) -> None:
    """Answers of the FAQ, call-backs and out of hours; the menu is left to be switched on."""
    async with line.database.write() as session:
        await save_plan(session, line, Plan(tells_closed=True), None)
        await switch(session, line, "callback", True)


async def talk(file: Path, channels: Mapping[str, Channel], now: datetime, write: Write) -> None:
    """Have the customers of a file write to the bot."""
    for place, told in enumerate(tomllib.loads(file.read_text(encoding="utf-8"))["talks"]):
        start = now - timedelta(minutes=told["minutes_ago"])
        for number, text in enumerate(told["texts"]):
            await write(told, text, f"demo-bot-{place}-{number}", start + timedelta(minutes=number))
