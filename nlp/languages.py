"""Our language codes, and those of the data sets in our terms."""

import re

LANGUAGES = ("en", "fr", "ar", "arq-Arab", "arq-Latn", "other")
"""English, French, Standard Arabic, Darija in Arabic letters, Darija in Latin letters, any other."""

_ARABIC = re.compile("[\u0600-\u06ff]")
_MAGHREB = ("ary", "aeb", "aeb-Latn")


def is_arabic(text: str) -> bool:
    """Tell whether most letters of a text are Arabic."""
    return 2 * len(_ARABIC.findall(text)) > sum(map(str.isalpha, text))


def our_language(lang: str, text: str) -> str | None:
    """Return our code for that of a data set, None if the code says too little to be a label.

    Moroccan (ary) and Tunisian (aeb) count as Darija of the script in which the text is written; "ar-DZ"
    mixes French, Standard Arabic and Darija, so it is no label.
    """
    if lang in LANGUAGES:
        return lang
    if lang in _MAGHREB:
        return "arq-Arab" if is_arabic(text) else "arq-Latn"
    return None if lang in ("", "ar-DZ") else "other"
