"""Why a connection failed, in words that an admin can act on, whichever library says so."""

import socket
import ssl
from collections.abc import Iterator

DEEPEST = 10


def cause(error: BaseException) -> str:
    """The first cause below `error` that has words of its own; else the kind of error."""
    for each in _below(error):
        if words := _words(each):
            return words
    return type(error).__name__


def _words(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message or 'it could not be verified'})"
    if isinstance(error, ssl.SSLError):
        return "it does not speak TLS there"
    if isinstance(error, socket.gaierror):
        return "no server of that name is known; is this server online?"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens at that address and port"
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "the connection was broken off"
    if isinstance(error, TimeoutError) or type(error).__name__.endswith(("Timeout", "TimeoutError")):
        return "it does not answer in time"
    if isinstance(error, OSError) and error.errno in _NO_WAY:
        return "there is no way to it from this network"
    return ""


_NO_WAY = {101, 113}
"""ENETUNREACH and EHOSTUNREACH."""


def _below(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from, by each of the ways in which libraries keep that."""
    seen: set[int] = set()
    waiting = [error]
    while waiting and len(seen) < DEEPEST:
        each = waiting.pop(0)
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        inner = [getattr(each, "os_error", None), getattr(each, "reason", None), *each.args]
        waiting += [found for found in (each.__cause__, *inner, each.__context__) if isinstance(found, BaseException)]
