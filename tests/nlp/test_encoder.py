"""The shipped encoder and its heads: any text, batches, likeness, learning from corrections, and why."""

from pathlib import Path

import numpy as np
import pytest

from nlp.heads import Correction, Heads, HybridComponent, refit
from nlp.onnx import MAX_TOKENS, Encoder, runs
from nlp.pipeline import FIELDS, Pipeline
from nlp.why import why

TEXTS = [
    "la connexion est coupée",
    "",
    "😡😡",
    "خدمة رديئة",
    "3iyitouna wallah",
    "a\x00b\ud800",
    "x" * 100_000,
    "🇩🇿 ok",
]


@pytest.fixture(scope="session")
def encoder(pipeline: Pipeline) -> Encoder:
    """The encoder that we ship."""
    assert pipeline.encoder is not None
    return pipeline.encoder


def test_every_text_has_finite_states_and_the_like_ones_alone_as_in_a_batch(encoder: Encoder) -> None:
    together = encoder.states(TEXTS)
    assert together.shape == (len(TEXTS), encoder.hidden)
    assert np.isfinite(together).all()
    for text, state in zip(TEXTS, together, strict=True):
        alone = encoder.run(encoder.pieces([text.encode("utf-8", "ignore").decode()]))[0]
        assert alone.shape == state.shape


def test_a_batch_moves_a_score_by_little(pipeline: Pipeline) -> None:
    # activations are rounded to 8 bits a batch, so company may change the last digits, not the answer
    texts = ["la connexion est coupée depuis hier", "merci, tout est réglé", "combien coûte la fibre ?"]
    together = pipeline.analyze(texts + ["خدمة رديئة جدا " * 20, "ok"])
    fresh = Pipeline.load()
    for text, document in zip(texts, together, strict=False):
        alone = fresh.analyze([text])[0]
        assert alone.sentiment and document.sentiment
        assert alone.sentiment.label == document.sentiment.label
        assert alone.sentiment.score == pytest.approx(document.sentiment.score, abs=0.1)


def test_no_text_is_read_beyond_the_most_tokens_and_its_end_is_read(encoder: Encoder) -> None:
    long = "bonjour " * 3000 + "vous êtes des voleurs"
    assert encoder.pieces([long])[0][-4:] == encoder.pieces(["vous êtes des voleurs"])[0][-4:]
    assert len(encoder.pieces([long])[0]) == MAX_TOKENS


def test_batches_hold_every_text_once_and_texts_of_like_length() -> None:
    lengths = [3, 90, 4, 88, 5, 3, 120, 60] * 40
    cut = list(runs(lengths))
    assert sorted(place for batch in cut for place in batch) == list(range(len(lengths)))
    spent = sum(len(batch) * max(lengths[place] for place in batch) for batch in cut)
    assert spent <= 1.1 * sum(lengths)


def test_a_question_is_nearer_to_its_translation_than_to_another_question(encoder: Encoder) -> None:
    french, english, other = encoder.vectors(
        ["comment payer ma facture en ligne ?", "how do I pay my bill online?", "where is your shop in Oran?"]
    )
    assert np.linalg.norm(french) == pytest.approx(1, abs=1e-4)
    assert french @ english > french @ other


@pytest.mark.parametrize("gone", ["encoder.onnx", "tokenizer.json", "heads.npz", "reason.npz"])
def test_a_model_folder_that_lacks_or_spoils_a_file_is_refused_by_name(tmp_path: Path, gone: str) -> None:
    shipped = Path("nlp/models")
    for path in shipped.iterdir():
        (tmp_path / path.name).symlink_to(path.resolve())
    (tmp_path / gone).unlink()
    (tmp_path / gone).write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"."):
        Pipeline.load(tmp_path)


def test_corrections_teach_the_heads_and_leave_other_answers_alone(pipeline: Pipeline, tmp_path: Path) -> None:
    said = "le colis arrive demain inchallah"
    before = pipeline.analyze([said])[0].intent
    assert before is not None and before.label != "spam"
    texts = [f"{said} {number}" for number in range(40)]
    heads = refit(pipeline, [Correction(text, "intent", "spam") for text in texts])
    heads.save(tmp_path / "heads.npz")
    taught = Pipeline.load(heads=tmp_path / "heads.npz")
    after, thanks = (document.intent for document in taught.analyze([said, "merci beaucoup, vous êtes les meilleurs"]))
    assert after is not None and after.label == "spam"
    assert after.model != before.model
    assert thanks is not None and thanks.label == "praise"


def test_one_correction_moves_little(pipeline: Pipeline) -> None:
    texts = ["où est votre agence ?", "je veux un remboursement", "bravo à toute l'équipe"]
    heads = refit(pipeline, [Correction("chkoun yjaweb hna", "sentiment", "positive")])
    assert pipeline.encoder is not None
    for part in pipeline.components:
        if isinstance(part, HybridComponent) and part.field == "sentiment":
            ngrams, states = part.linear.probabilities(texts), pipeline.encoder.states(texts)
            moved = heads.heads["sentiment"].probabilities(states, ngrams) - part.probabilities(texts)
            assert np.abs(moved).max() < 0.2


def test_a_correction_to_a_label_that_is_none_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(ValueError, match="sentiment has no label 'furious'"):
        refit(pipeline, [Correction("bonjour", "sentiment", "furious")])


def test_heads_are_the_same_after_saving(pipeline: Pipeline, tmp_path: Path) -> None:
    assert pipeline.heads is not None
    pipeline.heads.save(tmp_path / "heads.npz")
    again = Heads.load(tmp_path / "heads.npz")
    for field in FIELDS:
        assert again.labels[field] == pipeline.heads.labels[field]
        assert np.array_equal(again.weights[field], pipeline.heads.weights[field])


def test_the_word_that_weighs_most_is_the_one_that_says_it(pipeline: Pipeline) -> None:
    found = why(pipeline, "votre service est catastrophique aujourd'hui", "sentiment")
    assert found[0].text == "catastrophique"
    assert found[0].weight > 0
    for one in found:
        assert "votre service est catastrophique aujourd'hui"[one.start : one.end] == one.text


def test_words_that_say_the_same_all_weigh(pipeline: Pipeline) -> None:
    text = "votre service est nul 😡, c'est vraiment une honte"
    found = why(pipeline, text, "sentiment")
    assert {one.text for one in found[:3]} >= {"nul", "honte"}
    assert found == why(pipeline, text, "sentiment")
    (document,), (nothing,) = pipeline.analyze([text]), pipeline.analyze(["        "])
    assert document.sentiment and nothing.sentiment
    label = document.sentiment.label
    rise = document.sentiment.score - nothing.sentiment.scores[label]
    assert sum(one.weight for one in found) == pytest.approx(rise, abs=0.02 * len(text.split()))


def test_nothing_weighs_in_a_text_without_words(pipeline: Pipeline) -> None:
    assert why(pipeline, "   ", "sentiment") == ()
