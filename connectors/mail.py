"""E-mail: a mailbox read over IMAP (with IDLE where the server has it), answered over SMTP from the same address.

Written after RFC 9051 and 3501 (IMAP), 2177 (IDLE), 6154 (\\Sent), 5321 and 4954 (SMTP), 5322 (mails), 3464 (bounces)
and 3834 (automatic answers). IMAP runs in threads of the connector's own; a poll holds one of them while it waits.
"""

import asyncio
import imaplib
import re
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.charset import QP, Charset
from email.encoders import encode_base64
from email.header import Header
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import compat32
from email.utils import formataddr, formatdate
from typing import ClassVar, TypeVar

import aiosmtplib
from imap_tools import BaseMailBox, MailBox, MailBoxUnencrypted
from imap_tools.errors import (
    ImapToolsError,
    MailboxFetchError,
    MailboxFolderSelectError,
    MailboxLoginError,
    UnexpectedCommandStatusError,
)

from connectors.base import (
    Account,
    Attachment,
    AuthExpired,
    ChannelConfig,
    Connector,
    ConnectorError,
    Field,
    File,
    InboundMessage,
    Json,
    Limits,
    MaybeSent,
    OutboundMessage,
    Page,
    RawEvent,
    Refused,
    Sent,
    TryLater,
)
from connectors.mail_reading import (
    content,
    decoded,
    earlier_ids,
    is_address,
    leaves,
    message_id_of,
    our_id,
    packed,
    read_mail,
    thread_of,
)

Result = TypeVar("Result")

MAILS_PER_PAGE = 25
PAGE_BYTES = 8_000_000
HUGE_BYTES = 50_000_000
"""Larger mails are read only up to CUT_BYTES, and their attachments are not fetched."""
CUT_BYTES = 262_144
FILES_BYTES = 18_000_000
"""Of all files of one answer: as base64 they fit into the 25 MB that most servers take."""
PARENTS = 30
"""How many of a thread's newest mails are looked at for the one to answer."""
BUSY = ("[UNAVAILABLE]", "[INUSE]", "[LIMIT]", "[SERVERBUG]", "[CONTACTADMIN]")
"""Response codes (RFC 5530) of a refused sign-in that do not mean a wrong password."""
BYTES_PER_SECOND = 200_000
"""The slowest line that a mail with files is sent over."""
STOP_SECONDS = 0.5
WITHOUT_IDLE_SECONDS = 10.0
COPY_SECONDS = 10.0
SENT_NAMES = ("sent", "sent items", "sent mail", "sent messages", "envoyés", "éléments envoyés", "messages envoyés")
SECURITY = ("ssl", "starttls", "none")
PORTS = {("imap", "ssl"): 993, ("imap", "starttls"): 143, ("imap", "none"): 143}
PORTS |= {("smtp", "ssl"): 465, ("smtp", "starttls"): 587, ("smtp", "none"): 25}
_FETCHED = re.compile(rb'RFC822\.SIZE (\d+)|INTERNALDATE "([^"]+)"')


@dataclass(frozen=True)
class _Server:
    """One of the two servers, as it was filled in."""

    kind: str
    host: str
    port: int
    security: str

    def __str__(self) -> str:
        return f"{self.kind.upper()} server {self.host}:{self.port}"


@dataclass(frozen=True)
class _Parent:
    """The mail that an answer continues."""

    message_id: str
    references: tuple[str, ...]
    subject: str


