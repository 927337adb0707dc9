"""What every SMS gateway shares: how many parts a text takes, what STOP means, and how numbers are written."""

import re
import unicodedata
from dataclasses import dataclass

import phonenumbers

from connectors.base import Limits, Refused

# 3GPP TS 23.038, 6.2.1: the GSM 7-bit default alphabet, and the extension table whose signs take two places.
GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENSION = frozenset("\f^{}\\[~]|€")
# 140 bytes in one SMS; a part of several gives 6 of them to its header (TS 23.040, 9.2.3.24).
SINGLE, PART = 160, 153
UCS2_SINGLE, UCS2_PART = 70, 67
MAX_PARTS = 10

STOP_WORDS = frozenset(
    ("stop", "stopall", "stopsms", "unsubscribe", "cancel", "end", "quit")
    + ("arret", "arreter", "desabonner", "desinscrire")
    + ("توقف", "توقفوا", "قف", "اوقف", "وقف", "ايقاف", "الغاء", "حبس", "حبسو")
)
START_WORDS = frozenset(
    ("start", "unstop", "resume", "reprendre", "recommencer", "abonner") + ("ابدا", "استيناف", "اشترك", "تفعيل")
)
"""Without accents, hamza and vowel signs, as `consent` compares them."""

LIMITS = Limits(text_length=MAX_PARTS * UCS2_PART, body_bytes=100_000)
"""In places of the alphabet that the text needs: what always fits into ten parts."""


@dataclass(frozen=True, slots=True)
class Parts:
    """How a text travels."""

    count: int
    """SMS that are paid for."""
    length: int
    """Places that the text takes in its alphabet."""
    is_unicode: bool
    """UCS-2, as for Arabic and emoji, instead of the GSM alphabet."""


def parts(text: str) -> Parts:
    """How many SMS `text` takes. A sign of two places is never cut in the middle."""
    if all(sign in GSM or sign in GSM_EXTENSION for sign in text):
        places, single, part = [2 if sign in GSM_EXTENSION else 1 for sign in text], SINGLE, PART
        is_unicode = False
    else:
        places, single, part = [2 if ord(sign) > 0xFFFF else 1 for sign in text], UCS2_SINGLE, UCS2_PART
        is_unicode = True
    length = sum(places)
    if length <= single:
        return Parts(1, length, is_unicode)
    count, used = 1, 0
    for place in places:
        if used + place > part:
            count, used = count + 1, 0
        used += place
    return Parts(count, length, is_unicode)


def check(text: str) -> Parts:
    """The parts of a text that may be sent; raises Refused with what is known before sending."""
    if not text.strip():
        raise Refused("An SMS needs a text.")
    found = parts(text)
    if found.count > MAX_PARTS:
        alphabet = "Unicode, as Arabic and emoji need it" if found.is_unicode else "the GSM alphabet"
        raise Refused(f"The text takes {found.count} SMS in {alphabet}; at most {MAX_PARTS} are sent.")
    return found


def consent(text: str) -> bool | None:
    """False where the whole text is a word like STOP, True where it is one like START, else None."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    word = re.sub(r"[\W_\u0640]+", "", "".join(sign for sign in plain if not unicodedata.combining(sign)))
    if word in STOP_WORDS:
        return False
    return True if word in START_WORDS else None


def number(written: str, region: str = "") -> str:
    """A phone number as E.164 (+213550000001); names and short numbers as they are, without spaces.

    `region` is the country of numbers without a country's code: two letters, as DZ.
    """
    text = "".join(written.split())
    tries = [text] if text.startswith("+") else [f"+{text[2:]}"] if text.startswith("00") else [text, f"+{text}"]
    for each in tries:
        try:
            found = phonenumbers.parse(each, region.upper() or None)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(found):
            return phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164)
    return text


def recipient(written: str, region: str = "") -> str:
    """The number to write to; raises Refused where nobody can be reached under it."""
    found = number(written, region)
    if not re.fullmatch(r"\+?[0-9]{3,15}", found):
        raise Refused("An SMS cannot be sent to a sender's name: it has no number.")
    return found
