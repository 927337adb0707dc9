"""Mails in our words: who wrote, in which thread, the text and the attachments; and which mails nobody answers."""

import base64
import binascii
import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.utils import getaddresses
from functools import partial

from pydantic import BaseModel

from connectors.base import (
    Attachment,
    Author,
    BadPayload,
    Change,
    Ignored,
    InboundMessage,
    Json,
    RawEvent,
)
from connectors.mail_text import from_html, trimmed
from connectors.payload import UtcTime, understand

TEXT_LENGTH = 100_000
"""Characters of a mail's text that are kept; all of it stays in the raw event."""
WHOLE_BYTES = 262_144
"""Mails up to this size are kept as they came; of larger ones the attachments stay on the mail server."""
SIZE_HEADER = "X-SocialCRM-Size"
"""Says how many bytes an attachment has that was left on the mail server."""

_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\\\"\x00-\x1f]+@[^\s@<>()\[\],;:\\\"\x00-\x1f]+\.?")
_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]+")
_ID = re.compile(r"<\s*([^<>\s]{1,900})\s*>")
_OURS = re.compile(r"socialcrm\.[0-9a-f]{24}\.([A-Za-z0-9_-]{1,600})@[^\s<>]+")
_ONE_BYTE = re.compile(r"us-ascii|ascii|iso-?8859.*|latin.*|windows-?125.|cp125.|koi8.*|unknown-8bit", re.IGNORECASE)
_NOBODY = re.compile(
    r"(?:no|do-?not|ne-?pas)[-_.]?(?:reply|answer|repondre)s?\b.*|mailer-daemon|postmaster|bounces?\b.*|nepasrepondre.*",
    re.IGNORECASE,
)
_AWAY = re.compile(
    r"(?:out of (?:the )?office|automatic reply|auto(?:matic)?[ -]?(?:response|reply)|autoreply|absence du bureau"
    r"|réponse automatique|message d'absence|absent du bureau|abwesenheit|automatische antwort|respuesta automática"
    r"|رد تلقائي|خارج المكتب)",
    re.IGNORECASE,
)
_UNDELIVERED = re.compile(
    r"undeliver|delivery.{0,20}fail|fail.{0,20}deliver|returned (?:to sender|mail)|mail delivery|non remis|échec",
    re.IGNORECASE,
)
_KINDS = ("image", "audio", "video")
_SIGNATURES = ("application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature")


class _Stored(BaseModel):
    """One mail as `packed` put it into a raw event."""

    uid: int
    uidvalidity: int
    received: UtcTime
    source: str | None = None
    base64: str | None = None
    error: str | None = None

    def bytes(self) -> bytes:
        if self.error is not None:
            raise BadPayload(f"The mail server does not give this mail: {self.error[:300]}")
        if self.source is not None:
            return self.source.encode(errors="replace")
        try:
            return base64.b64decode(self.base64 or "", validate=True)
        except (ValueError, binascii.Error):
            raise BadPayload("base64: the mail's source is not base64.") from None


def packed(uidvalidity: int, uid: int, received: datetime, source: bytes, error: str | None = None) -> RawEvent:
    """A mail as a raw event: its source as text where every database keeps that text, else as base64."""
    payload: dict[str, Json] = {"uidvalidity": uidvalidity, "uid": uid, "received": received.isoformat()}
    if error is not None:
        payload["error"] = error
    elif len(source) > WHOLE_BYTES:
        payload |= {"size": len(source), **_text_or_base64(_without_attachments(source))}
    else:
        payload |= _text_or_base64(source)
    return RawEvent(payload, external_id=f"{uidvalidity}:{uid}")


def _text_or_base64(source: bytes) -> dict[str, str]:
    try:
        text = source.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        return {"base64": base64.b64encode(source).decode()}
    return {"source": text}


def _without_attachments(source: bytes) -> bytes:
    """The mail with empty attachments; one that is too broken for that is cut."""
    try:
        mail = message_from_bytes(source)
        for _, part in leaves(mail):
            if part.get_content_maintype() == "message":
                inner = part.get_payload()
                if part.get_content_type() == "message/rfc822" and isinstance(inner, list):
                    for each in _mails(inner):
                        each.set_payload("")
            elif not _is_text(part):
                part[SIZE_HEADER] = str(len(content(part)))
                part.set_payload("")
        slim = mail.as_bytes()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        slim = source
    return slim[: 4 * WHOLE_BYTES]


def our_id(key: str, thread: str, address: str) -> str:
    """The Message-ID of an answer: the same for every attempt, and a reply to it says by itself where it belongs."""
    digest = hashlib.sha256(key.encode()).hexdigest()[:24]
    return f"socialcrm.{digest}.{base64.urlsafe_b64encode(thread.encode()).decode().rstrip('=')}@{domain(address)}"