class EmailConnector(Connector):
    """One mailbox. A mail's thread is its first mail's Message-ID and the customer's address."""

    name: ClassVar[str] = "email"
    label: ClassVar[str] = "E-mail"
    about: ClassVar[str] = "A mailbox, answered from its own address."
    limits: ClassVar[Limits] = Limits(
        text_length=100_000, media={"*/*": FILES_BYTES}, files=20, files_bytes=FILES_BYTES
    )
    fields: ClassVar[tuple[Field, ...]] = (
        Field("address", "E-mail address", help="Customers write to it, and answers come from it."),
        Field(
            "sender_name",
            "Sender's name",
            help="Stands before the address in answers: your brand's name.",
            is_required=False,
        ),
        Field("username", "User name", help="For signing in. Empty: the e-mail address.", is_required=False),
        Field(
            "password",
            "Password",
            help="The mailbox's password. Gmail, Yahoo and others with two-step sign-in want an app password,"
            " made in the security settings of the account.",
            is_secret=True,
        ),
        Field(
            "imap_host",
            "IMAP server",
            help="For reading, such as imap.example.com. Your mail provider's help names it.",
        ),
        Field(
            "imap_security",
            "Encryption of the IMAP server",
            help="SSL almost everywhere. None sends the password readable: only inside your own network.",
            default="ssl",
            choices=SECURITY,
        ),
        Field("imap_port", "Port of the IMAP server", help="Empty: 993 with SSL, else 143.", is_required=False),
        Field("smtp_host", "SMTP server", help="For sending, such as smtp.example.com."),
        Field(
            "smtp_security",
            "Encryption of the SMTP server",
            help="STARTTLS or SSL. None sends the password readable: only inside your own network.",
            default="starttls",
            choices=SECURITY,
        ),
        Field(
            "smtp_port",
            "Port of the SMTP server",
            help="Empty: 587 with STARTTLS, 465 with SSL, else 25.",
            is_required=False,
        ),
        Field("folder", "Folder", help="The folder that is read. Empty: the inbox.", is_required=False),
        Field(
            "aliases",
            "Other addresses of yours",
            help="With commas between them. What comes from them is never answered.",
            is_required=False,
        ),
        Field(
            "own_lists",
            "Mailing lists that are you",
            help="Where your address is a group or list: its List-Id, such as help.example.com. Mails of other lists"
            " are left alone.",
            is_required=False,
        ),
    )
    poll_seconds: ClassVar[float] = 1.0
    """Short, because the waiting is done inside each poll."""

    def __init__(self, config: ChannelConfig) -> None:
        super().__init__(config)
        self._threads: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._inbox: BaseMailBox | None = None
        """Open between polls; touched by whoever holds the lock."""

    async def connect(self) -> Account:
        """Sign in to both servers. Raises AuthExpired for a wrong password, else TryLater or Refused with the cause."""
        if not is_address(self._address):
            raise Refused("The e-mail address is not one plain address, such as help@example.com.")
        await self._in_thread(self._try_imap)
        client = await self._smtp()
        await _leave(client)
        return Account(external_id=self._address, name=self._address)

    async def poll(self, cursor: Json) -> Page:
        """Mails that came after the cursor's, waiting up to `settings["poll_timeout"]` seconds (60) for the first one.

        Without a cursor it begins now and returns at once, so that the place is kept before anything is waited for. A
        changed UIDVALIDITY means that the server numbers its mails anew: then the days since the last mail are read
        once more, and what is known already is recognised by its Message-ID.
        """
        stop = threading.Event()
        try:
            return await self._in_thread(self._poll, cursor, stop)
        finally:
            stop.set()  # the thread looks at it twice a second

    async def backfill(self, since: datetime) -> AsyncIterator[Page]:
        """The mails of the folder that came since a time."""
        box = await self._in_thread(self._open)
        try:
            validity, _ = await self._in_thread(self._select, box)
            uids = await self._in_thread(self._search, box, f"SINCE {_imap_day(since)}")
            while uids:
                events, uids = await self._in_thread(self._read_some, box, validity, uids)
                kept = tuple(event for event in events if datetime.fromisoformat(event.payload["received"]) >= since)
                yield Page(kept, more=bool(uids))
        finally:
            await self._in_thread(_log_out, box)

    def read(self, raw: RawEvent) -> list[InboundMessage]:
        """A mail, or the bounce of an answer of ours."""
        return read_mail(raw, self._own_addresses, self._list("own_lists"))

    async def direct_message(self, message: OutboundMessage) -> Sent:
        """Answer the newest mail of the thread, and put a copy beside the mailbox's other sent mails."""
        if not is_address(message.recipient):
            raise Refused("The contact has no e-mail address that mail can be sent to.")
        box = await self._in_thread(self._open)
        try:
            parent = await self._in_thread(self._parent, box, message)
            number = our_id(message.key, message.thread_key, self._address)
            files = [(file, await file.read()) for file in message.attachments]
            mail = self._compose(message, number, parent, files)
            await self._submit(message.recipient, mail)
            with suppress(ConnectorError, TimeoutError):  # the mail is on its way, whatever becomes of the copy
                await asyncio.wait_for(self._in_thread(self._keep_copy, box, number, mail), COPY_SECONDS)
        finally:
            await self._in_thread(_log_out, box)
        return Sent(external_id=number)

    async def find_sent(self, message: OutboundMessage) -> Sent | None:
        """Whether the folder of sent mails has this answer. Its absence proves nothing, as the copy is made after the
        sending: Refused then, so that a person decides and no customer gets a mail twice."""
        number = our_id(message.key, message.thread_key, self._address)
        box = await self._in_thread(self._open)
        try:
            is_there = await self._in_thread(self._has_copy, box, number)
        finally:
            await self._in_thread(_log_out, box)
        if not is_there:
            raise Refused("It is not among the sent mails. Whether the mail server took it is not known.")
        return Sent(external_id=number)

    async def fetch(self, attachment: Attachment) -> bytes:
        """The bytes of an attachment, as long as its mail lies in the folder that is read."""
        box = await self._in_thread(self._open)
        try:
            return await self._in_thread(self._attached, box, attachment.external_id)
        finally:
            await self._in_thread(_log_out, box)

    async def close(self) -> None:
        """Sign out; the next call would sign in again."""
        threads, self._threads = self._threads, None
        if threads:
            await asyncio.get_running_loop().run_in_executor(threads, self._forget_inbox)
            threads.shutdown(wait=False)

    @property
    def _address(self) -> str:
        return str(self.config.settings.get("address", "")).strip().lower()

    @property
    def _own_addresses(self) -> frozenset[str]:
        return frozenset({self._address, *self._list("aliases")} - {""})

    def _list(self, key: str) -> tuple[str, ...]:
        words = str(self.config.settings.get(key, "")).lower().split(",")
        return tuple(word.strip() for word in words if word.strip())

    def _seconds(self, key: str, default: float) -> float:
        try:
            return float(self.config.settings.get(key) or default)
        except (TypeError, ValueError):
            raise Refused(f"The setting {key} is not a number of seconds.") from None

    def _server(self, kind: str) -> _Server:
        settings: Mapping[str, Json] = self.config.settings
        host = str(settings.get(f"{kind}_host", "")).strip()
        security = str(settings.get(f"{kind}_security") or ("ssl" if kind == "imap" else "starttls"))
        port = str(settings.get(f"{kind}_port") or PORTS.get((kind, security), ""))
        if not host or security not in SECURITY:
            raise Refused(f"The {kind.upper()} server and its encryption are not filled in.")
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise Refused(f"The port of the {kind.upper()} server is not a number between 1 and 65535.")
        return _Server(kind, host, int(port), security)

    def _credentials(self) -> tuple[str, str]:
        password = self.config.credentials.get("password", "")
        if not password:
            raise AuthExpired("The password is missing.")
        return str(self.config.settings.get("username") or self._address), password

    async def _in_thread(self, work: Callable[..., Result], *arguments: object) -> Result:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(max_workers=6, thread_name_prefix="email")
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: self._told(work, *arguments))

    def _told(self, work: Callable[..., Result], *arguments: object) -> Result:
        with _imap_errors(self._server("imap")):
            return work(*arguments)

    # Reading, in a thread

    def _open(self) -> BaseMailBox:
        server, (username, password) = self._server("imap"), self._credentials()
        seconds = self._seconds("request_timeout", 15)
        box: BaseMailBox
        if server.security == "ssl":
            box = MailBox(server.host, server.port, seconds, ssl_context=ssl.create_default_context())
        else:
            box = MailBoxUnencrypted(server.host, server.port, seconds)
        try:
            if server.security == "starttls":
                if "STARTTLS" not in box.client.capabilities:
                    raise TryLater(f"The {server} offers no STARTTLS: choose SSL.")
                box.client.starttls(ssl.create_default_context())
            if "LOGINDISABLED" in box.client.capabilities:
                raise Refused(f"The {server} takes no password without encryption: choose SSL or STARTTLS.")
            if username.isascii() and password.isascii():
                box.login(username, password, initial_folder=None)
            else:
                box.login_utf8(username, password, initial_folder=None)
        except BaseException:
            _log_out(box)
            raise
        return box

    def _try_imap(self) -> None:
        box = self._open()
        try:
            self._select(box)
        finally:
            _log_out(box)

    def _select(self, box: BaseMailBox) -> tuple[int, int]:
        """Open the folder for reading only, so that no mail becomes read by us; its UIDVALIDITY and UIDNEXT."""
        folder = self.config.settings.get("folder") or "INBOX"
        try:
            box.folder.set(folder, readonly=True)
        except MailboxFolderSelectError as error:
            raise Refused(f"The mailbox has no folder {folder}: {_server_words(error)}") from error
        return _number(box, "UIDVALIDITY"), _number(box, "UIDNEXT")

    def _poll(self, cursor: Json, stop: threading.Event) -> Page:
        with self._lock:
            is_whole = False
            try:
                if self._inbox is None:
                    self._inbox = self._open()
                page = self._new_mails(self._inbox, cursor, stop)
                is_whole = True
            finally:
                if not is_whole:
                    self._drop_inbox()
            return page

    def _new_mails(self, box: BaseMailBox, cursor: Json, stop: threading.Event) -> Page:
        validity, following = self._select(box)
        is_start = not isinstance(cursor, dict)
        cursor = self._true_cursor(box, cursor, validity, following)
        if is_start:
            return Page((), cursor)
        uids = self._search(box, f"UID {cursor['uid'] + 1}:*", after=cursor["uid"])
        if not uids and self._wait(box, stop):
            uids = self._search(box, f"UID {cursor['uid'] + 1}:*", after=cursor["uid"])
        if not uids:
            return Page((), cursor)
        events, left = self._read_some(box, validity, uids)
        last = left[0] - 1 if left else uids[-1]
        received = max((event.payload["received"] for event in events), default=cursor["seen_at"])
        return Page(tuple(events), {"uidvalidity": validity, "uid": last, "seen_at": received}, more=bool(left))

    def _true_cursor(self, box: BaseMailBox, cursor: Json, validity: int, following: int) -> dict[str, Json]:
        """The cursor in the numbers that hold now."""
        if isinstance(cursor, dict) and cursor.get("uidvalidity") == validity:
            return dict(cursor)
        newest = following - 1 if following else max(self._search(box, "ALL"), default=0)
        seen_at = datetime.now(UTC).isoformat()
        if isinstance(cursor, dict):
            seen_at = cursor["seen_at"]
            again = self._search(box, f"SINCE {_imap_day(datetime.fromisoformat(seen_at))}")
            newest = min(again, default=newest + 1) - 1
        return {"uidvalidity": validity, "uid": newest, "seen_at": seen_at}

    def _search(self, box: BaseMailBox, criteria: str, after: int = 0) -> list[int]:
        # "n:*" holds the newest mail even where its number is below n.
        return sorted(uid for uid in map(int, box.uids(criteria, charset=None)) if uid > after)

    def _wait(self, box: BaseMailBox, stop: threading.Event) -> bool:
        """Wait until the folder changes or the time is over; False when there is nothing to look for."""
        seconds = self._seconds("poll_timeout", 60)
        if "IDLE" not in _capabilities(box):
            return not stop.wait(min(seconds, WITHOUT_IDLE_SECONDS))
        ends_at = time.monotonic() + seconds
        with box.idle as idle:
            while not stop.is_set() and (left := ends_at - time.monotonic()) > 0:
                slice_ = min(left, STOP_SECONDS)
                began_at = time.monotonic()
                if idle.poll(timeout=slice_):
                    return True
                if time.monotonic() - began_at < slice_ / 2:
                    return True  # the connection ended: the next command says so
        return not stop.is_set()

    def _read_some(self, box: BaseMailBox, validity: int, uids: list[int]) -> tuple[list[RawEvent], list[int]]:
        """The first mails of `uids` as raw events, and the numbers that are left for another page."""
        events: list[RawEvent] = []
        total = 0
        for count, uid in enumerate(uids):
            if count == MAILS_PER_PAGE or total > PAGE_BYTES:
                return events, uids[count:]
            event, size = self._read_one(box, validity, uid)
            total += size
            if event:
                events.append(event)
        return events, []

    def _read_one(self, box: BaseMailBox, validity: int, uid: int) -> tuple[RawEvent | None, int]:
        """One mail, and its size; None where it is gone. A mail that the server cannot give becomes an event too."""
        facts = _facts(box, uid)
        if facts is None:
            return None, 0
        size, received = facts
        try:
            source = _source(box, uid, CUT_BYTES if size > HUGE_BYTES else None)
        except (MailboxFetchError, imaplib.IMAP4.error) as error:
            if isinstance(error, imaplib.IMAP4.abort):
                raise
            return packed(validity, uid, received, b"", error=_server_words(error)), 0
        return (packed(validity, uid, received, source), len(source)) if source is not None else (None, 0)

    def _attached(self, box: BaseMailBox, external_id: str) -> bytes:
        validity, _, rest = external_id.partition(":")
        uid, _, number = rest.partition(":")
        if not uid.isdigit() or str(self._select(box)[0]) != validity:
            raise Refused("The mail server numbered its mails anew: look for this attachment in the mailbox.")
        facts = _facts(box, int(uid))
        if facts and facts[0] > HUGE_BYTES:
            raise Refused(f"The mail is larger than {HUGE_BYTES // 1_000_000} MB: look for it in the mailbox.")
        source = _source(box, int(uid), None) if facts else None
        if source is None:
            raise Refused("The mail is no longer in the folder.")
        found = next((part for key, part in leaves(message_from_bytes(source)) if key == number), None)
        if found is None:
            raise Refused("The mail has no such attachment.")
        return content(found)

    def _drop_inbox(self) -> None:
        box, self._inbox = self._inbox, None
        if box:
            _log_out(box)

    def _forget_inbox(self) -> None:
        if self._lock.acquire(timeout=5):  # a poll that was just given up ends within half a second
            try:
                self._drop_inbox()
            finally:
                self._lock.release()

    # Sending: IMAP in a thread, SMTP here

    def _parent(self, box: BaseMailBox, message: OutboundMessage) -> _Parent | None:
        """The mail to answer: the newest of the thread that lies in the folder."""
        self._select(box)
        first = message.thread_key.partition(" ")[0]
        uids = self._search(box, f"OR HEADER Message-ID {_quoted(first)} HEADER References {_quoted(first)}")
        for uid in reversed(uids[-PARENTS:]):
            head = message_from_bytes(_source(box, uid, None, "HEADER") or b"")
            number = message_id_of(head)
            if number and thread_of(head, number, self._own_addresses) == message.thread_key:
                return _Parent(number, (*earlier_ids(head), number), decoded(head, "subject"))
        return None

    def _compose(
        self, message: OutboundMessage, number: str, parent: _Parent | None, files: Sequence[tuple[File, bytes]] = ()
    ) -> bytes:
        utf8 = Charset("utf-8")
        utf8.body_encoding = QP
        text = MIMEText(message.text, "plain", utf8)  # type: ignore[arg-type]  # typeshed knows only its name
        mail: MIMEBase = text
        if files:
            mail = MIMEMultipart("mixed")
            mail.attach(text)
            for file, content in files:
                mail.attach(_part(file, content))
        name = " ".join(str(self.config.settings.get("sender_name") or "").split())
        first = message.thread_key.partition(" ")[0]
        answered = message.reply_to or (parent.message_id if parent else first if "@" in first else None)
        references = [*(parent.references if parent else ())]
        if answered and answered not in references:
            references.append(answered)
        subject = (parent.subject if parent else "") or name or self._address
        if not re.match(r"(?:re|aw|sv|رد)\s?:", subject, re.IGNORECASE):
            subject = f"Re: {subject}"
        mail["From"] = formataddr((name, self._address))
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

    async def _smtp(self) -> aiosmtplib.SMTP:
        """Connected and signed in; nothing has been sent before this returns."""
        server, (username, password) = self._server("smtp"), self._credentials()
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            timeout=self._seconds("request_timeout", 15),
            use_tls=server.security == "ssl",
            start_tls=server.security == "starttls",
            tls_context=None if server.security == "none" else ssl.create_default_context(),
            local_hostname="[127.0.0.1]",  # RFC 5321, 4.1.3: for a client without a name of its own
        )
        try:
            with _smtp_errors(server):
                await client.connect()
                await client.ehlo()
                if client.supports_extension("auth"):
                    await client.login(username, password)
        except BaseException:
            client.close()
            raise
        return client

    async def _submit(self, recipient: str, mail: bytes) -> None:
        client = await self._smtp()
        server = self._server("smtp")
        is_plain = recipient.isascii()
        try:
            if not is_plain and not client.supports_extension("smtputf8"):
                raise Refused("The mail server cannot send to addresses with letters beyond ASCII.")
            with _smtp_errors(server):
                await client.mail(self._address, options=() if is_plain else ("SMTPUTF8",), encoding="utf-8")
                await client.rcpt(recipient, encoding="utf-8")
            with _smtp_errors(server, is_sending=True):
                await client.data(mail, timeout=self._seconds("request_timeout", 15) + len(mail) / BYTES_PER_SECOND)
        finally:
            await _leave(client)

    def _sent_folder(self, box: BaseMailBox) -> str | None:
        folders = list(box.folder.list())
        marked = [each.name for each in folders if "\\sent" in (flag.lower() for flag in each.flags)]
        named = [
            each.name
            for each in folders
            if (each.name.rpartition(each.delim)[2] if each.delim else each.name).lower() in SENT_NAMES
        ]
        return next(iter([*marked, *named]), None)

    def _has_copy(self, box: BaseMailBox, number: str) -> bool:
        folder = self._sent_folder(box)
        if folder is None:
            return False
        box.folder.set(folder, readonly=True)
        return bool(self._search(box, f"HEADER Message-ID {_quoted(number)}"))

    def _keep_copy(self, box: BaseMailBox, number: str, mail: bytes) -> None:
        """Beside the other sent mails, unless the server put it there by itself, as Gmail does."""
        if self._has_copy(box, number):
            return
        folder = self._sent_folder(box)
        if folder is None:
            folder = "Sent"
            box.folder.create(folder)
        box.append(mail, folder, dt=datetime.now(UTC), flag_set=["\\Seen"])


