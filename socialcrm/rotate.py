"""Another encryption key for everything that is encrypted, beside servers that run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlmodel import SQLModel, col

from socialcrm.database import Database
from socialcrm.domain.channel import Channel
from socialcrm.domain.sign_in import SignInAttempt
from socialcrm.secrets import KeyLost, Vault, add_key, forget_old_keys

SEALED: tuple[tuple[type[SQLModel], Any, Any], ...] = (
    (Channel, col(Channel.id), col(Channel.credentials)),
    (SignInAttempt, col(SignInAttempt.id), col(SignInAttempt.sealed)),
)
"""Everything that a vault encrypts: the table, its number, and the column."""


@dataclass(frozen=True)
class Rotation:
    """What was done. Run again after anything stopped it, it goes on."""

    is_new: bool
    """A new key was made; False where a rotation is under way whose old key is not forgotten yet."""
    changed: int
    """Rows that were encrypted anew."""
    lost: tuple[str, ...]
    """Names of channels whose credentials no key opens; they are left as they are."""
    is_old_forgotten: bool


async def rotate(database: Database, folder: Path, *, forget_old: bool) -> Rotation:
    """Make a new key, or finish a rotation, encrypt all with it, and forget the old key where asked. Raises KeyInUse.

    The new key is in the file before anything is encrypted with it, and the old one stays there until it is forgotten,
    so at each moment every row can be read, also by a server that runs.
    """
    vault = Vault.open(folder)
    is_new = not forget_old and add_key(folder)
    changed = 0
    while number := await _encrypt_anew(database, vault):  # again, for what a server wrote meanwhile
        changed += number
    lost = await _lost(database, vault)
    return Rotation(is_new, changed, lost, forget_old and forget_old_keys(folder))


async def _encrypt_anew(database: Database, vault: Vault) -> int:
    """Encrypt what is under another key than the newest, a transaction each; how many there were."""
    changed = 0
    for table, number, sealed in SEALED:
        async with database.read() as session:
            rows = (await session.execute(select(number, sealed).order_by(number))).all()
        for row, before in rows:
            if vault.is_newest(before) or (values := _opened(vault, before)) is None:
                continue
            # Only where nobody wrote something newer meanwhile.
            is_same = (number == row, sealed == before)
            async with database.write() as session:
                await session.execute(update(table).where(*is_same).values({sealed: vault.encrypt(values)}))
            changed += 1
    return changed


async def _lost(database: Database, vault: Vault) -> tuple[str, ...]:
    async with database.read() as session:
        query = select(col(Channel.name), col(Channel.credentials)).order_by(col(Channel.id))
        rows = (await session.execute(query)).all()
    return tuple(name for name, credentials in rows if _opened(vault, credentials) is None)


def _opened(vault: Vault, stored: str) -> dict[str, str] | None:
    try:
        return vault.decrypt(stored)
    except KeyLost:
        return None
