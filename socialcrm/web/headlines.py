"""The figures at the top of the reports: each with how it is counted and the rows behind it."""

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web
from babel.units import format_unit
from sqlalchemy.ext.asyncio import AsyncSession

from socialcrm.reports import links
from socialcrm.reports.answers import overall_wait
from socialcrm.reports.filters import Filters
from socialcrm.reports.satisfaction import overall
from socialcrm.reports.tables import Table, share
from socialcrm.web.i18n import Formats, language, say
from socialcrm.web.keys import LINE
from socialcrm.web.words import N_


@dataclass(frozen=True)
class Headline:
    """A figure at the top: what it is, how it is counted, and the rows behind it."""

    title: str
    value: str
    note: str
    definition: str
    href: str


async def headlines(
    request: web.Request, session: AsyncSession, filters: Filters, tables: Mapping[str, Table]
) -> list[Headline]:
    """Of the period: messages, negative, complaints, first answers, satisfaction, response rate."""
    formats = Formats(language(request), request.app[LINE].settings.engagement.time_zone)
    received = _sum(tables["volume"], "total")
    negative, unsure = _sum(tables["sentiment"], "negative"), _sum(tables["sentiment"], "unsure")
    complaints = _sum(tables["complaints"], "complaints")
    count, median = await overall_wait(session, filters)
    scores = await overall(session, filters)
    none = "–"

    def percent(part: int, whole: int) -> str:
        found = share(part, whole)
        return none if found is None else formats.percent(found, 1)

    def told(text: str, **values: float) -> str:
        return say(request, text, **{name: formats.number(value) for name, value in values.items()})

    interval = scores.interval
    spread = (
        say(
            request,
            N_("95 %%: %(low)s to %(high)s"),
            low=formats.number(interval[0], 2),
            high=formats.number(interval[1], 2),
        )
        if interval
        else told(N_("%(count)s answers"), count=scores.answered)
    )
    return [
        Headline(
            say(request, N_("Messages received")),
            formats.number(received),
            "",
            say(
                request,
                N_("Every message that customers sent in the period, by the clock of the platform it was written on."),
            ),
            links.messages(filters),
        ),
        Headline(
            say(request, N_("Negative")),
            percent(negative, received),
            told(N_("%(count)s messages, %(unsure)s unsure"), count=negative, unsure=unsure),
            say(
                request,
                N_(
                    "Messages read as negative, of all messages received. What the model is not sure of is counted as"
                    " unsure, never as negative."
                ),
            ),
            links.messages(filters, sentiment="negative"),
        ),
        Headline(
            say(request, N_("Complaints")),
            formats.number(complaints),
            say(request, N_("%(share)s of messages"), share=percent(complaints, received)),
            say(request, N_("Messages read as a complaint with enough certainty; the threshold is in the settings.")),
            links.messages(filters, complaint="yes"),
        ),
        Headline(
            say(request, N_("Median first answer")),
            none if median is None else wait(median, formats),
            told(N_("%(count)s first answers"), count=count),
            say(
                request,
                N_(
                    "Time from a customer's first message to the first answer of a person, for first answers given in"
                    " the period. Half of the customers waited less. Automatic answers do not count."
                ),
            ),
            links.answers(filters),
        ),
        Headline(
            say(request, N_("Satisfaction (CSAT)")),
            none if scores.mean is None else formats.number(scores.mean, 2),
            spread,
            say(
                request,
                N_(
                    "Mean score from 1 to 5 of the surveys sent in the period that were answered. The range holds the"
                    " true mean with 95 %% confidence (Student's t; NIST Handbook 1.3.5.2)."
                ),
            ),
            links.surveys(filters, answered="yes"),
        ),
        Headline(
            say(request, N_("Response rate")),
            percent(scores.answered, scores.sent),
            told(N_("%(answered)s of %(sent)s surveys"), answered=scores.answered, sent=scores.sent),
            say(request, N_("Surveys answered, of all surveys sent in the period, with the same filters.")),
            links.surveys(filters),
        ),
    ]


def wait(seconds: float, formats: Formats) -> str:
    """A wait in its two largest units: 2 min 30 s."""
    left = max(round(seconds), 0)
    pieces: list[str] = []
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, left = divmod(left, size)
        if count or (unit == "second" and not pieces):
            pieces.append(format_unit(count, unit, "short", locale=formats.locale))
        elif pieces:
            break
        if len(pieces) == 2:
            break
    return " ".join(pieces)


def _sum(table: Table, key: str) -> int:
    return sum(row[key] for row in table.rows)