def _part(file: File, content: bytes) -> MIMEBase:
    """A file as a part of a mail."""
    part = MIMEBase(*file.content_type.split("/", 1))
    part.set_payload(content)
    encode_base64(part)
    name = file.name or "file"
    part.add_header("Content-Disposition", "attachment", filename=name if name.isascii() else ("utf-8", "", name))
    return part


def _capabilities(box: BaseMailBox) -> set[str]:
    """What the server can do once we are signed in; `imaplib` asks only before."""
    _, data = box.client.capability()
    return {word.upper() for line in data if line for word in line.decode(errors="replace").split()}


def _number(box: BaseMailBox, name: str) -> int:
    """A number that the server told when the folder was opened; 0 where it did not."""
    _, data = box.client.response(name)
    told = data[-1] if data else None
    return int(told) if isinstance(told, bytes) and told.isdigit() else 0


def _facts(box: BaseMailBox, uid: int) -> tuple[int, datetime] | None:
    """A mail's size and when the server got it; None where there is no such mail."""
    answer = b" ".join(
        each if isinstance(each, bytes) else each[0] for each in _fetch(box, uid, "RFC822.SIZE INTERNALDATE")
    )
    found = _FETCHED.findall(answer)
    size = next((int(size) for size, _ in found if size), None)
    date = next((date.decode() for _, date in found if date), None)
    if size is None or date is None:
        return None
    return size, datetime.strptime(date.strip(), "%d-%b-%Y %H:%M:%S %z").astimezone(UTC)


