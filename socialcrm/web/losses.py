"""Tells administrators by mail, once, that a channel lost its sign-in."""

import logging
from collections.abc import Sequence

from sqlalchemy import ColumnElement, or_, select, update
from sqlmodel import col

from connectors.base import ConnectorError
from connectors.smtp import SmtpServer, send_mail
from socialcrm.domain.channel import Channel, ChannelStatus
from socialcrm.domain.people import Agent, Role
from socialcrm.engine.line import Line
from socialcrm.web.i18n import Formats, translations
from socialcrm.web.words import N_

log = logging.getLogger(__name__)
SUBJECT = N_("%(channel)s is signed out")
TEXT = N_(
    "The platform no longer accepts the credentials of the channel %(channel)s since %(when)s. Nothing comes in from"
    " it, and answers wait until it is connected again:"
)


async def tell_admins(line: Line) -> None:
    """Mail each administrator about each loss that nobody was told of. A loss is claimed first, so that several
    processes tell of it once; when no mail could be handed in it is told of later."""
    if not line.settings.mail.host:
        return
    async with line.database.read() as session:
        query = select(Channel).where(*_is_untold()).order_by(col(Channel.id))
        channels = (await session.execute(query)).scalars().all()
        people = select(Agent).where(col(Agent.role) == Role.ADMIN, col(Agent.is_active))
        admins = (await session.execute(people)).scalars().all()
    for channel in channels:
        if await _claim(line, channel) and not await _tell(line, channel, admins):
            await _forget(line, channel)


def _is_untold() -> tuple[ColumnElement[bool], ...]:
    return (
        col(Channel.status) == ChannelStatus.SIGNED_OUT,
        col(Channel.lost_at).is_not(None),
        or_(col(Channel.told_at).is_(None), col(Channel.told_at) < col(Channel.lost_at)),
    )


async def _claim(line: Line, channel: Channel) -> bool:
    claim = update(Channel).where(col(Channel.id) == channel.id, *_is_untold()).values(told_at=line.now())
    async with line.database.write() as session:
        return (await session.execute(claim.returning(col(Channel.id)))).scalar_one_or_none() is not None


async def _forget(line: Line, channel: Channel) -> None:
    async with line.database.write() as session:
        await session.execute(update(Channel).where(col(Channel.id) == channel.id).values(told_at=channel.told_at))


async def _tell(line: Line, channel: Channel, admins: Sequence[Agent]) -> bool:
    """Whether anybody was told; logs why not, without addresses."""
    mail = line.settings.mail
    server = SmtpServer(mail.host, mail.port, mail.security, mail.username, mail.password)
    told = False
    for admin in admins:
        subject, text = _letter(line, channel, admin)
        try:
            await send_mail(server, mail.sender, admin.email, subject, text)
            told = True
        except ConnectorError as error:
            log.warning("admins could not be told that channel %s is signed out: %s", channel.id, error.reason)
    return told or not admins


def _letter(line: Line, channel: Channel, admin: Agent) -> tuple[str, str]:
    """Subject and text, in the language of the admin's screens."""
    say = translations(admin.locale).gettext
    formats = Formats(admin.locale, line.settings.engagement.time_zone)
    values = {"channel": channel.name, "when": formats.moment(channel.lost_at or line.now())}
    text = [say(TEXT) % values, f"{line.settings.public_url}/channels/{channel.id}#reconnect", channel.error]
    return say(SUBJECT) % values, "\n\n".join(part for part in text if part) + "\n"
