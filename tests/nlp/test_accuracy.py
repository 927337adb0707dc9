"""How right the shipped weights are on sentences that we wrote and labelled by hand.

The floors lie well below what was measured when they were set and well above chance.
"""

import pytest

from nlp.evaluate import accuracy, macro_f1
from nlp.normalize import normalize
from nlp.pipeline import Pipeline
from nlp.rows import Row

FLOORS = [("language", 0.90), ("sentiment", 0.75), ("complaint", 0.85), ("intent", 0.75)]
LANGUAGES = ["fr", "ar", "arq-Arab", "arq-Latn", "en"]


def judged(pipeline: Pipeline, rows: list[Row]) -> tuple[list[str], list[str]]:
    """Return the true labels of rows of one task and those that the pipeline gives."""
    task = rows[0].task
    documents = pipeline.analyze([row.text for row in rows])
    return [row.label for row in rows], [getattr(document, task).label for document in documents]


def test_the_labelled_set_covers_our_languages_and_every_intent(labelled: list[Row]) -> None:
    texts = {row.text for row in labelled}
    assert len(texts) >= 120
    assert {row.lang for row in labelled} == set(LANGUAGES)
    assert len({row.label for row in labelled if row.task == "intent"}) == 8


@pytest.mark.parametrize(("task", "floor"), FLOORS)
def test_accuracy_and_macro_f1_stay_above_the_floor(
    pipeline: Pipeline, labelled: list[Row], task: str, floor: float
) -> None:
    truth, guesses = judged(pipeline, [row for row in labelled if row.task == task])
    assert accuracy(truth, guesses) >= floor
    assert macro_f1(truth, guesses) >= floor - 0.05


@pytest.mark.parametrize("language", LANGUAGES)
def test_complaints_are_told_from_other_messages_in_each_language(
    pipeline: Pipeline, labelled: list[Row], language: str
) -> None:
    rows = [row for row in labelled if row.task == "complaint" and row.lang == language]
    truth, guesses = judged(pipeline, rows)
    assert macro_f1(truth, guesses) >= 0.75


def test_complaint_and_intent_rarely_disagree(pipeline: Pipeline, labelled: list[Row]) -> None:
    texts = sorted({row.text for row in labelled})
    at_odds = [
        document.text
        for document in pipeline.analyze(texts)
        if document.complaint and document.intent
        if (document.complaint.label == "complaint") != (document.intent.label in ("complaint", "leaving"))
    ]
    assert len(at_odds) <= 0.12 * len(texts)


def test_no_labelled_sentence_can_be_learned_from(labelled: list[Row]) -> None:
    texts = {normalize(row.text) for row in labelled}
    assert len(texts) == len({row.text for row in labelled})  # none is empty or the same as another
    assert "" not in texts
