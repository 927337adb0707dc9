"""Secrets at rest: credentials are encrypted with a key that is made at first start, and tokens are kept as hashes."""

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

KEY_FILE = "secret.key"


class KeyLost(Exception):
    """Something was encrypted with a key that we do not have."""


class Vault:
    """Encrypts and signs with the keys of one installation: the first line of `secret.key` encrypts, all decrypt."""

    def __init__(self, keys: list[str]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])
        self.signing_key = hashlib.sha256(b"signing:" + keys[0].encode()).digest()
        """For signed visitor cookies."""

    @classmethod
    def open(cls, folder: Path) -> "Vault":
        """The vault of a data folder; makes the key (readable by its owner only) when there is none."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / KEY_FILE
        if not path.exists():
            _make_key(path)
        return cls(path.read_text().split())

    def encrypt(self, credentials: Mapping[str, str]) -> str:
        """Credentials as text that can be stored."""
        return self._fernet.encrypt(json.dumps(dict(credentials)).encode()).decode()

    def decrypt(self, stored: str) -> dict[str, str]:
        """The credentials; raises KeyLost when they were encrypted with a key that is gone."""
        if not stored:
            return {}
        try:
            values: dict[str, str] = json.loads(self._fernet.decrypt(stored.encode()))
        except InvalidToken as error:
            raise KeyLost(
                f"The credentials were encrypted with another key than the one in {KEY_FILE}: connect again."
            ) from error
        return values


def _make_key(path: Path) -> None:
    """Written whole under another name, then linked: of several processes that start at once one makes the key, and
    none reads half of it."""
    new = path.with_name(f"{KEY_FILE}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(Fernet.generate_key().decode() + "\n")
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(new)
    new.unlink()


def new_token() -> str:
    """A secret that cannot be guessed (192 bits), safe in addresses."""
    return secrets.token_urlsafe(24)


def token_hash(token: str) -> str:
    """What we keep of a token."""
    return hashlib.sha256(token.encode()).hexdigest()
