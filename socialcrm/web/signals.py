"""Signs of spam and abuse as words for the inbox."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nlp.spam import LIKELY, About, Name, signals, total
from socialcrm.web.words import N_

TITLES: Mapping[About, str] = {"spam": N_("Looks like spam"), "abuse": N_("Harsh words")}
SIGNS: Mapping[Name, str] = {
    "link": N_("a link"),
    "short_link": N_("a shortened link"),
    "links": N_("several links"),
    "advert": N_("advertising"),
    "contact": N_("asks to be contacted"),
    "earnings": N_("promises money"),
    "loan": N_("offers credit"),
    "charm": N_("offers magic"),
    "chain": N_("asks to be passed on"),
    "runs": N_("repeated signs"),
    "capitals": N_("capitals"),
    "tags": N_("many mentions"),
    "copies": N_("many copies"),
    "insult": N_("insults"),
}


@dataclass(frozen=True)
class Tag:
    """A tag under a message, and why it is there."""

    title: str
    why: str


def tags(text: str, gettext: Callable[[str], str]) -> list[Tag]:
    """The tags of a message that is likely spam or abusive: none for most. `gettext` translates."""
    found = signals(text)
    return [
        Tag(
            gettext(title),
            "; ".join(f"{gettext(SIGNS[signal.name])} ({signal.found})" for signal in found if signal.about == about),
        )
        for about, title in TITLES.items()
        if total(found, about) >= LIKELY
    ]
