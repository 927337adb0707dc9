"""Patterns (regular expressions) that admins write: bounded in time, and tried on nasty texts before they are kept."""

from functools import lru_cache

import regex

LONGEST = 500
"""Characters of a pattern."""
READ = 4000
"""Characters of a message that a pattern sees."""
SECONDS = 0.05
"""For one message: what takes longer does not fit, and the trace says so."""
TRIAL_SECONDS = 0.1


class PatternError(Exception):
    """A pattern that cannot be used; the message says why."""


@lru_cache(maxsize=500)
def _compiled(pattern: str) -> "regex.Pattern[str]":
    return regex.compile(pattern, regex.IGNORECASE)


def fits(pattern: str, text: str) -> bool | None:
    """Whether a pattern is found in a text, whatever the case; None when it took too long."""
    try:
        return _compiled(pattern).search(text[:READ], timeout=SECONDS) is not None
    except TimeoutError:
        return None


def check(pattern: str) -> None:
    """Raise PatternError for what is no pattern, is found in every text, or takes too long on texts made to hurt it."""
    if not pattern.strip():
        raise PatternError("the pattern is empty")
    if len(pattern) > LONGEST:
        raise PatternError(f"the pattern has {len(pattern)} characters; at most {LONGEST} are taken")
    try:
        made = _compiled(pattern)
    except (regex.error, OverflowError, RecursionError) as error:
        raise PatternError(f"the pattern cannot be read: {error}") from error
    for text in _nasty(pattern):
        try:
            made.search(text, timeout=TRIAL_SECONDS)
        except TimeoutError:
            raise PatternError(
                "the pattern takes too long on some texts (a repetition inside a repetition, like (a+)+, does that)"
            ) from None
    if made.search(""):
        raise PatternError("the pattern fits every text, even an empty one")


def _nasty(pattern: str) -> list[str]:
    """Texts on which patterns explode: long runs of what the pattern itself names, which fail only at their end; and
    all its signs before and behind, so that no shortcut of the engine finds that one of them is missing."""
    signs = dict.fromkeys([*(sign for sign in pattern if sign.isalnum()), "a", "0", " ", "ا", "\n", "_", "-", "."])
    names = list(signs)[:24]
    behind = "\u0001" + "".join(dict.fromkeys(pattern))[:60]
    words = regex.findall(r"\w{2,}", pattern)[:8]
    runs = [run for sign in names for run in (sign * READ, sign * 19, sign * 40 + behind, sign * 3000 + behind)]
    runs += [text for word in words for text in (word * 600 + behind, word * 40 + behind, (word + " ") * 300 + behind)]
    pairs = [(first + second) * 30 + behind for first in names[:6] for second in names[:6] if first != second]
    return [*runs, *pairs, *(behind + run for run in pairs)]
