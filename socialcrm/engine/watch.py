"""Watched words: what a channel looks for in public, one of them after each poll."""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connectors.base import AuthExpired, Connector, ConnectorError, RawEvent
from socialcrm.domain.channel import Channel
from socialcrm.engine.line import Line

log = logging.getLogger(__name__)
WATCH = "watch"
"""The channel's setting that holds the watched words, a list."""
MOST = 20
LENGTH = 200
SEARCH_SECONDS = 15.0


@dataclass(frozen=True)
class Found:
    """What one search found, and where all searches go on; to be kept together."""

    events: tuple[RawEvent, ...] = ()
    cursors: dict[str, Any] = field(default_factory=dict)


def watched(channel: Channel) -> list[str]:
    """The words that a channel watches, as its admin wrote them."""
    words = channel.settings.get(WATCH)
    return [word for word in words if isinstance(word, str)] if isinstance(words, list) else []


def states(channel: Channel) -> list[tuple[str, datetime | None, str]]:
    """Each watched word, when it was last searched for, and what the platform said against it."""
    found = []
    for word in watched(channel):
        state = channel.watch_cursors.get(word) or {}
        at = datetime.fromisoformat(state["at"]) if state.get("at") else None
        found.append((word, at, state.get("error", "")))
    return found


def read_words(text: str) -> list[str]:
    """Words as they stand in a form, one a line: without doubles, empty lines and what is too long or too much."""
    lines = (" ".join(line.split())[:LENGTH] for line in text.splitlines())
    return list(dict.fromkeys(line for line in lines if line))[:MOST]


async def look(line: Line, connector: Connector, channel: Channel) -> Found:
    """Search for the word that was searched for longest ago. Raises AuthExpired; other trouble is kept with the word,
    for a search must not stop the polling."""
    words = watched(channel) if connector.can("search") else []
    states = {word: state for word in words if isinstance(state := channel.watch_cursors.get(word), dict)}
    if not words:
        return Found()
    word = min(words, key=lambda each: states.get(each, {}).get("at", ""))
    state = {"cursor": states.get(word, {}).get("cursor"), "at": line.now().isoformat(), "error": ""}
    events: tuple[RawEvent, ...] = ()
    try:
        async with asyncio.timeout(SEARCH_SECONDS):
            page = await connector.search(word, state["cursor"])
        events, state["cursor"] = page.events, page.cursor
    except AuthExpired:
        raise
    except ConnectorError as error:
        state["error"] = error.reason
    except TimeoutError:
        state["error"] = "The platform did not answer in time."
    except Exception as error:
        log.exception("channel %s could not be searched", channel.id)
        state["error"] = f"Internal error ({type(error).__name__}): see the log."
    return Found(events, {**states, word: state})
