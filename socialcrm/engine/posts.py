"""Posts: what public comments stand under, kept once, and asked for where its comments came without it."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from connectors import base
from connectors.base import Connector, ConnectorError
from socialcrm.database import one_of
from socialcrm.domain.channel import Channel, ChannelStatus
from socialcrm.domain.contact import Contact
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.message import Direction, Message
from socialcrm.domain.post import Post
from socialcrm.domain.words import clean
from socialcrm.engine import files
from socialcrm.engine.attach import FETCH_SECONDS, CannotFetch, attachment_of
from socialcrm.engine.channels import ChannelGone
from socialcrm.engine.files import path_of
from socialcrm.engine.line import Line
from socialcrm.secrets import KeyLost

log = logging.getLogger(__name__)
ASKED_AGAIN = timedelta(hours=1)
"""A post that the platform did not tell is asked for again with the next comment, so much later at the earliest."""
TOLD = 100
"""Open pages of so many conversations under a post show it as soon as it is known."""


async def keep(
    session: AsyncSession, channel: Channel, connector: Connector, found: Iterable[base.Post], now: datetime
) -> dict[str, int]:
    """The rows of posts, new or brought up to date: external id -> number. One that nobody told waits for `look_up`."""
    told = {post.external_id: post for post in sorted(found, key=_says)}
    if not told:
        return {}
    query = select(Post).where(col(Post.channel_id) == channel.id, one_of(session, col(Post.external_id), told))
    rows = {row.external_id: row for row in (await session.execute(query)).scalars()}
    for number, post in told.items():
        row = rows.setdefault(number, Post(channel_id=channel.id or 0, external_id=number))
        row.url = row.url or _web(post.url)
        if _says(post):
            _tell(row, post, now)
        elif not connector.can("post"):
            row.asked_at = row.asked_at or now
        elif row.asked_at and now - row.asked_at > ASKED_AGAIN and not (row.text or row.picture):
            row.asked_at = None
    session.add_all(rows.values())
    await session.flush()
    return {number: row.id for number, row in rows.items() if row.id is not None}


async def channels_due(line: Line) -> list[int]:
    """Channels with a post to ask for."""
    query = (
        select(col(Post.channel_id))
        .join(Channel, col(Channel.id) == col(Post.channel_id))
        .where(col(Post.asked_at).is_(None), col(Channel.status) == ChannelStatus.ACTIVE)
        .distinct()
    )
    async with line.database.read() as session:
        return list((await session.execute(query)).scalars())


async def look_up(line: Line, channel_id: int) -> int:
    """Find out what one post says, from a message of ours or from the platform; where nobody tells, its comments are
    shown without it. How many posts were taken."""
    row = await _claim(line, channel_id)
    if row is None:
        return 0
    found = await _as_message(line, row) or await _asked(line, row)
    if found is not None:
        async with line.database.write() as session:
            row = await session.get_one(Post, row.id)
            _tell(row, found, line.now())
            await session.flush()
            newest = select(col(Conversation.id)).where(col(Conversation.post_id) == row.id)
            numbers = (await session.execute(newest.order_by(col(Conversation.id).desc()).limit(TOLD))).scalars()
            await line.live.publish(session, "conversation", [number for number in numbers if number], line.now())
        line.live.ring()
    return 1


async def picture(line: Line, post_id: int) -> str:
    """The hash of a post's picture in the store, fetched when somebody first looks. Raises CannotFetch, and LookupError
    where there is none."""
    async with line.database.read() as session:
        row = await session.get(Post, post_id)
    if row is None or not row.picture:
        raise LookupError("This post has no picture.")
    sha256, folder = str(row.picture.get("sha256") or ""), line.settings.storage.folder
    if sha256 and path_of(folder, sha256).exists():
        return sha256
    try:
        connector = await line.channels.connector(row.channel_id)
        async with asyncio.timeout(FETCH_SECONDS):
            content = await connector.fetch(attachment_of(row.picture))
        if len(content) > line.settings.storage.attachment_mb * 1_000_000:
            raise CannotFetch("The picture is too large for this server.")
        sha256 = await asyncio.to_thread(files.keep, folder, content)
    except (ConnectorError, ChannelGone, KeyLost, KeyError, TimeoutError, files.CannotKeep) as error:
        raise CannotFetch(str(error) or "The platform did not answer in time.") from error
    async with line.database.write() as session:
        row = await session.get_one(Post, post_id)
        row.picture = {**(row.picture or {}), "sha256": sha256}
    return sha256


def _says(post: base.Post) -> bool:
    return bool(post.text or post.picture)


def _tell(row: Post, post: base.Post, now: datetime) -> None:
    row.text, row.url, row.author = clean(post.text), _web(post.url) or row.url, clean(post.author)
    row.is_self, row.sent_at, row.asked_at = post.is_self, post.sent_at, now
    has_copy = bool(row.picture and row.picture.get("sha256"))  # platforms sign the address anew each time
    if post.picture is None or not has_copy:
        row.picture = asdict(post.picture) if post.picture else None


def _web(url: str) -> str:
    """An address that a page may link to: on some platforms it comes from anybody's server."""
    return clean(url) if url.startswith(("https://", "http://")) else ""


async def _claim(line: Line, channel_id: int) -> Post | None:
    pick = (
        select(col(Post.id))
        .where(col(Post.channel_id) == channel_id, col(Post.asked_at).is_(None))
        .order_by(col(Post.id))
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    async with line.database.write() as session:
        number = (await session.execute(pick)).scalar_one_or_none()
        if number is None:
            return None
        claim = update(Post).where(col(Post.id) == number).values(asked_at=line.now()).returning(Post)
        return (await session.execute(claim)).scalar_one()


async def _as_message(line: Line, row: Post) -> base.Post | None:
    """A post that came in as a message itself: a visitor's on our page, the first one of a thread."""
    query = (
        select(Message, col(Contact.name))
        .join(Contact, col(Contact.id) == col(Message.contact_id))
        .where(col(Message.channel_id) == row.channel_id, col(Message.external_id) == row.external_id)
    )
    async with line.database.read() as session:
        found = (await session.execute(query)).first()
    if found is None:
        return None
    message, name = found
    is_self = message.direction != Direction.IN
    picture = next((attachment_of(each) for each in message.attachments if each["kind"] == "image"), None)
    author = "" if is_self else name
    return base.Post(row.external_id, message.text, row.url, author, is_self, picture, message.sent_at)


async def _asked(line: Line, row: Post) -> base.Post | None:
    try:
        connector = await line.channels.connector(row.channel_id)
        async with asyncio.timeout(line.settings.line.send_timeout_seconds):
            return await connector.post(row.external_id)
    except (ConnectorError, ChannelGone, KeyLost, KeyError, TimeoutError) as error:
        log.info("post %s cannot be asked for: %s", row.id, type(error).__name__)
    except Exception:
        log.exception("post %s cannot be asked for", row.id)
    return None
