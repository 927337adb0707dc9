"""Times as people say them: written for a customer, and read out of what a customer writes."""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time

from nlp.entities import mask
from socialcrm.domain.question import folded

_LOCALES = {
    "fr": Locale("fr", "FR"),
    "ar": Locale("ar", "DZ"),
    "en": Locale("en", "GB"),
    "arq-Arab": Locale("ar", "DZ"),
    "arq-Latn": Locale("fr", "FR"),
}
_SAID = {
    "fr": ("aujourd'hui à {time}", "demain à {time}", "{day} à {time}"),
    "ar": ("اليوم على الساعة {time}", "غدا على الساعة {time}", "يوم {day} على الساعة {time}"),
    "en": ("today at {time}", "tomorrow at {time}", "on {day} at {time}"),
    "arq-Arab": ("اليوم على {time}", "غدوة على {time}", "نهار {day} على {time}"),
    "arq-Latn": ("lyoum 3la {time}", "ghodwa 3la {time}", "{day} 3la {time}"),
}
"""Today, tomorrow, another day."""

_TODAY = {"aujourd'hui", "today", "اليوم", "lyoum", "lioum", "elyoum", "tonight"}
_TOMORROW = {"demain", "tomorrow", "غدا", "غدوه", "غدوة", "ghodwa", "ghedwa", "ghodoua", "ghoudwa", "بكره", "الغد"}
_AFTER = {"apres-demain", "apres demain", "day after tomorrow", "بعد غد", "بعد غدا", "بعد غدوه", "ba3d ghodwa"}
_DAYS = (
    {"lundi", "monday", "mon", "الاثنين", "الاتنين", "لتنين", "التنين", "tnin", "letnin"},
    {"mardi", "tuesday", "tue", "الثلاثاء", "الثلاتاء", "التلاتا", "الثلاثا", "tlata", "tleta"},
    {"mercredi", "wednesday", "wed", "الاربعاء", "لاربعا", "الاربعا", "larb3a", "rb3a", "larbaa"},
    {"jeudi", "thursday", "thu", "الخميس", "لخميس", "khmis", "lekhmis"},
    {"vendredi", "friday", "fri", "الجمعه", "جمعه", "djem3a", "jem3a", "ljem3a", "eldjem3a"},
    {"samedi", "saturday", "sat", "السبت", "sebt", "essebt"},
    {"dimanche", "sunday", "sun", "الاحد", "لحد", "had", "el7ed", "l7ed"},
)
"""Monday to Sunday."""
_PARTS = (
    (time(8), 12, {"matin", "matinee", "morning", "صباحا", "الصباح", "صباح", "sbah", "sba7", "essbah", "am"}),
    (
        time(13),
        18,
        {"apres-midi", "apres midi", "afternoon", "بعد الظهر", "الظهر", "dohr", "العشيه", "la3chiya", "3chiya", "pm"},
    ),
    (time(17), 22, {"soir", "soiree", "evening", "مساء", "المساء", "lil", "tonight"}),
)
"""Where a part of the day starts and ends, and its names."""
_DATE = re.compile(r"(?<!\d)(\d{1,2})\s?[/.-]\s?(\d{1,2})(?:\s?[/.-]\s?(\d{4}|\d{2}))?(?!\d)")
_ISO = re.compile(r"(?<!\d)(\d{4})-(\d{2})-(\d{2})(?!\d)")
_CLOCK = re.compile(r"(?<!\w)(\d{1,2})\s?(?:heures?|[:h.])\s?([0-5]\d)?(?!\w)")
_HOUR = re.compile(r"(?<!\w)(\d{1,2})(?!\w)")
_ENGLISH = re.compile(r"(?<=\d)\s?(am|pm|a\.m\.|p\.m\.)(?!\w)")
_PHONE: tuple[Literal["phone"]] = ("phone",)
_HALF = {"et demie", "et demi", "half", "ونصف", "ونص", "w nos", "w ness"}


def spoken(at: datetime, now: datetime, zone: ZoneInfo, language: str) -> str:
    """A time as one says it to a customer: "tomorrow at 08:30", "on Monday 23 November at 14:00"."""
    there, here = at.astimezone(zone), now.astimezone(zone)
    locale = _LOCALES[language]
    days = (there.date() - here.date()).days
    said = _SAID[language][days if 0 <= days < 2 else 2]
    return said.format(
        time=format_time(there, "HH:mm", locale=locale), day=format_date(there, "EEEE d MMMM", locale=locale)
    )


@dataclass(frozen=True)
class Wish:
    """A time that somebody asked for: from `start` on, and no later than `end` where they named a day or a part of it
    instead of a time. Both aware."""

    start: datetime
    end: datetime


def read_wish(text: str, now: datetime, zone: ZoneInfo) -> Wish | None:
    """The time that a text asks for, in any of our languages: "demain 10h30", "ghodwa sbah", "الاثنين على 14:00",
    "25/11 15h". A time without a day is the next such time; None where there is neither day nor time."""
    said = _ENGLISH.sub(lambda found: f" {found[1].replace('.', '')}", folded(mask(text, _PHONE)))
    here = now.astimezone(zone)
    day, rest = _day(said, here.date())
    part = next((part for part in _PARTS if _has(said, part[2])), None)
    clock = _clock(rest, part[2] if part else set(), _has(said, _HALF))
    if clock is not None:
        if day is None:
            day = here.date() if clock > here.time() else here.date() + timedelta(days=1)
        at = datetime.combine(day, clock, tzinfo=zone)
        return Wish(at, at)
    if day is None and part is None:
        return None
    wanted = day or here.date()
    start = datetime.combine(wanted, part[0] if part else time(), tzinfo=zone)
    end = datetime.combine(wanted, time(part[1]) if part else time(23, 59), tzinfo=zone)
    if day is None and end <= here:
        start, end = start + timedelta(days=1), end + timedelta(days=1)
    return Wish(start, end)


def _has(text: str, words: set[str]) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(folded(word))}(?!\w)", text) for word in words)


def _day(text: str, today: date) -> tuple[date | None, str]:
    """The day that a text names, and what is left of the text."""
    if found := _ISO.search(text):
        return _date(int(found[1]), int(found[2]), int(found[3])), text.replace(found[0], " ")
    if (found := _DATE.search(text)) and not _CLOCK.fullmatch(found[0]):
        year = int(found[3] or today.year)
        named = _date(year + 2000 if year < 100 else year, int(found[2]), int(found[1]))
        if named and not found[3] and named < today:
            named = _date(today.year + 1, named.month, named.day)
        if named:
            return named, text.replace(found[0], " ")
    if _has(text, _AFTER):
        return today + timedelta(days=2), text
    if _has(text, _TOMORROW):
        return today + timedelta(days=1), text
    if _has(text, _TODAY):
        return today, text
    for number, names in enumerate(_DAYS):
        if _has(text, names):
            return today + timedelta(days=(number - today.weekday()) % 7 or 7), text
    return None, text


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _clock(text: str, part: set[str], is_half: bool) -> time | None:
    """The time of day; 1 to 6 without more words is after noon, for nobody wants to be called at four in the night."""
    found = _CLOCK.search(text) or _HOUR.search(text)
    if found is None:
        return None
    hour = int(found[1])
    minute = int(found[2] or 0) if found.re is _CLOCK and found[2] else 30 if is_half else 0
    if hour > 23:
        return None
    is_morning, is_late = "am" in part, "pm" in part or "soir" in part
    if hour < 12 and (is_late or (hour < 7 and not is_morning)):
        hour += 12
    return time(hour, minute)
