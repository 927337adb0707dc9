"""Raw events: what a platform sent or showed, before anybody understood it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

Json: TypeAlias = Any
"""Whatever `json.loads` returns."""


@dataclass(frozen=True, slots=True)
class RawEvent:
    """One event as the platform sent it, before anybody understood it. `payload` is JSON."""

    payload: Json
    external_id: str | None = None
    line_number: int | None = None
    """Where in an archive it stood, counted from 1."""
    received_at: datetime | None = None
    """When the ledger got it, for `read` on platforms that give some events no time of their own."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Files that came inside the call, by the SHA-256 of their content: kept beside the ledger, not in it."""


@dataclass(frozen=True, slots=True)
class Page:
    """Events, oldest first, and the cursor to poll with next; `more` says that another page is ready now."""

    events: tuple[RawEvent, ...]
    cursor: Json = None
    more: bool = False


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """One HTTP call of a platform; header names in lower case, `body` as it came over the wire."""

    method: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    received_at: datetime
