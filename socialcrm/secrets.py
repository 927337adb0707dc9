"""Secrets at rest: credentials are encrypted with a key that is made at first start, and tokens are kept as hashes."""

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

KEY_FILE = "secret.key"
SETTLE_SECONDS = 60.0
"""How long a server may be busy with something that it encrypted under the key before: a check of an account and a wait
for the database."""


class KeyLost(Exception):
    """Something was encrypted with a key that we do not have."""


class KeyInUse(Exception):
    """An old key cannot be forgotten yet; the message says why."""


class Vault:
    """Encrypts and signs with the keys of one installation: the first line of `secret.key` encrypts, all decrypt.

    The file is looked at before each use: a key that `socialcrm rotate-key` adds counts at once in all processes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._keys: list[str] = []

    @classmethod
    def open(cls, folder: Path) -> "Vault":
        """The vault of a data folder; makes the key (readable by its owner only) when there is none."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / KEY_FILE
        if not path.exists():
            _make_key(path)
        vault = cls(path)
        vault._fernets()  # a file that holds no keys should stop the start
        return vault

    def encrypt(self, credentials: Mapping[str, str]) -> str:
        """Credentials as text that can be stored."""
        return self._fernets()[0].encrypt(json.dumps(dict(credentials)).encode()).decode()

    def decrypt(self, stored: str) -> dict[str, str]:
        """The credentials; raises KeyLost when they were encrypted with a key that is gone."""
        if not stored:
            return {}
        try:
            values: dict[str, str] = json.loads(MultiFernet(self._fernets()).decrypt(stored.encode()))
        except InvalidToken as error:
            raise KeyLost(
                f"The credentials were encrypted with another key than the one in {KEY_FILE}: connect again."
            ) from error
        return values

    def is_newest(self, stored: str) -> bool:
        """Whether it was encrypted with the key that encrypts now, or is nothing at all."""
        try:
            return not stored or bool(self._fernets()[0].decrypt(stored.encode()))
        except InvalidToken:
            return False

    @property
    def signing_key(self) -> bytes:
        """For signed addresses. It follows the oldest key, so that what was signed holds until that is forgotten."""
        return hashlib.sha256(b"signing:" + self._read()[-1].encode()).digest()

    def _fernets(self) -> list[Fernet]:
        return [Fernet(key) for key in self._read()]

    def _read(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):  # gone while we run: what we know still holds
            found = self._path.stat()
            seen = found.st_ino, found.st_mtime_ns
            if seen != self._seen:
                self._keys, self._seen = self._path.read_text(encoding="ascii").split(), seen
        if not self._keys:
            raise ValueError(f"There is no key in {self._path}.")
        return self._keys


def add_key(folder: Path) -> bool:
    """Put a new key before the others, unless a rotation is under way that has not forgotten its old key yet."""
    with _locked(folder) as keys:
        if len(keys) == 1:
            _write(folder / KEY_FILE, [Fernet.generate_key().decode(), *keys])
        return len(keys) == 1


def forget_old_keys(folder: Path) -> bool:
    """Leave only the newest key, once nothing is encrypted with another; whether there was one. Raises KeyInUse."""
    with _locked(folder) as keys:
        path = folder / KEY_FILE
        left = SETTLE_SECONDS - (time.time() - path.stat().st_mtime)
        if len(keys) > 1 and left > 0:
            raise KeyInUse(
                "The new key is so young that a server may still be writing with the old one:"
                f" ask again in {left:.0f} seconds."
            )
        if len(keys) > 1:
            _write(path, keys[:1])
        return len(keys) > 1


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[list[str]]:
    """The keys, while no other process changes them; the folder is locked, since the file itself is replaced."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield (folder / KEY_FILE).read_text(encoding="ascii").split()
    finally:
        os.close(descriptor)


def _write(path: Path, keys: Sequence[str]) -> None:
    """Replace the file whole: whoever reads it, and whatever ends us, there are either the keys before or these."""
    new, owner = path.with_name(f"{KEY_FILE}.{os.getpid()}"), path.stat()
    new.unlink(missing_ok=True)
    _fill(new, keys)
    with contextlib.suppress(PermissionError):  # root may be the one to change what belongs to the server's user
        os.chown(new, owner.st_uid, owner.st_gid)
    new.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_key(path: Path) -> None:
    """Written whole under another name, then linked: of several processes that start at once one makes the key, and
    none reads half of it."""
    new = path.with_name(f"{KEY_FILE}.{os.getpid()}")
    _fill(new, [Fernet.generate_key().decode()])
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(new)
    new.unlink()


def _fill(path: Path, keys: Sequence[str]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write("".join(f"{key}\n" for key in keys))
        file.flush()
        os.fsync(file.fileno())


def new_token() -> str:
    """A secret that cannot be guessed (192 bits), safe in addresses."""
    return secrets.token_urlsafe(24)


def token_hash(token: str) -> str:
    """What we keep of a token."""
    return hashlib.sha256(token.encode()).hexdigest()
