"""Mail servers to test against: mail-devel (PyPI), Dovecot (Debian), and an SMTP server that says what it is told to.

    with mail_devel(folder) as server:
        connector = EmailConnector(server.config("help@atlas.example"))
        await server.deliver("help@atlas.example", b"From: ...")
        ...
        [mail] = await server.mails("nadia@example.com")

Both real servers speak TLS with a certificate that signed itself, made for the test, in cert.pem of their folder.
"""

import asyncio
import grp
import imaplib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connectors.base import ChannelConfig
from tests.requirements import require

HOST = "127.0.0.1"
PASSWORD = "a-mailbox-password"


@dataclass(frozen=True)
class MailServer:
    """A running server; any address is a mailbox of it, with one password for all."""

    imap_port: int
    smtp_port: int = 0
    """STARTTLS."""
    imaps_port: int = 0
    smtps_port: int = 0

    def config(self, address: str, **settings: Any) -> ChannelConfig:
        """For a mailbox here, with the encryption that `settings` say (none by default)."""
        security = {"imap": "none", "smtp": "none"} | {
            kind: settings[f"{kind}_security"] for kind in ("imap", "smtp") if f"{kind}_security" in settings
        }
        ports = {
            "imap_port": str(self.imaps_port if security["imap"] == "ssl" else self.imap_port),
            "smtp_port": str(self.smtps_port if security["smtp"] == "ssl" else self.smtp_port),
        }
        servers = {"imap_host": HOST, "smtp_host": HOST, "imap_security": "none", "smtp_security": "none"}
        quick = {"poll_timeout": 10, "request_timeout": 10}
        return ChannelConfig({"address": address, **servers, **ports, **quick, **settings}, {"password": PASSWORD})

    async def deliver(self, address: str, *sources: bytes, folder: str = "INBOX") -> None:
        """Put mails into a mailbox, byte for byte."""
        await asyncio.to_thread(self._append, address, sources, folder)

    async def mails(self, address: str, folder: str = "INBOX") -> list[Message]:
        """All mails in a folder."""
        return [message_from_bytes(source) for source, _ in await asyncio.to_thread(self._all, address, folder)]

    async def flags(self, address: str, folder: str = "INBOX") -> list[str]:
        """The flags of each mail in a folder."""
        return [flags for _, flags in await asyncio.to_thread(self._all, address, folder)]

    async def empty(self, address: str, *folders: str) -> None:
        """Remove every mail of these folders."""
        await asyncio.to_thread(self._empty, address, folders)

    async def renumber(self, address: str, folder: str) -> None:
        """Make a folder anew with the same mails, so that it has another UIDVALIDITY."""
        await asyncio.to_thread(self._renumber, address, folder)

    @contextmanager
    def _box(self, address: str) -> Iterator[imaplib.IMAP4]:
        box = imaplib.IMAP4(HOST, self.imap_port, timeout=10)
        box.login(address, PASSWORD)
        try:
            yield box
        finally:
            box.logout()

    def _append(self, address: str, sources: Sequence[bytes], folder: str) -> None:
        with self._box(address) as box:
            if folder != "INBOX":
                box.create(folder)
            for source in sources:
                status, words = box.append(folder, "", "", source)
                if status != "OK":
                    raise RuntimeError(str(words))

    def _all(self, address: str, folder: str) -> list[tuple[bytes, str]]:
        with self._box(address) as box:
            status, _ = box.select(folder, readonly=True)
            if status != "OK":
                return []
            _, [numbers] = box.search(None, "ALL")
            found = []
            for number in numbers.split():
                _, data = box.fetch(number.decode(), "(FLAGS BODY.PEEK[])")
                whole = next(each for each in data if isinstance(each, tuple))
                rest = b" ".join(each if isinstance(each, bytes) else each[0] for each in data if each)
                found.append((whole[1], rest.decode(errors="replace")))
            return found

    def _empty(self, address: str, folders: tuple[str, ...]) -> None:
        with self._box(address) as box:
            for folder in folders:
                if box.select(folder)[0] == "OK":
                    box.store("1:*", "+FLAGS", r"(\Deleted)")
                    box.expunge()

    def _renumber(self, address: str, folder: str) -> None:
        kept = [source for source, _ in self._all(address, folder)]
        with self._box(address) as box:
            box.delete(folder)
        self._append(address, kept, folder)


@dataclass
class SmtpServer:
    """An SMTP server that keeps what it takes; `answers`, by command, are what some commands get instead of a yes."""

    port: int = 0
    answers: Mapping[str, str] = field(default_factory=dict)
    """"" means: the connection ends there. "TAKEN" for DATA means: after the whole mail."""
    has_auth: bool = True
    mails: list[bytes] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    utf8: bool = False

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())

        say(self.answers.get("GREETING", "220 here"))
        while line := (await reader.readline()).decode().strip():
            verb = line.split()[0].upper()
            self.commands.append(verb if verb == "AUTH" else line)
            answer = self.answers.get(verb)
            if answer == "":
                return
            if answer:
                say(answer)
            elif verb == "EHLO":
                say("250-here")
                if self.utf8:
                    say("250-SMTPUTF8")
                say("250-AUTH PLAIN LOGIN" if self.has_auth else "250-8BITMIME")
                say("250 SIZE 50000000")
            elif verb == "AUTH":
                say("235 ok")
            elif verb == "DATA":
                say("354 go on")
                mail = await reader.readuntil(b"\r\n.\r\n")
                taken = self.answers.get("TAKEN", "250 taken")
                if not taken:
                    return
                if taken.startswith("250"):
                    self.mails.append(mail[:-5].replace(b"\r\n..", b"\r\n.") + b"\r\n")
                say(taken)
            elif verb == "QUIT":
                say("221 bye")
                return
            else:
                say("250 ok")


