"""What the pipeline understands, through its public face."""

import dataclasses
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from nlp.pipeline import FIELDS, Document, Field, Pipeline, Prediction
from tests.nlp.conftest import labels

COMPLAINTS = [
    ("slm khouya, la connexion ta3kom mayta men lbareh w 7ed ma jawebni, 3iyitouna", "arq-Latn"),
    ("الكونيكسيون تاعكم ميتة هذي يومين و حتى واحد ما جاوبني", "arq-Arab"),
    ("Bonjour, ma facture a doublé ce mois-ci sans explication, c'est inadmissible", "fr"),
    ("خدمة سيئة جدا، انقطع الانترنت منذ ثلاثة أيام ولا أحد يجيب", "ar"),
    ("Your network has been down for two days and nobody answers", "en"),
]
OTHERS = [
    ("merci beaucoup, problème réglé rapidement", "fr", "positive", "praise"),
    ("شكرا جزيلا على سرعة الرد", "ar", "positive", "praise"),
    ("ya3tikom sa7a, service top", "arq-Latn", "positive", "praise"),
    ("quels sont vos horaires d'ouverture ?", "fr", "neutral", "question"),
    ("c7al forfait 4G ?", "arq-Latn", "neutral", "question"),
]
SHORT = [
    ("slm", "arq-Latn"),
    ("connexion ta3kom mayta", "arq-Latn"),
    ("الكونيكسيون تاعكم ميتة", "arq-Arab"),
    ("Bonjour, ma facture est fausse", "fr"),
    ("my internet is down", "en"),
]


@pytest.mark.parametrize(("text", "language"), COMPLAINTS)
def test_a_complaint_is_a_negative_complaint_in_its_language(pipeline: Pipeline, text: str, language: str) -> None:
    assert labels(pipeline.analyze([text])[0]) == (language, "negative", "complaint", "complaint")


@pytest.mark.parametrize(("text", "language", "sentiment", "intent"), OTHERS)
def test_thanks_and_questions_are_no_complaints(
    pipeline: Pipeline, text: str, language: str, sentiment: str, intent: str
) -> None:
    assert labels(pipeline.analyze([text])[0]) == (language, sentiment, "other", intent)


@pytest.mark.parametrize(("text", "language"), SHORT)
def test_the_language_of_a_short_text_is_known(pipeline: Pipeline, text: str, language: str) -> None:
    assert labels(pipeline.analyze([text])[0])[0] == language


@pytest.mark.parametrize(
    "text",
    [
        "Das Spiel war gestern wirklich schlecht",
        "Che bella giornata, ci vediamo stasera",
        "यह फ़ोन बहुत अच्छा है",
        "¿Dónde está mi pedido? Llevo esperando dos semanas",
    ],
)
def test_a_language_that_is_not_ours_is_other(pipeline: Pipeline, text: str) -> None:
    assert labels(pipeline.analyze([text])[0])[0] == "other"


def test_every_prediction_has_calibrated_scores_that_sum_to_one(pipeline: Pipeline) -> None:
    for document in pipeline.analyze([text for text, _ in COMPLAINTS] + ["", "👍", "x" * 50]):
        for prediction in (getattr(document, field) for field in FIELDS):
            assert prediction is not None
            assert math.isclose(sum(prediction.scores.values()), 1, abs_tol=1e-4)
            assert prediction.score == max(prediction.scores.values()) == prediction.scores[prediction.label]


def test_predictions_name_the_model_that_made_them(pipeline: Pipeline) -> None:
    document = pipeline.analyze(["merci"])[0]
    assert document.sentiment is not None and pipeline.heads is not None
    assert document.sentiment.model == f"{pipeline.heads.name}/sentiment"


def test_the_ngrams_alone_answer_too_and_say_so() -> None:
    document = Pipeline.load(encoder=False).analyze(["merci beaucoup, vous êtes les meilleurs"])[0]
    assert document.sentiment is not None
    assert (document.sentiment.label, document.sentiment.model) == ("positive", "linear-1/sentiment")


