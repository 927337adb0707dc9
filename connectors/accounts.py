"""An account on a platform: what it is connected with, who we are there, and how much we may ask."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeAlias

from connectors.events import Json


@dataclass(frozen=True, slots=True)
class Field:
    """One thing an admin fills in to connect a channel."""

    key: str
    label: str
    help: str = ""
    help_url: str = ""
    is_secret: bool = False
    is_required: bool = True
    default: str = ""
    choices: tuple[str, ...] = ()


Renew: TypeAlias = Callable[[Mapping[str, str]], Awaitable[Mapping[str, str]]]
"""Asks the platform for new credentials in place of those that end. Raises AuthExpired where it gives none."""


class Keeper(Protocol):
    """Keeps credentials that a platform changes while we use them; one renewal at a time, over all processes."""

    async def renewed(self, spent: Mapping[str, str], renew: Renew) -> Mapping[str, str]:
        """The credentials to go on with in place of `spent`: those that somebody else got meanwhile, else those that
        `renew` gets, kept before they are used. Raises what `renew` raises."""
        ...


@dataclass(frozen=True, slots=True)
class SignIn:
    """That an admin may sign in on the platform's own page (OAuth 2.0 with PKCE: RFC 6749, RFC 7636)."""

    at: str
    """Whose page it is."""
    fields: tuple[Field, ...]
    """What is filled in first: which app asks."""
    redirect_help: str
    """Where the platform is told the address to which it sends people back."""
    redirect_help_url: str


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """What a connector is opened with: plain settings, decrypted credentials, and where the platform's API is."""

    settings: Mapping[str, Json] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict)
    api_url: str | None = None
    """Overrides the platform's address, so that tests point it at a server of their own."""
    hook_url: str = ""
    """Our webhook's own public address, for platforms that sign it or are told it with each message."""
    keeper: Keeper | None = None
    """Where renewed credentials are kept; None while an account is only tried: nothing is renewed then."""


@dataclass(frozen=True, slots=True)
class Quota:
    """How much a platform lets us ask, as it last said or as we counted."""

    used: float
    limit: float
    resets_at: datetime | None = None
    """When `used` is nothing again; None where it flows off little by little."""
    unit: str = "calls"
    """calls, units (some calls cost several), posts or percent."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who we are on the platform."""

    external_id: str
    name: str
    token_ends_at: datetime | None = None
    missing_scopes: tuple[str, ...] = ()
    cap: Quota | None = None
    """How much of a long time's reading, as a month's, is used: shown, and nothing is paced by it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An account that a sign-in opened to us, with what has to be kept to use it."""

    account: Account
    credentials: Mapping[str, str]
    settings: Mapping[str, str] = field(default_factory=dict)