def _source(box: BaseMailBox, uid: int, length: int | None, section: str = "") -> bytes | None:
    """A mail's bytes, or its first `length`; None where it is gone. It stays unread."""
    part = f"BODY.PEEK[{section}]" + (f"<0.{length}>" if length else "")
    return next((each[1] for each in _fetch(box, uid, part) if isinstance(each, tuple)), None)


def _fetch(box: BaseMailBox, uid: int, parts: str) -> list[Json]:
    result = box.client.uid("FETCH", str(uid), f"(UID {parts})")
    if result[0] != "OK":
        raise MailboxFetchError(result, "OK")
    return [each for each in result[1] if each]


def _imap_day(time_: datetime) -> str:
    """A day as SEARCH wants it; one earlier, because the server's day may have begun before ours."""
    return imaplib.Time2Internaldate(time_.astimezone(UTC) - timedelta(days=1)).strip('"').split()[0]


def _quoted(words: str) -> str:
    inner = re.sub(r"[^\x20-\x7e]", "", words).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inner}"'


def _log_out(box: BaseMailBox) -> None:
    with suppress(OSError, imaplib.IMAP4.error, ImapToolsError):
        box.logout()
    with suppress(OSError):
        box.client.shutdown()


async def _leave(client: aiosmtplib.SMTP) -> None:
    with suppress(aiosmtplib.SMTPException, OSError):
        await client.quit(timeout=3)
    client.close()


