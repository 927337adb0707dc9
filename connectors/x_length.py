"""How long a text is as X counts it.

https://docs.x.com/fundamentals/counting-characters and https://github.com/twitter/twitter-text (config v3).
"""

import re
import unicodedata

LINK_LENGTH = 23
"""Every address becomes one of t.co (https://docs.x.com/fundamentals/counting-characters)."""

# https://github.com/twitter/twitter-text, config v3: letters of these ranges weigh one, others and emoji two.
_LIGHT = ((0, 4351), (8192, 8205), (8208, 8223), (8242, 8247))
_PICTURE = "[\U0001f000-\U0001faff\u2600-\u27bf\u2300-\u23ff\u2b00-\u2bff]"
_ONE_PICTURE = f"{_PICTURE}\ufe0f?[\U0001f3fb-\U0001f3ff]?"
_EMOJI = re.compile(
    f"[\U0001f1e6-\U0001f1ff]{{2}}|[#*0-9]\ufe0f?\u20e3|{_ONE_PICTURE}(?:\u200d(?:{_ONE_PICTURE}|[\u2640\u2642]\ufe0f?))*"
)
_LINK = re.compile(
    r"https?://\S+|\b(?:[a-z0-9-]+\.)+(?:com|net|org|io|dz|ma|tn|fr|eu|info|app|dev|me|tv)\b(?:/\S*)?", re.I
)


def length(text: str) -> int:
    """As X counts: most Latin, Arabic and Cyrillic letters one, others and each emoji two, each address 23."""
    text = unicodedata.normalize("NFC", text)
    text, links = _LINK.subn("", text)
    text, emoji = _EMOJI.subn("", text)
    return links * LINK_LENGTH + emoji * 2 + sum(1 if _is_light(ord(sign)) else 2 for sign in text)


def _is_light(code: int) -> bool:
    return any(start <= code <= end for start, end in _LIGHT)