def thread_in(message_id: str) -> str | None:
    """The thread that is written in a Message-ID of ours; None in all others."""
    ours = _OURS.fullmatch(message_id)
    if not ours:
        return None
    encoded = ours[1]
    try:
        thread = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except (ValueError, binascii.Error):
        return None
    return thread if thread and not _CONTROL.search(thread) else None


def domain(address: str) -> str:
    """What stands after the @."""
    return address.rpartition("@")[2]


def is_address(text: str) -> bool:
    """Whether `text` is one plain e-mail address."""
    return len(text) <= 254 and _ADDRESS.fullmatch(text) is not None


def read_mail(raw: RawEvent, own: Collection[str], own_lists: Collection[str] = ()) -> list[InboundMessage]:
    """A mail, or the bounce of one of ours. `own` are our addresses in lower case, `own_lists` parts of the List-Id
    of mailing lists that stand for us. No I/O. Raises Ignored and BadPayload with the reason."""
    stored = understand(_Stored, raw.payload)
    source = stored.bytes()
    try:
        mail = message_from_bytes(source)
        parts = list(leaves(mail))
        bounce = _bounce(mail, parts, stored)
        if bounce:
            return [bounce]
        return [_read(mail, parts, stored, source, own, own_lists)]
    except RecursionError:
        raise BadPayload("The mail has too many parts inside one another.") from None


def _read(
    mail: Message,
    parts: Sequence[tuple[str, Message]],
    stored: _Stored,
    source: bytes,
    own: Collection[str],
    own_lists: Collection[str],
) -> InboundMessage:
    message_id = message_id_of(mail) or f"sha256.{hashlib.sha256(source).hexdigest()[:32]}"
    if thread_in(message_id):
        raise Ignored("An answer of ours.")
    author = _author(mail, own)
    reason = _why_automatic(mail, own_lists)
    if reason:
        raise Ignored(reason)
    earlier = earlier_ids(mail)
    if author.is_self and not earlier:
        raise Ignored("A mail that we wrote ourselves.")
    if _NOBODY.fullmatch(author.external_id.partition("@")[0]):
        raise Ignored("From an address that takes no answers.")
    text = _text(parts, decoded(mail, "subject"), is_reply=bool(earlier))
    attachments = tuple(_attachments(parts, stored))
    if not text and not attachments:
        raise Ignored("An empty mail.")
    return InboundMessage(
        external_id=message_id,
        thread_key=thread_of(mail, message_id, own),
        author=author,
        sent_at=stored.received,
        text=text,
        reply_to=earlier[-1] if earlier else None,
        attachments=attachments,
    )


def thread_of(mail: Message, message_id: str, own: Collection[str]) -> str:
    """The thread of a mail: that of the answer of ours which it replies to, else its first mail and who wrote to us.

    The address is a part of it because many people may reply to one newsletter, and are no conversation together.
    """
    earlier = earlier_ids(mail)
    for number in reversed(earlier):
        thread = thread_in(number)
        if thread:
            return thread
    author = _author(mail, own)
    other = author.external_id
    if author.is_self:
        other = next((address for _, address in _addresses(mail, "to") if address not in own), other)
    first = earlier[0] if earlier else message_id
    return f"{first if len(first) <= 120 else hashlib.sha256(first.encode()).hexdigest()} {other}"


def message_id_of(mail: Message) -> str | None:
    """The Message-ID without its brackets; None where there is none, or one that is no single word."""
    value = decoded(mail, "message-id")
    found = _ID.search(value)
    number = found[1] if found else value
    return number if number and " " not in number and len(number) <= 900 else None


def earlier_ids(mail: Message) -> list[str]:
    """The Message-IDs of the mails that this one replies to, the thread's first one first, the newest one last."""
    replied = _ID.findall(decoded(mail, "in-reply-to"))[:1]
    earlier = [number for number in _ID.findall(decoded(mail, "references")) if number not in replied]
    return (earlier + replied)[-200:]


def decoded(mail: Message, name: str) -> str:
    """A header's words on one line, whatever was done to their letters; "" without the header."""
    return _words(_raw(mail, name))


def leaves(part: Message, number: str = "") -> Iterator[tuple[str, Message]]:
    """The parts of a mail that hold something, with their IMAP numbers; an attached mail is one part."""
    children = part.get_payload()
    if part.get_content_maintype() == "multipart" and isinstance(children, list):
        for count, child in enumerate(children, 1):
            yield from leaves(child, f"{number}.{count}" if number else str(count))
    else:
        yield number or "1", part


