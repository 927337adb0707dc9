"""What a customer's message names, as words for the inbox: numbers, addresses, orders, amounts, dates and places."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from urllib.parse import quote

from babel.dates import format_date

from nlp.entities import Entity, entities
from socialcrm.engine.learn import CASE
from socialcrm.web.i18n import Formats

_SINCE_TODAY = re.compile(r"today([+-][0-9])")


@dataclass(frozen=True)
class Name:
    """One thing that a message names: its kind, its normal form in the words of the screen, and where that leads."""

    kind: str
    text: str
    link: str = ""


def names(text: str, sent_at: datetime, formats: Formats) -> list[Name]:
    """What a message names, each once, in order. Times of day and names of weekdays are left out: the text says them as
    well. "Yesterday" is the day before `sent_at`, by the company's clocks."""
    found: dict[Name, None] = {}
    for entity in _entities(text):
        said = _said(entity, sent_at, formats)
        if said:
            found[Name(entity.kind, said, _link(entity))] = None
    return list(found)


@lru_cache(maxsize=2000)
def _entities(text: str) -> tuple[Entity, ...]:
    return entities(text, case=CASE)


def _said(entity: Entity, sent_at: datetime, formats: Formats) -> str:
    match entity.kind:
        case "email" | "order" | "case" | "place":
            return entity.value
        case "amount":
            number, _, currency = entity.value.partition(" ")
            return f"{formats.number(float(number))} {currency}"
        case "date":
            return _date(entity.value, sent_at.astimezone(formats.zone).date(), formats)
        case "time":
            return ""
        case _:
            return entity.text


def _date(value: str, today: date, formats: Formats) -> str:
    """A day in the words of the screen; "" of one that only its name says."""
    if match := _SINCE_TODAY.fullmatch(value):
        return str(format_date(today + timedelta(days=int(match[1])), "medium", locale=formats.locale))
    try:
        if value.startswith("--"):
            return str(format_date(date.fromisoformat(f"{today.year}{value[1:]}"), "d MMMM", locale=formats.locale))
        return str(format_date(date.fromisoformat(value), "medium", locale=formats.locale))
    except ValueError:
        return ""


def _link(entity: Entity) -> str:
    match entity.kind:
        case "phone":
            return f"tel:{entity.value}"
        case "email":
            return f"mailto:{quote(entity.value)}"
        case "order" | "case":
            return f"/inbox?tab=all&q={quote(entity.value)}"
        case _:
            return ""
