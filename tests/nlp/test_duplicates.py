"""Messages that are one text, forwarded with small changes."""

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp.duplicates import DISTANCE, fingerprints, group
from nlp.normalize import normalize

CHAIN = (
    "Attention à tous les abonnés : à partir de lundi la société va couper la ligne de tous ceux qui n'ont pas envoyé "
    "ce message à dix amis. Ce n'est pas une blague, mon cousin travaille à la direction."
)
FORWARDED = [
    CHAIN,
    f"🙏🙏 slm khawti {CHAIN}",
    CHAIN.upper(),
    CHAIN.replace("dix", "vingt").replace("cousin", "voisin"),
    f"{CHAIN} http://bit.ly/x1 partagez",
    CHAIN.replace("é", "e").replace(" : ", "\n"),
    CHAIN.replace("lundi", "mardi") + " 😡😡",
]


def test_a_chain_message_is_one_group_however_it_was_changed_on_its_way() -> None:
    assert len(set(group(FORWARDED))) == 1


def test_messages_on_one_subject_are_not_one_message() -> None:
    texts = [
        "La connexion est coupée à Oran depuis hier soir, quand est-ce que ça revient ?",
        "Depuis hier soir je n'ai plus internet à Oran, c'est réparé quand ?",
        "Le technicien est venu hier soir à Oran et tout marche, merci à lui",
        "الكونيكسيون مقطوعة في وهران من البارح وما كان حتى واحد يجاوب",
        "الكونيكسيون رجعت في وهران صباح اليوم شكرا على المجهود تاعكم",
    ]
    assert group(texts) == [0, 1, 2, 3, 4]


def test_short_texts_are_one_group_only_when_they_are_equal() -> None:
    assert group(["merci beaucoup", "MERCI  beaucoup", "merci bien", "merci beaucoup !"]) == [0, 0, 1, 2]


def test_a_short_text_of_two_people_is_said_twice_and_a_chain_message_once() -> None:
    texts = ["connexion mayta", "connexion mayta", "Connexion mayta", CHAIN, CHAIN]
    assert group(texts, ["lyes", "samia", "lyes", "lyes", "samia"]) == [0, 1, 0, 2, 2]


def test_texts_without_words_are_groups_of_their_own() -> None:
    assert group(["", "", "…"]) == [0, 1, 2]


def test_nothing_has_no_groups_and_as_many_authors_as_texts_are_needed() -> None:
    assert group([]) == []
    with pytest.raises(ValueError, match="2 texts have 1 authors"):
        group(["a", "b"], [1])


def test_groups_are_counted_in_the_order_of_their_first_text() -> None:
    other = "Bonjour, je voudrais savoir combien coûte la box 4G avec un abonnement d'un an"
    assert group([other, CHAIN, other, CHAIN]) == [0, 1, 0, 1]


def test_fingerprints_of_a_text_with_one_word_changed_are_near_and_of_others_far() -> None:
    one, near, far = fingerprints(
        [
            "attention a tous les abonnes la societe va couper la ligne de tous",
            "attention a tous les abonnes la societe va fermer la ligne de tous",
            "le technicien est venu hier soir et tout marche merci a lui bonne journee",
        ]
    ).tolist()
    assert (one ^ near).bit_count() <= DISTANCE < (one ^ far).bit_count()


@given(st.lists(st.text(max_size=60), max_size=12))
@settings(max_examples=150, deadline=None)
def test_any_texts_have_groups_and_equal_ones_the_same(texts: list[str]) -> None:
    found = group(texts)
    assert len(found) == len(texts)
    assert list(dict.fromkeys(found)) == list(range(len(set(found))))
    words = [text for text in texts if normalize(text)]  # of "@A" nothing is left: names are no words
    again = group([*words, *words])
    assert again[: len(words)] == again[len(words) :]


@pytest.mark.parametrize("is_chain", [False, True])
def test_cost_grows_with_the_number_of_texts_and_not_with_its_square(is_chain: bool) -> None:
    chance = random.Random(7)
    words = [f"{chance.choice('bcdfgl')}{chance.choice('aeiou')}{number}x" for number in range(3000)]

    def texts(count: int) -> list[str]:
        if is_chain:
            return [f"{CHAIN} {chance.choice(words)}" for _ in range(count)]
        return [" ".join(chance.choices(words, k=12)) for _ in range(count)]

    def seconds(count: int) -> float:
        sample = texts(count)
        started = time.process_time()
        found = len(set(group(sample)))
        assert found <= count / 100 if is_chain else found == count
        return time.process_time() - started

    seconds(500)
    assert seconds(16_000) < 128 * max(seconds(1_000), 0.02)  # the square of 16 is 256


@pytest.mark.parametrize("piece", ["a", "a ", "ab ", "é", "a b c d e ", "!", "@x ", "ﷺ "])
def test_a_hundred_thousand_characters_take_bounded_time(piece: str) -> None:
    started = time.process_time()
    group([piece * (100_000 // len(piece))] * 3)
    assert time.process_time() - started < 3
