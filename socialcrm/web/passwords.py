"""Passwords: argon2id, off the event loop, a few at a time because each takes 64 MiB."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_HASHER = PasswordHasher()
_AT_ONCE = asyncio.Semaphore(4)
_NOBODY = _HASHER.hash("nobody has this password")
"""Checked when there is no such account, so that an answer takes as long as for one that exists."""


def hash_password(password: str) -> str:
    """What we keep of a password. Takes tens of milliseconds: call it off the event loop."""
    return _HASHER.hash(password)


async def is_password(stored: str, password: str) -> bool:
    """Whether `password` is the one that was stored; an empty `stored` takes as long and is never right."""
    async with _AT_ONCE:
        is_right = await asyncio.to_thread(_verify, stored or _NOBODY, password)
    return is_right and bool(stored)


def _verify(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