def test_components_name_their_field_and_labels(pipeline: Pipeline) -> None:
    assert tuple(component.field for component in pipeline.components) == FIELDS
    found = {component.field: set(component.labels) for component in pipeline.components}
    assert found == {
        "language": {"en", "fr", "ar", "arq-Arab", "arq-Latn", "other"},
        "sentiment": {"negative", "neutral", "positive"},
        "complaint": {"complaint", "other"},
        "intent": {"complaint", "question", "request", "praise", "purchase", "leaving", "spam", "other"},
        "reason": {"outage", "quality", "delay", "cancelled", "lost", "billing", "account", "service", "other"},
    }


def test_order_is_kept_over_many_batches(pipeline: Pipeline) -> None:
    texts = [text for text, _ in COMPLAINTS] * 301
    documents = pipeline.analyze(texts)
    assert [document.text for document in documents] == texts
    assert [labels(document)[0] for document in documents] == [language for _, language in COMPLAINTS] * 301


def test_a_text_is_understood_the_same_alone_and_in_a_batch(pipeline: Pipeline) -> None:
    texts = ["", *(text for text, *_ in OTHERS), "😡😡", *(text for text, _ in COMPLAINTS)]
    assert [labels(one) for one in pipeline.analyze(texts)] == [labels(pipeline.analyze([text])[0]) for text in texts]


def test_no_texts_give_no_documents(pipeline: Pipeline) -> None:
    assert pipeline.analyze([]) == []


@pytest.mark.parametrize("text", ["", " ", "\n\t", "@someone", "...", "\u200f\u200b", "\x00\x07", "\ud800", "ـــ"])
def test_a_text_that_says_nothing_gets_a_low_score(pipeline: Pipeline, text: str) -> None:
    document = pipeline.analyze([text])[0]
    assert labels(document) == ("other", "neutral", "other", "other")
    assert document.intent is not None and document.intent.score < 0.6


def test_a_hundred_thousand_characters_are_understood_by_their_beginning(pipeline: Pipeline) -> None:
    text = COMPLAINTS[2][0] + " "
    assert labels(pipeline.analyze([text * 1300])[0]) == ("fr", "negative", "complaint", "complaint")


def test_many_threads_may_share_a_pipeline(pipeline: Pipeline) -> None:
    texts = [text for text, _ in COMPLAINTS] + [text for text, *_ in OTHERS]
    alone = [labels(one) for one in pipeline.analyze(texts)]
    with ThreadPoolExecutor(4) as threads:
        for documents in threads.map(lambda turn: pipeline.analyze(texts[turn % 5 :]), range(40)):
            assert [labels(one) for one in documents] == alone[-len(documents) :]


def test_documents_and_predictions_cannot_be_changed(pipeline: Pipeline) -> None:
    document = pipeline.analyze(["merci"])[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        document.text = "other"  # type: ignore[misc]


class Shouting:
    """A component of somebody else: says complaint of what is written in capitals."""

    field: Field = "complaint"
    labels = ("complaint", "other")

    def predict(self, documents: Sequence[Document]) -> list[Prediction]:
        """Look at the case of each text."""
        return [
            Prediction(label, 1.0, {"complaint": float(loud), "other": float(not loud)}, "shouting-1")
            for loud in (document.text.isupper() for document in documents)
            for label in ("complaint" if loud else "other",)
        ]


def test_a_pipeline_runs_any_component_and_leaves_other_fields_empty() -> None:
    quiet, loud = Pipeline([Shouting()]).analyze(["hello", "HELLO"])
    assert quiet.complaint is not None and quiet.complaint.label == "other"
    assert loud.complaint is not None and loud.complaint.label == "complaint"
    assert loud.sentiment is None and loud.topics == ()


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Pipeline.load(tmp_path)


def test_weights_of_another_field_are_refused(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[2] / "nlp" / "models" / "complaint.npz"
    (tmp_path / "language.npz").write_bytes(shipped.read_bytes())
    with pytest.raises(ValueError, match="holds weights for complaint"):
        Pipeline.load(tmp_path)


def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "language.npz", field=np.array("language"))
    with pytest.raises(ValueError, match="not a weights file"):
        Pipeline.load(tmp_path)
