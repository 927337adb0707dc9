"""Text as we keep and show it."""

import re

_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""NUL, which PostgreSQL refuses, other control signs but tab and line ends, and halves of surrogate pairs."""
_SPACE = re.compile(r"\s+")


def clean(text: str) -> str:
    """The text without signs that no database can store and nobody can see; every other sign is kept."""
    return _UNSTORABLE.sub("", text)


def preview(text: str, length: int = 140) -> str:
    """The start of a text on one line."""
    line = _SPACE.sub(" ", clean(text[: length * 4])).strip()
    return line if len(line) <= length else line[: length - 1] + "…"