def _server_words(error: Exception) -> str:
    """What the server said, in its own words."""
    if isinstance(error, UnexpectedCommandStatusError):
        data = error.command_result[1]
        said = data[-1] if isinstance(data, list | tuple) and data else data
        words = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    else:
        words = str(error)
    return " ".join(words.split())[:300]


@contextmanager
def _imap_errors(server: _Server) -> Iterator[None]:
    try:
        yield
    except ConnectorError:
        raise
    except MailboxLoginError as error:
        raise _signed_out(server, _server_words(error)) from error
    except imaplib.IMAP4.abort as error:
        raise TryLater(f"The {server} ended the connection: {_server_words(error)}") from error
    except (imaplib.IMAP4.error, ImapToolsError) as error:
        words = _server_words(error)
        if "AUTHENTICATIONFAILED" in words.upper():
            raise _signed_out(server, words) from error
        raise TryLater(f"The {server} did not do as it was asked: {words}") from error
    except OSError as error:
        raise _unreachable(server, error) from error


def _signed_out(server: _Server, words: str) -> ConnectorError:
    if "PRIVACYREQUIRED" in words.upper():
        return Refused(f"The {server} takes no password without encryption: choose SSL or STARTTLS.")
    if any(code in words.upper() for code in BUSY):
        return TryLater(f"The {server} cannot sign us in now: {words}")
    return AuthExpired(f"The {server} does not accept the user name and password: {words}")