@asynccontextmanager
async def smtp_server(has_auth: bool = True, utf8: bool = False, **answers: str) -> AsyncIterator[SmtpServer]:
    """Start one; `answers` as SmtpServer has them."""
    here = SmtpServer(answers=answers, has_auth=has_auth, utf8=utf8)
    server = await asyncio.start_server(here.talk, HOST, 0, limit=10_000_000)
    here.port = server.sockets[0].getsockname()[1]
    try:
        yield here
    finally:
        server.close()
        await server.wait_closed()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert, key_file = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key_file.write_bytes(key.private_bytes(*pem))
    return cert, key_file


def free_ports(count: int) -> list[int]:
    """Ports on loopback where nobody listens."""
    with_socket = [socket.socket() for _ in range(count)]
    try:
        for each in with_socket:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in with_socket]
    finally:
        for each in with_socket:
            each.close()


@contextmanager
def mail_devel(folder: Path) -> Iterator[MailServer]:
    """Start mail-devel; its certificate lies in `folder`. It takes seconds to start: one may serve many tests."""
    cert, key = certificate(folder)
    imap, smtp, smtps = free_ports(3)
    ports = ["--imap-port", str(imap), "--smtp-port", str(smtp), "--smtps-port", str(smtps)]
    login = ["--user", "admin@mail.test", "--password", PASSWORD, "--multi-user", "--auth-required"]
    tls = ["--cert", str(cert), "--key", str(key)]
    command = [sys.executable, "-m", "mail_devel", "--host", HOST, "--no-http", *ports, *login, *tls]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout
        said = b""
        while b"SMTPS service" not in (line := process.stdout.readline()):
            said += line
            if not line:
                raise RuntimeError(f"mail-devel did not start: {said.decode()[-2000:]}")
        drain = threading.Thread(target=process.stdout.read)
        drain.start()
        try:
            yield MailServer(imap, smtp, smtps_port=smtps)
        finally:
            process.terminate()
            drain.join()


DOVECOT = """
protocols = imap
listen = {host}
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {log}
default_login_user = {login_user}
default_internal_user = {user}
default_internal_group = {group}
ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
disable_plaintext_auth = no
mail_location = maildir:~/Maildir
first_valid_uid = 1
first_valid_gid = 1
mailbox_idle_check_interval = 1 s
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/home/%u
}}
namespace inbox {{
  inbox = yes
  mailbox "Envois" {{
    auto = create
    special_use = \\Sent
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


@asynccontextmanager
async def dovecot(folder: Path, **more: str) -> AsyncIterator[MailServer]:
    """Start Dovecot, as whoever runs the tests. Skips the test where it is not installed."""
    program = shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        require("Dovecot (Debian: dovecot-imapd)")
    cert, key = certificate(folder)
    imap, imaps = free_ports(2)
    log = folder / "log"
    # Its mailboxes do not lie in a test's own folder: Dovecot reads them as another user, and every pytest that starts
    # on the machine closes the folders of all tests to others ("[SERVERBUG] Internal error occurred", it says then).
    with TemporaryDirectory(prefix="dovecot-") as place:
        settings = {"folder": place, "log": log, "host": HOST, "cert": cert, "key": key, "password": PASSWORD}
        config = Path(place) / "dovecot.conf"
        config.write_text(
            DOVECOT.format(**settings, imap=imap, imaps=imaps, **_users(Path(place)))
            + "\n".join(f"{name} = {value}" for name, value in more.items())
        )
        process = await asyncio.create_subprocess_exec(
            *(program, "-F", "-c", str(config)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            await _listening(imap, process, log)
            yield MailServer(imap, imaps_port=imaps)
        finally:
            # All of its processes at once: asked politely it takes a second to say goodbye to each of them.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()


def _users(place: Path) -> dict[str, str]:
    """Whom Dovecot's processes run as, and folders for them: root's Dovecot reads no mail as root."""
    (place / "home").mkdir()
    (place / "run").mkdir()
    if os.getuid() == 0:
        place.chmod(0o755)
        mail = pwd.getpwnam("mail")
        os.chown(place / "home", mail.pw_uid, mail.pw_gid)
        names = {"login_user": "dovenull", "user": "dovecot", "group": "dovecot"}
        return {**names, "uid": str(mail.pw_uid), "gid": str(mail.pw_gid)}
    me, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    return {"login_user": me, "user": me, "group": group, "uid": str(os.getuid()), "gid": str(os.getgid())}


async def _listening(port: int, process: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except OSError:
                if process.returncode is not None:
                    said = log.read_text() if log.exists() else ""
                    raise RuntimeError(f"Dovecot did not start: {said[-2000:]}") from None
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
