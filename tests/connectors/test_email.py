"""E-mail: the contract, mails good and bad, and round trips through mail-devel and Dovecot."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any, ClassVar

import pytest

from connectors.base import (
    Attachment,
    AuthExpired,
    BadPayload,
    Change,
    ChannelConfig,
    Connector,
    ConnectorError,
    Ignored,
    InboundMessage,
    MaybeSent,
    OutboundMessage,
    Page,
    RawEvent,
    Refused,
    TryLater,
)
from connectors.mail import EmailConnector
from connectors.mail_reading import WHOLE_BYTES, our_id, packed
from connectors.mail_text import from_html, trimmed
from tests.connectors.contract import NOW, ConnectorContract
from tests.servers.mail import HOST, PASSWORD, MailServer, SmtpServer, dovecot, free_ports, mail_devel, smtp_server

RECORDINGS = Path(__file__).parent / "recordings" / "email"
US, NADIA = "help@atlas.example", "nadia@example.com"
THREAD = f"plain@example.com {NADIA}"
SETTINGS = {"address": US, "aliases": "contact@atlas.example"}


def recorded(name: str) -> RawEvent:
    """A mail kept under `name`, as a poll would bring it."""
    return packed(7, 1 + sorted(RECORDINGS.iterdir()).index(path := RECORDINGS / f"{name}.eml"), NOW, path.read_bytes())


def read_one(raw: RawEvent, **settings: str) -> InboundMessage:
    """The one message that a mail reads as."""
    [message] = EmailConnector(ChannelConfig({**SETTINGS, **settings})).read(raw)
    return message


def mail(body: str = "Bonjour", **headers: str) -> bytes:
    """A plain mail of a customer."""
    fields = {"From": f"Nadia <{NADIA}>", "To": US, "Subject": "Colis", "Message-ID": "<1@example.com>"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [*(f"{name}: {value}" for name, value in fields.items()), "Content-Type: text/plain; charset=utf-8"]
    return "\r\n".join([*lines, "", body, ""]).encode()


def answer(text: str = "Merci", key: str = "key-1", thread: str = THREAD, to: str = NADIA) -> OutboundMessage:
    """An answer to Nadia."""
    return OutboundMessage(key=key, thread_key=thread, recipient=to, text=text)


class TestEmail(ConnectorContract):
    """What every connector must do."""

    connector: ClassVar[type[Connector]] = EmailConnector

    def config(self) -> ChannelConfig:
        return ChannelConfig(SETTINGS, {"password": PASSWORD})

    def samples(self) -> list[RawEvent]:
        names = "plain arabic html alternative outlook inline_answers forward attachments contact_form own_in_thread"
        broken = "bounce wrong_charset charset_that_lies charset_unknown windows_1256 no_boundary cut_off bad_base64"
        return [recorded(name) for name in f"{names} {broken}".split()]

    def outbound(self, text: str = "Bonjour") -> OutboundMessage:
        return answer(text)


class TestReading:
    """Mails in our words."""

    def test_a_mail_is_read_whole_and_its_signature_is_not(self) -> None:
        message = read_one(recorded("plain"))
        assert message.external_id == "plain@example.com"
        assert message.thread_key == THREAD
        assert message.text == "Colis abîmé\n\nBonjour,\nmon colis est arrivé abîmé.\n\nNadia"
        assert message.sent_at == NOW
        assert (message.author.external_id, message.author.name) == (NADIA, "Nadia B")
        assert not message.author.is_self

    def test_the_whole_mail_stays_in_the_raw_event(self) -> None:
        assert "Tél. 0600000000" in recorded("plain").payload["source"]
        latin = recorded("wrong_charset").payload
        assert base64.b64decode(latin["base64"]) == (RECORDINGS / "wrong_charset.eml").read_bytes()

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("arabic", "طلبي\n\nلم يصل طلبي بعد"),
            ("html", "Question\n\nBonjour Atlas,\n\n- un\n- deux\nOù est ma\ncommande <1234> ?"),
            ("alternative", "Question\n\nPlain words"),
            ("outlook", "Merci, ça marche."),
            ("inline_answers", "Blue.\nLarge."),
            ("wrong_charset", "Café fermé\n\nLe café est fermé"),
            ("charset_that_lies", "Accents\n\nCafé مرحبا"),
            ("charset_unknown", "Café  fin"),
            ("windows_1256", "Arabic\n\nمرحبا بكم"),
            ("no_boundary", "Broken\n\nStill readable"),
            ("cut_off", "Cut\n\nThe start"),
            ("bad_base64", "Bad\n\nBonjour"),
        ],
    )
    def test_what_was_written_this_time_is_the_text(self, name: str, text: str) -> None:
        assert read_one(recorded(name)).text == text

    def test_a_mail_that_is_only_a_forward_is_kept(self) -> None:
        assert "Total 12 EUR" in read_one(recorded("forward")).text

    def test_attachments_have_their_imap_numbers_and_harmless_names(self) -> None:
        uid = recorded("attachments").payload["uid"]
        assert read_one(recorded("attachments")).attachments == (
            Attachment("image", f"7:{uid}:2", "colis.png", "image/png", 8),
            Attachment("document", f"7:{uid}:3", "facture n° 1.pdf", "application/pdf", 5),
            Attachment("document", f"7:{uid}:4", "mail.eml", "message/rfc822", 79),
            Attachment("document", f"7:{uid}:5", "notes.txt", "text/plain", 6),
        )

    def test_the_one_who_filled_in_a_form_is_the_author(self) -> None:
        author = read_one(recorded("contact_form")).author
        assert (author.external_id, author.name, author.is_self) == ("karim@example.net", "Karim", False)

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("auto_reply", "auto-replied"),
            ("auto_generated", "auto-generated"),
            ("auto_precedence", "Precedence: bulk"),
            ("auto_exchange", "X-Auto-Response-Suppress"),
            ("auto_list", "mailing list"),
            ("auto_spam", "spam"),
            ("auto_responder", "automatic answer"),
            ("auto_away", "away"),
            ("auto_no_reply", "takes no answers"),
            ("empty", "empty"),
            ("own", "wrote ourselves"),
            ("bounce_delayed", "delayed"),
            ("bounce_of_another", "not one of ours"),
            ("read_receipt", "receipt"),
        ],
    )
    def test_what_nobody_should_answer_is_ignored_with_the_reason(self, name: str, reason: str) -> None:
        with pytest.raises(Ignored, match=reason):
            read_one(recorded(name))

    def test_a_list_that_is_us_is_read(self) -> None:
        raw = packed(7, 1, NOW, mail(List_Id="Help <help.atlas.example>", Precedence="list"))
        assert read_one(raw, own_lists="help.atlas.example").text == "Colis\n\nBonjour"
        with pytest.raises(Ignored, match="Precedence"):
            read_one(raw, own_lists="other.example")

    def test_no_is_an_answer_to_whether_a_mail_is_automatic(self) -> None:
        assert read_one(packed(7, 1, NOW, mail(Auto_Submitted="no"))).text

    def test_an_answer_of_ours_that_comes_back_is_ignored(self) -> None:
        ours = mail(Message_ID=f"<{our_id('k', THREAD, US)}>", From=US)
        with pytest.raises(Ignored, match="answer of ours"):
            read_one(packed(7, 1, NOW, ours))

    def test_what_we_wrote_with_another_program_is_shown_in_its_thread_as_ours(self) -> None:
        message = read_one(recorded("own_in_thread"))
        assert message.author.is_self
        assert message.thread_key == THREAD

    def test_another_address_of_ours_is_us(self) -> None:
        with pytest.raises(Ignored, match="wrote ourselves"):
            read_one(packed(7, 1, NOW, mail(From="Contact <contact@atlas.example>")))

    @pytest.mark.parametrize("name", ["bounce", "bounce_headers_only", "bounce_exim"])
    def test_a_bounce_ends_the_answer_that_came_back(self, name: str) -> None:
        bounce = read_one(recorded(name))
        assert bounce.change is Change.FAILED
        assert bounce.external_id == our_id("key-1", THREAD, US)
        assert bounce.thread_key == THREAD
        assert NADIA in bounce.text
        assert ("Recipient address rejected" in bounce.text) == (name != "bounce_exim")

    def test_a_mail_without_a_sender_is_refused_with_the_reason(self) -> None:
        with pytest.raises(BadPayload, match="From"):
            read_one(recorded("no_sender"))

    def test_a_mail_without_a_number_gets_the_same_one_each_time(self) -> None:
        source = mail().replace(b"Message-ID: <1@example.com>\r\n", b"")
        first, again = read_one(packed(7, 1, NOW, source)), read_one(packed(8, 5, NOW, source))
        assert first.external_id == again.external_id
        assert first.external_id != read_one(packed(7, 1, NOW, source + b"!")).external_id

    def test_parts_inside_parts_without_end_are_refused(self) -> None:
        source = b"From: a@example.com\r\n"
        source += b"".join(
            b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(2000)
        )
        try:
            read_one(packed(7, 1, NOW, source))
        except (BadPayload, Ignored) as refused:
            assert refused.reason

    def test_a_large_mail_leaves_its_attachments_on_the_mail_server(self) -> None:
        picture = base64.encodebytes(b"\x89PNG" * WHOLE_BYTES).decode()
        parts = (
            "--b\nContent-Type: text/plain\n\nVoici\n--b\nContent-Type: image/png; name=a.png\n"
            f"Content-Transfer-Encoding: base64\n\n{picture}\n--b--\n"
        )
        head = (
            f"From: {NADIA}\nSubject: Photo\nMessage-ID: <big@example.com>\nContent-Type: multipart/mixed; boundary=b"
        )
        raw = packed(7, 1, NOW, f"{head}\n\n{parts}".encode())
        assert len(json.dumps(raw.payload)) < 2000
        message = read_one(raw)
        assert message.text == "Photo\n\nVoici"
        assert message.attachments == (Attachment("image", "7:1:2", "a.png", "image/png", 4 * WHOLE_BYTES),)

    def test_a_text_without_end_is_cut(self) -> None:
        assert len(read_one(packed(7, 1, NOW, mail("word " * 1_000_000))).text) == 100_000

    def test_a_mail_that_the_server_cannot_give_is_a_dead_letter_with_its_words(self) -> None:
        with pytest.raises(BadPayload, match="SERVERBUG"):
            read_one(packed(7, 1, NOW, b"", error="[SERVERBUG] Internal error"))


class TestThreads:
    """Which mails are one conversation."""

    def thread(self, **headers: str) -> str:
        return read_one(packed(7, 1, NOW, mail(**headers))).thread_key

    def test_the_first_mail_and_its_writer_are_the_thread(self) -> None:
        first = self.thread(Message_ID="<root@example.com>")
        assert first == f"root@example.com {NADIA}"
        assert (
            self.thread(Message_ID="<2@x>", References="<root@example.com>\r\n <mid@x>", In_Reply_To="<mid@x>") == first
        )

    def test_two_who_reply_to_one_newsletter_are_two_conversations(self) -> None:
        answers = {self.thread(From=who, In_Reply_To="<news@atlas.example>") for who in ("a@x.org", "b@x.org")}
        assert len(answers) == 2

    def test_a_reply_to_our_answer_stays_in_its_thread_whoever_writes_it_and_however_little_it_names(self) -> None:
        ours = our_id("key", THREAD, US)
        assert self.thread(From="colleague@x.org", In_Reply_To=f"<{ours}>") == THREAD
        assert self.thread(References=f"<else@x> <{ours}> <later@x>") == THREAD

    def test_the_reply_names_what_it_answers(self) -> None:
        raw = packed(7, 1, NOW, mail(References="<a@x> <b@x>", In_Reply_To="<b@x>"))
        assert read_one(raw).reply_to == "b@x"

    def test_our_number_is_the_same_for_every_attempt_and_another_for_every_message(self) -> None:
        assert our_id("k", THREAD, US) == our_id("k", THREAD, US) != our_id("l", THREAD, US)


class TestWords:
    """HTML, quotes and signatures."""

    @pytest.mark.parametrize(
        ("html", "text"),
        [
            ("<p>a</p><p>b</p>", "a\n\nb"),
            ("a<br><br>b", "a\n\nb"),
            ("<table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>", "1 2\n3"),
            ("<blockquote>said<blockquote>before</blockquote></blockquote>me", "> said\n>\n> > before\n>\nme"),
            ("<pre>x\n  y</pre>", "x\n  y"),
            ("a<script>b()</script><style>c{}</style><!-- d --><img src=x onerror=e()>", "a"),
            ("<p>a<b>b</p>c &amp;&lt; <a href='https://x'>d</a>", "ab\n\nc &< d"),
        ],
    )
    def test_html_becomes_lines(self, html: str, text: str) -> None:
        assert from_html(html) == text

    @pytest.mark.parametrize(
        ("text", "rest"),
        [
            ("Oui.\n\nLe 1 mars 2026, Atlas <h@a.fr> a écrit :\n> Bonjour\n> ?", "Oui."),
            ("Ja.\n\nAm 1.3.2026 schrieb Atlas <h@a.de>:\n> Hallo", "Ja.\n\nAm 1.3.2026 schrieb Atlas <h@a.de>:"),
            ("Yes.\n\nOn Sun, 1 Mar 2026 Atlas wrote:\n\nHello\nagain", "Yes."),
            ("Yes.\n-----Original Message-----\nFrom: x", "Yes."),
            ("نعم\n\n-----الرسالة الأصلية-----\nمن: x", "نعم"),
            ("Yes.\n\nSent from my iPhone", "Yes."),
            ("> only a quote", "> only a quote"),
            ("From: my point of view\nit works", "From: my point of view\nit works"),
            ("On Monday I wrote: nothing came.", "On Monday I wrote: nothing came."),
            ("a\n\n\n\n\nb", "a\n\nb"),
        ],
    )
    def test_quotes_and_signatures_go(self, text: str, rest: str) -> None:
        assert trimmed(text) == rest

    @pytest.mark.parametrize(
        "text", ["On " * 100_000, "De :\n" * 50_000, "> " * 200_000, "<div>" * 50_000, "-" * 10**6]
    )
    def test_no_text_takes_long(self, text: str) -> None:
        began_at = datetime.now(UTC)
        trimmed(text)
        from_html(text)
        assert datetime.now(UTC) - began_at < timedelta(seconds=10)


@pytest.fixture(scope="module")
def devel_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mail-devel")


@pytest.fixture(scope="module")
def started(devel_folder: Path) -> Iterator[MailServer]:
    with mail_devel(devel_folder) as here:
        yield here


@pytest.fixture
async def devel(started: MailServer) -> MailServer:
    """The one mail-devel of all tests here, with empty mailboxes."""
    await started.empty(US, "INBOX", "Sent")
    await started.empty(NADIA, "INBOX")
    return started


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[MailServer]:
    async with dovecot(tmp_path) as here:
        yield here


async def read_all(connector: EmailConnector, page: Page) -> list[InboundMessage]:
    """What a page reads as."""
    return [message for raw in page.events for message in connector.read(raw)]


class TestSending:
    """What is said to an SMTP server, and what is made of its answers. The mailbox is on mail-devel."""

    def opened(self, devel: MailServer, port: int, **settings: Any) -> EmailConnector:
        return EmailConnector(devel.config(US, **{"smtp_port": str(port), **settings}))

    @pytest.mark.parametrize(
        ("answers", "raises", "says"),
        [
            ({"AUTH": "535 5.7.8 wrong password"}, AuthExpired, "5.7.8 wrong password"),
            ({"AUTH": "454 4.7.0 try later"}, TryLater, "try later"),
            ({"GREETING": "554 no service"}, TryLater, "no service"),
            ({"GREETING": ""}, TryLater, ""),
            ({"EHLO": ""}, TryLater, ""),
            ({"MAIL": "530 5.7.0 Must issue a STARTTLS command first"}, TryLater, "STARTTLS"),
            ({"MAIL": "421 4.3.2 shutting down"}, TryLater, "shutting down"),
            ({"RCPT": "550 5.1.1 no such user"}, Refused, "550 5.1.1 no such user"),
            ({"RCPT": "450 4.2.0 greylisted, try again"}, TryLater, "greylisted"),
            ({"RCPT": ""}, TryLater, ""),
            ({"TAKEN": "552 5.3.4 too big"}, Refused, "too big"),
            ({"TAKEN": "554 5.7.1 it looks like spam"}, Refused, "spam"),
            ({"TAKEN": "452 4.3.1 disk full"}, TryLater, "disk full"),
            ({"TAKEN": ""}, MaybeSent, "did not say"),
        ],
    )
    async def test_each_failure_becomes_the_error_that_the_engine_knows(
        self, devel: MailServer, answers: dict[str, str], raises: type[ConnectorError], says: str
    ) -> None:
        async with smtp_server(**answers) as smtp:
            connector = self.opened(devel, smtp.port)
            with pytest.raises(ConnectorError) as raised:
                await connector.direct_message(answer())
            await connector.close()
        assert type(raised.value) is raises, raised.value
        assert says in raised.value.reason
        assert len(raised.value.reason) < 500
        assert PASSWORD not in raised.value.reason
        assert smtp.mails == []
        assert await devel.mails(US, "Sent") == [], "no copy of what was not sent"

    async def test_a_mail_that_never_left_can_be_sent_later(self, devel: MailServer) -> None:
        [port] = free_ports(1)
        connector = self.opened(devel, port)
        with pytest.raises(TryLater, match=f"SMTP server {HOST}:{port}"):
            await connector.direct_message(answer())
        await connector.close()

    async def test_a_text_of_any_length_and_script_arrives_as_it_was_written(self, devel: MailServer) -> None:
        text = ".\n..dots\nLigne très longue " + "é✓ مرحبا " * 10_000
        async with smtp_server() as smtp:
            connector = self.opened(devel, smtp.port)
            await connector.direct_message(answer(text))
            await connector.close()
        [source] = smtp.mails
        assert max(map(len, source.split(b"\r\n"))) <= 998
        sent = message_from_bytes(source).get_payload(decode=True)
        assert isinstance(sent, bytes)
        assert sent.decode().replace("\r\n", "\n").strip() == text.strip()

    async def test_a_relay_without_sign_in_is_used_as_it_is(self, devel: MailServer) -> None:
        async with smtp_server(has_auth=False) as smtp:
            connector = self.opened(devel, smtp.port)
            await connector.direct_message(answer())
            await connector.close()
        assert len(smtp.mails) == 1
        assert "AUTH" not in smtp.commands

    async def test_an_answer_continues_the_newest_mail_of_its_thread(self, devel: MailServer) -> None:
        await devel.deliver(US, mail(Message_ID="<root@x>", Subject="=?utf-8?q?Caf=C3=A9=2C_ferm=C3=A9?="))
        await devel.deliver(US, mail(Message_ID="<2@x>", References="<root@x>", Subject="Re: Autre sujet"))
        await devel.deliver(US, mail(Message_ID="<3@x>", References="<root@x>", From="other@x.org"))
        async with smtp_server() as smtp:
            connector = self.opened(devel, smtp.port, sender_name="Atlas, l'équipe")
            await connector.direct_message(answer(thread=f"root@x {NADIA}"))
            await connector.direct_message(answer(thread=f"gone@x {NADIA}", key="key-2"))
            await connector.close()
        found, gone = [message_from_bytes(source) for source in smtp.mails]
        assert found["In-Reply-To"] == "<2@x>"
        assert found["References"] == "<root@x> <2@x>"
        assert found["Subject"] == "Re: Autre sujet"
        assert found["From"] == "=?utf-8?q?Atlas=2C_l=27=C3=A9quipe?= <help@atlas.example>"
        assert found["To"] == NADIA
        assert gone["References"] == "<gone@x>", "the thread holds even when its mails were moved away"

    async def test_nothing_is_sent_to_what_is_no_address(self, devel: MailServer) -> None:
        async with smtp_server() as smtp:
            connector = self.opened(devel, smtp.port)
            for recipient in ("nadia", "a@x.org\r\nRCPT TO:<b@x.org>", "a@x.org, b@x.org", "<a@x.org>"):
                with pytest.raises(Refused, match="no e-mail address"):
                    await connector.direct_message(answer(to=recipient))
            with pytest.raises(Refused, match="beyond ASCII"):
                await connector.direct_message(answer(to="نادية@example.com"))
            await connector.close()
        assert not [command for command in smtp.commands if command.startswith("MAIL")]

    async def test_an_address_of_any_letters_is_written_where_the_server_can_send_to_it(
        self, devel: MailServer
    ) -> None:
        async with smtp_server(utf8=True) as smtp:
            connector = self.opened(devel, smtp.port)
            await connector.direct_message(answer(to="نادية@example.com"))
            await connector.close()
        assert "RCPT TO:<نادية@example.com>" in smtp.commands

    async def test_a_copy_is_kept_once_and_found_again(self, devel: MailServer) -> None:
        async with smtp_server() as smtp:
            connector = self.opened(devel, smtp.port)
            with pytest.raises(Refused, match="not known"):
                await connector.find_sent(answer())
            sent = await connector.direct_message(answer())
            assert sent.external_id == our_id("key-1", THREAD, US)
            await connector.direct_message(answer())
            assert await connector.find_sent(answer()) == sent
            with pytest.raises(Refused):
                await connector.find_sent(answer(key="another"))
            await connector.close()
        assert len(await devel.mails(US, "Sent")) == 1


class TestConnecting:
    """What an admin is told."""

    async def reason(self, config: ChannelConfig, error: type[ConnectorError]) -> str:
        connector = EmailConnector(config)
        with pytest.raises(ConnectorError) as raised:
            await connector.connect()
        await connector.close()
        assert type(raised.value) is error, raised.value
        assert PASSWORD not in raised.value.reason
        return raised.value.reason

    async def test_the_account_is_the_address(self, devel: MailServer) -> None:
        connector = EmailConnector(devel.config("Help@Atlas.example"))
        account = await connector.connect()
        await connector.close()
        assert (account.external_id, account.name) == (US, US)

    async def test_a_wrong_password_is_named_with_its_server(self, devel: MailServer) -> None:
        config = devel.config(US)
        wrong = ChannelConfig(config.settings, {"password": "wrong"})
        assert "IMAP server 127.0.0.1" in await self.reason(wrong, AuthExpired)
        assert "password is missing" in await self.reason(ChannelConfig(config.settings), AuthExpired)

    async def test_a_wrong_host_port_or_encryption_is_named(self, devel: MailServer) -> None:
        [port] = free_ports(1)
        assert "no server of that name" in await self.reason(devel.config(US, imap_host="mail.invalid"), TryLater)
        assert "no server of that name" in await self.reason(devel.config(US, smtp_host="mail.invalid"), TryLater)
        assert "cannot be reached" in await self.reason(devel.config(US, imap_port=str(port)), TryLater)
        assert "between 1 and 65535" in await self.reason(devel.config(US, imap_port="mail"), Refused)
        plain = devel.config(US, imap_security="ssl", imap_port=str(devel.imap_port))
        assert "does not speak TLS" in await self.reason(plain, TryLater)
        assert "not one plain address" in await self.reason(devel.config("help"), Refused)

    async def test_a_certificate_that_signed_itself_is_named(self, devel: MailServer) -> None:
        for settings in ({"smtp_security": "starttls"}, {"smtp_security": "ssl"}):
            reason = await self.reason(devel.config(US, **settings), TryLater)
            assert "is not trusted (self-signed certificate)" in reason
            assert "SMTP server" in reason
        assert "offers no STARTTLS" in await self.reason(devel.config(US, imap_security="starttls"), TryLater)

    async def test_a_certificate_that_is_trusted_encrypts_what_is_sent(
        self, devel: MailServer, devel_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(devel_folder / "cert.pem"))
        for security in ("starttls", "ssl"):
            connector = EmailConnector(devel.config(US, smtp_security=security))
            await connector.connect()
            await connector.direct_message(answer(key=security))
            await connector.close()
        assert len(await devel.mails(NADIA)) == 2

    async def test_a_folder_that_is_not_there_is_named(self, real: MailServer) -> None:
        async with smtp_server() as smtp:
            config = real.config(US, folder="Support", smtp_port=str(smtp.port))
            assert "no folder Support" in await self.reason(config, Refused)


class RoundTrip:
    """A customer on one side, the connector on the other; for each real server."""

    @pytest.fixture
    async def server(self) -> MailServer:
        raise NotImplementedError

    @pytest.fixture
    async def smtp(self) -> AsyncIterator[SmtpServer]:
        async with smtp_server() as here:
            yield here

    @pytest.fixture
    async def connector(self, server: MailServer, smtp: SmtpServer) -> AsyncIterator[EmailConnector]:
        opened = EmailConnector(server.config(US, smtp_port=str(smtp.port)))
        yield opened
        await opened.close()

    async def test_a_conversation_goes_both_ways_and_stays_one(
        self, connector: EmailConnector, server: MailServer, smtp: SmtpServer
    ) -> None:
        await server.deliver(US, mail("Before we were connected", Message_ID="<0@x>"))
        start = await connector.poll(None)
        assert start.events == (), "what was there before is not answered"
        await server.deliver(US, mail("Où est ma commande ?"))
        page = await connector.poll(start.cursor)
        [question] = await read_all(connector, page)
        assert question.text == "Colis\n\nOù est ma commande ?"

        await connector.direct_message(answer("Elle arrive.", thread=question.thread_key))
        [source] = smtp.mails
        sent = message_from_bytes(source)
        assert (sent["In-Reply-To"], sent["Subject"]) == ("<1@example.com>", "Re: Colis")

        reply = mail("Merci !\r\n\r\n> Elle arrive.", Message_ID="<2@x>", In_Reply_To=sent["Message-ID"])
        await server.deliver(US, reply)
        [thanks] = await read_all(connector, await connector.poll(page.cursor))
        assert (thanks.text, thanks.thread_key) == ("Merci !", question.thread_key)
        assert f"<{thanks.reply_to}>" == sent["Message-ID"]
        assert not [flags for flags in await server.flags(US) if "Seen" in flags], "mails stay unread"

    async def test_a_poll_waits_for_the_first_mail(self, connector: EmailConnector, server: MailServer) -> None:
        start = await asyncio.wait_for(connector.poll(None), 5)  # where it begins is kept before it waits
        waiting = asyncio.create_task(connector.poll(start.cursor))
        done, _ = await asyncio.wait({waiting}, timeout=1)
        assert not done
        delivered_at = asyncio.get_running_loop().time()
        await server.deliver(US, mail("Late"))
        try:
            page = await waiting
        except TryLater:  # mail-devel sometimes writes news into the middle of an answer: the next poll has it
            page = await connector.poll(start.cursor)
        [message] = await read_all(connector, page)
        assert message.text == "Colis\n\nLate"
        assert asyncio.get_running_loop().time() - delivered_at < 5, "told by the server, not found by asking"

    async def test_a_poll_that_is_given_up_leaves_the_mailbox_usable(
        self, connector: EmailConnector, server: MailServer
    ) -> None:
        start = await connector.poll(None)
        waiting = asyncio.create_task(connector.poll(start.cursor))
        await asyncio.wait({waiting}, timeout=0.5)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await server.deliver(US, mail("After"))
        assert len((await connector.poll(start.cursor)).events) == 1

    async def test_a_crash_before_the_cursor_is_kept_loses_nothing(
        self, connector: EmailConnector, server: MailServer
    ) -> None:
        start = await connector.poll(None)
        await server.deliver(US, mail())
        first = await connector.poll(start.cursor)
        again = await connector.poll(json.loads(json.dumps(start.cursor)))
        assert first == again
        assert len(first.events) == 1

    async def test_many_mails_come_page_by_page_and_in_order(
        self, connector: EmailConnector, server: MailServer
    ) -> None:
        page = await connector.poll(None)
        mails = [mail(str(number), Message_ID=f"<{number}@x>", Subject="") for number in range(30)]
        await server.deliver(US, *mails)
        texts: list[str] = []
        sizes = []
        while len(texts) < 30:
            page = await connector.poll(page.cursor)
            texts += [message.text for message in await read_all(connector, page)]
            sizes.append((len(page.events), page.more))
        assert texts == [str(number) for number in range(30)]
        assert sizes == [(25, True), (5, False)]
        assert len([raw async for each in connector.backfill(NOW) for raw in each.events]) == 30

    async def test_an_attachment_is_fetched_from_the_mail_server(
        self, connector: EmailConnector, server: MailServer
    ) -> None:
        start = await connector.poll(None)
        await server.deliver(US, (RECORDINGS / "attachments.eml").read_bytes())
        [message] = await read_all(connector, await connector.poll(start.cursor))
        png, pdf, inside, note = [await connector.fetch(each) for each in message.attachments]
        assert png == b"\x89PNG\r\n\x1a\n"
        assert pdf == b"%PDF-"
        assert b"Subject: inside" in inside
        assert note.strip() == b"a note"
        validity, uid, _ = message.attachments[0].external_id.split(":")
        for gone, why in ((f"{validity}:{int(uid) + 9}:2", "no longer"), (f"1:{uid}:2", "anew"), ("x", "anew")):
            with pytest.raises(Refused, match=why):
                await connector.fetch(Attachment("image", gone))
        with pytest.raises(Refused, match="no such attachment"):
            await connector.fetch(Attachment("image", f"{validity}:{uid}:77"))


class TestMailDevel(RoundTrip):
    """Through mail-devel."""

    @pytest.fixture
    async def server(self, devel: MailServer) -> MailServer:
        return devel


class TestDovecot(RoundTrip):
    """Through Dovecot."""

    @pytest.fixture
    async def server(self, real: MailServer) -> MailServer:
        return real

    async def test_mails_that_are_numbered_anew_come_once_more_with_the_ids_they_had(self, real: MailServer) -> None:
        async with smtp_server() as smtp:
            config = real.config(US, folder="Support", smtp_port=str(smtp.port))
            await real.deliver(US, mail("First", Message_ID="<1@x>"), folder="Support")
            connector = EmailConnector(config)
            start = await connector.poll(None)
            await real.deliver(US, mail("Second", Message_ID="<2@x>"), folder="Support")
            page = await connector.poll(start.cursor)
            await connector.close()
            await real.renumber(US, "Support")
            await real.deliver(US, mail("Third", Message_ID="<3@x>"), folder="Support")
            connector = EmailConnector(config)
            anew = await connector.poll(page.cursor)
            assert anew.cursor["uidvalidity"] != page.cursor["uidvalidity"]
            assert [m.external_id for m in await read_all(connector, anew)] == ["1@x", "2@x", "3@x"]
            await real.deliver(US, mail("Fourth", Message_ID="<4@x>"), folder="Support")
            assert [m.external_id for m in await read_all(connector, await connector.poll(anew.cursor))] == ["4@x"]
            await connector.close()

    async def test_the_copy_goes_where_the_server_keeps_sent_mails(self, real: MailServer) -> None:
        async with smtp_server() as smtp:
            connector = EmailConnector(real.config(US, smtp_port=str(smtp.port)))
            sent = await connector.direct_message(answer())
            assert await connector.find_sent(answer()) == sent
            await connector.close()
        [copy] = await real.mails(US, "Envois")
        assert copy["Message-ID"] == f"<{sent.external_id}>"
        assert ["Seen" in flags for flags in await real.flags(US, "Envois")] == [True]

    @pytest.mark.parametrize("security", ["ssl", "starttls"])
    async def test_a_mailbox_is_read_encrypted_once_its_certificate_is_trusted(
        self, real: MailServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, security: str
    ) -> None:
        async with smtp_server() as smtp:
            config = real.config(US, imap_security=security, smtp_port=str(smtp.port))
            connector = EmailConnector(config)
            with pytest.raises(TryLater, match="is not trusted"):
                await connector.connect()
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
            await connector.connect()
            start = await connector.poll(None)
            waiting = asyncio.create_task(connector.poll(start.cursor))
            await asyncio.wait({waiting}, timeout=1)
            await real.deliver(US, mail("Over TLS"))
            [message] = await read_all(connector, await waiting)
            assert message.text == "Colis\n\nOver TLS"
            await connector.close()
