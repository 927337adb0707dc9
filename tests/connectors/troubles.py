"""What goes wrong on every platform, and what the engine should hear of it."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from connectors.base import (
    Attachment,
    AuthExpired,
    Connector,
    MaybeSent,
    OutboundMessage,
    Page,
    RawEvent,
    Refused,
    TryLater,
)
from connectors.base import ConnectorError as Error
from tests.servers.platform import LOST, Answer

HTML = b"<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Something is wrong</h1></body></html>"
DAY = 86_400.0
Attempt = Callable[[], Coroutine[Any, Any, object]]


@dataclass(frozen=True)
class Trouble:
    """An answer that no platform documents and every platform gives one day."""

    answer: Answer
    means: tuple[type[Error], ...]
    """The errors that say so."""
    waits: tuple[float, float] | None = None
    """The least and the most seconds that TryLater should name."""


def page(status: int, **headers: str) -> Answer:
    """An error page in HTML, as a proxy gives it."""
    return Answer(status, HTML, {"Content-Type": "text/html; charset=utf-8", **headers})


def refusals(reads_retry_after: bool, signed_out: tuple[type[Error], ...]) -> tuple[Trouble, ...]:
    """Answers that say no: nothing was done."""
    tomorrow = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)
    return (
        Trouble(page(401), signed_out),
        Trouble(page(403), (AuthExpired, Refused, TryLater)),
        Trouble(page(404), (AuthExpired, Refused, TryLater)),
        Trouble(page(429, **{"Retry-After": "35"}), (TryLater,), (35.0, 900.0) if reads_retry_after else None),
        Trouble(page(429, **{"Retry-After": tomorrow}), (TryLater,), (DAY - 600, DAY) if reads_retry_after else None),
    )


def breakdowns() -> tuple[Trouble, ...]:
    """Answers after which nobody knows what was done."""
    said = (TryLater, MaybeSent)
    return tuple(Trouble(answer, said) for answer in (page(500), page(503, **{"Retry-After": "35"}), LOST))


def nonsense() -> tuple[Answer, ...]:
    """A yes that nobody can read."""
    is_json = {"Content-Type": "application/json"}
    bodies = (b'{"id": "9", "ok": tr', '{"id": "é"}'.encode("latin-1"), b"[" + b" " * 5_000_000, b"\xff\xfe\x00")
    return (page(200), *(Answer(200, body, is_json) for body in bodies))


def attempts(connector: Connector, message: OutboundMessage, external_id: str = "1") -> dict[str, Attempt]:
    """A use of each ability by which a connector calls its platform."""
    return {
        "set_webhook": lambda: connector.set_webhook(None, ""),
        "revoke": lambda: connector.revoke(),
        "poll": lambda: connector.poll(None),
        "search": lambda: connector.search("coffee", None),
        "backfill": lambda: _first_page(connector),
        "acknowledge": lambda: connector.acknowledge(RawEvent({})),
        "reply": lambda: connector.reply(message),
        "direct_message": lambda: connector.direct_message(message),
        "private_reply": lambda: connector.private_reply(message),
        "post": lambda: connector.post(external_id),
        "find_sent": lambda: connector.find_sent(message),
        "hide": lambda: connector.hide(external_id),
        "unhide": lambda: connector.unhide(external_id),
        "like": lambda: connector.like(external_id),
        "unlike": lambda: connector.unlike(external_id),
        "boost": lambda: connector.boost(external_id),
        "unboost": lambda: connector.unboost(external_id),
        "delete": lambda: connector.delete(external_id),
        "typing": lambda: connector.typing(message.thread_key),
        "mark_read": lambda: connector.mark_read(message.thread_key),
        "fetch": lambda: connector.fetch(Attachment("image", external_id)),
    }


def told(trouble: Trouble, error: Error) -> str:
    """What is wrong with the error that an answer became; empty: nothing."""
    if not isinstance(error, trouble.means):
        return f"{trouble.answer.status} became {error!r}"
    if not error.reason.strip() or len(error.reason) >= 500 or "<h1>" in error.reason.lower():
        return f"{trouble.answer.status} has the reason {error.reason[:600]!r}"
    if trouble.waits and isinstance(error, TryLater):
        least, most = trouble.waits
        if error.retry_after is None or not least <= error.retry_after <= most:
            return f"{trouble.answer.headers['Retry-After']} became {error.retry_after} seconds"
    return ""


async def _first_page(connector: Connector) -> Page:
    return await anext(connector.backfill(datetime(2026, 3, 1, 12, 0, tzinfo=UTC)))
