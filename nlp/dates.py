"""Dates and times of day in a text, in French, Arabic, Darija and English."""

import re
from collections.abc import Iterable
from datetime import date

from nlp.signs import Mark, without

_MONTHS = (
    "janvier january janv jan جانفي يناير",
    "février fevrier fev february feb فيفري فبراير",
    "mars march مارس",
    "avril april avr apr أفريل افريل أبريل ابريل",
    "mai may ماي مايو",
    "juin june jun جوان يونيو",
    "juillet juil july jul جويلية يوليوز يوليو",
    "août aout august aug أوت اوت أغسطس غشت",
    "septembre september sept sep سبتمبر شتنبر",
    "octobre october oct أكتوبر اكتوبر",
    "novembre november nov نوفمبر نونبر",
    "décembre decembre december dec ديسمبر دجنبر",
)
_DAYS = {
    "today": "today aujourd'hui aujourd’hui aujourdhui lyoum lyouma elyoum اليوم ليوم",
    "today-1": "yesterday hier lbareh lbare7 elbareh lbarah البارح البارحة لبارح أمس",
    "today+1": "tomorrow demain ghedwa ghodwa ghodoua غدا غدوة",
    "today-2": "avant-hier",
    "today+2": "après-demain apres-demain",
    "monday": "monday lundi letnin الاثنين الإثنين الاتنين",
    "tuesday": "tuesday mardi tlata الثلاثاء",
    "wednesday": "wednesday mercredi larb3a الأربعاء الاربعاء",
    "thursday": "thursday jeudi lekhmis lkhmis الخميس",
    "friday": "friday vendredi ljem3a eljem3a الجمعة",
    "saturday": "saturday samedi sebt essebt السبت",
    "sunday": "sunday dimanche الأحد الاحد",
}
_MONTH_OF = {name: number for number, names in enumerate(_MONTHS, 1) for name in names.split()}
_DAY_OF = {name: value for value, names in _DAYS.items() for name in names.split()}


def _any(words: Iterable[str]) -> str:
    """A pattern for any of the words, the longest first."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_YEAR = r"(?:,?\s(?P<year>(?:19|20)\d\d)(?!\d))?"
_MONTH = rf"(?P<month>{_any(_MONTH_OF)})(?!\w)"
_DATES = tuple(
    re.compile(pattern, re.IGNORECASE | re.ASCII)
    for pattern in (
        r"(?<![0-9./-])(?P<year>(?:19|20)\d\d)([./-])(?P<month>[01]?\d)\2(?P<day>[0-3]?\d)(?![\d/-])",
        r"(?<![0-9./-])(?P<day>[0-3]?\d)([./-])(?P<month>[01]?\d)\2(?P<year>(?:19|20)?\d\d)(?![\d/-])",
        r"(?:\b(?:le|du|au|on)|يوم|نهار)\s(?P<day>[0-3]?\d)/(?P<month>[01]?\d)(?P<year>)(?![\d/])",
        rf"(?<![0-9./-])(?P<day>[0-3]?\d)(?:er|st|nd|rd|th)?\s(?:of\s|de\s)?{_MONTH}{_YEAR}",
        rf"(?<![^\W\d_]){_MONTH}\s(?P<day>[0-3]?\d)(?:st|nd|rd|th)?(?![\w:]){_YEAR}",
    )
)
_NAMED = re.compile(rf"(?<!\w)(?:{_any(_DAY_OF)})(?!\w)", re.IGNORECASE)
_TIMES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?<![\w:.,/-])(?P<hour>[0-9]{1,2})(?::(?P<minute>[0-5][0-9]))?\s?(?P<half>am|pm|a\.m\.|p\.m\.|صباحا|مساء)(?!\w)",
        r"(?<![\w:.,/-])(?P<hour>[0-9]{1,2}):(?P<minute>[0-5][0-9])(?::[0-5][0-9])?(?![\w:])",
        r"(?<![\w:.,/-])(?P<hour>[0-9]{1,2})\s?(?:heures?|h)(?:\s?(?P<minute>[0-5][0-9]))?(?![\w/])",
        r"(?<=الساعة )(?P<hour>[0-9]{1,2})(?![\w:])",
    )
)
_AFTERNOON = ("pm", "p.m.", "مساء")


def dates(text: str) -> list[Mark]:
    """Return the dates of a seen text: "2026-03-12", "--03-12" without a year (as in RFC 6350), "today-1", "friday"."""
    found: list[Mark] = []
    for pattern in _DATES:
        for match in pattern.finditer(without(text, found)):
            if value := _date(match["year"] or "", match["month"].lower(), match["day"]):
                found.append(Mark("date", *match.span(), value))
    for match in _NAMED.finditer(without(text, found)):
        found.append(Mark("date", *match.span(), _DAY_OF[match[0].lower()]))
    return found


def times(text: str) -> list[Mark]:
    """Return the times of day of a seen text, like "14:30"; "2h30" can be a duration too, which nobody can tell."""
    found: list[Mark] = []
    for pattern in _TIMES:
        for match in pattern.finditer(without(text, found)):
            groups = match.groupdict()
            hour, half = int(groups["hour"]), (groups.get("half") or "").lower()
            if half in _AFTERNOON and hour < 12:
                hour += 12
            if hour < 24:
                found.append(Mark("time", *match.span(), f"{hour:02}:{groups.get('minute') or '00'}"))
    return found


def _date(year: str, month: str, day: str) -> str:
    """The date in ISO 8601; empty when there is no such day. A year of two digits is of this century."""
    number = _MONTH_OF.get(month) or (int(month) if month.isdigit() else 0)
    try:
        known = date(int(year) + (2000 if len(year) == 2 else 0) if year else 2000, number, int(day))
    except ValueError:
        return ""
    return known.isoformat() if year else f"-{known:-%m-%d}"
