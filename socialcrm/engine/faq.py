"""The FAQ: which of its entries a text asks for, and how often that is right."""

import asyncio
import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import Integer, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from nlp.suggest import Index
from socialcrm.domain.bot import FaqMeasure
from socialcrm.domain.engagement import LANGUAGES, Engagement, EngagementError
from socialcrm.domain.faq import Asked, Curve, measure
from socialcrm.domain.phrases import word_set
from socialcrm.domain.speak import Match, Trust
from socialcrm.domain.teaching import Correction, Source
from socialcrm.engine.learn import likeness
from socialcrm.engine.line import Line

log = logging.getLogger(__name__)
_made: OrderedDict[tuple[str, str], Index[tuple[str, int]]] = OrderedDict()
"""Indexes of this process by model and FAQ: several lines with the same share one."""
_making = Lock()
MOST_MADE = 4


def exact(engagement: Engagement, text: str) -> Match | None:
    """The entry that is asked for in the very words of one of its phrases."""
    found = engagement.question(word_set(text))
    return Match(found.id, 1.0, is_exact=True) if found else None


async def nearest(line: Line, texts: Mapping[int, str]) -> dict[int, Match]:
    """The likest entry of each text, whatever its score; in a thread, for it is the encoder's work."""
    return await asyncio.to_thread(_nearest, line, dict(texts)) if texts and line.engagement.questions else {}


def _nearest(line: Line, texts: Mapping[int, str]) -> dict[int, Match]:
    index = _index(line)
    found = {}
    for key, text in texts.items():
        if hits := index.nearest(text, 1, -1.0):
            found[key] = Match(hits[0].key[0], hits[0].score)
    return found


def _index(line: Line) -> Index[tuple[str, int]]:
    model = likeness(line)
    key = (model.name, content(line.engagement))
    with _making:
        if key not in _made:
            pairs = [
                (one.id, text) for one in line.engagement.questions for text in (*one.phrases, *one.answers.values())
            ]
            index: Index[tuple[str, int]] = Index(model)
            index.add([(entry, place) for place, (entry, _) in enumerate(pairs)], [text for _, text in pairs])
            _made[key] = index
            while len(_made) > MOST_MADE:
                _made.popitem(last=False)
        return _made[key]


def content(engagement: Engagement) -> str:
    """A short name for the FAQ as it is."""
    entries = [[one.id, list(one.phrases), dict(one.answers)] for one in engagement.questions]
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()[:16]


async def curve(session: AsyncSession, line: Line) -> Curve | None:
    """How right the answers of this FAQ by this model are; None where nobody measured it."""
    model, name = likeness(line).name, _measured(line)
    query = select(col(FaqMeasure.curve)).where(col(FaqMeasure.model) == model, col(FaqMeasure.content) == name)
    if known := (await session.execute(query)).scalar_one_or_none():
        return Curve.of_json(known)
    return _shipped(line.settings.bot.measured, model, name)


async def measure_now(line: Line) -> Curve:
    """Ask every labelled question, and keep the figures. Raises EngagementError when the questions cannot be read."""
    labelled = labelled_questions(line.settings.bot.questions, line.engagement)
    found = {n: match for n, (text, _, _) in enumerate(labelled) if (match := exact(line.engagement, text))}
    found |= await nearest(line, {n: text for n, (text, _, _) in enumerate(labelled) if n not in found})
    asked = []
    for place, (_, language, entry) in enumerate(labelled):
        match = found.get(place)
        asked.append(Asked(language, entry, match.entry if match else None, match.score if match else 0.0))
    made, model, name = measure(asked), likeness(line).name, _measured(line)
    async with line.database.write() as session:
        query = select(FaqMeasure).where(col(FaqMeasure.model) == model, col(FaqMeasure.content) == name)
        row = (await session.execute(query.with_for_update())).scalar_one_or_none()
        if row is None:
            session.add(FaqMeasure(model=model, content=name, curve=made.as_json(), at=line.now()))
        else:
            row.curve, row.at = made.as_json(), line.now()
    return made


def as_file(line: Line, made: Curve) -> str:
    """The figures as the file that is shipped with them."""
    values = {"model": likeness(line).name, "content": _measured(line), "curve": made.as_json()}
    return json.dumps(values, ensure_ascii=False) + "\n"


def labelled_questions(file: Path, engagement: Engagement) -> list[tuple[str, str, str | None]]:
    """Text, language and entry of each labelled question; the entry is None where none answers. Raises
    EngagementError."""
    known = {one.id for one in engagement.questions}
    found: list[tuple[str, str, str | None]] = []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise EngagementError(f"{file} cannot be read: {error.strerror}.") from error
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
            question, language, entry = row["text"], row["lang"], row["entry"]
        except (ValueError, KeyError, TypeError):
            raise EngagementError(f'{file}, line {number}: expected {{"lang", "entry", "text"}}.') from None
        if language not in LANGUAGES:
            raise EngagementError(f"{file}, line {number}: there is no language {language!r}.")
        if entry is not None and entry not in known:
            raise EngagementError(f"{file}, line {number}: the FAQ has no entry {entry!r}.")
        found.append((str(question), language, entry))
    if not any(entry for _, _, entry in found):
        raise EngagementError(f"{file} has no question that the FAQ answers.")
    return found


async def trust(session: AsyncSession, intents: Sequence[str]) -> dict[str, Trust]:
    """How often messages that were said to have an intent do have it: judged blindly, as agents correct mostly what is
    wrong."""
    is_right = func.sum((col(Correction.label) == col(Correction.predicted)).cast(Integer))
    query = (
        select(col(Correction.predicted), is_right, func.count())
        .where(
            col(Correction.source) == Source.SAMPLE.value,
            col(Correction.field) == "intent",
            col(Correction.predicted).in_(set(intents)),
        )
        .group_by(col(Correction.predicted))
    )
    return {intent: Trust(int(right or 0), count) for intent, right, count in (await session.execute(query)).all()}


def _measured(line: Line) -> str:
    """The FAQ and the questions that it is measured with."""
    return f"{content(line.engagement)}-{_file_hash(line.settings.bot.questions)}"


def _file_hash(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    except OSError:
        return "none"


def _shipped(file: Path, model: str, name: str) -> Curve | None:
    values = _figures(file, file.stat().st_mtime_ns) if file.exists() else {}
    is_same = values.get("model") == model and values.get("content") == name
    return Curve.of_json(values["curve"]) if is_same else None


@lru_cache(maxsize=4)
def _figures(file: Path, _changed_ns: int) -> Mapping[str, Any]:
    try:
        values: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        log.warning("%s cannot be read: the FAQ counts as not measured", file)
        return {}
    return values
