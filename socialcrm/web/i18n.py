"""Languages of the screens: catalogues, and times and numbers as people write them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from datetime import date as day_of_calendar
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

from aiohttp import web
from babel import Locale
from babel.dates import format_date, format_datetime, format_time, format_timedelta
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent
from babel.support import NullTranslations, Translations
from babel.units import format_unit

from socialcrm.domain.people import Agent
from socialcrm.web.keys import AGENT

FOLDER = Path(__file__).parent / "locale"
LANGUAGES: Mapping[str, str] = {"fr": "Français", "ar": "العربية", "en": "English"}
"""Language of the screens -> its own name."""
_LOCALES = {"fr": Locale("fr", "FR"), "ar": Locale("ar", "DZ"), "en": Locale("en", "GB")}


@lru_cache
def translations(lang: str) -> NullTranslations:
    """The merged catalogues of a language; English is the source and has none."""
    folder = FOLDER / lang / "LC_MESSAGES"
    files = sorted(folder.glob("*.po"))
    if not files:
        return NullTranslations()
    merged = Catalog(locale=lang)
    for file in files:
        with file.open("rb") as source:
            for message in read_po(source, locale=lang):
                if message.id and message.string:
                    merged[message.id] = message
    compiled = BytesIO()
    write_mo(compiled, merged)
    compiled.seek(0)
    return Translations(compiled)


def language(request: web.Request) -> str:
    """The language of the signed-in agent, else the best one of the browser."""
    agent: Agent | None = request.get(AGENT)
    if agent is not None and agent.locale in LANGUAGES:
        return agent.locale
    return _best(request.headers.get("Accept-Language", ""))


def say(request: web.Request, message: str, **values: object) -> str:
    """A sentence in the language of the request, with its %(name)s filled in."""
    return str(translations(language(request)).gettext(message)) % values


def direction(lang: str) -> str:
    """Which way a language is written: ltr or rtl."""
    return "rtl" if lang == "ar" else "ltr"


@lru_cache(maxsize=1000)
def _best(header: str) -> str:
    """The language of an Accept-Language header that we have; the first of the highest quality."""
    wanted: list[tuple[float, str]] = []
    for part in header[:500].split(","):
        name, _, quality = part.strip().partition(";q=")
        try:
            wanted.append((-float(quality or 1), name.split("-")[0].lower()))
        except ValueError:
            continue
    return next((name for _, name in sorted(wanted, key=lambda pair: pair[0]) if name in LANGUAGES), "en")


class Formats:
    """Times and numbers in one language and time zone; the filters of the templates."""

    def __init__(self, lang: str, zone: str) -> None:
        self.locale = _LOCALES[lang]
        self.zone = ZoneInfo(zone)

    def date(self, value: datetime, style: str = "medium") -> str:
        """21 Nov 2026."""
        return format_date(value.astimezone(self.zone), style, locale=self.locale)

    def time(self, value: datetime) -> str:
        """14:05."""
        return format_time(value, "short", tzinfo=self.zone, locale=self.locale)

    def moment(self, value: datetime) -> str:
        """21 Nov 2026, 14:05."""
        return format_datetime(value, "medium", tzinfo=self.zone, locale=self.locale)

    def day(self, value: datetime) -> str:
        """Saturday 21 November 2026."""
        return format_date(value.astimezone(self.zone), "full", locale=self.locale)

    def calendar_day(self, value: day_of_calendar) -> str:
        """Sat 21 Nov 2026, of a day without a time."""
        return format_date(value, "EEE d MMM y", locale=self.locale)

    def local_day(self, value: datetime) -> str:
        """The day at the company, as 2026-11-21."""
        return value.astimezone(self.zone).date().isoformat()

    def ago(self, value: datetime, now: datetime | None = None) -> str:
        """How long since: 5 min, 3 h, 2 d; a date after a week."""
        passed = max((now or datetime.now(UTC)) - value, timedelta())
        if passed >= timedelta(days=7):
            return format_date(value.astimezone(self.zone), "d MMM", locale=self.locale)
        return self.duration(passed)

    def duration(self, value: timedelta | float) -> str:
        """A length of time (or seconds), rounded to its largest unit: 45 s, 5 min, 3 h, 2 d."""
        length = value if isinstance(value, timedelta) else timedelta(seconds=value)
        return format_timedelta(length, threshold=1, format="narrow", locale=self.locale)

    def number(self, value: float, digits: int | None = None) -> str:
        """12,345.6."""
        pattern = None if digits is None else f"#,##0.{'0' * digits}" if digits else "#,##0"
        return format_decimal(value, pattern, locale=self.locale)

    def size(self, value: float) -> str:
        """A number of bytes: 340 kB, 1.2 MB."""
        number, unit = (value / 1_000_000, "megabyte") if value >= 1_000_000 else (value / 1000, "kilobyte")
        return format_unit(round(number, 1) if number < 10 else round(number), unit, "short", locale=self.locale)

    def percent(self, value: float, digits: int = 0) -> str:
        """A share of 1 as 42%."""
        return format_percent(round(value, digits + 2), locale=self.locale, decimal_quantization=False)
