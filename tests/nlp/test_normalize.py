"""The normal form of a message."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp.normalize import MAX_CHARS, normalize

SAME = [
    ("C’est “inadmissible”…", 'c\'est "inadmissible"...'),
    ("Facture doublée", "FACTURE DOUBLEE"),
    ("أحمد إلى آخر مدرسة", "احمد الي اخر مدرسه"),
    ("مَيِّتَة", "ميتة"),
    ("خدمـــــة", "خدمة"),
    ("slm\u200b \u202bkhouya\u202c\ufeff", "slm khouya"),
    ("tom &amp; jerry", "tom & jerry"),
    ("#bonne_annee à tous", "bonne annee a tous"),
    ("merciiiiiiii", "merciii"),
    ("appelle le 0550 12 34 56", "appelle le 0661 99 88 77"),
    ("voir https://a.example/x?y=1", "voir http://b.example"),
    ("@brand bonjour", "bonjour"),
    ("👍🏽", "👍"),
    ("٣ أيام", "3 أيام"),
    ("هل؟", "هل ?"),
]
DIFFERENT = [
    ("mayta 7ed 3iyitouna", "mayta ed iyitouna"),
    ("top 👍", "top 👎"),
    ("ça va ?", "ça va"),
    ("super :)", "super :("),
    ("forfait 4G", "forfait G"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spellings_of_one_message_have_one_normal_form(one: str, other: str) -> None:
    assert normalize(one) == normalize(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_carries_meaning_is_kept(one: str, other: str) -> None:
    assert normalize(one) != normalize(other)


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_text_has_a_bounded_single_spaced_normal_form(text: str) -> None:
    normal = normalize(text)
    assert normal == " ".join(normal.split())
    assert len(normal) <= MAX_CHARS
    assert normalize(text) == normal


@given(st.text(alphabet="abé3 ?!.'\"…“”أةـ\u200f😂#@&:)(", max_size=60))
@settings(max_examples=300, deadline=None)
def test_the_normal_form_is_its_own_normal_form(text: str) -> None:
    assert normalize(normalize(text)) == normalize(text)


@pytest.mark.parametrize("piece", ["a", "ﷺ", "&amp;", ".", "a.", "1:", "@", ":(", "😂", "a@a.", "http://", "-", "=)"])
def test_a_hundred_thousand_characters_take_bounded_work(piece: str) -> None:
    started = time.perf_counter()
    assert len(normalize(piece * (100_000 // len(piece)))) <= MAX_CHARS
    assert time.perf_counter() - started < 1


def test_what_follows_the_limit_is_ignored() -> None:
    assert normalize("a b " * 1000) == normalize("a b " * 1000 + "tail")
