"""Sends the mails that a ladder asked for: each is claimed first, tried again after a while, and given up at last."""

import logging
from datetime import timedelta

from sqlalchemy import select, update
from sqlmodel import col

from connectors.base import ConnectorError
from connectors.smtp import SmtpServer, send_mail
from socialcrm.domain.contact import Contact
from socialcrm.domain.conversation import Conversation
from socialcrm.domain.sla import Escalation
from socialcrm.engine.line import Line
from socialcrm.web.i18n import Formats, translations
from socialcrm.web.promised import sentence
from socialcrm.web.words import N_

log = logging.getLogger(__name__)
WAITS = tuple(timedelta(seconds=seconds) for seconds in (60, 300, 1800, 7200))
"""After each try that failed; after the last one nobody tries again."""
LEASE = timedelta(minutes=5)
"""A mail that is on its way; of a process that ended meanwhile it is sent again, for a second mail hurts nobody."""
AT_ONCE = 20
SUBJECT = N_("Conversation %(number)s: %(what)s")
TITLES = {"sla_warning": N_("At risk"), "sla_breached": N_("Late"), "sla_escalated": N_("Late for long")}


async def mail_escalations(line: Line) -> None:
    """Send the mails that are due."""
    if not line.settings.mail.host:
        return
    now = line.now()
    query = (
        select(Escalation)
        .where(col(Escalation.due_at) <= now)
        .order_by(col(Escalation.due_at), col(Escalation.id))
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    async with line.database.write() as session:
        due = (await session.execute(query)).scalars().all()
        for row in due:
            row.due_at, row.attempt_count = now + LEASE, row.attempt_count + 1
    for row in due:
        await _send(line, row)


async def _send(line: Line, row: Escalation) -> None:
    mail = line.settings.mail
    server = SmtpServer(mail.host, mail.port, mail.security, mail.username, mail.password)
    subject, text = await _letter(line, row)
    error = ""
    try:
        await send_mail(server, mail.sender, row.recipient, subject, text)
    except ConnectorError as failed:
        error = failed.reason
        log.warning("the escalation of conversation %s could not be mailed: %s", row.conversation_id, error)
    now, tried = line.now(), row.attempt_count
    later = now + WAITS[tried - 1] if error and tried <= len(WAITS) else None
    values = {"error": error, "due_at": later, "sent_at": None if error else now}
    async with line.database.write() as session:
        await session.execute(update(Escalation).where(col(Escalation.id) == row.id).values(**values))


async def _letter(line: Line, row: Escalation) -> tuple[str, str]:
    """Subject and text in the company's language, without what the customer wrote."""
    lang = line.settings.engagement.default_language
    say = translations(lang).gettext
    kind = str(row.data.get("kind"))
    async with line.database.read() as session:
        query = select(col(Contact.name)).join(Conversation, col(Conversation.contact_id) == col(Contact.id))
        name = await session.scalar(query.where(col(Conversation.id) == row.conversation_id))
    what = sentence(kind, {**row.data, "told": ()}, say, Formats(lang, line.settings.engagement.time_zone))
    title = say(TITLES.get(kind, TITLES["sla_breached"]))
    lines = [what, str(name or ""), f"{line.settings.public_url}/inbox/{row.conversation_id}"]
    subject = say(SUBJECT) % {"number": row.conversation_id, "what": title}
    return subject, "\n\n".join(part for part in lines if part) + "\n"
