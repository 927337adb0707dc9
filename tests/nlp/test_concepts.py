"""Concepts: the same matter in five languages is one place."""

import numpy as np
import pytest

from nlp import concepts


def alike(one: str, other: str) -> float:
    vectors = concepts.vectors([one, other])
    return float(vectors[0] @ vectors[1])


@pytest.mark.parametrize(
    "texts",
    [
        ("mot de passe oublié", "I forgot my password", "نسيت كلمة المرور", "نسيت المودباس", "nsit mot de passe"),
        ("livraison gratuite ?", "is shipping free?", "هل التوصيل مجاني؟", "التوصيل باطل؟", "la livraison batel?"),
        ("j'ai perdu ma puce", "I lost my SIM", "فقدت شريحتي", "راحتلي لابيس", "da3etli la puce"),
    ],
)
def test_the_same_matter_in_five_languages_is_nearly_the_same(texts: tuple[str, ...]) -> None:
    assert min(alike(one, other) for one in texts for other in texts) > 0.7


def test_other_matters_are_far_and_nothing_is_near_nothing() -> None:
    assert alike("mot de passe oublié", "هل التوصيل مجاني؟") < 0.2
    assert alike("xyzzy", "xyzzy") == 0
    assert np.isfinite(concepts.vectors(["", " ", "؟؟", "\ud800", "x" * 10_000])).all()
    assert len(concepts.vectors([])) == 0


def test_what_arabic_writes_before_a_word_does_not_hide_it() -> None:
    for word in ("الفاتورة", "وفاتورة", "بالفاتورة", "للفاتورة"):
        assert alike(word, "facture") == pytest.approx(1)


def test_a_word_that_only_begins_like_another_is_not_taken_for_it() -> None:
    assert alike("payant", "pays") == 0
    assert alike("mode", "mot de passe") == 0
