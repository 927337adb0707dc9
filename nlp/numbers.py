"""Phone, card and account numbers in a text, however their digits are spaced."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from nlp.amounts import MOST_SUM_DIGITS
from nlp.signs import Kind, Mark, without

COUNTRY = "213"
"""Calling code of those who dial without one: Algeria."""

_PLANS = {
    "213": re.compile(r"0?([567]\d{8}|[234]\d{7})"),
    "212": re.compile(r"0?([5-8]\d{8})"),
    "216": re.compile(r"([2-57-9]\d{7})"),
    "33": re.compile(r"0?([1-9]\d{8})"),
}
"""Calling code -> what follows it, in the numbering plans of Algeria, Morocco, Tunisia and France."""
_DIALLED = re.compile(r"0[1-9]\d{8}|0[234]\d{7}|[567]\d{8}")
_BARE_DIGITS = 9  # of a mobile number without its 0, or of a sum
_GROUP = 3
_MOBILE = ("05", "06", "07")
_ACCOUNT_DIGITS = (20, 24)  # RIB of Algeria and Tunisia, RIP of Algérie Poste; RIB of Morocco
_MOST_DIGITS = 24
_IBAN_LENGTHS = {
    country: int(length)
    for country, length in re.findall(
        r"(\w\w)(\d\d)",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BF28 BG22 BH22 BJ28 BR29 CH21 CI28 CM27 CY28 CZ24 DE22 DK18 DZ26 EE20 EG29 "
        "ES24 FI18 FR27 GB22 GE22 GR27 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LI21 LT20 LU20 LV21 LY25 "
        "MA28 MC27 MD24 ME22 MG27 MK19 ML28 MR27 MT31 MU30 NE28 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SE24 "
        "SI19 SK24 SM27 SN28 TG28 TN24 TR26 UA29",
    )
}
_RUN = re.compile(r"[0-9]+(?:(?:[^\w€$£%]|_){1,3}[0-9]+)*")
_CHUNK = re.compile(r"[0-9]+")
_IBAN = re.compile(r"(?<![A-Za-z0-9])(?=([A-Za-z]{2}[0-9]{2}(?:(?:[^\w\n]|_){0,3}[A-Za-z0-9]){11,30}))")
_PHONE_WORDS = re.compile(
    r"(?:t[ée]l(?:[ée]phone)?|num(?:[ée]ro)?|mobile|portable|phone|call|appel\w*|joindre|whats ?app|viber|nemro|nimiro|"
    r"رقم\w*|نمرة|هاتف\w*|تيليفون|اتصل\w*|واتساب|فايبر)\W{0,12}$",
    re.IGNORECASE,
)
_ACCOUNT_WORDS = re.compile(r"(?:ccp|rip|rib|iban|compte|account|حساب\w*|بريدي)\W{0,3}\w{0,8}\W{0,3}$", re.IGNORECASE)
_KEY = re.compile(r"[ ,;/-]{0,3}(?:cl[ée]|key|مفتاح)[ :.=]{0,3}[0-9]{2}(?![0-9])", re.IGNORECASE)
_MONEY = re.compile(
    r"\s{0,2}(?:(?:da|dzd|dinars?|eur|mad|dhs?)\b|دج|دينار|€|\$|درهم|million|m[ei]?ly|مليون)", re.IGNORECASE
)
_DATE = re.compile(r"(?:0?[1-9]|[12]\d|3[01])([./-])(?:0?[1-9]|1[0-2])\1(?:19|20)\d\d(?!\1?[0-9])")
_LOOK_BACK = 30


def numbers(text: str, country: str = COUNTRY) -> list[Mark]:
    """Return the phone, card and account numbers of a seen text, in order: kinds "phone", "card" and "account".

    A phone number is one of the Algerian, Moroccan, Tunisian or French plan with or without its prefix, or any with
    + or 00, or 8 to 15 digits after a word like "tél"; its value starts with + where the plan is known (numbers dialled
    without a prefix are those of `country`). A card passes the check of ISO/IEC 7812 (Luhn), an IBAN that of ISO 7064
    (mod 97); a RIB has 20 or 24 digits, a CCP stands after that word. Each run of digits is read once, so time grows
    with the length of the text.
    """
    found = list(_ibans(text))
    text = without(text, found)
    for match in _RUN.finditer(text):
        found += _read(text, match, country)
    return sorted(found, key=lambda mark: mark.start)


def is_card(digits: str) -> bool:
    """Whether digits can be the number of a bank card: its length, its first digit, and its check digit (Luhn)."""
    if not (13 <= len(digits) <= 19 and digits[0] in "23456"):
        return False
    doubled = [int(sign) * (2 if place % 2 else 1) for place, sign in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def is_iban(signs: str) -> bool:
    """Whether capital letters and digits without spaces are an IBAN: its country's length, and the check (mod 97)."""
    if len(signs) != _IBAN_LENGTHS.get(signs[:2]):
        return False
    return int("".join(str(int(sign, 36)) for sign in signs[4:] + signs[:4])) % 97 == 1


