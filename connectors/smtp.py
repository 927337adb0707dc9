"""One plain mail of our own, through an SMTP server that the settings name."""

import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

import aiosmtplib

from connectors.base import TryLater
from connectors.cause import cause

SECONDS = 20


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mails are handed in, and as whom. `security`: starttls, ssl or none."""

    host: str
    port: int
    security: str
    username: str = ""
    password: str = ""


async def send_mail(server: SmtpServer, sender: str, recipient: str, subject: str, text: str) -> None:
    """Hand one mail in. Raises TryLater with the server's words where it is not taken."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, recipient, " ".join(subject.splitlines())
    mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain=sender.rpartition("@")[2] or None)
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: so that no automatic answer comes back
    mail.set_content(text)
    try:
        await aiosmtplib.send(
            mail,
            hostname=server.host,
            port=server.port,
            username=server.username or None,
            password=server.password or None,
            use_tls=server.security == "ssl",
            start_tls=server.security == "starttls",
            tls_context=None if server.security == "none" else ssl.create_default_context(),
            timeout=SECONDS,
        )
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        raise TryLater(f"The mail server did not take a mail: {cause(error)}.") from error
