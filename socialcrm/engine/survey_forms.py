"""The surveys that there are: which are on, what one was when it was sent, and how an admin changes them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from socialcrm.domain.people import Agent
from socialcrm.domain.survey import Survey, SurveyForm, SurveyFormVersion
from socialcrm.domain.survey_form import Form, Low, Sending, read_form
from socialcrm.domain.survey_words import Wording
from socialcrm.engine.line import Line

STANDARD = 0
"""Stands for the survey of the settings in the place of a number."""


def standard(line: Line) -> Form:
    """What is asked as long as nobody made a survey of their own: CSAT, as the settings say."""
    s = line.settings.survey
    sending = Sending(
        delay_minutes=s.delay_seconds / 60,
        share=s.share,
        rest_days=s.rest_days,
        quiet=s.quiet_hours,
        remind_hours=s.remind_hours,
        expires_days=s.expires_days,
    )
    return Form(kind="csat", low=Low(at_most=s.low_score or None), sending=sending)


async def active(session: AsyncSession, line: Line) -> list[tuple[SurveyForm | None, Form]]:
    """The surveys that are on, in order; the standard one while there is no other, on or off."""
    rows = await listed(session)
    if not rows:
        return [(None, standard(line))]
    return [(row, Form.model_validate(row.body)) for row in rows if row.is_on]


async def listed(session: AsyncSession) -> Sequence[SurveyForm]:
    """All surveys that were not deleted, in order."""
    query = select(SurveyForm).where(col(SurveyForm.deleted_at).is_(None))
    return (await session.execute(query.order_by(col(SurveyForm.position), col(SurveyForm.id)))).scalars().all()


async def form_of(session: AsyncSession, line: Line, survey: Survey) -> Form:
    """What somebody was asked, as it was when it was sent."""
    if survey.form_id is None:
        return standard(line)
    version = await session.get_one(SurveyFormVersion, (survey.form_id, survey.form_version))
    return Form.model_validate(version.body)


def wording(line: Line, form: Form, language: str) -> Wording:
    """How a survey speaks in a language."""
    return Wording(line.engagement, form, language, line.settings.company, line.settings.engagement.default_language)


async def save(
    session: AsyncSession, line: Line, row: SurveyForm | None, name: str, body: Mapping[str, Any], by: Agent | None
) -> SurveyForm:
    """Make a survey, or a new version of one. The first one made by hand takes the standard one along, so that it does
    not end unnoticed. Raises FormError."""
    form, now = read_form(body), line.now()
    if row is None:
        known = await listed(session)
        if not known and line.settings.survey.is_on:
            await _add(session, line, "CSAT", standard(line), by, position=1, is_on=True)
        return await _add(session, line, name, form, by, position=max((r.position for r in known), default=1) + 1)
    if row.name != name or row.body != form.model_dump(mode="json"):
        row.name, row.body, row.version = name, form.model_dump(mode="json"), row.version + 1
        row.changed_at, row.changed_by_id = now, by.id if by else None
        session.add(_version(row))
        await session.flush()
    return row


async def adopt_standard(session: AsyncSession, line: Line, by: Agent) -> SurveyForm:
    """The standard survey as one that can be changed."""
    return await _add(session, line, "CSAT", standard(line), by, position=1, is_on=line.settings.survey.is_on)


async def move(session: AsyncSession, row: SurveyForm, step: int) -> None:
    """Put a survey one place earlier (-1) or later (1)."""
    rows = list(await listed(session))
    place = next(n for n, each in enumerate(rows) if each.id == row.id)
    rows.insert(min(max(place + step, 0), len(rows) - 1), rows.pop(place))
    for position, each in enumerate(rows, 1):
        each.position = position
    await session.flush()


async def _add(
    session: AsyncSession, line: Line, name: str, form: Form, by: Agent | None, *, position: int, is_on: bool = False
) -> SurveyForm:
    row = SurveyForm(
        name=name,
        is_on=is_on,
        position=position,
        body=form.model_dump(mode="json"),
        changed_at=line.now(),
        changed_by_id=by.id if by else None,
    )
    session.add(row)
    await session.flush()
    session.add(_version(row))
    await session.flush()
    return row


def _version(row: SurveyForm) -> SurveyFormVersion:
    return SurveyFormVersion(
        form_id=row.id or 0,
        version=row.version,
        name=row.name,
        body=row.body,
        changed_at=row.changed_at,
        changed_by_id=row.changed_by_id,
    )
