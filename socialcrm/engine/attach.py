"""Attach: the files of customers are fetched once, whoever asks first, and kept; what fails is said and can be tried
again."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Text, cast, func, select
from sqlmodel import col

from connectors.base import Attachment, ConnectorError, MessageKind, TryLater
from socialcrm.domain.media import HEAD, sniff
from socialcrm.domain.message import Direction, Message
from socialcrm.engine.channels import ChannelGone
from socialcrm.engine.files import CannotKeep, keep, path_of
from socialcrm.engine.line import Line
from socialcrm.secrets import KeyLost

log = logging.getLogger(__name__)

FETCH_SECONDS = 120.0
CLAIM = timedelta(seconds=FETCH_SECONDS + 30)
PATIENCE_SECONDS = 40.0
AT_ONCE = 4
LOOKED_BACK = 200
"""Newest messages that are looked at again for files that could not be fetched."""
TRIES = 5
Entry = dict[str, Any]
"""One attachment in a message's row: the fields of `connectors.base.Attachment`, and, as far as they apply, `error`
(a sentence), `is_for_now`, `tries`, `failed_at` and `fetching_until` (ISO 8601)."""
_FIELDS = {each.name for each in fields(Attachment)}


class CannotFetch(Exception):
    """There is no copy of a file; the message is a sentence for people."""


def attachment_of(entry: Mapping[str, Any]) -> Attachment:
    """The attachment that a message's row tells of."""
    return Attachment(**{key: value for key, value in entry.items() if key in _FIELDS})


async def fetch(line: Line, message_id: int, place: int, *, again: bool = False) -> Entry:
    """The attachment with its copy in the store, fetched if nobody did so yet. One process fetches at a time, the
    others wait for it. What failed is not asked for anew unless `again`. Raises CannotFetch, and LookupError where
    there is no such attachment."""
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        bell = line.live.bell
        message, entry, is_ours = await _claim(line, message_id, place, again=again)
        if is_ours:
            return await _fetch(line, message, place, entry)
        if error := entry.get("error"):
            raise CannotFetch(error)
        if entry.get("sha256"):
            return entry
        if time.monotonic() > ends_at:
            raise CannotFetch("The file is still being fetched: try again in a moment.")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await bell.wait()


async def fetch_new(line: Line, after: int | None) -> int:
    """Fetch what came with private messages after number `after` (None: with the newest ones), before the platform
    forgets it, and try again what failed for a while; the newest number. What is said in public is fetched when
    somebody looks."""
    if after is None:
        async with line.database.read() as session:
            after = (await session.scalar(select(func.max(col(Message.id))))) or 0
    query = (
        select(col(Message.id), col(Message.attachments))
        .where(
            col(Message.id) > max(0, after - LOOKED_BACK),
            col(Message.direction) == Direction.IN,
            col(Message.kind) == MessageKind.DIRECT_MESSAGE,
            cast(col(Message.attachments), Text) != "[]",
        )
        .order_by(col(Message.id))
        .limit(LOOKED_BACK)
    )
    async with line.database.read() as session:
        found = (await session.execute(query)).all()
    now = line.now()
    wanted = [(number, place) for number, entries in found for place, e in enumerate(entries) if _is_wanted(e, now)]
    for start in range(0, len(wanted), AT_ONCE):
        tries = (fetch(line, number, place, again=True) for number, place in wanted[start : start + AT_ONCE])
        for outcome in await asyncio.gather(*tries, return_exceptions=True):
            if isinstance(outcome, Exception) and not isinstance(outcome, CannotFetch | LookupError):
                log.error("an attachment could not be fetched: %s", type(outcome).__name__)
    return max([after, *(number or 0 for number, _ in found)])


def _is_wanted(entry: Entry, now: datetime) -> bool:
    """Whether a file should be fetched without being asked for: nobody did, or it failed for a while and long enough
    ago. Nobody waits for another process here."""
    if entry.get("sha256") or _is_claimed(entry, now):
        return False
    tries = int(entry.get("tries", 0))
    if not entry.get("error"):
        return True
    waited = now - datetime.fromisoformat(entry["failed_at"])
    return bool(entry.get("is_for_now")) and tries < TRIES and waited > timedelta(minutes=2**tries)


