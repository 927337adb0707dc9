"""Public holidays and Ramadan of any year, as the `holidays` library computes them."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache

import holidays
from holidays.calendars.islamic import _IslamicLunar

FIRST_YEAR, LAST_YEAR = 1970, 2199
"""Years for which days off are asked for; Islamic dates are computed up to 2077 and estimated by the library after."""


@lru_cache
def countries() -> frozenset[str]:
    """The ISO 3166 codes of the countries whose public holidays are known."""
    return frozenset(code for code in holidays.list_supported_countries(include_aliases=False) if len(code) == 2)


@lru_cache(maxsize=1000)
def public_holidays(country: str, year: int, language: str = "") -> Mapping[date, str]:
    """The days off of a country in one year with their names, in `language` where the library has it. A date that
    depends on the moon is an estimate, and says so."""
    if country not in countries():
        return {}
    found = holidays.country_holidays(country, years=year, language=language or None)
    return dict(sorted((day, name) for day, name in found.items() if day.year == year))


@lru_cache(maxsize=1000)
def ramadans(year: int) -> Sequence[tuple[date, date]]:
    """The first and the last day of each Ramadan of which a part lies in the year, as computed: the moon that is seen
    may move each by a day."""
    moon = _IslamicLunar()
    starts = sorted({day for y in (year - 1, year, year + 1) for day, _ in moon.ramadan_beginning_dates(y)})
    feasts = sorted({day for y in (year - 1, year, year + 1) for day, _ in moon.eid_al_fitr_dates(y)})
    found = []
    for first in starts:
        last = next((feast - timedelta(days=1) for feast in feasts if feast > first), first + timedelta(days=29))
        if first.year <= year <= last.year:
            found.append((first, last))
    return tuple(found)
