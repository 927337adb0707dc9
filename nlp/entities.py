"""What a text names: phone numbers, addresses, accounts, orders, amounts, dates, places; and a text without them."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from nlp.amounts import amounts
from nlp.dates import dates, times
from nlp.numbers import COUNTRY, numbers
from nlp.places import Gazetteer, gazetteer, places
from nlp.signs import Kind, Mark, seen, without

PERSONAL: frozenset[Kind] = frozenset({"phone", "email", "card", "account", "number"})
"""What says who somebody is or where their money lies."""

_MAY_BE_PERSONAL = re.compile(r"[0-9@]|[(\[]a", re.IGNORECASE)
_EMAIL = re.compile(
    r"(?<![\w.+%-])([\w.+%-]++)(?:@| @ | ?[(\[](?:at|arobase|a)[)\]] ?)"
    r"([\w-]++(?:\.[\w-]++)++|(?:gmail|hotmail|outlook|yahoo|live)\b)",
    re.IGNORECASE,
)
_ORDER = re.compile(
    r"(?:\b(?:commande|cmd|order|colis|suivi|tracking|ticket|dossier|r[ée]f(?:[ée]rence)?|facture)s?\b|"
    r"\b(?:ال)?(?:طلب|طلبية|طلبي|طلبيتي|فاتورة|ملف)\b)"
    r"[^\w\n]{0,3}(?:(?:n[°ºo]?|num(?:[ée]ro)?|number|رقم)(?![^\W\d_]))?[^\w\n]{0,3}([A-Z0-9][A-Z0-9/-]{2,29})(?!\w)|"
    r"(?<!\w)#([0-9]{3,12})(?!\w)",
    re.IGNORECASE,
)
_ORDER_DIGITS = 3
_LONG = re.compile(
    r"[0-9]{9,}|(?<![0-9])(?:0[567](?:(?:[^\w,;€$£%\n]|_)?[0-9])+|[0-9]{3,}(?:(?:[^\w,;€$£%\n]|_)[0-9]{3,})+)"
)
_LONG_DIGITS = 9
_MOBILE_DIGITS = 7
_FRAMES = re.compile("[\ufe0f\u20e3]*")  # of a keycap emoji, behind its digit
_TAIL = re.compile(r"(?:(?:[^\w,;+\n]|_)?[0-9]+)+")


@dataclass(frozen=True, slots=True)
class Entity:
    """A stretch of a text, `text[start:end]`, what it is, and its normal form.

    Values: a phone number like "+213550123456"; an e-mail address in small letters; the digits of a card, an account
    (and the letters of an IBAN) or a number; an order or a case in capitals; an amount like "2500 DZD"; a date or time
    as in nlp.dates; a place as the gazetteer calls it.
    """

    kind: Kind
    start: int
    end: int
    text: str
    value: str


def entities(
    text: str, *, case: re.Pattern[str] | None = None, known: Gazetteer | None = None, country: str = COUNTRY
) -> tuple[Entity, ...]:
    """Return what a text names, in order and without overlap. Signs that nobody sees change nothing.

    `case` is the pattern of our own case references, `known` the places (by default the wilayas of Algeria), `country`
    the calling code of those who dial without one. Any str is accepted; time grows with its length.
    """
    shown = seen(text)
    found = []
    for mark in _marks(shown.text, case, gazetteer() if known is None else known, country):
        start, end = shown.span(mark.start, mark.end)
        found.append(Entity(mark.kind, start, end, text[start:end], mark.value))
    return tuple(found)


def mask(
    text: str,
    kinds: Collection[Kind] = PERSONAL,
    *,
    case: re.Pattern[str] | None = None,
    country: str = COUNTRY,
    only: Collection[str] | None = None,
) -> str:
    """Return the text with what is of these kinds replaced by its kind in brackets: "appelez [phone]".

    Digits that stand directly behind a number are taken with it, so that one digit too many leaves none. `only` masks
    just the entities with one of these values. `case` and `country` are those of `entities`. Any str is accepted; time
    grows with its length.
    """
    shown = seen(text)
    if PERSONAL.issuperset(kinds) and not _MAY_BE_PERSONAL.search(shown.text):
        return text
    marks = _marks(shown.text, case, {}, country)
    rest = without(shown.text, marks)
    pieces, last = [], 0
    for mark in marks:
        if mark.kind not in kinds or (only is not None and mark.value not in only):
            continue
        tail = _TAIL.match(rest, mark.end) if mark.kind in PERSONAL - {"email"} else None
        start, end = shown.span(mark.start, tail.end() if tail else mark.end)
        pieces += [text[last:start], f"[{mark.kind}]"]
        last = _FRAMES.match(text, end).end()  # type: ignore[union-attr]  # it always matches
    return "".join([*pieces, text[last:]])


def _marks(text: str, case: re.Pattern[str] | None, known: Gazetteer, country: str) -> list[Mark]:
    """Everything that a seen text names. What one finder took, the next one does not see."""
    finders: tuple[Callable[[str], Iterable[Mark]], ...] = (
        _emails,
        partial(_cases, pattern=case),
        partial(numbers, country=country),
        amounts,
        dates,
        times,
        _orders,
        _long_numbers,
        partial(places, known=known),
    )
    found: list[Mark] = []
    for find in finders:
        new = list(find(text))
        text = without(text, new)
        found += new
    return sorted(found, key=lambda mark: mark.start)


def _emails(text: str) -> Iterator[Mark]:
    for match in _EMAIL.finditer(text):
        yield Mark("email", *match.span(), f"{match[1]}@{match[2]}".lower())


def _cases(text: str, pattern: re.Pattern[str] | None) -> Iterator[Mark]:
    for match in pattern.finditer(text) if pattern else ():
        yield Mark("case", *match.span(), match[0].upper())


def _orders(text: str) -> Iterator[Mark]:
    for match in _ORDER.finditer(text):
        group = 1 if match[1] else 2
        value = match[group].rstrip("/-")
        if sum(sign.isdigit() for sign in value) >= _ORDER_DIGITS:
            yield Mark("order", match.start(group), match.start(group) + len(value), value.upper())


def _long_numbers(text: str) -> Iterator[Mark]:
    for match in _LONG.finditer(text):
        digits = "".join(filter(str.isdigit, match[0]))
        if len(digits) >= _LONG_DIGITS or (digits[0] == "0" and len(digits) >= _MOBILE_DIGITS):
            yield Mark("number", *match.span(), digits)
