"""E-mail: a mailbox read over IMAP (with IDLE where the server has it), answered over SMTP from the same address.

Written after RFC 9051 and 3501 (IMAP), 2177 (IDLE), 6154 (\\Sent), 5321 and 4954 (SMTP), 5322 (mails), 3464 (bounces)
and 3834 (automatic answers). IMAP runs in threads of the connector's own; a poll holds one of them while it waits.
"""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from typing import ClassVar, TypeVar

import aiosmtplib
from imap_tools import BaseMailBox, MailBox, MailBoxUnencrypted

from connectors.base import (
    Account,
    Attachment,
    AuthExpired,
    ChannelConfig,
    Connector,
    ConnectorError,
    Field,
    InboundMessage,
    Json,
    Limits,
    OutboundMessage,
    Page,
    RawEvent,
    Refused,
    Sent,
    TryLater,
)
from connectors.mail_errors import PORTS, SECURITY, Server, imap_errors, smtp_errors
from connectors.mail_folder import (
    attached,
    has_copy,
    imap_day,
    keep_copy,
    log_out,
    new_mails,
    parent_of,
    read_some,
    search,
    select,
)
from connectors.mail_reading import is_address, our_id, read_mail
from connectors.mail_writing import compose

Result = TypeVar("Result")
FILES_BYTES = 18_000_000
"""Of all files of one answer: as base64 they fit into the 25 MB that most servers take."""
BYTES_PER_SECOND = 200_000
"""The slowest line that a mail with files is sent over."""
COPY_SECONDS = 10.0


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
            validity, _ = await self._in_thread(select, box, self._folder)
            uids = await self._in_thread(search, box, f"SINCE {imap_day(since)}")
            while uids:
                events, uids = await self._in_thread(read_some, box, validity, uids)
                kept = tuple(event for event in events if datetime.fromisoformat(event.payload["received"]) >= since)
                yield Page(kept, more=bool(uids))
        finally:
            await self._in_thread(log_out, box)

    def read(self, raw: RawEvent) -> list[InboundMessage]:
        """A mail, or the bounce of an answer of ours."""
        return read_mail(raw, self._own_addresses, self._list("own_lists"))

    async def direct_message(self, message: OutboundMessage) -> Sent:
        """Answer the newest mail of the thread, and put a copy beside the mailbox's other sent mails."""
        if not is_address(message.recipient):
            raise Refused("The contact has no e-mail address that mail can be sent to.")
        box = await self._in_thread(self._open)
        try:
            parent = await self._in_thread(parent_of, box, self._folder, message.thread_key, self._own_addresses)
            number = our_id(message.key, message.thread_key, self._address)
            files = [(file, await file.read()) for file in message.attachments]
            name = " ".join(str(self.config.settings.get("sender_name") or "").split())
            mail = compose(message, self._address, name, number, parent, files)
            await self._submit(message.recipient, mail)
            with suppress(ConnectorError, TimeoutError):  # the mail is on its way, whatever becomes of the copy
                await asyncio.wait_for(self._in_thread(keep_copy, box, number, mail), COPY_SECONDS)
        finally:
            await self._in_thread(log_out, box)
        return Sent(external_id=number)

    async def find_sent(self, message: OutboundMessage) -> Sent | None:
        """Whether the folder of sent mails has this answer. Its absence proves nothing, as the copy is made after the
        sending: Refused then, so that a person decides and no customer gets a mail twice."""
        number = our_id(message.key, message.thread_key, self._address)
        box = await self._in_thread(self._open)
        try:
            is_there = await self._in_thread(has_copy, box, number)
        finally:
            await self._in_thread(log_out, box)
        if not is_there:
            raise Refused("It is not among the sent mails. Whether the mail server took it is not known.")
        return Sent(external_id=number)

    async def fetch(self, attachment: Attachment) -> bytes:
        """The bytes of an attachment, as long as its mail lies in the folder that is read."""
        box = await self._in_thread(self._open)
        try:
            return await self._in_thread(attached, box, self._folder, attachment.external_id)
        finally:
            await self._in_thread(log_out, box)

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
    def _folder(self) -> str:
        return str(self.config.settings.get("folder") or "INBOX")

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

    def _server(self, kind: str) -> Server:
        settings: Mapping[str, Json] = self.config.settings
        host = str(settings.get(f"{kind}_host", "")).strip()
        security = str(settings.get(f"{kind}_security") or ("ssl" if kind == "imap" else "starttls"))
        port = str(settings.get(f"{kind}_port") or PORTS.get((kind, security), ""))
        if not host or security not in SECURITY:
            raise Refused(f"The {kind.upper()} server and its encryption are not filled in.")
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise Refused(f"The port of the {kind.upper()} server is not a number between 1 and 65535.")
        return Server(kind, host, int(port), security)

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
        with imap_errors(self._server("imap")):
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
            log_out(box)
            raise
        return box

    def _try_imap(self) -> None:
        box = self._open()
        try:
            select(box, self._folder)
        finally:
            log_out(box)

    def _poll(self, cursor: Json, stop: threading.Event) -> Page:
        with self._lock:
            is_whole = False
            try:
                if self._inbox is None:
                    self._inbox = self._open()
                page = new_mails(self._inbox, self._folder, cursor, stop, self._seconds("poll_timeout", 60))
                is_whole = True
            finally:
                if not is_whole:
                    self._drop_inbox()
            return page

    def _drop_inbox(self) -> None:
        box, self._inbox = self._inbox, None
        if box:
            log_out(box)

    def _forget_inbox(self) -> None:
        if self._lock.acquire(timeout=5):  # a poll that was just given up ends within half a second
            try:
                self._drop_inbox()
            finally:
                self._lock.release()

    # Sending: IMAP in a thread, SMTP here

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
            with smtp_errors(server):
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
            with smtp_errors(server):
                await client.mail(self._address, options=() if is_plain else ("SMTPUTF8",), encoding="utf-8")
                await client.rcpt(recipient, encoding="utf-8")
            with smtp_errors(server, is_sending=True):
                await client.data(mail, timeout=self._seconds("request_timeout", 15) + len(mail) / BYTES_PER_SECOND)
        finally:
            await _leave(client)


async def _leave(client: aiosmtplib.SMTP) -> None:
    with suppress(aiosmtplib.SMTPException, OSError):
        await client.quit(timeout=3)
    client.close()