def _ibans(text: str) -> Iterator[Mark]:
    end = 0
    for match in _IBAN.finditer(text):
        if match.start() < end:
            continue
        length = _IBAN_LENGTHS.get(match[1][:2].upper(), 0)
        signs = [place for place in range(*match.span(1)) if text[place].isalnum()][:length]
        value = "".join(text[place].upper() for place in signs)
        if is_iban(value):
            end = signs[-1] + 1
            yield Mark("account", match.start(), end, value)


@dataclass(frozen=True, slots=True)
class _Run:
    """Digits with few other signs between them: where each chunk is, and what stands before the first."""

    text: str
    chunks: tuple[tuple[int, int], ...]
    before: str

    def joined(self, first: int) -> list[tuple[int, str]]:
        """The digits of chunks from `first` on, the most first: the place after the last, and the digits."""
        digits, found = "", []
        for place in range(first, len(self.chunks)):
            start, end = self.chunks[place]
            if len(digits) + end - start > _MOST_DIGITS:
                break
            digits += self.text[start:end]
            found.append((place + 1, digits))
        return found[::-1]

    def is_phone_like(self, first: int, after: int) -> bool:
        """Whether the chunks are small or near each other, as in 550 12 34 56 and not in "55127, 2 500"."""
        chunks = self.chunks[first:after]
        is_near = all(start - end == 1 for (_, end), (start, _) in pairwise(chunks))
        return is_near or all(end - start <= _GROUP for start, end in chunks)

    def is_sum(self, after: int) -> bool:
        """Whether a currency follows the chunk before `after`, and that chunk can be the end of a sum."""
        start, end = self.chunks[after - 1]
        return end - start <= MOST_SUM_DIGITS and bool(_MONEY.match(self.text, end))


def _read(text: str, match: re.Match[str], country: str) -> Iterator[Mark]:
    """The numbers of one run, from its first chunk on; what is none is stepped over chunk by chunk."""
    chunks = tuple(chunk.span() for chunk in _CHUNK.finditer(text, match.start(), match.end()))
    run = _Run(text, chunks, text[max(match.start() - _LOOK_BACK, 0) : match.start()])
    place = 0
    while place < len(chunks):
        if date := _DATE.match(text, chunks[place][0]):
            place += sum(start < date.end() for start, _ in chunks[place : place + 3])
            continue
        found = _at(run, place, country)
        if found is None:
            place += 1
            continue
        kind, after, value = found
        start, end = _start(text, chunks[place][0]), chunks[after - 1][1]
        key = _KEY.match(text, end) if kind == "account" else None
        yield Mark(kind, start, key.end() if key else end, value)
        place = after


def _at(run: _Run, place: int, country: str) -> tuple[Kind, int, str] | None:
    """What begins at a chunk, if anything: its kind, the chunk after it, and its value."""
    text, start = run.text, run.chunks[place][0]
    joined = run.joined(place)
    is_international = text[start - 1 : start] == "+" or (bool(joined) and joined[0][1].startswith("00"))
    for after, digits in joined:
        if len(digits) in _ACCOUNT_DIGITS and not digits.startswith(_MOBILE):
            return "account", after, digits
        if is_card(digits):
            return "card", after, digits
        is_bare = len(digits) == _BARE_DIGITS and digits[0] != "0" and not is_international
        if is_bare and (run.is_sum(after) or not run.is_phone_like(place, after)):
            continue
        if value := _phone(digits, country, is_international):
            return "phone", after, value
    is_account = place == 0 and _ACCOUNT_WORDS.search(run.before)
    is_phone = is_international or (place == 0 and bool(_PHONE_WORDS.search(run.before)))
    for after, digits in joined:
        if is_account and len(digits) >= 6 and not run.is_sum(after):
            return "account", after, digits
        if is_phone and 8 <= len(digits.removeprefix("00")) <= 15 and not run.is_sum(after):
            return "phone", after, f"+{digits.removeprefix('00')}" if is_international else digits
    return None


def _phone(digits: str, country: str, is_international: bool) -> str:
    """A number of a plan we know, with + and its calling code; empty when the digits are none."""
    called = digits.removeprefix("00") if is_international else digits
    for code, plan in _PLANS.items():
        if called.startswith(code) and (rest := plan.fullmatch(called[len(code) :])):
            return f"+{code}{rest[1]}"
    if is_international or not _DIALLED.fullmatch(digits):
        return ""
    rest = _PLANS[country].fullmatch(digits) if country in _PLANS else None
    return f"+{country}{rest[1] if rest else digits.removeprefix('0')}"


def _start(text: str, start: int) -> int:
    """With the + or ( before the first digit."""
    while start and text[start - 1] in "+(":
        start -= 1
    return start
