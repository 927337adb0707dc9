"""An answer as a mail: its thread, its files, its lines. Written after RFC 5322."""

import re
from collections.abc import Sequence
from email.charset import QP, Charset
from email.encoders import encode_base64
from email.header import Header
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import compat32
from email.utils import formataddr, formatdate

from connectors.base import File, OutboundMessage
from connectors.mail_folder import Parent


def _part(file: File, content: bytes) -> MIMEBase:
    """A file as a part of a mail."""
    part = MIMEBase(*file.content_type.split("/", 1))
    part.set_payload(content)
    encode_base64(part)
    name = file.name or "file"
    part.add_header("Content-Disposition", "attachment", filename=name if name.isascii() else ("utf-8", "", name))
    return part


def compose(
    message: OutboundMessage,
    address: str,
    name: str,
    number: str,
    parent: Parent | None,
    files: Sequence[tuple[File, bytes]] = (),
) -> bytes:
    """The mail that answers `parent`, from `address` in the name of `name`; `number` is its Message-ID."""
    utf8 = Charset("utf-8")
    utf8.body_encoding = QP
    text = MIMEText(message.text, "plain", utf8)  # type: ignore[arg-type]  # typeshed knows only its name
    mail: MIMEBase = text
    if files:
        mail = MIMEMultipart("mixed")
        mail.attach(text)
        for file, content in files:
            mail.attach(_part(file, content))
    first = message.thread_key.partition(" ")[0]
    answered = message.reply_to or (parent.message_id if parent else first if "@" in first else None)
    references = [*(parent.references if parent else ())]
    if answered and answered not in references:
        references.append(answered)
    subject = (parent.subject if parent else "") or name or address
    if not re.match(r"(?:re|aw|sv|رد)\s?:", subject, re.IGNORECASE):
        subject = f"Re: {subject}"
    mail["From"] = formataddr((name, address))
    mail["To"] = message.recipient
    charset = None if subject.isascii() else "utf-8"
    mail["Subject"] = Header(subject[:900], charset, header_name="Subject").encode()
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{number}>"
    if answered:
        mail["In-Reply-To"] = f"<{answered}>"
        # RFC 5322, 3.6.4; a line of it may have 998 characters, and programs cut the middle.
        mail["References"] = " ".join(f"<{each}>" for each in (references[:1] + references[1:][-9:]))
    mail["X-Auto-Response-Suppress"] = "OOF, AutoReply"
    return mail.as_bytes(policy=compat32.clone(linesep="\r\n", max_line_length=900))
