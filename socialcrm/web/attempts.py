"""Attempts to sign in on a platform's page: rows that wait for who went there, encrypted, for ten minutes."""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, select
from sqlmodel import col

from connectors.base import Choice
from socialcrm.domain.sign_in import SignInAttempt
from socialcrm.engine.line import Line
from socialcrm.secrets import KeyLost, new_token, token_hash

LIFETIME = timedelta(minutes=10)


@dataclass(frozen=True)
class Found:
    """An account that the sign-in opened to us."""

    external_id: str
    name: str
    missing_scopes: tuple[str, ...]
    settings: Mapping[str, str]
    credentials: Mapping[str, str]

    @classmethod
    def of(cls, choice: Choice) -> "Found":
        """What is kept of a choice until the admin has made theirs."""
        account = choice.account
        return cls(account.external_id, account.name, account.missing_scopes, choice.settings, choice.credentials)


@dataclass(frozen=True)
class Attempt:
    """What was filled in, and after coming back which accounts there are."""

    connector: str
    settings: Mapping[str, str]
    credentials: Mapping[str, str]
    called: str = ""
    channel_id: int | None = None
    """The channel that is connected again; None for a new one."""
    verifier: str = ""
    found: tuple[Found, ...] = ()


def new_verifier() -> str:
    """A PKCE verifier of 86 characters (RFC 7636, 4.1: 43 to 128)."""
    return secrets.token_urlsafe(64)


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636, 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


async def begin(line: Line, session_id: int, attempt: Attempt) -> str:
    """Keep an attempt; the state with which the platform sends the admin back."""
    state = new_token()
    await _add(line, session_id, attempt, state)
    return state


async def keep(line: Line, session_id: int, attempt: Attempt) -> int:
    """Keep an attempt of which the admin came back; its number, by which the same session goes on."""
    return await _add(line, session_id, attempt, new_token())


async def come_back(line: Line, session_id: int, state: str) -> Attempt | None:
    """Take the attempt with this state; None where the session has none, it was taken already or is too old."""
    return await _take(line, session_id, col(SignInAttempt.state_hash) == token_hash(state))


async def take(line: Line, session_id: int, number: int) -> Attempt | None:
    """Take the attempt with this number, so that nobody else goes on with it."""
    return await _take(line, session_id, col(SignInAttempt.id) == number)


async def look(line: Line, session_id: int, number: int) -> Attempt | None:
    """The attempt with this number, left where it is."""
    query = select(col(SignInAttempt.sealed)).where(col(SignInAttempt.id) == number, *_is_open(line, session_id))
    async with line.database.read() as session:
        return _opened(line, (await session.execute(query)).scalar_one_or_none())


async def _add(line: Line, session_id: int, attempt: Attempt, state: str) -> int:
    row = SignInAttempt(
        state_hash=token_hash(state),
        session_id=session_id,
        sealed=line.vault.encrypt({"attempt": json.dumps(asdict(attempt))}),
        expires_at=line.now() + LIFETIME,
    )
    async with line.database.write() as session:
        await session.execute(delete(SignInAttempt).where(col(SignInAttempt.expires_at) <= line.now()))
        session.add(row)
        await session.flush()
    return row.id or 0


async def _take(line: Line, session_id: int, which: ColumnElement[bool]) -> Attempt | None:
    statement = delete(SignInAttempt).where(which, *_is_open(line, session_id)).returning(col(SignInAttempt.sealed))
    async with line.database.write() as session:
        return _opened(line, (await session.execute(statement)).scalar_one_or_none())


def _is_open(line: Line, session_id: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return col(SignInAttempt.session_id) == session_id, col(SignInAttempt.expires_at) > line.now()


def _opened(line: Line, sealed: str | None) -> Attempt | None:
    try:
        values = json.loads(line.vault.decrypt(sealed or "")["attempt"])
    except (KeyLost, KeyError):
        return None
    found = tuple(Found(**{**each, "missing_scopes": tuple(each["missing_scopes"])}) for each in values.pop("found"))
    return Attempt(**values, found=found)
