"""What IMAP and SMTP servers refuse, as the errors that the engine knows.

Written after RFC 5530 (IMAP response codes), 5321 and 4954 (SMTP).
"""

import imaplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import aiosmtplib
from imap_tools.errors import ImapToolsError, MailboxLoginError, UnexpectedCommandStatusError

from connectors.base import AuthExpired, ConnectorError, MaybeSent, Refused, TryLater

BUSY = ("[UNAVAILABLE]", "[INUSE]", "[LIMIT]", "[SERVERBUG]", "[CONTACTADMIN]")
"""Response codes (RFC 5530) of a refused sign-in that do not mean a wrong password."""
SECURITY = ("ssl", "starttls", "none")
PORTS = {("imap", "ssl"): 993, ("imap", "starttls"): 143, ("imap", "none"): 143}
PORTS |= {("smtp", "ssl"): 465, ("smtp", "starttls"): 587, ("smtp", "none"): 25}


@dataclass(frozen=True)
class Server:
    """One of the two servers, as it was filled in."""

    kind: str
    host: str
    port: int
    security: str

    def __str__(self) -> str:
        return f"{self.kind.upper()} server {self.host}:{self.port}"


def server_words(error: Exception) -> str:
    """What the server said, in its own words."""
    if isinstance(error, UnexpectedCommandStatusError):
        data = error.command_result[1]
        said = data[-1] if isinstance(data, list | tuple) and data else data
        words = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    else:
        words = str(error)
    return " ".join(words.split())[:300]


@contextmanager
def imap_errors(server: Server) -> Iterator[None]:
    try:
        yield
    except ConnectorError:
        raise
    except MailboxLoginError as error:
        raise _signed_out(server, server_words(error)) from error
    except imaplib.IMAP4.abort as error:
        raise TryLater(f"The {server} ended the connection: {server_words(error)}") from error
    except (imaplib.IMAP4.error, ImapToolsError) as error:
        words = server_words(error)
        if "AUTHENTICATIONFAILED" in words.upper():
            raise _signed_out(server, words) from error
        raise TryLater(f"The {server} did not do as it was asked: {words}") from error
    except OSError as error:
        raise _unreachable(server, error) from error


def _signed_out(server: Server, words: str) -> ConnectorError:
    if "PRIVACYREQUIRED" in words.upper():
        return Refused(f"The {server} takes no password without encryption: choose SSL or STARTTLS.")
    if any(code in words.upper() for code in BUSY):
        return TryLater(f"The {server} cannot sign us in now: {words}")
    return AuthExpired(f"The {server} does not accept the user name and password: {words}")


def _unreachable(server: Server, error: BaseException) -> TryLater:
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
def smtp_errors(server: Server, *, is_sending: bool = False) -> Iterator[None]:
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
