"""One TLS context for all that is asked through httpx: to read the trusted certificates takes as long as a hundred
small calls, and each connector, probe and test would do it anew."""

import ssl
from functools import cache

import httpx


@cache
def context() -> ssl.SSLContext:
    """httpx's own, made once."""
    return httpx.create_ssl_context()