def _is_claimed(entry: Entry, now: datetime) -> bool:
    until = str(entry.get("fetching_until") or "")
    return bool(until) and now < datetime.fromisoformat(until)


async def _claim(line: Line, message_id: int, place: int, *, again: bool) -> tuple[Message, Entry, bool]:
    """The message, its attachment, and whether it is for us to fetch it now."""
    now = line.now()
    async with line.database.read() as session:
        message = await session.get(Message, message_id)
    entry = _entry(message, place)
    if not _is_for_us(line, entry, now, again=again):
        assert message is not None
        return message, entry, False
    async with line.database.write() as session:
        message = await session.get_one(Message, message_id, with_for_update={"key_share": True})
        entry = _entry(message, place)
        is_ours = _is_for_us(line, entry, now, again=again)
        if is_ours:
            kept = {key: value for key, value in entry.items() if key not in ("error", "failed_at", "is_for_now")}
            _put_entry(message, place, {**kept, "fetching_until": (now + CLAIM).isoformat()})
    return message, entry, is_ours


def _is_for_us(line: Line, entry: Entry, now: datetime, *, again: bool) -> bool:
    if _is_claimed(entry, now):
        return False
    if entry.get("sha256"):
        is_gone = not path_of(line.settings.storage.folder, entry["sha256"]).exists()
        return again and is_gone and entry["external_id"] != entry["sha256"]
    return again or not entry.get("error")


def _entry(message: Message | None, place: int) -> Entry:
    if message is None or place >= len(message.attachments):
        raise LookupError("There is no such attachment.")
    return message.attachments[place]


async def _fetch(line: Line, message: Message, place: int, entry: Entry) -> Entry:
    done: Entry = {"sha256": ""}
    try:
        connector = await line.channels.connector(message.channel_id)
        async with asyncio.timeout(FETCH_SECONDS):
            content = await connector.fetch(attachment_of(entry))
        done = await asyncio.to_thread(_kept, line, content, str(entry.get("name") or ""))
    except ConnectorError as error:
        done |= _failed(line, entry, error.reason, is_for_now=isinstance(error, TryLater))
    except (ChannelGone, KeyLost, KeyError) as error:
        done |= _failed(line, entry, str(error.args[0]))
    except TimeoutError:
        done |= _failed(line, entry, "The platform did not answer in time.", is_for_now=True)
    except CannotKeep as error:
        done |= _failed(line, entry, str(error), is_for_now=True)
    except Exception as error:
        log.exception("attachment %s of message %s could not be fetched", place, message.id)
        done |= _failed(line, entry, f"Internal error ({type(error).__name__}): see the log.")
    assert message.id is not None
    found = await _write(line, message.id, place, done)
    if found.get("error"):
        raise CannotFetch(found["error"])
    return found


def _kept(line: Line, content: bytes, name: str) -> Entry:
    most = int(line.settings.storage.attachment_mb * 1_000_000)
    if len(content) > most:
        return {"error": f"The file has {len(content):,} bytes; this server keeps {most:,}.", "failed_at": _iso(line)}
    kind = sniff(content[:HEAD], name)
    return {"sha256": keep(line.settings.storage.folder, content), "content_type": kind, "size": len(content)}


def _failed(line: Line, entry: Entry, reason: str, *, is_for_now: bool = False) -> Entry:
    tries = int(entry.get("tries", 0)) + 1
    return {"error": reason, "is_for_now": is_for_now, "tries": tries, "failed_at": _iso(line)}


def _iso(line: Line) -> str:
    return line.now().isoformat()


async def _write(line: Line, message_id: int, place: int, done: Entry) -> Entry:
    """Write down what came of a fetch, and let the pages that show it know."""
    async with line.database.write() as session:
        message = await session.get_one(Message, message_id, with_for_update={"key_share": True})
        entry = {key: value for key, value in _entry(message, place).items() if key != "fetching_until"} | done
        _put_entry(message, place, entry)
        await session.flush()
        await line.live.publish(session, "message", [message.conversation_id], line.now())
    line.live.ring()
    return entry


def _put_entry(message: Message, place: int, entry: Entry) -> None:
    """A new list: a change inside the old one would not be seen as one."""
    message.attachments = [entry if n == place else each for n, each in enumerate(message.attachments)]
