"""Amounts of money in a text."""

import re
from decimal import Decimal

from nlp.signs import Mark, without

MOST_SUM_DIGITS = 8
"""A sum has no more digits in a row; larger ones are written in groups."""

_CURRENCIES = {
    "DZD": r"da|dzd|dinars?|دج|د\.ج|دينار\w?|دنانير",
    "EUR": r"€|euros?|eur|يورو|[اأ]ورو",
    "USD": r"\$|usd|dollars?|دولار",
    "MAD": r"mad|dhs?|dirhams?|درهم",
    "TND": r"tnd|dt",
    "centimes": r"centimes?|santim\w?|سنتيم",
}
_MILLION = r"m[ei]?l[iy]+(?:o|ou)ne?s?|millions?|mlay[ei]n|مليون|ملايين|ملاين"
_GROUPED = r"[0-9]{1,3}(?:[ .,\u00a0\u202f'][0-9]{3}){1,4}"
_NUMBER = rf"((?:{_GROUPED}|[0-9]{{1,{MOST_SUM_DIGITS}}})(?:[.,][0-9]{{1,2}})?)"
_CURRENCY = f"({'|'.join(_CURRENCIES.values())})"
_AFTER = re.compile(
    rf"(?<![\w.,]){_NUMBER}\s{{0,2}}(?:({_MILLION})(?!\w)\s?)?(?:(?:de |d['’]|of )?{_CURRENCY}(?!\w))?", re.IGNORECASE
)
_BEFORE = re.compile(rf"(?<!\w){_CURRENCY}\s?{_NUMBER}(?![\w%])", re.IGNORECASE)
_OF_SOMETHING = re.compile(r"\s?(?:de|d['’]|of)\b", re.IGNORECASE)
_CODES = [(code, re.compile(words, re.IGNORECASE)) for code, words in _CURRENCIES.items()]
_CENTIMES_IN_DINAR = 100


def amounts(text: str) -> list[Mark]:
    """Return the amounts of money in a seen text; their value is like "2500 DZD" or "19.99 EUR".

    Millions without a currency are centimes, as people in Algeria count: "3 millions" are 30,000 dinars, "3 millions de
    dinars" are not, and "3 millions d'abonnés" are no amount.
    """
    found = []
    for match in _AFTER.finditer(text):
        number, million, currency = match.groups()
        if currency or (million and not _OF_SOMETHING.match(text, match.end())):
            found.append(_mark(match, number, million, currency or "centimes"))
    for match in _BEFORE.finditer(without(text, found)):
        found.append(_mark(match, match[2], None, match[1]))
    return found


def _mark(match: re.Match[str], number: str, million: str | None, currency: str) -> Mark:
    value = _decimal(number) * (1_000_000 if million else 1)
    code = next(code for code, words in _CODES if words.fullmatch(currency))
    if code == "centimes":
        value, code = value / _CENTIMES_IN_DINAR, "DZD"
    return Mark("amount", match.start(), match.end(), f"{value.normalize():f} {code}")


def _decimal(text: str) -> Decimal:
    """The number that people write with spaces, dots or commas: a last one before one or two digits is the decimal."""
    whole, mark, rest = re.sub(r"[ '\u00a0\u202f]", "", text).replace(",", ".").rpartition(".")
    whole = whole.replace(".", "")
    return Decimal(f"{whole}.{rest}" if mark and len(rest) <= 2 else whole + rest)
