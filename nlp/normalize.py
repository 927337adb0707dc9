"""Two normal forms of a message, the same in training and in serving: for the encoder and for n-grams."""

import html
import re
import unicodedata

MAX_CHARS = 4_000
"""Characters of a message that are read; what follows is cut off."""

LINK = "↗"
MAIL = "✉"
NUMBER = "0"
FOREIGN = "ж"
SMILE = "🙂"
FROWN = "🙁"

_EMOJI = "\u2190-\u21ff\u2600-\u27bf\u2b50\u2b55\U0001f000-\U0001faff"

# Marks that carry no word: accents and Arabic vowels (after decomposition), tatweel, zero-width and
# bidi controls, variation selectors, skin tones, the byte order mark, soft hyphen.
_DROPPED = re.compile(
    "[\u0300-\u036f\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed\u00ad\u034f\u061c\u180e"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U0001f3fb-\U0001f3ff\U000e0000-\U000e007f]"
)
# Letters of one sound that people type in turn, and Arabic digits and question mark.
_LETTERS = str.maketrans(
    dict(zip("ىیېةہھکڪگݣڨڤڥپچ؟øłđı", "يييهههككقققففبج?oldi", strict=True))
    | {"œ": "oe", "æ": "ae", "ß": "ss"}
    | {chr(zero + digit): str(digit) for zero in (0x0660, 0x06F0) for digit in range(10)}
)
_LINKS = re.compile(r"(?:https?:|www\.)\S*|\bhttp\b|\b[\w-]+\.(?:com|net|org|dz|fr|ly|io)(?:/\S*)?(?!\w)")
_MAILS = re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{1,64}")
_MENTIONS = re.compile(r"@\w+")
_RUNS = re.compile(r"(.)\1{2,}")
_SMILES = re.compile(r"(?<!\w)(?:[:;=]['-]?[)\]d]+(?!\w)|\^_*\^)")
_FROWNS = re.compile(r"(?<!\w)[:;=]['-]?[(\[]+")
_NUMBERS = re.compile(r"(?<!\w)\d+(?: \d+)*(?!\w)")
_FOREIGN = re.compile(r"[^\W\d_a-z\u0600-\u06ff]")
_SYMBOLS = re.compile(f"[!?%€$£{_EMOJI}]")
_REST = re.compile(f"[^\\w\\s!?%€$£{_EMOJI}]|_")


def normalize(text: str) -> str:
    """Return the lower-case words of `text`, single-spaced, without what does not carry meaning.

    Reads the first MAX_CHARS (4,000) characters and returns at most as many, so the work is bounded for
    any input; what follows is ignored. Entities are decoded; links, e-mail addresses and free-standing
    numbers become one sign each; mentions, quotes, ellipses, accents, Arabic vowels, tatweel, zero-width
    and bidi controls go; Arabic letter variants fold into one; runs of a character shrink to two; emoji,
    emoticons, "!" and "?" become words of their own; a letter that is neither Latin nor Arabic becomes
    FOREIGN, for no language of ours has it. A text without any of these gives "". Never raises.
    """
    text = text[:MAX_CHARS]
    if "&" in text:
        text = html.unescape(text)
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)[:MAX_CHARS]
        text = _DROPPED.sub("", text)
    text = text.lower()
    if not text.isascii():
        text = _FOREIGN.sub(FOREIGN, _DROPPED.sub("", text).translate(_LETTERS))
    if "." in text or "http" in text:
        text = _LINKS.sub(f" {LINK} ", _MAILS.sub(f" {MAIL} ", text))
    text = _RUNS.sub(r"\1\1", text)
    if "@" in text:
        text = _MENTIONS.sub(" ", text)
    text = _FROWNS.sub(f" {FROWN} ", _SMILES.sub(f" {SMILE} ", text))
    text = _REST.sub(" ", text)
    text = " ".join(_SYMBOLS.sub(r" \g<0> ", text).split())
    return _NUMBERS.sub(NUMBER, text)[:MAX_CHARS].rstrip()


# What the encoder reads keeps accents, hamzas and punctuation, for it was pretrained on them; what only tells who
# wrote or where (curly quotes, an ellipsis character, tatweel, bidi controls) goes, so that no model leans on it.
_MARKS = re.compile(
    "[\u0610-\u061a\u0640\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06ed\u00ad\u034f\u061c\u180e"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U0001f3fb-\U0001f3ff\U000e0000-\U000e007f]"
)
_PLAIN = str.maketrans(
    dict(zip("یېہھکڪگڨڤڥپچ“”„«»‘’‚`´–—؟؛،", "ييههككققففبج" + '"' * 5 + "'" * 5 + "--?;,", strict=True))
    | {chr(zero + digit): str(digit) for zero in (0x0660, 0x06F0) for digit in range(10)}
)
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
_HANDLES = re.compile(r"@\w+")
_DOTS = re.compile(r"\.{2,}")
_LONG = re.compile(r"(.)\1{2,}")


def clean(text: str) -> str:
    """Return `text` as the encoder reads it: lower case, single-spaced, without marks of typography.

    Reads the first MAX_CHARS characters and returns at most as many. Entities are decoded; compatibility forms
    composed (NFKC); links become "http", mentions "@user", addresses "e-mail"; runs of a character shrink to two;
    quotes, dashes, ellipses, Arabic punctuation and digits become ASCII; Arabic vowels, tatweel, zero-width and
    bidi controls, other control characters and lone surrogates go. Never raises.
    """
    text = text[:MAX_CHARS]
    if "&" in text:
        text = html.unescape(text)
    if not text.isascii():
        text = text.encode("utf-8", "ignore").decode("utf-8")
        text = _MARKS.sub("", unicodedata.normalize("NFKC", text)[:MAX_CHARS]).translate(_PLAIN)
    text = text.lower()
    if "." in text or "http" in text:
        text = _LINKS.sub(" http ", _MAILS.sub(" e-mail ", text))
        text = _DOTS.sub(". ", text)
    if "@" in text:
        text = _HANDLES.sub("@user", text)
    text = _LONG.sub(r"\1\1", text)
    return " ".join(_CONTROLS.sub(" ", text).split())[:MAX_CHARS].rstrip()