def content(part: Message) -> bytes:
    """The bytes of a part, decoded as far as they can be."""
    if part.get_content_maintype() == "message":
        inner = part.get_payload()
        if isinstance(inner, list):
            return b"\n".join(each.as_bytes() for each in _mails(inner))
        return str(inner).encode(errors="replace")
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _mails(payload: Iterable[object]) -> Iterator[Message]:
    return (each for each in payload if isinstance(each, Message))


def _author(mail: Message, own: Collection[str]) -> Author:
    senders = _addresses(mail, "from") or _addresses(mail, "sender")
    wanted = [(name, address) for name, address in _addresses(mail, "reply-to") if address not in own]
    if not senders and not wanted:
        raise BadPayload("From: no address stands there.")
    name, address = wanted[0] if wanted else senders[0]
    if not name and senders and senders[0][1] not in own:
        name = senders[0][0]
    return Author(external_id=address, name=name, handle=address, is_self=address in own)


def _addresses(mail: Message, name: str) -> list[tuple[str, str]]:
    """(name, address in lower case) of each address in a header; what is none is left out."""
    pairs = getaddresses([_raw(mail, name)])
    return [(_words(words), address.lower()) for words, address in pairs if is_address(address)]


def _why_automatic(mail: Message, own_lists: Collection[str]) -> str | None:
    """Why nobody should answer this mail, by its headers (RFC 3834, RFC 2919, and what is common beside them)."""
    value = partial(decoded, mail)
    submitted = value("auto-submitted").lower()
    suppressed = {word.strip() for word in value("x-auto-response-suppress").lower().split(",")}
    own_list = any(each in value("list-id").lower() for each in own_lists)
    if submitted and not submitted.startswith("no"):
        return f"An automatic mail (Auto-Submitted: {submitted[:40]})."
    if suppressed & {"all", "oof", "autoreply", "dr"}:
        return "An automatic mail (X-Auto-Response-Suppress)."
    if any(value(name) for name in ("x-autoreply", "x-autorespond", "x-autoresponder", "x-auto-reply")):
        return "An automatic answer."
    if _AWAY.match(value("subject")):
        return "An automatic answer: somebody is away."
    if value("x-spam-flag").lower() == "yes":
        return "The mail server calls it spam."
    if own_list:
        return None
    if value("precedence").lower() in ("bulk", "junk", "list", "auto_reply", "auto-reply"):
        return f"Sent to many (Precedence: {value('precedence')[:20].lower()})."
    if any(value(name) for name in ("list-id", "list-post", "list-unsubscribe")):
        return "From a mailing list or newsletter."
    return None


def _bounce(mail: Message, parts: Sequence[tuple[str, Message]], stored: _Stored) -> InboundMessage | None:
    """The end of a mail of ours that came back. Raises Ignored for other reports of mail systems."""
    kind = ""
    if mail.get_content_type() == "multipart/report":
        kind = str(mail.get_param("report-type") or "").lower()
    if kind == "disposition-notification":
        raise Ignored("A receipt: somebody opened a mail.")
    if kind == "feedback-report":
        raise Ignored("A complaint report of a mail provider.")
    report = _report(parts)
    sender = next((address for _, address in _addresses(mail, "from")), "")
    is_daemon = sender.partition("@")[0] in ("mailer-daemon", "postmaster")
    failed = decoded(mail, "x-failed-recipients")
    if not kind and not failed and not (is_daemon and _UNDELIVERED.search(decoded(mail, "subject"))):
        return None
    if kind and report.get("action", "failed") != "failed":
        raise Ignored(f"A delivery report: {report['action'][:20]}.")
    ours = next((number for number in _named_ids(mail, parts) if thread_in(number)), None)
    if ours is None:
        raise Ignored("A bounce of a mail that is not one of ours.")
    thread = thread_in(ours) or ours
    words = report.get("diagnostic-code") or report.get("status") or "no reason is given"
    recipient = report.get("final-recipient") or failed.split(",")[0].strip() or "the recipient"
    return InboundMessage(
        external_id=ours,
        thread_key=thread,
        author=Author(external_id=sender or "mailer-daemon", name="Mail system", is_bot=True),
        sent_at=stored.received,
        text=f"It came back: {recipient[:120]} was not reached ({words[:300]}).",
        change=Change.FAILED,
    )