def _unreachable(server: _Server, error: BaseException) -> TryLater:
    """Nothing reached the server; the sentence says what an admin can change."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            why = cause.verify_message or "certificate verify failed"
            return TryLater(
                f"The certificate of the {server} is not trusted ({why})."
                " It needs one for this name from a known authority, or yours must be known to this machine."
            )
        if isinstance(cause, ssl.SSLError):
            words = cause.reason or "it does not speak TLS"
            return TryLater(f"The {server} does not speak TLS on this port ({words}): check the port and encryption.")
        if isinstance(cause, socket.gaierror):
            return TryLater(f"There is no server of that name: {server.host}. Check the {server.kind.upper()} server.")
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return TryLater(f"The {server} did not answer in time: check its name, port and encryption.")
    return TryLater(f"The {server} cannot be reached: {str(error)[:200]}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(10):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


@contextmanager
def _smtp_errors(server: _Server, *, is_sending: bool = False) -> Iterator[None]:
    """`is_sending` once the mail itself goes out: from then on a lost connection leaves its fate unknown."""
    try:
        yield
    except aiosmtplib.SMTPAuthenticationError as error:
        if 400 <= error.code < 500:
            raise TryLater(f"The {server} cannot sign us in now: {_said(error)}") from error
        raise AuthExpired(f"The {server} does not accept the user name and password: {_said(error)}") from error
    except aiosmtplib.SMTPResponseException as error:
        # 530 asks for encryption or a sign-in: the channel is at fault, not this mail.
        if error.code >= 500 and error.code != 530 and not isinstance(error, aiosmtplib.SMTPConnectError):
            raise Refused(f"{error.code} {_said(error)}") from error
        raise TryLater(f"The {server} says: {error.code} {_said(error)}") from error
    except (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPTimeoutError, OSError) as error:
        if is_sending:
            raise MaybeSent(f"The {server} did not say whether it took the mail.") from error
        raise _unreachable(server, error) from error
    except aiosmtplib.SMTPException as error:
        raise TryLater(f"The {server} did not do as it was asked: {str(error)[:300]}") from error


def _said(error: aiosmtplib.SMTPResponseException) -> str:
    return " ".join(error.message.split())[:300]
