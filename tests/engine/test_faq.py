"""The FAQ's figures: measured on labelled questions, kept, and shipped for the shipped model."""

from dataclasses import replace
from pathlib import Path

import pytest

from socialcrm.domain.engagement import EngagementError, Question
from socialcrm.domain.faq import Curve
from socialcrm.domain.rows import FaqMeasure
from socialcrm.engine import faq
from socialcrm.engine.line import Line
from tests.engine.scripted import on_one_database
from tests.story import Story, line_with


@on_one_database
async def test_the_shipped_figures_are_those_of_the_shipped_model_and_hold_the_bar(line: Line) -> None:
    async with line.database.read() as session:
        shipped = await faq.curve(session, line)
    assert shipped is not None, "measure anew: python run.py faq measure --file config/faq_measured.json"
    measured = await faq.measure_now(line)
    for point, other in zip(measured.points, shipped.points, strict=True):
        assert abs(point.right - other.right) <= 3, "processors differ a little"
    assert (measured.asked, measured.others) == (110, 39)
    assert set(measured.by_language) == {"fr", "en", "ar", "arq-Arab", "arq-Latn"}
    found = measured.threshold(0.9)
    assert found is not None
    assert measured.recall(found) >= 0.4, "phrases alone answer a fifth"
    assert measured.recall(measured.at(1.0)) < 0.25


async def test_figures_are_kept_for_this_faq_and_model_only(line: Line, tmp_path: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    questions.write_text('{"lang": "fr", "entry": "opening-hours", "text": "vous ouvrez quand ?"}\n', encoding="utf-8")
    line = line_with(line, None, bot={"questions": questions})
    async with line.database.read() as session:
        assert await faq.curve(session, line) is None
    for _ in range(2):
        await faq.measure_now(line)
    story = await Story.begin(line)
    [row] = await story.rows(FaqMeasure)
    assert Curve.of_json(row.curve).threshold(1.0) is not None
    other = Question(id="opening-hours", phrases=("ouvert",), answers={"fr": "Oui."})
    changed = replace(line, engagement=replace(line.engagement, questions=(other,)))
    async with line.database.read() as session:
        assert await faq.curve(session, line) is not None
        assert await faq.curve(session, changed) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", 'line 1: expected {"lang", "entry", "text"}'),
        ('{"lang": "fr", "text": "x"}', "line 1: expected"),
        ('{"lang": "xx", "entry": null, "text": "x"}', "line 1: there is no language 'xx'"),
        ('\n{"lang": "fr", "entry": "moon", "text": "x"}', "line 2: the FAQ has no entry 'moon'"),
        ('{"lang": "fr", "entry": null, "text": "x"}', "has no question that the FAQ answers"),
    ],
)
@on_one_database
async def test_a_mistake_in_the_labelled_questions_is_named_by_its_line(
    line: Line, tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(EngagementError, match=r"questions\.jsonl") as raised:
        faq.labelled_questions(file, line.engagement)
    assert said in str(raised.value)
    with pytest.raises(EngagementError, match="cannot be read"):
        faq.labelled_questions(tmp_path / "gone.jsonl", line.engagement)