def _report(parts: Sequence[tuple[str, Message]]) -> dict[str, str]:
    """The fields of a delivery report (RFC 3464) about its first recipient, in lower case; {} without one."""
    fields: dict[str, str] = {}
    for _, part in parts:
        blocks = part.get_payload()
        if part.get_content_type() == "message/delivery-status" and isinstance(blocks, list):
            for block in _mails(blocks):
                for name in ("action", "status", "diagnostic-code", "final-recipient"):
                    value = decoded(block, name)
                    if name in ("diagnostic-code", "final-recipient"):
                        value = value.partition(";")[2].strip() or value
                    if value:
                        fields.setdefault(name, value)
    return {**fields, "action": fields["action"].lower()} if "action" in fields else fields


def _named_ids(mail: Message, parts: Sequence[tuple[str, Message]]) -> Iterator[str]:
    """Message-IDs that a bounce names: as what it replies to, or in what it sends back."""
    yield from earlier_ids(mail)
    for _, part in parts:
        if part.get_content_maintype() in ("text", "message"):
            text = content(part)[:WHOLE_BYTES].decode(errors="replace")
            # A Message-ID that is longer than a line may have been folded after its name.
            yield from re.findall(r"(?im)^message-id:\s*<([^<>\s]+)>", text.replace("\r\n", "\n"))


def _text(parts: Sequence[tuple[str, Message]], subject: str, *, is_reply: bool) -> str:
    """What was written: the plain text, else the HTML; before it the subject, where it opens a conversation."""
    texts = [part for _, part in parts if _is_text(part)]
    plain = "\n".join(letters(part) for part in texts if part.get_content_type() != "text/html")
    if not plain.strip():
        plain = "\n".join(from_html(letters(part)) for part in texts if part.get_content_type() == "text/html")
    body = trimmed(_CONTROL_IN_TEXT.sub("", plain)[: 2 * TEXT_LENGTH])
    if not body or (not is_reply and not body.casefold().startswith(subject.casefold())):
        body = f"{subject}\n\n{body}".strip()
    return body[:TEXT_LENGTH]


_CONTROL_IN_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufeff]")


def letters(part: Message) -> str:
    """The text of a part, in the charset that it names or, where that cannot be true, in the one it must be."""
    try:
        charset = part.get_content_charset() or "us-ascii"
    except (ValueError, LookupError):
        charset = "us-ascii"
    return _letters(content(part), charset)


def _letters(payload: bytes, charset: str) -> str:
    # Bytes that are valid UTF-8 are hardly ever meant as anything else of one byte a letter.
    tries = ("utf-8", charset) if _ONE_BYTE.fullmatch(charset) else (charset, "utf-8")
    for each in tries:
        try:
            return payload.decode(each)
        except (LookupError, ValueError):  # ValueError: no such letters, or a codec that is none of text
            continue
    return payload.decode("cp1252", errors="replace")


def _is_text(part: Message) -> bool:
    is_text = part.get_content_type() in ("text/plain", "text/html", "text/enriched") or (
        part.get_content_maintype() == "multipart"  # one whose boundary is missing
    )
    return is_text and part.get_content_disposition() != "attachment" and not _file_name(part)


def _attachments(parts: Sequence[tuple[str, Message]], stored: _Stored) -> Iterator[Attachment]:
    for number, part in parts:
        content_type = part.get_content_type()
        if _is_text(part) or content_type in _SIGNATURES:
            continue
        main = part.get_content_maintype()
        name = _file_name(part)
        if not name and main == "message":
            name = "mail.eml" if content_type == "message/rfc822" else ""
        left = decoded(part, SIZE_HEADER)
        size = int(left) if left.isascii() and left.isdigit() and len(left) < 12 else len(content(part))
        external_id = f"{stored.uidvalidity}:{stored.uid}:{number}"
        yield Attachment(main if main in _KINDS else "document", external_id, name, content_type, size)


def _file_name(part: Message) -> str:
    try:
        name = part.get_filename() or ""
    except (ValueError, LookupError, TypeError):
        return "attachment"
    words = re.split(r"[/\\]", _words(name))[-1]
    return words[-150:]


def _raw(mail: Message, name: str) -> str:
    """A header as it came, its bytes beyond ASCII read as UTF-8 or else as Windows letters."""
    value = next((value for key, value in mail.raw_items() if key.lower() == name.lower()), "")
    return _letters(str(value).encode("utf-8", "surrogateescape"), "us-ascii")


def _words(value: str) -> str:
    try:
        pieces = decode_header(value)
    except (HeaderParseError, ValueError):
        pieces = [(value, None)]
    words = "".join(
        _letters(piece, charset or "us-ascii") if isinstance(piece, bytes) else piece for piece, charset in pieces
    )
    return " ".join(_CONTROL.sub(" ", words).split())
